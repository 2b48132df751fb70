//! What the classic builder's words come to.

use super::*;
use gantry_build_proto::{Started, Vertex};

fn text(messages: &[JsonMessage]) -> String {
    messages.iter().map(|message| message.stream.as_str()).collect()
}

fn instructions(steps: &[(&str, Option<u32>)]) -> Vec<Instruction> {
    let one = |(text, vertex): &(&str, Option<u32>)| Instruction {
        text: text.trim_start_matches("ONBUILD ").to_owned(),
        vertex: *vertex,
        trigger: text.starts_with("ONBUILD "),
    };
    steps.iter().map(one).collect()
}

fn printer(steps: &[(&str, Option<u32>)], seen: &Seen) -> Printer {
    let style = Style { remove: true, aux: true, ..Style::default() };
    let mut printer = Printer::new(style, seen.clone());
    printer.planned(&instructions(steps));
    printer
}

fn started(vertex: u32) -> Progress {
    Progress::Started(Started { vertex, at_ns: 0, cached: false })
}

fn log(vertex: u32, stream: Stream, text: &str) -> Progress {
    Progress::Log(Log { vertex, stream, at_ns: 0, text: text.to_owned() })
}

fn completed(vertex: u32, cached: Cached, result: &str, error: Option<&str>) -> Progress {
    Progress::Completed(Completed {
        vertex,
        at_ns: 0,
        cached,
        error: error.map(str::to_owned),
        result: result.to_owned(),
        why: String::new(),
    })
}

fn built() -> Built {
    Built {
        image: format!("sha256:{}", "c".repeat(64)),
        names: vec!["a:latest".into(), "b:1".into()],
        ..Built::default()
    }
}

/// The words with made-up ids replaced.
fn masked(text: &str) -> String {
    let mask = |line: &str| {
        if line.strip_prefix(" ---> ").is_some_and(|id| id.len() == SHORT + 1) {
            return " ---> #\n".to_owned();
        }
        for before in [" ---> Running in ", "Removing intermediate container "] {
            // What was printed before may have had no newline.
            if let Some((printed, _)) = line.split_once(before) {
                return format!("{printed}{before}*\n");
            }
        }
        line.to_owned()
    };
    text.split_inclusive('\n').map(mask).collect()
}

const PLAIN: &[(&str, Option<u32>)] = &[
    ("FROM box", Some(0)),
    ("ENV A=1", None),
    ("RUN echo hi", Some(1)),
    ("COPY . /x", Some(2)),
    ("CMD [\"sh\"]", None),
];

#[test]
fn a_build_reads_as_dockers() {
    let seen = Seen::default();
    let mut one = printer(PLAIN, &seen);
    one.progress(completed(0, Cached::No, "aaaaaaaaaaaa", None));
    one.progress(started(1));
    one.progress(log(1, Stream::Out, "hi\n"));
    one.progress(log(1, Stream::Err, "oh\n"));
    one.progress(completed(1, Cached::Miss, "bbbbbbbbbbbb", None));
    one.progress(started(2));
    one.progress(completed(2, Cached::Miss, "dddddddddddd", None));
    one.built(&built());
    let messages = one.take();
    let got = masked(&text(&messages));
    let env = got.lines().nth(5).unwrap().to_owned();
    let want = format!(
        "Step 1/5 : FROM box\n ---> #\n\
         Step 2/5 : ENV A=1\n ---> Running in *\nRemoving intermediate container *\n{env}\n\
         Step 3/5 : RUN echo hi\n ---> Running in *\nhi\n\u{1b}[91moh\n\u{1b}[0m\
         Removing intermediate container *\n ---> #\n\
         Step 4/5 : COPY . /x\n ---> #\n\
         Step 5/5 : CMD [\"sh\"]\n ---> Running in *\nRemoving intermediate container *\n \
         ---> #\nSuccessfully built cccccccccccc\nSuccessfully tagged a:latest\n\
         Successfully tagged b:1\n"
    );
    assert_eq!(got, want);
    let aux: Vec<_> = messages.iter().filter_map(|message| message.aux.as_ref()).collect();
    assert_eq!(aux, [&serde_json::json!({ "ID": built().image })]);
    assert_eq!(messages[0].stream, "Step 1/5 : FROM box", "the newline is a message of its own");
    assert_eq!(messages[1].stream, "\n");

    let mut again = printer(PLAIN, &seen);
    again.progress(completed(0, Cached::No, "aaaaaaaaaaaa", None));
    again.progress(completed(1, Cached::Hit, "bbbbbbbbbbbb", None));
    again.progress(completed(2, Cached::Hit, "dddddddddddd", None));
    again.built(&built());
    let got = text(&again.take());
    assert_eq!(got.matches(" ---> Using cache\n").count(), 4, "{got}");
    assert!(!got.contains("Running in"), "{got}");
    let changed: Vec<_> = PLAIN[..4].iter().copied().chain([("CMD [\"x\"]", None)]).collect();
    let mut changed = printer(&changed, &seen);
    changed.progress(completed(0, Cached::No, "aaaaaaaaaaaa", None));
    changed.progress(completed(1, Cached::Hit, "bbbbbbbbbbbb", None));
    changed.progress(completed(2, Cached::Hit, "dddddddddddd", None));
    changed.built(&built());
    assert_eq!(text(&changed.take()).matches(" ---> Using cache\n").count(), 3);

    seen.clear();
    let mut pruned = printer(PLAIN, &seen);
    pruned.progress(completed(0, Cached::No, "aaaaaaaaaaaa", None));
    pruned.progress(completed(1, Cached::Hit, "bbbbbbbbbbbb", None));
    pruned.progress(completed(2, Cached::Hit, "dddddddddddd", None));
    pruned.built(&built());
    let got = text(&pruned.take());
    assert_eq!(got.matches(" ---> Using cache\n").count(), 2, "what the cache had: {got}");
}

