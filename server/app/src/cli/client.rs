//! The server that a command speaks to.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use ochre_client::{Connection, Options, Pem, Secret, TlsOptions};

use super::Stop;

/// The server that a command speaks to, and as whom.
#[derive(Debug, Args)]
pub struct Remote {
    /// The server's address: http://…, or https://… for TLS.
    #[arg(
        long,
        help_heading = "Server",
        env = "OCHRE_HOST",
        default_value = "http://127.0.0.1:8086",
        value_name = "URL"
    )]
    host: String,
    /// The token to show to the server.
    #[arg(long, help_heading = "Server", env = "OCHRE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<Given>,
    /// A file whose first line that is neither empty nor a comment (#) is the token; it goes before --token.
    // No environment variable: OCHRE_TOKEN_FILE is the server's, where it names tokens with all rights.
    #[arg(long, help_heading = "Server", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The certificates (PEM) of the authorities to trust, and no others [default: the system's].
    #[arg(long, help_heading = "Server", env = "OCHRE_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The certificate chain (PEM) to show to the server, for mutual TLS.
    #[arg(long, help_heading = "Server", env = "OCHRE_CLIENT_CERT", value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// The key (PEM) of that certificate.
    #[arg(long, help_heading = "Server", env = "OCHRE_CLIENT_KEY", value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
}

/// A token as it was given: not printed, not even where it is wrong.
#[derive(Clone)]
struct Given(String);

impl From<String> for Given {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Remote {
    /// A connection to the server. Nothing is sent yet.
    pub fn connect(&self) -> Result<Connection, Stop> {
        let identity = match (&self.client_cert, &self.client_key) {
            (Some(chain), Some(key)) => Some((Pem::File(chain.clone()), Pem::File(key.clone()))),
            _ => None,
        };
        let tls = TlsOptions { ca: self.ca.clone().map(Pem::File), identity };
        Ok(Connection::new(Options { token: self.token()?, tls, ..Options::new(self.host.as_str()) })?)
    }

    fn token(&self) -> Result<Option<Secret>, Stop> {
        let (text, what) = match (&self.token, &self.token_file) {
            (_, Some(path)) => (first_token(path)?, format!("the token file {}", path.display())),
            (Some(Given(text)), None) => (text.clone(), "--token".to_owned()),
            (None, None) => return Ok(None),
        };
        Secret::new(text).map(Some).map_err(|error| Stop::Usage(format!("{what}: {error}")))
    }
}

fn first_token(path: &Path) -> Result<String, Stop> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| Stop::Usage(format!("reading the token file {}: {error}", path.display())))?;
    let mut lines = text.lines().map(str::trim);
    match lines.find(|line| !line.is_empty() && !line.starts_with('#')) {
        Some(token) => Ok(token.to_owned()),
        None => Err(Stop::Usage(format!("the token file {} has no token", path.display()))),
    }
}
