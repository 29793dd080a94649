//! TLS on the one port: from PEM files to what the listener shakes hands with.
//!
//! HTTP/2 (and with it gRPC) is agreed on by ALPN, as is HTTP/1.1. With a client CA, whoever has no certificate that
//! it signed is not let in: mutual TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ochre_env::Disk;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config;

/// What is offered by ALPN, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why TLS can't be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("the file {} (--{flag}) can't be read: {source}", path.display())]
    Read {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("the file {} (--{flag}) has no {wanted} in PEM: {source}", path.display())]
    Pem {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
        /// Why.
        source: pem::Error,
    },
    /// A certificate of the client CA is not one that can sign.
    #[error("the file {} (--tls-client-ca) has a certificate that can't be used: {source}", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The client CA can't be checked against.
    #[error("client certificates can't be checked by {} (--tls-client-ca): {source}", path.display())]
    Verifier {
        /// The file.
        path: PathBuf,
        /// Why.
        source: VerifierBuilderError,
    },
    /// Certificate and key don't work, or not together.
    #[error(
        "the certificate {} and the key {} can't be used together: {source}", certificate.display(), key.display()
    )]
    Pair {
        /// The file with the chain.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// What the listener shakes hands with, if the configuration asks for TLS.
pub fn acceptor(disk: &dyn Disk, config: &config::Tls) -> Result<Option<TlsAcceptor>, TlsError> {
    // One without the other is refused as a contradiction of the configuration.
    let (Some(certificate), Some(key)) = (&config.cert, &config.key) else { return Ok(None) };
    let chain = certificates(disk, "tls-cert", certificate)?;
    let wanted = "private key";
    let secret = PrivateKeyDer::from_pem_slice(&read(disk, "tls-key", key)?).map_err(|source| TlsError::Pem {
        flag: "tls-key",
        path: key.clone(),
        wanted,
        source,
    })?;
    let pair = |source| TlsError::Pair { certificate: certificate.clone(), key: key.clone(), source };
    let provider = Arc::new(ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map_err(pair)?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => builder.with_client_cert_verifier(client_verifier(disk, ca, provider)?),
    };
    let mut server = builder.with_single_cert(chain, secret).map_err(pair)?;
    server.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Some(TlsAcceptor::from(Arc::new(server))))
}

fn client_verifier(
    disk: &dyn Disk,
    ca: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(disk, "tls-client-ca", ca)? {
        roots.add(certificate).map_err(|source| TlsError::ClientCa { path: ca.to_owned(), source })?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|source| TlsError::Verifier { path: ca.to_owned(), source })
}

/// The certificates of a file, at least one.
fn certificates(disk: &dyn Disk, flag: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| TlsError::Pem { flag, path: path.to_owned(), wanted: "certificate", source };
    let pem = read(disk, flag, path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(wrong)?;
    if found.is_empty() { Err(wrong(pem::Error::NoItemsFound)) } else { Ok(found) }
}

fn read(disk: &dyn Disk, flag: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    disk.read(path).map_err(|source| TlsError::Read { flag, path: path.to_owned(), source })
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test writes its own input")]
mod tests {
    use ochre_env::LocalDisk;
    use rcgen::{CertificateParams, CertifiedKey, KeyPair, generate_simple_self_signed};

    use super::*;

    fn made(dir: &Path) -> config::Tls {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(dir.join("cert"), cert.pem()).unwrap();
        std::fs::write(dir.join("key"), signing_key.serialize_pem()).unwrap();
        std::fs::write(dir.join("other-key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
        config::Tls { cert: Some(dir.join("cert")), key: Some(dir.join("key")), client_ca: None }
    }

    fn told(config: &config::Tls, dir: &Path) -> String {
        let error = acceptor(&LocalDisk, config).err().unwrap();
        error.to_string().replace(&format!("{}/", dir.display()), "")
    }

    #[test]
    fn a_pair_of_files_makes_an_acceptor() {
        let dir = tempfile::tempdir().unwrap();
        let pair = made(dir.path());
        let acceptor = acceptor(&LocalDisk, &pair).unwrap().unwrap();
        assert_eq!(acceptor.config().alpn_protocols, PROTOCOLS);
        let none = config::Tls { cert: None, key: None, client_ca: None };
        assert!(super::acceptor(&LocalDisk, &none).unwrap().is_none());
    }

    #[test]
    fn what_can_not_be_used_is_named_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let pair = made(dir.path());
        let at = |name: &str| Some(dir.path().join(name));
        let swapped = config::Tls { cert: at("key"), key: at("cert"), client_ca: None };
        assert_eq!(told(&swapped, dir.path()), "the file key (--tls-cert) has no certificate in PEM: no items found");
        let no_key = config::Tls { key: at("cert"), ..pair.clone() };
        assert_eq!(told(&no_key, dir.path()), "the file cert (--tls-key) has no private key in PEM: no items found");
        let missing = config::Tls { client_ca: at("nowhere"), ..pair.clone() };
        assert!(
            told(&missing, dir.path()).starts_with("the file nowhere (--tls-client-ca) can't be read: No such file")
        );
        let strangers = config::Tls { key: at("other-key"), ..pair.clone() };
        let strangers = told(&strangers, dir.path());
        assert!(strangers.starts_with("the certificate cert and the key other-key can't be used together: "));
        let params = CertificateParams::default();
        let other = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.path().join("cut"), &other.pem()[..100]).unwrap();
        let cut = config::Tls { client_ca: at("cut"), ..pair };
        assert!(told(&cut, dir.path()).starts_with("the file cut (--tls-client-ca) has no certificate in PEM: "));
    }
}