#[test]
fn labels_and_warnings_have_their_place() {
    let labels = [("l".to_owned(), "v".to_owned())].into();
    let style = Style { labels, ..Style::default() };
    let mut printer = Printer::new(style, Seen::default());
    printer.planned(&instructions(&[("FROM scratch", Some(0)), ("COPY f /", Some(1))]));
    printer.progress(completed(0, Cached::No, "", None));
    printer.progress(completed(1, Cached::Miss, "111111111111", None));
    let message = "One or more build-args [X] were not consumed".to_owned();
    let unused = gantry_build_proto::Warning { message, ..Default::default() };
    printer.built(&Built { warnings: vec![unused], ..built() });
    assert_eq!(
        masked(&text(&printer.take())),
        "Step 1/3 : FROM scratch\n ---> \nStep 2/3 : COPY f /\n ---> #\n\
         Step 3/3 : LABEL l=v\n ---> Running in *\n ---> #\n\
         [Warning] One or more build-args [X] were not consumed\n\
         Successfully built cccccccccccc\nSuccessfully tagged a:latest\n\
         Successfully tagged b:1\n"
    );
}

/// The ids that a build shows for its steps.
fn ids(steps: &[(&str, Option<u32>)], results: &[&str]) -> Vec<String> {
    let mut printer = printer(steps, &Seen::default());
    for (vertex, result) in (0..).zip(results) {
        printer.progress(completed(vertex, Cached::Miss, result, None));
    }
    printer.built(&built());
    let text = text(&printer.take());
    let lines = text.lines().filter_map(|line| line.strip_prefix(" ---> "));
    lines.filter(|id| id.len() == SHORT).map(str::to_owned).collect()
}

#[test]
fn ids_are_those_of_equal_steps_upon_equal_ones() {
    let steps = [
        ("ARG V=1", None),
        ("FROM box AS one", Some(0)),
        ("ENV A=1", None),
        ("RUN true", Some(1)),
        ("RUN true", Some(2)),
        ("FROM --platform=x One", Some(2)),
        ("RUN f", Some(3)),
        ("CMD x", None),
    ];
    let results = ["aaaaaaaaaaaa", "111111111111", "111111111111", "222222222222"];
    let first = ids(&steps, &results);
    assert_eq!(first, ids(&steps, &results));
    assert_eq!(first.len(), 7, "a global argument has none: {first:?}");
    assert_eq!((first[0].as_str(), &first[4]), ("aaaaaaaaaaaa", &first[3]));
    let distinct: HashSet<&String> = first.iter().collect();
    assert_eq!(distinct.len(), 6, "{first:?}");
    // Another environment makes all that follow others, whatever their files are.
    let mut other = steps;
    other[2].0 = "ENV A=2";
    let other = ids(&other, &results);
    assert!((1..6).all(|step| first[step] != other[step]), "{first:?} {other:?}");
}

