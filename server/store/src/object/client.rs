//! The clients of cloud stores, configured one way: no retries of their own, no time limit of their own (the patient
//! store has both), encrypted unless told otherwise.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::multipart::MultipartStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, Result, RetryConfig};
use url::{Host, Url};

use super::OpenError;
use super::address::{Service, redact};
use super::conditional::Conditional;
use super::settings::Settings;

/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(60);

/// A client, and what it needs to upload in parts.
pub(super) struct Client {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The same for uploads in parts, where completing one can be made conditional.
    pub parts: Option<Arc<dyn MultipartStore>>,
}

/// Makes the client for a bucket. Nothing is sent.
pub(super) fn connect(service: Service, bucket: &Url, settings: &Settings) -> Result<Client, OpenError> {
    let endpoint = endpoint(service, settings);
    let allow_http = allow_http(service, endpoint.as_deref(), settings)?;
    let options = ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(settings.policy.connect_timeout)
        .with_pool_idle_timeout(IDLE)
        .with_allow_http(allow_http);
    let made = match service {
        Service::S3 => s3(bucket, endpoint, options, settings),
        Service::Google => google(bucket, endpoint, options, settings),
        Service::Azure => azure(bucket, endpoint, options, settings),
    };
    made.map_err(|source| OpenError::Client { url: redact(bucket.as_str()), source })
}

/// One attempt: whoever retries is [`super::patient`].
fn no_retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO }
}

fn s3(bucket: &Url, endpoint: Option<String>, options: ClientOptions, settings: &Settings) -> Result<Client> {
    let mut builder = AmazonS3Builder::new().with_url(bucket.to_string()).with_client_options(options);
    for (name, value) in of(Service::S3, settings) {
        if let Ok(key) = name.parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if settings.virtual_host {
        builder = builder.with_virtual_hosted_style_request(true);
    }
    let store = Arc::new(builder.with_retry(no_retries()).with_http_connector(Conditional).build()?);
    Ok(Client { store: store.clone(), parts: Some(store) })
}

/// Without parts: Google's completion of an upload takes no condition, and one request carries terabytes.
fn google(bucket: &Url, endpoint: Option<String>, options: ClientOptions, settings: &Settings) -> Result<Client> {
    let mut builder = GoogleCloudStorageBuilder::new().with_url(bucket.to_string()).with_client_options(options);
    for (name, value) in of(Service::Google, settings) {
        if let Ok(key) = name.parse::<GoogleConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = endpoint {
        builder = builder.with_base_url(&endpoint);
    }
    Ok(Client { store: Arc::new(builder.with_retry(no_retries()).build()?), parts: None })
}

/// Without parts: the condition would have to be signed, and one request carries gigabytes.
fn azure(bucket: &Url, endpoint: Option<String>, options: ClientOptions, settings: &Settings) -> Result<Client> {
    let mut builder = MicrosoftAzureBuilder::new().with_url(bucket.to_string()).with_client_options(options);
    for (name, value) in of(Service::Azure, settings) {
        if let Ok(key) = name.parse::<AzureConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    Ok(Client { store: Arc::new(builder.with_retry(no_retries()).build()?), parts: None })
}

/// The names and values meant for a service. Those about plain HTTP and the endpoint were looked at before.
fn of(service: Service, settings: &Settings) -> impl Iterator<Item = (&str, &str)> {
    let prefix = service.variables().to_ascii_lowercase();
    settings.credentials.iter().filter(move |(name, _)| name.starts_with(&prefix) && !name.ends_with("_allow_http"))
}

/// Where the service is, if not where its owner runs it.
fn endpoint(service: Service, settings: &Settings) -> Option<String> {
    let names: &[&str] = match service {
        Service::S3 => &["aws_endpoint_url_s3", "aws_endpoint_url", "aws_endpoint"],
        Service::Google => &["google_base_url"],
        Service::Azure => &["azure_storage_endpoint", "azure_endpoint"],
    };
    let given = names.iter().find_map(|name| settings.credentials.get(name));
    settings.endpoint.as_deref().or(given).map(|endpoint| endpoint.trim_end_matches('/').to_owned())
}

/// Whether requests may go unencrypted: to this machine itself, or if told so.
fn allow_http(service: Service, endpoint: Option<&str>, settings: &Settings) -> Result<bool, OpenError> {
    let Some(endpoint) = endpoint else { return Ok(settings.allow_http) };
    let wrong = |reason: &str| OpenError::Endpoint { endpoint: redact(endpoint), reason: reason.to_owned() };
    let url = Url::parse(endpoint).map_err(|error| wrong(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(wrong("credentials do not belong in it"));
    }
    let variable = format!("{}allow_http", service.variables().to_ascii_lowercase());
    let told = settings.allow_http || settings.credentials.get(&variable).is_some_and(|value| value == "true");
    match url.scheme() {
        "https" => Ok(told),
        "http" if told || is_loopback(&url) => Ok(true),
        "http" => Err(OpenError::PlainHttp { endpoint: endpoint.to_owned() }),
        _ => Err(wrong("it is neither http:// nor https://")),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::credentials::Credentials;
    use super::*;

    fn settings(endpoint: &str, variables: &[(&str, &str)]) -> Settings {
        Settings {
            endpoint: Some(endpoint.to_owned()).filter(|endpoint| !endpoint.is_empty()),
            credentials: variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Credentials>(),
            ..Settings::default()
        }
    }

    fn asked(endpoint: &str, variables: &[(&str, &str)]) -> Result<(), String> {
        let bucket = Url::parse("s3://bucket").unwrap();
        connect(Service::S3, &bucket, &settings(endpoint, variables)).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn plain_http_is_for_this_machine_or_if_told() {
        for fine in ["", "https://s3.example.com", "http://127.0.0.1:9000", "http://[::1]:9000", "http://localhost:1"] {
            assert_eq!(asked(fine, &[]), Ok(()), "{fine}");
        }
        let refused = asked("http://s3.example.com", &[]).unwrap_err();
        assert!(refused.contains("http://s3.example.com is not encrypted"), "{refused}");
        assert_eq!(asked("http://s3.example.com", &[("AWS_ALLOW_HTTP", "true")]), Ok(()));
        let from_variable = asked("", &[("AWS_ENDPOINT_URL", "http://s3.example.com")]).unwrap_err();
        assert!(from_variable.contains("is not encrypted"), "{from_variable}");
    }

    #[test]
    fn an_endpoint_that_is_none_is_refused_without_its_secrets() {
        for wrong in ["nonsense", "ftp://host", "https://u:canary@host", "https://host/?canary=1"] {
            let error = asked(wrong, &[]).unwrap_err();
            assert!(error.contains("endpoint") && !error.contains("canary"), "{error}");
        }
    }
}
