//! Templates against what Go's `text/template` with Docker's functions prints.

use gantry_gotemplate::{Functions, Map, Method, Struct, Template, Value};
use serde_json::json;

fn sample() -> Value {
    Value::from(json!({
        "Id": "abc", "N": 3, "F": 1.5, "T": true, "Null": null, "E": [],
        "L": ["x", "y", "z"], "M": {"b": 2, "a": 1}, "S": {"In": {"K": "v"}}, "Big": 1e21,
    }))
}

fn run(source: &str, dot: &Value) -> String {
    match Template::parse(source, Functions::Docker).and_then(|t| t.execute(dot)) {
        Ok(text) => text,
        Err(error) => format!("ERR {error}"),
    }
}

#[test]
fn prints_what_go_prints() {
    for (source, want) in [
        ("plain", "plain"),
        ("{{.Id}} {{.N}} {{.F}} {{.T}}", "abc 3 1.5 true"),
        ("{{.Nope}}|{{.Null}}|{{.Big}}", "<no value>|<no value>|1e+21"),
        ("{{.L}} {{.M}} {{.S}}", "[x y z] map[a:1 b:2] map[In:map[K:v]]"),
        ("a {{- .Id -}} b", "aabcb"),
        ("a {{- /* note */ -}} b", "ab"),
        ("{{/* note */}}x", "x"),
        ("{{range .L}}{{.}},{{end}}", "x,y,z,"),
        ("{{range $i, $e := .L}}{{$i}}={{$e}} {{end}}", "0=x 1=y 2=z "),
        ("{{range $k, $v := .M}}{{$k}}:{{$v}};{{end}}", "a:1;b:2;"),
        ("{{range .E}}x{{else}}none{{end}}", "none"),
        ("{{range .L}}{{if eq . \"y\"}}{{continue}}{{end}}{{.}}{{end}}", "xz"),
        ("{{range .L}}{{if eq . \"y\"}}{{break}}{{end}}{{.}}{{end}}", "x"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{if .Nope}}a{{else if .T}}b{{else}}c{{end}}", "b"),
        ("{{with .Nope}}a{{else with .S}}{{.In.K}}{{end}}", "v"),
        ("{{with $x := .S.In}}{{$x.K}}{{.K}}{{end}}", "vv"),
        ("{{$x := 1}}{{$x = 2}}{{$x}}", "2"),
        ("{{$x := 1}}{{if true}}{{$x = 5}}{{end}}{{$x}}", "5"),
        ("{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .Id}}", "<abc>"),
        ("{{block \"b\" .N}}[{{.}}]{{end}}", "[3]"),
        ("{{index .L 1}} {{index .M \"a\"}} {{index .S \"In\" \"K\"}}", "y 1 v"),
        ("{{slice .Id 1}} {{slice .Id 0 2}} {{slice .L 1 2}}", "bc ab [y]"),
        ("{{len .L}} {{len .Id}} {{len .M}}", "3 3 2"),
        ("{{and .T .N}} {{or .Nope .Id}} {{not .T}}", "3 abc false"),
        (
            "{{eq .N 3}} {{eq .N 1 2 3}} {{ne .Id \"x\"}} {{lt .N 4}} {{ge .F 1.5}}",
            "true true true true true",
        ),
        (
            "{{printf \"%5s|%-5s|%q|%d|%v|%x|%t\" .Id .Id .Id .N .L .Id .T}}",
            "  abc|abc  |\"abc\"|3|[x y z]|616263|true",
        ),
        (
            "{{printf \"%05d %+d %.2f %8.3f|%e|%g\" 42 1 .F .F .F .F}}",
            "00042 +1 1.50    1.500|1.500000e+00|1.5",
        ),
        (
            "{{printf \"%d\" .Id}} {{printf \"%s\"}} {{printf \"x\" 1}}",
            "%!d(string=abc) %!s(MISSING) x%!(EXTRA int=1)",
        ),
        ("{{.Id | printf \"%s-%s\" \"p\"}}", "p-abc"),
        ("{{print .Id 1 2 \"x\"}}|{{println 1 \"a\"}}", "abc1 2x|1 a\n"),
        ("{{json .M}} {{json .Id}} {{json .Nope}}", "{\"a\":1,\"b\":2} \"abc\" null"),
        (
            "{{join .L \"-\"}} {{upper .Id}} {{lower \"AB\"}} {{title \"ab cd\"}}",
            "x-y-z ABC ab Ab Cd",
        ),
        ("{{split \"a,b\" \",\"}} {{pad \"x\" 1 2}}| {{truncate .Id 2}}", "[a b]  x  | ab"),
        (
            "{{html \"<a&'b'>\"}} {{js \"it's\"}} {{urlquery \"a b&c\"}}",
            "&lt;a&amp;&#39;b&#39;&gt; it\\'s a+b%26c",
        ),
        ("{{(index .S \"In\").K}} {{(.S).In.K}}", "v v"),
        (
            "{{ `raw \\n` }} {{\"a\\tb\"}} {{'a'}} {{0x10}} {{1e3}} {{-5}}",
            "raw \\n a\tb 97 16 1000 -5",
        ),
        ("{{range $k, $v := .S}}{{$k}} {{$v.In}}{{end}}", "In <no value>"),
        ("}} {", "}} {"),
    ] {
        assert_eq!(run(source, &sample()), want, "{source}");
    }
}