#[test]
fn triggers_are_part_of_their_bases_step() {
    let steps = [
        ("FROM box", Some(0)),
        ("ONBUILD RUN echo trigger", Some(1)),
        ("ONBUILD ENV X=1", None),
        ("RUN echo own", Some(2)),
    ];
    let mut printer = printer(&steps, &Seen::default());
    printer.progress(completed(0, Cached::No, "aaaaaaaaaaaa", None));
    printer.progress(started(1));
    printer.progress(log(1, Stream::Out, "trigger\n"));
    printer.progress(completed(1, Cached::Miss, "111111111111", None));
    printer.progress(completed(2, Cached::Miss, "222222222222", None));
    printer.built(&built());
    let got = masked(&text(&printer.take()));
    let want = "Step 1/2 : FROM box\n# Executing 2 build triggers\n ---> Running in *\ntrigger\n\
                Removing intermediate container *\n ---> Running in *\n\
                Removing intermediate container *\n ---> ";
    assert!(got.starts_with(want), "{got}");
    assert!(got.contains("\nStep 2/2 : RUN echo own\n"), "{got}");
}

#[test]
fn parallel_stages_come_in_the_texts_order() {
    let steps = [
        ("FROM box as one", Some(0)),
        ("RUN one", Some(1)),
        ("FROM box", Some(0)),
        ("RUN two", Some(2)),
    ];
    let mut printer = printer(&steps, &Seen::default());
    printer.progress(completed(0, Cached::No, "aaaaaaaaaaaa", None));
    printer.progress(started(2));
    printer.progress(log(2, Stream::Out, "two\n"));
    printer.progress(started(1));
    printer.progress(completed(2, Cached::Miss, "222222222222", None));
    printer.progress(log(1, Stream::Out, "one\n"));
    let so_far = text(&printer.take());
    assert!(so_far.ends_with("one\n") && !so_far.contains("two"), "{so_far}");
    printer.progress(completed(1, Cached::Miss, "111111111111", None));
    printer.built(&built());
    let rest = masked(&text(&printer.take()));
    assert_eq!(
        rest.lines().take(8).collect::<Vec<_>>(),
        [
            "Removing intermediate container *",
            " ---> #",
            "Step 3/4 : FROM box",
            " ---> #",
            "Step 4/4 : RUN two",
            " ---> Running in *",
            "two",
            "Removing intermediate container *",
        ]
    );
}

#[test]
fn failures_come_behind_the_output_of_their_step() {
    let failure = Failure {
        message: "process \"/bin/sh -c exit 3\" did not complete successfully".into(),
        exit_code: 3,
        command: ["/bin/sh", "-c", "exit 3"].map(str::to_owned).to_vec(),
        ..Failure::default()
    };
    let words = "The command '/bin/sh -c exit 3' returned a non-zero code: 3";
    for force_remove in [false, true] {
        let style = Style { remove: true, force_remove, ..Style::default() };
        let mut printer = Printer::new(style, Seen::default());
        printer.planned(&instructions(&[
            ("FROM box as one", Some(0)),
            ("RUN sleep", Some(1)),
            ("FROM box", Some(0)),
            ("RUN exit 3", Some(2)),
        ]));
        printer.progress(completed(0, Cached::No, "aaaaaaaaaaaa", None));
        for vertex in [1, 2] {
            printer.progress(started(vertex));
        }
        printer.progress(log(2, Stream::Out, "last words\n"));
        printer.progress(completed(2, Cached::Miss, "", Some("exit code: 3")));
        printer.progress(completed(1, Cached::Miss, "", Some(CANCELLED)));
        printer.failed(&failure);
        let messages = printer.take();
        let got = masked(&text(&messages));
        assert!(got.contains("Step 4/4 : RUN exit 3\n ---> Running in *\nlast words\n"), "{got}");
        assert_eq!(got.contains("Removing"), force_remove);
        let last = messages.last().unwrap();
        let detail = last.error_detail.as_ref().unwrap();
        assert_eq!((detail.code, detail.message.as_str(), last.error.as_str()), (3, words, words));
    }
}

#[test]
fn other_failures_have_their_own_words() {
    let mut printer = Printer::new(Style::default(), Seen::default());
    assert!(!printer.understood);
    let name = "[internal] load metadata for docker.io/library/none:latest".to_owned();
    printer.progress(Progress::Vertex(Vertex { id: 9, name, ..Vertex::default() }));
    assert!(printer.understood);
    printer.failed(&Failure { message: "no such image".into(), ..Failure::default() });
    let messages = printer.take();
    let [message] = messages.as_slice() else { panic!("{messages:?}") };
    let detail = message.error_detail.as_ref().unwrap();
    assert_eq!((detail.code, detail.message.as_str()), (0, "no such image"));
}

#[test]
fn what_waits_is_bounded() {
    let mut printer = printer(PLAIN, &Seen::default());
    for _ in 0..2000 {
        printer.progress(log(7, Stream::Out, &"x".repeat(64 << 10)));
    }
    assert!(printer.waiting_bytes <= WAITING_BYTES + (64 << 10));
}
