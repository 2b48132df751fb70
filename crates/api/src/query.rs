//! Query parameters, read as Docker reads them.

use gantry_api_types::Filters;

use crate::error::{self, ApiError};

/// The parameters of one request, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part of a URL behind the question mark.
    pub(crate) fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// First value of a parameter; empty when it is missing.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// First value of a parameter that is not empty.
    pub(crate) fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// A switch: everything is yes but nothing, `0`, `no`, `false` and `none`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        let value = self.text(name).trim().to_ascii_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// A switch with another default than no for a missing parameter.
    pub(crate) fn flag_or(&self, name: &str, default: bool) -> bool {
        if self.get(name).is_none() { default } else { self.flag(name) }
    }

    /// A whole number; `None` when the parameter is missing or empty.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let parse = |text: &str| {
            text.trim().parse().map_err(|_| {
                ApiError::invalid(format!("invalid value for {name}: \"{text}\" is not a number"))
            })
        };
        self.filled(name).map(parse).transpose()
    }

    /// The `filters` parameter.
    pub(crate) fn filters(&self) -> Result<Filters, ApiError> {
        Filters::parse(self.text("filters")).map_err(|refused| error::filter(&refused))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_dockers() {
        for (text, want) in [
            ("", false),
            ("f", false),
            ("f=", false),
            ("f=0", false),
            ("f=No", false),
            ("f=false", false),
            ("f=none", false),
            ("f=1", true),
            ("f=true", true),
            ("f=x", true),
        ] {
            assert_eq!(Query::parse(text).flag("f"), want, "{text}");
        }
        assert!(Query::parse("").flag_or("stream", true));
        assert!(!Query::parse("stream=0").flag_or("stream", true));
    }

    #[test]
    fn numbers_and_lists() {
        let query = Query::parse("t=-1&h=x&names=a&names=b%20c&e=");
        assert_eq!(query.number("t"), Ok(Some(-1)));
        assert_eq!(query.number("e"), Ok(None));
        assert_eq!(query.number("none"), Ok(None));
        assert!(query.number("h").is_err());
        assert_eq!(query.all("names"), ["a", "b c"]);
    }

    #[test]
    fn filters_are_refused() {
        let bad = Query::parse("filters=x").filters().expect_err("x is no JSON");
        assert_eq!(bad, ApiError::invalid("invalid filter"));
    }
}
