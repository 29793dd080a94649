//! How commands speak to a server.

use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use reqwest::{Method, RequestBuilder, Response, StatusCode};

use super::Stop;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// The server that a command speaks to.
#[derive(Debug, Args)]
pub struct Remote {
    /// The server's address.
    #[arg(long, env = "OCHRE_HOST", default_value = "http://127.0.0.1:8086", value_name = "URL")]
    pub host: String,
    /// The token to show to the server.
    #[arg(long, env = "OCHRE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
}

impl Remote {
    /// A client of the server.
    pub fn client(&self) -> Result<Client, Stop> {
        let base = url::Url::parse(&self.host).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let base =
            base.ok_or_else(|| Stop::Usage(format!("--host is {:?}: write such as http://127.0.0.1:8086", self.host)))?;
        let http = reqwest::Client::builder().connect_timeout(CONNECT).build()?;
        Ok(Client { http, base, token: self.token.clone() })
    }
}

/// A client of one server.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: url::Url,
    token: Option<String>,
}

impl Client {
    /// A request for a path, which may bring its own query string.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base.as_str().trim_end_matches('/')));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request; the answer may be of any status.
    pub async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        request.send().await.with_context(|| format!("asking {}: is the server running?", self.base))
    }

    /// Sends a request whose answer must be a success.
    pub async fn succeed(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let response = self.send(request).await?;
        if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
    }
}

/// What the server said when it refused.
pub async fn refused(response: Response) -> anyhow::Error {
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    anyhow!("the server answered {status}: {}", said(&text, status))
}

/// The message in an error's body.
pub fn said(body: &str, status: StatusCode) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let field = |name: &str| Some(json.as_ref()?.get(name)?.as_str()?.to_owned());
    let message = field("error").or_else(|| field("message")).unwrap_or_else(|| body.trim().to_owned());
    if message.is_empty() { status.canonical_reason().unwrap_or("no reason given").to_owned() } else { message }
}
