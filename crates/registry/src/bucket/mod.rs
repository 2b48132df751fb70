//! A bucket of an object storage that speaks S3.
//!
//! ```text
//! <prefix>/registry.json                                whose bucket this is
//! <prefix>/blobs/<algorithm>/<hex>                      blobs, as in a directory
//! <prefix>/repositories/<name>/_manifests/<algorithm>/<hex>  as they came
//! <prefix>/repositories/<name>/_tags/<tag>              JSON: digest, time
//! <prefix>/health                                       written and read by whoever asks for health
//! ```
//!
//! ```text
//! blobs     `Blobs` over the bucket; uploads are files until they are whole
//! transfer  a file to the bucket, in parts
//! ledger    manifests and tags a second time, so that an index can be made of them
//! wire      the storage client's requests over our own connections
//! ```

mod blobs;
mod ledger;
mod transfer;
mod wire;

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use object_store::{
    Attribute, BackoffConfig, ObjectMeta, ObjectStore, ObjectStoreExt, PutOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
    path::Path,
};

use crate::{
    blobs::BlobError,
    config::{ConfigError, S3},
};

pub(crate) use blobs::BucketBlobs;
pub(crate) use ledger::{Entry, Ledger};

/// How often a request is tried again that the storage did not take.
const TRIES_MORE: usize = 4;
/// How long it is tried.
const TRY_FOR: Duration = Duration::from_secs(30);
/// Pauses between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// A bucket, or the part of one below a prefix.
#[derive(Debug)]
pub(crate) struct Bucket {
    store: AmazonS3,
    prefix: Path,
    /// For people: `bucket/prefix`.
    label: String,
}

/// An object with its bytes.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) bytes: Bytes,
    /// Its media type, empty if it has none.
    pub(crate) media_type: String,
    /// When it was written, s since 1970.
    pub(crate) written_s: u64,
}

impl Bucket {
    /// A bucket as it is configured; nothing is asked yet.
    ///
    /// # Errors
    /// When the configuration names none.
    pub(crate) fn open(config: &S3) -> Result<Self, ConfigError> {
        let wrong = |reason: String| ConfigError::Bucket { bucket: config.bucket.clone(), reason };
        let prefix = Path::parse(config.prefix.trim_matches('/'));
        let prefix = prefix.map_err(|error| wrong(error.to_string()))?;
        let backoff =
            BackoffConfig { init_backoff: PAUSES.0, max_backoff: PAUSES.1, ..Default::default() };
        let retry = RetryConfig { backoff, max_retries: TRIES_MORE, retry_timeout: TRY_FOR };
        let path_style = config.path_style.unwrap_or(!config.endpoint.is_empty());
        // What the environment says (AWS_ACCESS_KEY_ID and the like) is below what the file says.
        let mut builder = AmazonS3Builder::from_env()
            .with_http_connector(wire::Connector)
            .with_retry(retry)
            .with_bucket_name(&config.bucket)
            .with_disable_bulk_delete(true)
            .with_virtual_hosted_style_request(!path_style);
        if !config.region.is_empty() {
            builder = builder.with_region(&config.region);
        }
        if !config.endpoint.is_empty() {
            let endpoint = endpoint(config, path_style)
                .ok_or_else(|| wrong(format!("{:?} is no http or https URL", config.endpoint)))?;
            builder = builder.with_endpoint(endpoint).with_allow_http(true);
        }
        match (config.access_key.as_str(), config.secret_key.expose()) {
            // Else the storage's library asks Amazon's link-local address who this machine is, which
            // somewhere else is a stranger's.
            ("", "") if !config.instance_role && !environment_says_who(&builder) => {
                let text = "access-key and secret-key are missing, here and in AWS_ACCESS_KEY_ID \
                            and AWS_SECRET_ACCESS_KEY; for the role of an Amazon instance set \
                            instance-role";
                return Err(wrong(text.to_owned()));
            }
            ("", "") => {}
            ("", _) | (_, "") => {
                return Err(wrong("access-key and secret-key go together".to_owned()));
            }
            (id, key) => {
                builder = builder.with_access_key_id(id).with_secret_access_key(key);
            }
        }
        let store = builder.build().map_err(|error| wrong(error.to_string()))?;
        let label = format!("{}/{prefix}", config.bucket).trim_end_matches('/').to_owned();
        Ok(Self { store, prefix, label })
    }

    /// For people.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// The key of an object; `name` is of slashes and what needs no quoting.
    fn key(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// An object; none if it is not there.
    async fn get(&self, name: &str) -> Result<Option<Object>, BlobError> {
        let key = self.key(name);
        let broken = |source| failed("reading", &key, source);
        let found = match self.store.get(&key).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(broken)?,
        };
        let media_type = found.attributes.get(&Attribute::ContentType);
        let media_type = media_type.map_or_else(String::new, |text| text.to_string());
        let written_s = u64::try_from(found.meta.last_modified.timestamp()).unwrap_or(0);
        Ok(Some(Object { bytes: found.bytes().await.map_err(broken)?, media_type, written_s }))
    }

