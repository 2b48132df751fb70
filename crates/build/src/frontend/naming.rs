//! What vertices are called: `[linux/amd64->arm64 builder 2/5] RUN make`.

use gantry_oci::Platform;

use super::variables::Variables;

/// Names of one stage's vertices, in order.
#[derive(Debug)]
pub(super) struct Naming {
    stage: String,
    total: usize,
    platform: Option<Platform>,
    index: usize,
}

impl Naming {
    /// Names of a stage (empty if it is the only one) of so many vertices, with a platform if it is
    /// to be shown.
    pub(super) fn of(stage: &str, total: usize, platform: Option<Platform>) -> Self {
        Self { stage: stage.to_owned(), total, platform, index: 0 }
    }

    /// Names the next vertex. `text` is its instruction.
    pub(super) fn next(&mut self, text: &str, variables: &Variables, trigger: bool) -> String {
        if self.total == 0 {
            return text.to_owned();
        }
        self.index += 1;
        let mut name = "[".to_owned();
        if let Some(platform) = &self.platform {
            name.push_str(&format!("{platform}{} ", target(platform, variables)));
        }
        if !self.stage.is_empty() {
            name.push_str(&format!("{} ", self.stage));
        }
        let width = self.total.to_string().len();
        name.push_str(&format!("{:width$}/{}] ", self.index, self.total));
        if trigger {
            name.push_str("ONBUILD ");
        }
        name.push_str(text);
        name
    }
}

/// `->arm64` if the stage's variables say that it makes things for another platform.
fn target(platform: &Platform, variables: &Variables) -> String {
    let whole = variables.get("TARGETPLATFORM").and_then(|text| text.parse::<Platform>().ok());
    let part = |name: &str, own: &str| variables.get(name).unwrap_or(own).to_owned();
    let target = whole.unwrap_or_else(|| Platform {
        os: part("TARGETOS", &platform.os),
        architecture: part("TARGETARCH", &platform.architecture),
        variant: variables.get("TARGETVARIANT").unwrap_or_default().to_owned(),
        ..Platform::default()
    });
    if target.os != platform.os {
        return format!("->{target}");
    }
    if target.architecture == platform.architecture {
        return String::new();
    }
    let slash = if target.variant.is_empty() { "" } else { "/" };
    format!("->{}{slash}{}", target.architecture, target.variant)
}

/// With the instruction's name in upper case.
pub(super) fn upper(text: &str) -> String {
    match text.split_once(' ') {
        Some((name, rest)) => format!("{} {rest}", name.to_uppercase()),
        None => text.to_uppercase(),
    }
}

/// The first line of a heredoc, as names show it.
pub(super) fn summary(content: &str) -> String {
    let content = content.trim();
    match content.split_once('\n') {
        Some((first, _)) => format!("{}...", first.trim_end_matches('\r')),
        None => content.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let amd64 = Some("linux/amd64".parse::<Platform>().unwrap());
        let cases = [
            ("", 0, None, &[][..], false, "RUN x"),
            ("", 3, None, &[], false, "[1/3] RUN x"),
            ("b", 12, None, &[], true, "[b  1/12] ONBUILD RUN x"),
            ("b", 2, amd64.clone(), &[], false, "[linux/amd64 b 1/2] RUN x"),
            (
                "b",
                2,
                amd64.clone(),
                &["TARGETPLATFORM=linux/arm64"],
                false,
                "[linux/amd64->arm64 b 1/2] RUN x",
            ),
            (
                "b",
                2,
                amd64.clone(),
                &["TARGETARCH=arm", "TARGETVARIANT=v7"],
                false,
                "[linux/amd64->arm/v7 b 1/2] RUN x",
            ),
            ("", 1, amd64, &["TARGETARCH=amd64"], false, "[linux/amd64 1/1] RUN x"),
        ];
        for (stage, total, platform, variables, trigger, want) in cases {
            let mut naming = Naming::of(stage, total, platform);
            let texts: Vec<_> = variables.iter().map(|&text| text.to_owned()).collect();
            assert_eq!(naming.next("RUN x", &Variables::of(&texts), trigger), want);
        }
    }

    #[test]
    fn texts() {
        assert_eq!((upper("run a b").as_str(), upper("run").as_str()), ("RUN a b", "RUN"));
        assert_eq!((summary("\na\r\nb\n").as_str(), summary("a\n").as_str()), ("a...", "a"));
    }
}