#[test]
fn fails_in_go_words() {
    for (source, want) in [
        ("{{.Foo", "template: :1: unclosed action"),
        ("{{.Foo}", "template: :1: bad character U+007D '}'"),
        ("{{foo}}", "template: :1: function \"foo\" not defined"),
        ("{{if .T}}", "template: :1: unexpected EOF"),
        ("{{end}}", "template: :1: unexpected {{end}}"),
        ("{{$x}}", "template: :1: undefined variable \"$x\""),
        ("{{}}", "template: :1: missing value for command"),
        ("{{\"a}}", "template: :1: unterminated quoted string"),
        ("{{break}}", "template: :1: {{break}} outside {{range}}"),
        (
            "\n{{.Id.Foo}}",
            "template: :2:5: executing \"\" at <.Id.Foo>: can't evaluate field Foo in type string",
        ),
        (
            "{{index .L 9}}",
            "template: :1:2: executing \"\" at <index .L 9>: error calling index: index out of range: 9",
        ),
        (
            "{{len 3}}",
            "template: :1:2: executing \"\" at <len 3>: error calling len: len of type int",
        ),
        (
            "{{template \"q\"}}",
            "template: :1:11: executing \"\" at <{{template \"q\"}}>: template \"q\" not defined",
        ),
        (
            "{{lower 1 2}}",
            "template: :1:2: executing \"\" at <lower>: wrong number of args for lower: want 1 got 2",
        ),
        (
            "{{range .Id}}{{end}}",
            "template: :1:8: executing \"\" at <.Id>: range can't iterate over abc",
        ),
    ] {
        assert_eq!(run(source, &sample()), format!("ERR {want}"), "{source}");
    }
}

#[test]
fn a_struct_knows_its_fields() {
    let mut labels = Map { of_strings: true, ..Map::default() };
    labels.entries.insert("a.b".into(), Value::from("c"));
    let dot = Value::Struct(Box::new(Struct {
        type_name: "*formatter.ContainerContext".into(),
        fields: vec![
            ("ID".into(), Value::from("x")),
            ("Nil".into(), Value::Nil),
            ("Label".into(), Value::Method(Method::Entry(labels.clone()))),
            ("Labels".into(), Value::Map(labels)),
        ],
        json: None,
        marshals: false,
        text: None,
    }));
    for (source, want) in [
        (
            "{{.ID}} {{.Nil}} {{.Label \"a.b\"}}{{.Label \"q\"}}|{{index .Labels \"q\"}}",
            "x <nil> c|",
        ),
        (
            "{{.Foo}}",
            "ERR template: :1:2: executing \"\" at <.Foo>: can't evaluate field Foo in type *formatter.ContainerContext",
        ),
        ("{{if .Nil}}a{{else}}b{{end}}", "b"),
    ] {
        assert_eq!(run(source, &dot), want, "{source}");
    }
}

#[test]
fn strict_execution_refuses_missing_keys() {
    let template = Template::parse("{{.State.Foo}}", Functions::Docker).expect("parses");
    let error = template.execute_strict(&Value::from(json!({"State": {}}))).expect_err("missing");
    assert_eq!(
        error.to_string(),
        "template: :1:8: executing \"\" at <.State.Foo>: map has no entry for key \"Foo\""
    );
}

#[test]
fn hostile_sources_end() {
    let deep = "{{(1)}}";
    let nested = format!("{{{{{}1{}}}}}", "(".repeat(5000), ")".repeat(5000));
    let loops = "{{define \"a\"}}{{template \"a\"}}{{end}}{{template \"a\"}}";
    assert_eq!(run(deep, &Value::Nil), "1");
    assert!(run(&nested, &Value::Nil).contains("max expression depth exceeded"));
    assert!(run(loops, &Value::Nil).contains("exceeded maximum template depth"));
    assert!(run("{{printf \"%999999999d\" 1}}", &Value::Nil).len() <= 10_000);
}
