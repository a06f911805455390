//! What a user writes under `[sink.s3]`, `[sink.gcs]` and `[sink.azure]`, and the clients made of it.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, ClientOptions, HeaderValue, ObjectStore, RetryConfig};
use schemars::JsonSchema;
use serde::Deserialize;
use throughline_core::connector::option_error;
use throughline_core::secret::Redactor;
use throughline_core::{ConfigErrors, PointerAt, Secret, url};

use super::address::{Address, Kind};
use super::place::Place;

/// One request, a part of 5 MiB over a slow line included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Tries again after 429, 5xx and broken connections: some twenty seconds in all.
const RETRIES: usize = 7;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct S3Options {
    /// The bucket's region, e.g. "eu-central-1"; "us-east-1" when left out.
    #[serde(default = "default_region")]
    region: String,
    /// Address of a store other than Amazon's, e.g. "https://storage.yandexcloud.net". The bucket's name follows
    /// in the path.
    endpoint: Option<String>,
    access_key_id: Secret,
    secret_access_key: Secret,
    /// Of temporary keys.
    session_token: Option<Secret>,
    /// Let an `endpoint` beyond this machine be without TLS.
    #[serde(default)]
    allow_http: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GcsOptions {
    /// The JSON key of a service account, as Google Cloud gives it for download.
    service_account: Secret,
    /// Address in place of https://storage.googleapis.com.
    endpoint: Option<String>,
    /// Let an `endpoint` beyond this machine be without TLS.
    #[serde(default)]
    allow_http: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AzureOptions {
    /// Name of the storage account.
    account: String,
    /// The account's key.
    access_key: Secret,
    /// Address in place of https://ACCOUNT.blob.core.windows.net.
    endpoint: Option<String>,
    /// Let an `endpoint` beyond this machine be without TLS.
    #[serde(default)]
    allow_http: bool,
}

fn default_region() -> String {
    "us-east-1".into()
}

/// The sections that a sink was given.
pub(crate) struct StoreOptions {
    pub s3: Option<S3Options>,
    pub gcs: Option<GcsOptions>,
    pub azure: Option<AzureOptions>,
}

impl StoreOptions {
    /// The sections by their names.
    fn given(&self) -> [(&'static str, bool); 3] {
        [("s3", self.s3.is_some()), ("gcs", self.gcs.is_some()), ("azure", self.azure.is_some())]
    }

    /// What is wrong with sections beside a path that is a folder.
    pub(crate) fn unused(&self, needed: Option<&str>) -> ConfigErrors {
        self.given()
            .into_iter()
            .filter(|(name, given)| *given && Some(*name) != needed)
            .map(|(name, _)| {
                option_error(
                    format!("[sink.{name}] does not go with this `path`"),
                    format!("/{name}"),
                    PointerAt::Key,
                )
            })
            .collect()
    }

    /// The place that `path` names, under the section that goes with it.
    pub(crate) fn place(self, path: &str) -> Result<Place, ConfigErrors> {
        let address =
            Address::parse(path).map_err(|message| vec![option_error(message, "/path", PointerAt::Value)])?;
        let section = address.kind.section();
        let mut errors = self.unused(Some(section));
        let built = match (address.kind, self) {
            (Kind::S3, Self { s3: Some(options), .. }) => s3(options, &address.bucket),
            (Kind::Gcs, Self { gcs: Some(options), .. }) => gcs(options, &address.bucket),
            (Kind::Azure, Self { azure: Some(options), .. }) => azure(options, &address.bucket),
            _ => Err(vec![option_error(
                format!("path = {path:?} needs a section [sink.{section}] with keys for the bucket"),
                "/path",
                PointerAt::Value,
            )]),
        };
        match built {
            Ok((store, redactor)) if errors.is_empty() => Ok(Place::new(store, address, redactor)),
            Ok(_) => Err(errors),
            Err(more) => {
                errors.extend(more);
                Err(errors)
            }
        }
    }
}

type Built = Result<(Arc<dyn ObjectStore>, Redactor), ConfigErrors>;

fn s3(given: S3Options, bucket: &str) -> Built {
    let endpoint = endpoint(given.endpoint.as_deref(), given.allow_http, Kind::S3)?;
    let redactor = redactor([&given.secret_access_key].into_iter().chain(&given.session_token));
    let mut builder = AmazonS3Builder::new()
        .with_client_options(client(&endpoint))
        .with_retry(retry())
        .with_bucket_name(bucket)
        .with_region(given.region)
        .with_access_key_id(given.access_key_id.expose().trim())
        .with_secret_access_key(given.secret_access_key.expose().trim());
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint.address);
    }
    if let Some(token) = given.session_token {
        builder = builder.with_token(token.expose().trim());
    }
    made(builder.build(), Kind::S3, redactor)
}

fn gcs(given: GcsOptions, bucket: &str) -> Built {
    let endpoint = endpoint(given.endpoint.as_deref(), given.allow_http, Kind::Gcs)?;
    let redactor = redactor([&given.service_account]);
    let key: serde_json::Value = serde_json::from_str(given.service_account.expose()).unwrap_or_default();
    match key["private_key"].as_str() {
        Some(private) => private.lines().for_each(|line| redactor.register_text(line)),
        None => {
            return Err(vec![option_error(
                "service_account is no JSON key of a service account: it has no \"private_key\"",
                "/gcs/service_account",
                PointerAt::Value,
            )]);
        }
    }
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_client_options(client(&endpoint))
        .with_retry(retry())
        .with_bucket_name(bucket)
        .with_service_account_key(given.service_account.expose());
    if let Some(endpoint) = endpoint {
        builder = builder.with_base_url(&endpoint.address);
    }
    made(builder.build(), Kind::Gcs, redactor)
}

fn azure(given: AzureOptions, container: &str) -> Built {
    let endpoint = endpoint(given.endpoint.as_deref(), given.allow_http, Kind::Azure)?;
    let redactor = redactor([&given.access_key]);
    let mut builder = MicrosoftAzureBuilder::new()
        .with_client_options(client(&endpoint))
        .with_retry(retry())
        .with_account(given.account)
        .with_container_name(container)
        .with_access_key(given.access_key.expose().trim());
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint.address);
    }
    made(builder.build(), Kind::Azure, redactor)
}

