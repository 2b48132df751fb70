//! `POST /images/create` with `fromImage`.

use gantry_image::transfer::Pull;
use gantry_oci::{Digest, Platform, Reference};

use super::{auth, stream};
use crate::body::Response;
use crate::call::Call;
use crate::error::ApiError;
use crate::images::bad_reference;
use crate::query::Query;

/// Pulls an image: 200 and lines of JSON.
pub(crate) async fn pull(call: Call) -> Result<Response, ApiError> {
    let platform = call.query.filled("platform").map(str::parse::<Platform>).transpose();
    let (reference, all_tags) = wanted(&call.query)?;
    let pull = Pull {
        reference,
        all_tags,
        unnamed: false,
        platform: platform.map_err(|error| ApiError::invalid(error.to_string()))?,
        credentials: auth::of_headers(&call.headers),
    };
    let transfers = call.api.transfers;
    stream::answer(|events| async move { transfers.pull(&pull, &events).await.map(drop) }).await
}

/// The name, and whether it stands for all tags: one without a tag or digest does.
fn wanted(query: &Query) -> Result<(Reference, bool), ApiError> {
    let image = query.text("fromImage").trim_end_matches(':');
    let reference: Reference = image.parse().map_err(|error| bad_reference(&error))?;
    let tag = query.text("tag");
    if tag.is_empty() {
        let all_tags = reference.is_name_only();
        return Ok((reference, all_tags));
    }
    // What is given apart is what is meant.
    let reference = match tag.parse::<Digest>() {
        Ok(digest) => reference.with_digest(digest),
        Err(_) => reference.with_tag(tag).map_err(|error| bad_reference(&error))?,
    };
    Ok((reference, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_together() {
        let digest = Digest::of(b"");
        let by_digest = format!("docker.io/library/a@{digest}");
        for (text, want) in [
            ("fromImage=a&tag=1", Some(("docker.io/library/a:1", false))),
            ("fromImage=a:2", Some(("docker.io/library/a:2", false))),
            ("fromImage=a:2&tag=1", Some(("docker.io/library/a:1", false))),
            ("fromImage=a", Some(("docker.io/library/a", true))),
            ("fromImage=r:5000/a", Some(("r:5000/a", true))),
            (&format!("fromImage=a&tag={digest}"), Some((by_digest.as_str(), false))),
            (&format!("fromImage=a@{digest}"), Some((by_digest.as_str(), false))),
            ("fromImage=A&tag=1", None),
            ("fromImage=a&tag=b c", None),
        ] {
            let got = wanted(&Query::parse(text)).ok().map(|(name, all)| (name.canonical(), all));
            let want = want.map(|(name, all)| (name.to_owned(), all));
            assert_eq!(got, want, "{text}");
        }
    }
}
