//! Whom a client trusts over TLS, and how it shows who it is.

use std::fmt;
use std::path::PathBuf;

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::error::Error;

/// Certificates or a key in PEM.
#[derive(Clone)]
pub enum Pem {
    /// In a file, read when the connection is made.
    File(PathBuf),
    /// At hand.
    Bytes(Vec<u8>),
}

/// What TLS needs beyond the defaults.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    /// The authorities whose certificates are trusted, and no others. `None`: those of the operating system.
    pub ca: Option<Pem>,
    /// The certificate chain and the key that the client shows (mutual TLS).
    pub identity: Option<(Pem, Pem)>,
}

impl Pem {
    fn read(&self, what: &str) -> Result<Vec<u8>, Error> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::File(path) => {
                let bytes = std::fs::read(path);
                bytes.map_err(|error| Error::Usage(format!("reading {what} from {}: {error}", path.display())))
            }
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            // It may be a key.
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

/// [`TlsOptions`] with everything read.
pub(crate) struct TlsMaterial {
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl TlsMaterial {
    pub fn read(options: &TlsOptions) -> Result<Self, Error> {
        let ca = options.ca.as_ref().map(|ca| ca.read("the authorities' certificates")).transpose()?;
        let identity = match &options.identity {
            Some((chain, key)) => Some((chain.read("the client's certificate")?, key.read("the client's key")?)),
            None => None,
        };
        Ok(Self { ca, identity })
    }

    /// For the gRPC channel.
    pub fn channel(&self) -> ClientTlsConfig {
        let config = match &self.ca {
            Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        match &self.identity {
            Some((chain, key)) => config.identity(Identity::from_pem(chain, key)),
            None => config,
        }
    }

    /// The same for the HTTP client.
    pub fn http(&self, builder: reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder, Error> {
        let refused = |what: &str, error: reqwest::Error| {
            let reason = crate::grpc_error::innermost(&error);
            Error::Usage(format!("{what} can't be used: {reason}: give them in PEM"))
        };
        let mut builder = builder.use_rustls_tls().tls_built_in_webpki_certs(false);
        if let Some(ca) = &self.ca {
            let what = "the authorities' certificates";
            let certificates = reqwest::Certificate::from_pem_bundle(ca).map_err(|error| refused(what, error))?;
            if certificates.is_empty() {
                return Err(Error::Usage(format!("{what} can't be used: there are none: give them in PEM")));
            }
            builder = builder.tls_built_in_root_certs(false);
            for certificate in certificates {
                builder = builder.add_root_certificate(certificate);
            }
        }
        if let Some((chain, key)) = &self.identity {
            let both = [chain.as_slice(), b"\n", key.as_slice()].concat();
            let identity = reqwest::Identity::from_pem(&both);
            builder = builder.identity(identity.map_err(|error| refused("the client's certificate and key", error))?);
        }
        Ok(builder)
    }
}
