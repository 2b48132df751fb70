//! Query parameters.

use std::borrow::Cow;

use super::refusal::{Code, Refusal};

/// Parameters in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let owned = |(key, value): (Cow<'_, str>, Cow<'_, str>)| (key.into(), value.into());
        Self(form_urlencoded::parse(text.as_bytes()).map(owned).collect())
    }

    /// The first value; none if it is not there or empty.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.all(key).next().filter(|value| !value.is_empty())
    }

    /// All values.
    pub(crate) fn all<'a, 'k>(
        &'a self,
        key: &'k str,
    ) -> impl Iterator<Item = &'a str> + use<'a, 'k> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The length `n` of a page, at most `max`.
    ///
    /// # Errors
    /// When it is no number.
    pub(crate) fn page_length(&self, max: usize) -> Result<usize, Refusal> {
        let Some(text) = self.get("n") else { return Ok(max) };
        let number: Option<u64> = text.parse().ok();
        let number = number.ok_or_else(|| {
            let message = format!("invalid number of results requested: {text:?}");
            Refusal::new(Code::PaginationNumberInvalid, message)
        })?;
        Ok(usize::try_from(number).unwrap_or(max).min(max))
    }
}
