//! A connection to one server: gRPC and HTTP, with one address, one token and one idea of whom to trust.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use url::Url;

use crate::error::Error;
use crate::flight::Flight;
use crate::grpc_error::innermost;
use crate::lines::Lines;
use crate::management::Management;
use crate::secret::Secret;
use crate::storage::Storage;
use crate::tls::{TlsMaterial, TlsOptions};

/// The time that a connection may take to come about, unless told.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The time that a call may take, unless told.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection on which calls wait is asked this often whether it is alive.
const PING_EVERY: Duration = Duration::from_secs(30);
/// A connection that does not answer for so long is given up, and its calls with it.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How the client calls itself.
const USER_AGENT: &str = concat!("ochre/", env!("CARGO_PKG_VERSION"));

/// How to reach a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server's address: `http://host:8086`, or `https://…` for TLS. A path before the APIs (behind a proxy) works
    /// for HTTP only: gRPC has no place for it.
    pub url: String,
    /// The token to show.
    pub token: Option<Secret>,
    /// What TLS needs beyond the defaults.
    pub tls: TlsOptions,
    /// The time that a connection may take to come about.
    pub connect_timeout: Duration,
    /// The time that a call may take, all attempts together. Streams of rows have none: they last as long as rows come,
    /// and end when the connection dies.
    pub request_timeout: Duration,
}

impl Options {
    /// The server at `url`, without a token, with the default timeouts.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: None,
            tls: TlsOptions::default(),
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
        }
    }
}

/// A channel whose calls carry the token.
pub(crate) type Authorized = InterceptedService<Channel, Bearer>;

/// A connection to one server. Cheap to clone; connects when it is first used, and again when it breaks.
#[derive(Clone)]
pub struct Connection {
    url: Arc<str>,
    channel: Authorized,
    http: reqwest::Client,
    token: Option<Secret>,
    request_timeout: Duration,
}

impl Connection {
    /// Prepares a connection; nothing is sent yet. Has to be called within a tokio runtime.
    pub fn new(options: Options) -> Result<Self, Error> {
        let url = address(&options.url)?;
        let shown = url.as_str().trim_end_matches('/');
        let unusable = |error: &dyn std::error::Error, reason: String| {
            Error::Usage(format!("connecting to {shown} can't be prepared: {error}: {reason}"))
        };
        let mut endpoint = Endpoint::from_shared(url.as_str().to_owned())
            .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
            .map_err(|error| unusable(&error, innermost(&error)))?
            .connect_timeout(options.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT);
        let mut http = reqwest::Client::builder().connect_timeout(options.connect_timeout).user_agent(USER_AGENT);
        if url.scheme() == "https" {
            let material = TlsMaterial::read(&options.tls)?;
            http = material.http(http)?;
            endpoint = endpoint.tls_config(material.channel()).map_err(|error| unusable(&error, innermost(&error)))?;
        } else if options.tls.ca.is_some() || options.tls.identity.is_some() {
            return Err(Error::Usage(format!("certificates are given, but {shown} is without TLS: write https://")));
        }
        let bearer = Bearer(options.token.as_ref().map(Secret::bearer));
        Ok(Self {
            channel: InterceptedService::new(endpoint.connect_lazy(), bearer),
            http: http.build().map_err(|error| unusable(&error, innermost(&error)))?,
            url: Arc::from(shown),
            token: options.token,
            request_timeout: options.request_timeout,
        })
    }

    /// The server's address, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Managing the server.
    pub fn management(&self) -> Management {
        Management::new(self.channel.clone(), self.url.clone(), self.request_timeout)
    }

    /// Working on the server's stored data.
    pub fn storage(&self) -> Storage {
        Storage::new(self.channel.clone(), self.url.clone(), self.request_timeout)
    }

    /// Rows out and in, as Arrow batches.
    pub fn flight(&self) -> Flight {
        Flight::new(self.channel.clone(), self.url.clone())
    }

    /// Line protocol in.
    pub fn lines(&self) -> Lines {
        Lines::new(self.clone(), self.request_timeout)
    }

    /// An HTTP request to a path of the server (`/api/v3/query_sql`), with the token. Its timeout is the caller's.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("url", &self.url).field("token", &self.token).finish_non_exhaustive()
    }
}

fn address(text: &str) -> Result<Url, Error> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url else {
        // What stands before an @ may be a secret.
        let shown = if text.contains('@') { "this".to_owned() } else { format!("{text:?}") };
        return Err(Error::Usage(format!("{shown} is no address: write such as http://127.0.0.1:8086")));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Usage("the address holds a user or password: give a token instead".to_owned()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Error::Usage(format!("{text:?} has more than an address: write such as http://127.0.0.1:8086")));
    }
    Ok(url)
}

/// Puts the token into the metadata of calls.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Pem;

    #[tokio::test]
    async fn addresses_are_checked_before_anything_is_sent() {
        let refused = |url: &str| Connection::new(Options::new(url)).unwrap_err().to_string();
        let expected = |url: &str| format!("{url:?} is no address: write such as http://127.0.0.1:8086");
        for url in ["", "localhost:8086", "ftp://h", "http://"] {
            assert_eq!(refused(url), expected(url));
        }
        assert_eq!(refused("htp://u:p@h"), "this is no address: write such as http://127.0.0.1:8086");
        assert_eq!(refused("http://u:p@h"), "the address holds a user or password: give a token instead");
        let more = "\"http://h/?a=b\" has more than an address: write such as http://127.0.0.1:8086";
        assert_eq!(refused("http://h/?a=b"), more);
        assert_eq!(Connection::new(Options::new("http://h:1/")).unwrap().url(), "http://h:1");
    }

    #[tokio::test]
    async fn certificates_are_checked_before_anything_is_sent() {
        let refused = |url: &str, ca: Pem| {
            let tls = TlsOptions { ca: Some(ca), identity: None };
            Connection::new(Options { tls, ..Options::new(url) }).unwrap_err().to_string()
        };
        let pem = || Pem::Bytes(b"no certificate".to_vec());
        assert_eq!(refused("http://h", pem()), "certificates are given, but http://h is without TLS: write https://");
        let none = "the authorities' certificates can't be used: there are none: give them in PEM";
        assert_eq!(refused("https://h", pem()), none);
        let missing = refused("https://h", Pem::File("/no/such/file".into()));
        assert!(missing.starts_with("reading the authorities' certificates from /no/such/file: "), "{missing}");
    }

    #[tokio::test]
    async fn a_connection_does_not_show_its_token() {
        let token = Some(Secret::new("ochre_abc").unwrap());
        let options = Options { token, ..Options::new("http://h") };
        assert!(!format!("{options:?}").contains("ochre_abc"));
        let connection = Connection::new(options).unwrap();
        assert!(!format!("{connection:?}").contains("ochre_abc"));
    }
}
