//! Refusals: the one place where an error becomes a status and a code.

use gantry_fault::chain;
use gantry_oci::Digest;
use gantry_store::StoreError;
use hyper::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER},
};
use serde_json::{Value, json};

use super::reply::{Response, full};
use crate::{
    blobs::BlobError,
    index::{ChangeError, LinkError, OverQuota, PutError},
    manifest::ManifestError,
    uploads::UploadError,
};

/// When a client may try again after the storage did not answer, in seconds.
const RETRY_AFTER_S: &str = "10";

/// What went wrong, in the words of the distribution specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    Denied,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    PaginationNumberInvalid,
    RangeInvalid,
    SizeInvalid,
    TagInvalid,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unknown,
    Unsupported,
}

impl Code {
    fn text(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::Denied => "DENIED",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::PaginationNumberInvalid => "PAGINATION_NUMBER_INVALID",
            Self::RangeInvalid => "RANGE_INVALID",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::TagInvalid => "TAG_INVALID",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
            Self::Unsupported => "UNSUPPORTED",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BlobUnknown
            | Self::BlobUploadUnknown
            | Self::ManifestUnknown
            | Self::NameUnknown => StatusCode::NOT_FOUND,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::RangeInvalid => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
            Self::BlobUploadInvalid
            | Self::DigestInvalid
            | Self::ManifestBlobUnknown
            | Self::ManifestInvalid
            | Self::NameInvalid
            | Self::PaginationNumberInvalid
            | Self::SizeInvalid
            | Self::TagInvalid => StatusCode::BAD_REQUEST,
        }
    }
}

/// A refused request.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: Code,
    pub(crate) message: String,
    details: Vec<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        let status = code.status();
        Self { status, code, message: message.into(), details: Vec::new(), headers: Vec::new() }
    }

    /// With another status than the code's own.
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With a header.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        // Values are ours, or were checked to be names and digests.
        if let Ok(value) = HeaderValue::try_from(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// Nothing is at this path.
    pub(crate) fn no_page() -> Self {
        Self::new(Code::Unsupported, "page not found").status(StatusCode::NOT_FOUND)
    }

    pub(crate) fn method() -> Self {
        Self::new(Code::Unsupported, "the method is not allowed here")
    }

    pub(crate) fn no_blob(digest: &Digest) -> Self {
        let mut refusal = Self::new(Code::BlobUnknown, "blob unknown to registry");
        refusal.details.push(json!({ "digest": digest }));
        refusal
    }

    pub(crate) fn no_manifest(reference: &str) -> Self {
        let mut refusal = Self::new(Code::ManifestUnknown, "manifest unknown");
        refusal.details.push(json!({ "reference": reference }));
        refusal
    }

    pub(crate) fn no_repository(name: &str) -> Self {
        let mut refusal = Self::new(Code::NameUnknown, "repository name not known to registry");
        refusal.details.push(json!({ "name": name }));
        refusal
    }

    /// A failure of ours, which the log tells of.
    pub(crate) fn failed() -> Self {
        Self::new(Code::Unknown, "the registry failed; its log says why")
    }

    /// What is not here, and its upstream does not give it.
    pub(crate) fn upstream() -> Self {
        Self::new(Code::Unknown, "the upstream registry does not give it")
            .status(StatusCode::BAD_GATEWAY)
    }

    /// There is no room for what was sent.
    fn full() -> Self {
        Self::new(Code::Denied, "the registry has no space left")
            .status(StatusCode::INSUFFICIENT_STORAGE)
    }

    /// A failure of ours: told to the log in full, to the client in general.
    fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!("{}", chain(error));
        Self::failed()
    }

    /// The answer.
    pub(crate) fn into_response(self) -> Response {
        let entry = |detail: Option<Value>| {
            let mut entry = json!({ "code": self.code.text(), "message": self.message });
            if let Some(detail) = detail {
                entry["detail"] = detail;
            }
            entry
        };
        let errors: Vec<Value> = match self.details.is_empty() {
            true => vec![entry(None)],
            false => self.details.into_iter().map(|detail| entry(Some(detail))).collect(),
        };
        let mut text = json!({ "errors": errors }).to_string();
        text.push('\n');
        let mut response = full(self.status, text);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(self.headers);
        response
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        if error.is_full() { Self::full() } else { Self::internal(&error) }
    }
}

impl From<BlobError> for Refusal {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Mismatch { .. } => Self::new(Code::DigestInvalid, error.to_string()),
            _ if error.is_full() => Self::full(),
            _ if error.is_passing() => {
                tracing::error!("{}", chain(&error));
                let message =
                    "the registry's storage does not answer as it should; try again later";
                Self::new(Code::Unavailable, message).header(RETRY_AFTER, RETRY_AFTER_S)
            }
            _ => Self::internal(&error),
        }
    }
}

impl From<UploadError> for Refusal {
    fn from(error: UploadError) -> Self {
        let text = error.to_string();
        match error {
            UploadError::Unknown(_) => Self::new(Code::BlobUploadUnknown, text),
            UploadError::Busy(_) => Self::new(Code::TooManyRequests, text),
            UploadError::TooLarge(_) => {
                Self::new(Code::SizeInvalid, text).status(StatusCode::PAYLOAD_TOO_LARGE)
            }
            UploadError::Client(_) | UploadError::Silent => {
                Self::new(Code::BlobUploadInvalid, text)
            }
            UploadError::Blob(BlobError::Missing(_)) => {
                Self::new(Code::BlobUploadUnknown, "the upload's data is gone")
            }
            UploadError::Blob(error) => error.into(),
            UploadError::Store(error) => error.into(),
        }
    }
}

impl From<ManifestError> for Refusal {
    fn from(error: ManifestError) -> Self {
        Self::new(Code::ManifestInvalid, error.to_string())
    }
}

impl From<LinkError> for Refusal {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Quota(over) => over.into(),
            LinkError::Store(error) => error.into(),
        }
    }
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Store(error) => error.into(),
            ChangeError::Ledger(error) => error.into(),
        }
    }
}

impl From<OverQuota> for Refusal {
    fn from(error: OverQuota) -> Self {
        Self::new(Code::Denied, error.to_string())
    }
}

impl From<PutError> for Refusal {
    fn from(error: PutError) -> Self {
        let text = error.to_string();
        match error {
            PutError::Lacks(digests) => {
                let mut refusal = Self::new(Code::ManifestBlobUnknown, "blob unknown to registry");
                refusal.details =
                    digests.iter().map(|digest| json!({ "digest": digest })).collect();
                refusal
            }
            PutError::Protected(_) | PutError::Quota(_) => Self::new(Code::Denied, text),
            PutError::Size { .. } => Self::new(Code::SizeInvalid, text),
            PutError::Text => Self::new(Code::ManifestInvalid, text),
            PutError::Change(error) => error.into(),
        }
    }
}