    async fn put(&self, name: &str, bytes: Bytes, media_type: &str) -> Result<(), BlobError> {
        let key = self.key(name);
        let mut options = PutOptions::default();
        options.attributes.insert(Attribute::ContentType, media_type.to_owned().into());
        let put = self.store.put_opts(&key, bytes.into(), options).await;
        put.map(drop).map_err(|source| failed("writing", &key, source))
    }

    /// Removes an object; one that is not there is no error.
    async fn remove(&self, name: &str) -> Result<(), BlobError> {
        let key = self.key(name);
        match self.store.delete(&key).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            removed => removed.map_err(|source| failed("removing", &key, source)),
        }
    }

    /// All objects below a name, each with its name.
    fn list<'a>(&'a self, below: &str) -> BoxStream<'a, Result<(String, ObjectMeta), BlobError>> {
        let key = self.key(below);
        let listed = self.store.list(Some(&key)).map(move |meta| {
            let meta = meta.map_err(|source| failed("listing", &key, source))?;
            let name: Vec<String> = match meta.location.prefix_match(&self.prefix) {
                Some(parts) => parts.map(|part| part.as_ref().to_owned()).collect(),
                None => Vec::new(),
            };
            Ok((name.join("/"), meta))
        });
        listed.boxed()
    }
}

/// The URL that objects are asked at: with the bucket in its host if it is not in the path.
fn endpoint(config: &S3, path_style: bool) -> Option<String> {
    let url = config.endpoint.trim_end_matches('/');
    gantry_web::Address::parse(url)?;
    let (scheme, host) = url.split_once("://")?;
    Some(match path_style {
        true => url.to_owned(),
        false => format!("{scheme}://{}.{host}", config.bucket),
    })
}

fn failed(step: &'static str, key: &Path, source: object_store::Error) -> BlobError {
    BlobError::Bucket { step, what: key.to_string(), source: Box::new(source) }
}

/// Whether the environment names who asks: by a key, or by where a key is to be had.
fn environment_says_who(builder: &AmazonS3Builder) -> bool {
    use AmazonS3ConfigKey::{
        AccessKeyId, ContainerCredentialsFullUri, ContainerCredentialsRelativeUri,
        WebIdentityTokenFile,
    };
    let ways = [
        AccessKeyId,
        WebIdentityTokenFile,
        ContainerCredentialsRelativeUri,
        ContainerCredentialsFullUri,
    ];
    ways.iter().any(|way| builder.get_config_value(way).is_some())
}

/// An error of the storage within an answer.
fn broken(source: object_store::Error) -> io::Error {
    tracing::error!("the bucket: {}", gantry_fault::chain(&source));
    io::Error::other(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(endpoint: &str, path_style: Option<bool>) -> S3 {
        let (bucket, access_key) = ("images".to_owned(), "id".to_owned());
        let secret_key = gantry_web::Secret::new("secret".to_owned());
        let endpoint = endpoint.to_owned();
        S3 { endpoint, bucket, access_key, secret_key, path_style, ..S3::default() }
    }

    #[test]
    fn endpoints() {
        for (endpoint, path_style, want) in [
            ("http://127.0.0.1:9000", true, Some("http://127.0.0.1:9000")),
            ("https://s3.example/", true, Some("https://s3.example")),
            ("https://s3.example", false, Some("https://images.s3.example")),
            ("s3.example", true, None),
            ("ftp://s3.example", true, None),
        ] {
            let found = super::endpoint(&config(endpoint, None), path_style);
            assert_eq!(found.as_deref(), want, "{endpoint}");
        }
    }

    #[test]
    fn keys_are_below_the_prefix() {
        let mut config = config("http://127.0.0.1:9000", None);
        for (prefix, want) in [("", "blobs/sha256/00"), ("/a/b/", "a/b/blobs/sha256/00")] {
            config.prefix = prefix.to_owned();
            let bucket = Bucket::open(&config).expect("a bucket");
            assert_eq!(bucket.key("blobs/sha256/00").as_ref(), want);
        }
    }

    #[test]
    fn half_of_the_credentials_is_told() {
        let mut config = config("http://127.0.0.1:9000", None);
        config.access_key = String::new();
        let error = Bucket::open(&config).expect_err("refused");
        assert!(error.to_string().contains("go together"), "{error}");
        // The tests' own environment may name somebody.
        if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
            config.secret_key = gantry_web::Secret::default();
            let error = Bucket::open(&config).expect_err("refused");
            assert!(error.to_string().contains("instance-role"), "{error}");
            config.instance_role = true;
            assert!(Bucket::open(&config).is_ok());
            config.secret_key = gantry_web::Secret::new("secret".to_owned());
        }
        assert!(!format!("{config:?}").contains("secret\""), "{config:?}");
    }
}