fn made<S: ObjectStore>(built: object_store::Result<S>, kind: Kind, redactor: Redactor) -> Built {
    match built {
        Ok(store) => Ok((Arc::new(store), redactor)),
        Err(e) => Err(vec![option_error(
            format!("[sink.{}] cannot be used: {}", kind.section(), redactor.redact(&e.to_string())),
            format!("/{}", kind.section()),
            PointerAt::Value,
        )]),
    }
}

struct Endpoint {
    address: String,
    http: bool,
}

fn endpoint(given: Option<&str>, allow_http: bool, kind: Kind) -> Result<Option<Endpoint>, ConfigErrors> {
    let Some(given) = given else { return Ok(None) };
    let wrong = |what: &str| {
        let message = format!("endpoint = {given:?} {what}");
        Err(vec![option_error(message, format!("/{}/endpoint", kind.section()), PointerAt::Value)])
    };
    let http = given.starts_with("http://");
    if !http && !given.starts_with("https://") {
        return wrong("is no address: it begins with https://");
    }
    if given.contains(['@', '?', '#']) || given.contains(char::is_whitespace) {
        return wrong("holds more than a host, a port and a path: keys have options of their own");
    }
    let Some(host) = url::host(given) else { return wrong("names no host") };
    if http && !allow_http && !throughline_postgresql::is_loopback(&host) {
        return wrong(
            "is without TLS: rows and keys' signatures would be open on the way; `allow_http = true` lets it",
        );
    }
    Ok(Some(Endpoint { address: given.trim_end_matches('/').to_owned(), http }))
}

fn client(endpoint: &Option<Endpoint>) -> ClientOptions {
    ClientOptions::new()
        .with_user_agent(HeaderValue::from_static(concat!("throughline/", env!("CARGO_PKG_VERSION"))))
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_allow_http(endpoint.as_ref().is_some_and(|e| e.http))
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(8),
            base: 2.0,
        },
        max_retries: RETRIES,
        retry_timeout: Duration::from_secs(150),
    }
}

fn redactor<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Redactor {
    let redactor = Redactor::new();
    secrets.into_iter().for_each(|secret| redactor.register(secret));
    redactor
}
