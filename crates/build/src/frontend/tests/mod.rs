//! Dockerfiles and what they come to: tables in `*.plans` files.
//!
//! ```text
//! ### title
//! #> option
//! FROM base
//! ---
//! what is expected
//! ```
//!
//! With `GANTRY_BLESS=1` the expectations are written anew: read the difference before committing.

mod fake;
mod show;

use std::path::{Path, PathBuf};

use gantry_build_proto::{BuildRequest, ContextSource, Entitlement, RequestKind};

use super::DockerfileFrontend;
use crate::plan::{Frontend, Input};

struct Case {
    title: String,
    options: Vec<String>,
    text: String,
    want: String,
}

fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/frontend/tests");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "plans"))
        .collect();
    files.sort();
    files
}

fn parse(text: &str) -> (String, Vec<Case>) {
    let mut parts = text.split("### ");
    let head = parts.next().unwrap().to_owned();
    let case = |part: &str| {
        let (title, rest) = part.split_once('\n').unwrap();
        let (text, want) = rest.split_once("---\n").unwrap_or((rest, ""));
        let options = text.lines().take_while(|line| line.starts_with("#> "));
        let options: Vec<_> = options.map(|line| line[3..].to_owned()).collect();
        let text: String = text.split_inclusive('\n').skip(options.len()).collect();
        Case { title: title.to_owned(), options, text, want: want.trim_end().to_owned() }
    };
    (head, parts.map(case).collect())
}

fn request(options: &[String]) -> BuildRequest {
    let client = |name: &str| ContextSource::Client { identity: name.to_owned() };
    let mut request = BuildRequest::default();
    request.contexts.insert(String::new(), client("main"));
    for option in options {
        let (name, value) = option.split_once(' ').unwrap_or((option, ""));
        let (key, rest) = value.split_once('=').unwrap_or((value, ""));
        let (key, rest) = (key.to_owned(), rest.to_owned());
        match name {
            "target" => request.target = value.to_owned(),
            "arg" => drop(request.args.insert(key, rest)),
            "label" => drop(request.labels.insert(key, rest)),
            "platform" => request.platforms.push(value.to_owned()),
            "ignore" => request.ignore.push_str(&format!("{value}\n")),
            "network" => request.network = value.to_owned(),
            "add-host" => request.add_hosts.push(value.to_owned()),
            "no-cache" => request.no_cache = true,
            "no-cache-filter" => request.no_cache_filter.push(value.to_owned()),
            "allow" => request.allow.push(match value {
                "network.host" => Entitlement::NetworkHost,
                _ => Entitlement::SecurityInsecure,
            }),
            "check" => request.kind = RequestKind::Check,
            "outline" => request.kind = RequestKind::Outline,
            "targets" => request.kind = RequestKind::Targets,
            "context" => {
                let source = match rest.split_once(':').unwrap_or((&rest, "")) {
                    ("image", name) => ContextSource::Image(name.to_owned()),
                    ("git", url) => ContextSource::Git(url.to_owned()),
                    ("target", stage) => ContextSource::Target(stage.to_owned()),
                    ("empty", _) => ContextSource::Empty,
                    _ => client(&key),
                };
                request.contexts.insert(key, source);
            }
            other => panic!("option {other}?"),
        }
    }
    request
}

fn got(case: &Case) -> String {
    let request = request(&case.options);
    let input = Input { name: "Dockerfile", text: &case.text, request: &request };
    let planned = DockerfileFrontend.plan(input, &fake::Images);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    match runtime.block_on(planned) {
        Ok(plan) => show::plan(&plan),
        Err(failure) => show::failure(&failure),
    }
}

