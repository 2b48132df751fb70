//! `GET /images/search`.

use gantry_api_types::Filters;
use gantry_api_types::image::SearchResult;
use gantry_distribution::Found;

use super::auth;
use crate::body::{self, Response};
use crate::call::Call;
use crate::error::{self, ApiError};

/// Results when a client does not say how many.
const DEFAULT: usize = 25;
/// Most results that a client may ask for.
const MOST: i64 = 100;

/// Searches Docker Hub, or the registry that the term begins with.
pub(crate) async fn search(call: Call) -> Result<Response, ApiError> {
    let term = call.query.text("term").to_owned();
    let limit = limit(call.query.number("limit")?)?;
    let wanted = Wanted::read(&call.query.filters()?)?;
    let credentials = auth::of_headers(&call.headers);
    let found = call.api.transfers.client().search(&term, limit, &credentials).await?;
    let row = |found: Found| SearchResult {
        star_count: found.star_count,
        is_official: found.is_official,
        name: found.name,
        is_automated: found.is_automated,
        description: found.description,
    };
    let rows: Vec<_> = found.into_iter().filter(|found| wanted.fits(found)).map(row).collect();
    body::ok(&rows)
}

fn limit(asked: Option<i64>) -> Result<usize, ApiError> {
    match asked {
        None | Some(0) => Ok(DEFAULT),
        Some(number) => match usize::try_from(number) {
            Ok(limit) if number <= MOST => Ok(limit),
            _ => Err(ApiError::invalid(format!(
                "Limit {number} is outside the range of [1, {MOST}]"
            ))),
        },
    }
}

/// What the filters leave.
struct Wanted {
    official: Option<bool>,
    automated: Option<bool>,
    stars: i64,
}

impl Wanted {
    fn read(filters: &Filters) -> Result<Self, ApiError> {
        const KEYS: [&str; 3] = ["is-automated", "is-official", "stars"];
        let refused = |refused| error::filter(&refused);
        filters.validate(&KEYS).map_err(refused)?;
        let mut stars = 0;
        for text in filters.get("stars") {
            let number: i64 = text
                .parse()
                .map_err(|_| ApiError::invalid(format!("invalid filter 'stars={text}'")))?;
            stars = stars.max(number);
        }
        Ok(Self {
            official: filters.get_bool("is-official").map_err(refused)?,
            automated: filters.get_bool("is-automated").map_err(refused)?,
            stars,
        })
    }

    fn fits(&self, found: &Found) -> bool {
        self.official.is_none_or(|wanted| found.is_official == wanted)
            && self.automated.is_none_or(|wanted| found.is_automated == wanted)
            && found.star_count >= self.stars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_checked() {
        for (asked, want) in [
            (None, Some(25)),
            (Some(0), Some(25)),
            (Some(7), Some(7)),
            (Some(100), Some(100)),
            (Some(101), None),
            (Some(-1), None),
        ] {
            assert_eq!(limit(asked).ok(), want, "{asked:?}");
        }
    }
}
