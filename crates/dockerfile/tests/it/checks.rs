//! Build checks.

use std::collections::BTreeMap;

use gantry_dockerfile::check::{
    CheckConfig, FromPlatform, Linter, Rule, StageCheck, check_base_platform, check_default_bases,
    check_from, check_ignored_sources, check_text, check_variables,
};
use gantry_dockerfile::{Dockerfile, Expander, Patterns, parse};

fn all_on() -> Linter {
    Linter::new(CheckConfig::parse("experimental=all").expect("they are options"))
}

fn read(text: &str) -> Dockerfile {
    parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn found(linter: &Linter) -> Vec<String> {
    linter.findings().iter().map(|finding| finding.short()).collect()
}

/// All rules that need no more than the text and variables of it.
fn check(text: &str, mut linter: Linter) -> Linter {
    let file = read(text);
    check_text(&file, &mut linter);
    for stage in &file.stages {
        let mut check = StageCheck::of_image(false);
        let mut environment: BTreeMap<String, String> =
            [("PATH".to_owned(), "/bin".to_owned())].into();
        let mut declared = Vec::new();
        for instruction in &stage.instructions {
            let mut expander = Expander::new(file.escape, &environment);
            let expanded = instruction.kind.expand(&mut expander).expect("it can be expanded");
            let names = expander.take_names();
            let keys = environment.keys().map(String::as_str);
            check_variables(&instruction.written, &names, &declared, keys, &mut linter);
            check.instruction(instruction, &expanded, &mut linter);
            match expanded {
                gantry_dockerfile::InstructionKind::Env(pairs) => {
                    environment.extend(pairs.pairs.into_iter().map(|pair| (pair.key, pair.value)));
                }
                gantry_dockerfile::InstructionKind::Arg(args) => {
                    declared.extend(args.into_iter().map(|arg| arg.name));
                }
                _ => {}
            }
        }
    }
    linter
}

#[test]
fn rules() {
    for (text, want) in [
        (
            "FROM scratch AS Base",
            vec!["StageNameCasing: Stage name 'Base' should be lowercase (line 1)"],
        ),
        (
            "FROM a as b",
            vec!["FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)"],
        ),
        (
            "from a AS b",
            vec!["FromAsCasing: 'AS' and 'from' keywords' casing do not match (line 1)"],
        ),
        ("from a as b", vec![]),
        (
            "From a As b",
            vec![
                "ConsistentInstructionCasing: Command 'From' should match the case of the command majority (uppercase) (line 1)",
            ],
        ),
        ("FROM a\nCOPY b \\\n\n.", vec!["NoEmptyContinuation: Empty continuation line (line 4)"]),
        (
            "FROM a\ncopy b .\nCOPY c .",
            vec![
                "ConsistentInstructionCasing: Command 'copy' should match the case of the command majority (uppercase) (line 2)",
            ],
        ),
        (
            "from a\nCOPY b .\ncopy c .",
            vec![
                "ConsistentInstructionCasing: Command 'COPY' should match the case of the command majority (lowercase) (line 2)",
            ],
        ),
        (
            "FROM a\nMAINTAINER x",
            vec![
                "MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 2)",
            ],
        ),
        (
            "FROM a AS b\nFROM c AS B",
            vec![
                "StageNameCasing: Stage name 'B' should be lowercase (line 2)",
                "DuplicateStageName: Duplicate stage name \"b\", stage names should be unique (line 2)",
            ],
        ),
        (
            "FROM a AS context",
            vec![
                "ReservedStageName: Stage name should not use the same name as reserved stage \"context\" (line 1)",
            ],
        ),
        (
            "# what it is\nFROM a AS b\n# of it\nARG c\n# x y\nARG d e",
            vec![
                "InvalidDefinitionDescription: Comment for FROM should follow the format: `# b <description>` (line 2)",
                "InvalidDefinitionDescription: Comment for ARG should follow the format: `# c <description>` (line 4)",
                "InvalidDefinitionDescription: Comment for ARG should follow the format: `# <arg_key> <description>` (line 6)",
            ],
        ),
        ("# b is good\nFROM a AS b\n# other\n\nARG c\n# e is good\nARG d e\n# x\nFROM c", vec![]),
        (
            "FROM a\nCMD x\nENTRYPOINT y",
            vec![
                "JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 2)",
                "JSONArgsRecommended: JSON arguments recommended for ENTRYPOINT to prevent unintended behavior related to OS signals (line 3)",
            ],
        ),
        ("FROM a\nSHELL [\"/bin/bash\"]\nCMD x\nENTRYPOINT [\"y\"]", vec![]),
        (
            "FROM a\nCMD [\"x\"]\nHEALTHCHECK NONE\nCMD [\"y\"]\nHEALTHCHECK CMD x\nFROM b\nCMD [\"z\"]",
            vec![
                "MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used (line 2)",
                "MultipleInstructionsDisallowed: Multiple HEALTHCHECK instructions should not be used in the same stage because only the last one will be used (line 3)",
            ],
        ),
        (
            "FROM a\nENV b c\nLABEL d e",
            vec![
                "LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format (line 2)",
                "LegacyKeyValueFormat: \"LABEL key=value\" should be used instead of legacy \"LABEL key value\" format (line 3)",
            ],
        ),
        (
            "FROM a\nARG API_KEY\nENV my_password=x PUBLIC_KEY=y",
            vec![
                "SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG \"API_KEY\") (line 2)",
                "SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV \"my_password\") (line 3)",
            ],
        ),
        (
            "FROM a\nWORKDIR b\nWORKDIR c\nFROM d\nWORKDIR /\nWORKDIR e",
            vec![
                "WorkdirRelativePath: Relative workdir \"b\" can have unexpected results if the base image changes (line 2)",
            ],
        ),
        (
            "FROM a\nEXPOSE 80/TCP 127.0.0.1:80:80",
            vec![
                "ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80' (line 2)",
                "ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase (line 2)",
            ],
        ),
        (
            "FROM a\nENV b=$PAHT\nARG c\nCOPY $c $d .\nEXPOSE $e\nRUN $f",
            vec![
                "UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?) (line 2)",
                "UndefinedVar: Usage of undefined variable '$d' (did you mean $b?) (line 4)",
            ],
        ),
    ] {
        assert_eq!(found(&check(text, all_on())), want, "{text}");
    }
}

#[test]
fn a_stage_on_a_stage() {
    let file = read("FROM a\nSHELL [\"x\"]\nWORKDIR /\nFROM b\nWORKDIR c\nCMD d");
    let mut linter = all_on();
    let mut base = StageCheck::of_image(false);
    for instruction in &file.stages[0].instructions {
        base.instruction(instruction, &instruction.kind, &mut linter);
    }
    for instruction in &file.stages[1].instructions {
        StageCheck::of_stage(&base).instruction(instruction, &instruction.kind, &mut linter);
    }
    assert_eq!(found(&linter), Vec::<String>::new());
}

#[test]
fn rules_are_off_when_asked() {
    let text = "# what\nFROM a AS B\nMAINTAINER x\n";
    for (options, want) in [
        ("", vec![Rule::StageNameCasing, Rule::MaintainerDeprecated]),
        ("skip=StageNameCasing", vec![Rule::MaintainerDeprecated]),
        ("skip=all", vec![]),
        (
            "skip=all;experimental=InvalidDefinitionDescription",
            vec![Rule::InvalidDefinitionDescription],
        ),
    ] {
        let file = read(text);
        let mut linter = Linter::new(CheckConfig::parse(options).expect("they are options"));
        check_text(&file, &mut linter);
        let rules: Vec<_> = linter.findings().iter().map(|finding| finding.rule).collect();
        assert_eq!(rules, want, "{options}");
        // What was found before is not found again.
        check_text(&file, &mut linter);
        assert_eq!(linter.findings().len(), want.len(), "{options}");
    }
}

#[test]
fn comments_turn_rules_off_for_one_instruction() {
    let text = "# check=skip=all\n\n# check=skip=StageNameCasing\nFROM a AS B\nFROM c AS D\n";
    let file = read(text);
    let mut linter = Linter::new(CheckConfig::default());
    check_text(&file, &mut linter);
    assert_eq!(found(&linter), ["StageNameCasing: Stage name 'D' should be lowercase (line 5)"]);
    let mut linter = Linter::new(CheckConfig::of(&file).expect("they are options"));
    check_text(&file, &mut linter);
    assert!(linter.findings().is_empty());
}

#[test]
fn findings_may_fail_the_build() {
    let text = "FROM a AS B\nMAINTAINER x\nFROM a AS C";
    for (options, want) in [
        ("", None),
        (
            "error=true",
            Some("lint violation found for rules: MaintainerDeprecated, StageNameCasing"),
        ),
        ("error=true;skip=all", None),
    ] {
        let linter = check(text, Linter::new(CheckConfig::parse(options).expect("they are")));
        let got = linter.verdict().err().map(|violations| violations.to_string());
        assert_eq!(got.as_deref(), want, "{options}");
    }
}

#[test]
fn bases_without_build_arguments() {
    let text = "ARG TAG\nARG IMAGE=busybox\nFROM busybox:$TAG\nFROM $IMAGE\nFROM x:${TAG:-latest}\nFROM $NONE\n";
    let file = read(text);
    let mut linter = all_on();
    let is_reference = |text: &str| !text.is_empty() && !text.ends_with(':');
    check_default_bases(&file, &BTreeMap::new(), &is_reference, &mut linter);
    assert_eq!(
        found(&linter),
        [
            "InvalidDefaultArgInFrom: Default value for ARG busybox:$TAG results in empty or invalid base image name (line 3)",
            "InvalidDefaultArgInFrom: Default value for ARG $NONE results in empty or invalid base image name (line 6)",
        ]
    );
}

#[test]
fn from() {
    for (text, want) in [
        (
            "ARG tag\nFROM a:$tga",
            vec![
                "UndefinedArgInFrom: FROM argument 'tga' is not declared (did you mean tag?) (line 2)",
            ],
        ),
        ("ARG tag\nFROM a:$tag", vec![]),
        (
            "FROM --platform=$nothing a",
            vec!["UndefinedArgInFrom: FROM argument 'nothing' is not declared (line 1)"],
        ),
        (
            "FROM --platform=${TARGETPLATFORM} a",
            vec![
                "RedundantTargetPlatform: Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the default behavior (line 1)",
            ],
        ),
        ("FROM --platform=$BUILDPLATFORM a", vec![]),
        (
            "FROM --platform=linux/amd64 a AS b",
            vec![
                "FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value \"linux/amd64\" (line 1)",
            ],
        ),
        ("FROM --platform=linux/amd64 a AS b-amd64", vec![]),
    ] {
        let file = read(text);
        let predefined = [("TARGETPLATFORM", "linux/amd64"), ("BUILDPLATFORM", "linux/arm64")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let scope = file.global_scope(&predefined, &BTreeMap::new()).expect("it can be expanded");
        let stage = &file.stages[0];
        let mut expander = Expander::new(file.escape, &scope);
        expander.word(&stage.from.base.text).expect("it can be expanded");
        let base = expander.take_names();
        let platform = stage.from.platform.as_ref().map(|word| {
            let value = expander.word(&word.text).expect("it can be expanded");
            (value, expander.take_names())
        });
        let platform = platform.as_ref().map(|(value, names)| FromPlatform {
            names,
            value,
            os: "linux",
            architecture: "amd64",
        });
        let mut linter = all_on();
        check_from(&file, stage, &base, platform, &scope, &mut linter);
        assert_eq!(found(&linter), want, "{text}");
    }
}

#[test]
fn platforms_of_bases() {
    let file = read("FROM a");
    let mut linter = all_on();
    check_base_platform(&file.stages[0], "a", "linux/amd64", "linux/amd64", &mut linter);
    check_base_platform(&file.stages[0], "a", "linux/amd64", "linux/arm64", &mut linter);
    assert_eq!(
        found(&linter),
        [
            "InvalidBaseImagePlatform: Base image a was pulled with platform \"linux/arm64\", expected \"linux/amd64\" for current build (line 1)"
        ]
    );
}

#[test]
fn sources_that_are_ignored() {
    for (ignored, line, want) in [
        (
            "tmp",
            "COPY tmp/a b .",
            Some("Attempting to Copy file \"tmp/a\" that is excluded by .dockerignore"),
        ),
        (
            "tmp",
            "COPY ./tmp/ .",
            Some("Attempting to Copy file \"tmp\" that is excluded by .dockerignore"),
        ),
        (
            "tmp",
            "COPY /tmp .",
            Some("Attempting to Copy file \"/tmp\" that is excluded by .dockerignore"),
        ),
        (
            "tmp",
            "ADD tmp .",
            Some("Attempting to Add file \"tmp\" that is excluded by .dockerignore"),
        ),
        ("tmp\n!tmp/a", "COPY tmp/b .", None),
        ("tmp", "COPY --from=x tmp .", None),
        ("*", "ADD https://example.com/tmp .", None),
        ("*", "COPY . .", Some("Attempting to Copy file \".\" that is excluded by .dockerignore")),
        ("*.c", "COPY . .", None),
        ("", "COPY a .", None),
    ] {
        let file = read(&format!("FROM a\n{line}"));
        let ignored = Patterns::of_ignore_file(ignored).expect("they are patterns");
        let mut linter = Linter::new(CheckConfig::default());
        let instruction = &file.stages[0].instructions[0];
        check_ignored_sources(instruction, &instruction.kind, &ignored, &mut linter);
        let got = linter.findings().first().map(|finding| finding.message.as_str());
        assert_eq!(got, want, "{line}");
    }
}