#[test]
fn plans() {
    let bless = std::env::var_os("GANTRY_BLESS").is_some();
    let mut wrong = Vec::new();
    for file in files() {
        let (head, cases) = parse(&std::fs::read_to_string(&file).unwrap());
        let mut blessed = head;
        for case in &cases {
            let got = got(case);
            let got = got.trim_end();
            if got != case.want {
                wrong.push(format!("{}: {}\n{got}", file.display(), case.title));
            }
            let options: String =
                case.options.iter().map(|option| format!("#> {option}\n")).collect();
            let Case { title, text, .. } = case;
            blessed.push_str(&format!("### {title}\n{options}{text}---\n{got}\n\n"));
        }
        if bless {
            std::fs::write(&file, format!("{}\n", blessed.trim_end())).unwrap();
        }
    }
    assert!(bless || wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn steps_are_the_texts() {
    let text = "ARG V=1\nFROM triggers AS a\nENV A=1\nRUN x\nFROM base\nCOPY --from=a /x /y\n";
    let request = request(&[]);
    let input = Input { name: "Dockerfile", text, request: &request };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let plan = runtime.block_on(DockerfileFrontend.plan(input, &fake::Images)).unwrap();
    let steps: Vec<_> = plan
        .steps
        .iter()
        .map(|step| (step.instruction.as_str(), step.vertex.is_some(), step.trigger))
        .collect();
    assert_eq!(
        steps,
        [
            ("ARG V=1", false, false),
            ("FROM triggers AS a", true, false),
            ("RUN echo triggered", true, true),
            ("COPY . /app", true, true),
            ("ENV A=1", false, false),
            ("RUN x", true, false),
            ("FROM base", true, false),
            ("COPY --from=a /x /y", true, false),
        ]
    );
}

#[test]
fn many_stages_need_no_deep_stack() {
    let mut text = "FROM base AS s0\n".to_owned();
    for number in 1..3_000 {
        text.push_str(&format!("FROM s{} AS s{number}\n", number - 1));
    }
    let request = request(&[]);
    let input = Input { name: "Dockerfile", text: &text, request: &request };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let plan = runtime.block_on(DockerfileFrontend.plan(input, &fake::Images)).unwrap();
    assert_eq!((plan.graph.vertices.len(), plan.steps.len()), (1, 3_000));
}

#[test]
fn what_multiplies_is_bounded() {
    let args: String = (0..20_000).map(|number| format!("ARG A{number}=x\n")).collect();
    let runs = "RUN y $B\n".repeat(20_000);
    let stages: String = (0..5_000).map(|number| format!("FROM big AS s{number}\n")).collect();
    let copies: String = (0..5_000).map(|number| format!("COPY --from=s{number} / /\n")).collect();
    for text in [
        format!("FROM base\n{args}{runs}"),
        format!("FROM base AS big\n{args}{stages}FROM base\n{copies}"),
    ] {
        let request = request(&[]);
        let input = Input { name: "Dockerfile", text: &text, request: &request };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let failure = runtime.block_on(DockerfileFrontend.plan(input, &fake::Images)).unwrap_err();
        assert!(failure.message.contains("comes to more than 64 MiB"), "{}", failure.message);
    }
}

/// A small generator: the same numbers each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap()
    }
}

/// What damage puts into texts: what has a meaning somewhere.
const PIECES: [&str; 28] = [
    "$",
    "${",
    "}",
    ":-",
    "\\",
    "\n",
    "\"",
    "'",
    "[",
    "]",
    "--from=",
    "--mount=",
    "=",
    " ",
    "<<EOF\n",
    "FROM ",
    "ONBUILD ",
    "ARG A=$A$A\n",
    "/./",
    "../",
    "*",
    "COPY ",
    "RUN ",
    "\u{feff}",
    "é",
    "\r",
    "999999999999999999999",
    "://",
];

/// How often the usual number of cases is tried: `cargo xtask fuzz` sets it.
fn times() -> u32 {
    std::env::var("GANTRY_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Another one each time; printed with a failure, by which the cases can be had again.
fn fresh_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = u64::from(now.subsec_nanos()) << 20 | 1;
    println!("seed {seed:#x}");
    seed
}

fn damage(text: &str, numbers: &mut Numbers) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(letters.len() + 1);
        match numbers.below(4) {
            0 => drop(letters.drain(at..(at + numbers.below(9)).min(letters.len()))),
            1 => drop(letters.splice(at..at, PIECES[numbers.below(PIECES.len())].chars())),
            2 => {
                let from = numbers.below(letters.len() + 1);
                let part: Vec<char> = letters[from..].iter().take(40).copied().collect();
                drop(letters.splice(at..at, part));
            }
            _ => letters.truncate(at.max(4)),
        }
    }
    letters.into_iter().collect()
}

#[test]
fn damaged_texts_end_in_a_plan_or_an_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let times = times();
    let mut numbers = Numbers(if times == 1 { 0x9e37_79b9_7f4a_7c15 } else { fresh_seed() });
    for file in files() {
        let (_, cases) = parse(&std::fs::read_to_string(&file).unwrap());
        for case in cases {
            let request = request(&case.options);
            for _ in 0..40 * times {
                let text = damage(&case.text, &mut numbers);
                let input = Input { name: "Dockerfile", text: &text, request: &request };
                let lines = text.split('\n').count();
                match runtime.block_on(DockerfileFrontend.plan(input, &fake::Images)) {
                    Ok(plan) => {
                        for (number, vertex) in plan.graph.vertices.iter().enumerate() {
                            let place = vertex.place.as_ref().map_or(1, |place| place.last);
                            assert!(place <= lines, "vertex {number} of {text:?}");
                        }
                    }
                    Err(failure) => {
                        assert!(!failure.message.is_empty(), "{text:?}");
                        let place = failure.place.map_or(1, |place| place.last);
                        assert!(place <= lines, "{text:?}");
                    }
                }
            }
        }
    }
}
