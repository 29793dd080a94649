//! TLS and mutual TLS: whom the client trusts, and how it shows who it is, over gRPC and HTTP alike.

use std::sync::Arc;

use ochre_wire::v1::management_server::ManagementServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use reqwest::Method;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use super::management::Fake;
use super::{PATIENCE, Script};
use crate::{Connection, Error, Options, Pem, TlsOptions};

/// An authority and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate and its key, in PEM.
    fn sign(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn pem(&self) -> Pem {
        Pem::Bytes(self.0.pem().into_bytes())
    }
}

fn router(authority: &Authority, clients: Option<&Authority>) -> Router {
    let (chain, key) = authority.sign("localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let mut tls = ServerTlsConfig::new().identity(Identity::from_pem(chain, key));
    if let Some(clients) = clients {
        tls = tls.client_ca_root(Certificate::from_pem(clients.0.pem()));
    }
    let fake = ManagementServer::new(Fake(Arc::<Script>::default()));
    Server::builder().tls_config(tls).unwrap().add_service(fake)
}

/// What a client with these options gets over gRPC.
async fn status(router: Router, tls: TlsOptions) -> Result<String, Error> {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("https://localhost:{}", incoming.local_addr().unwrap().port());
    let connection = Connection::new(Options { tls, ..Options::new(url) })?;
    let management = connection.management();
    let ask = tokio::time::timeout(PATIENCE, management.status());
    tokio::select! {
        biased;
        status = ask => status.expect("the test ends in time").map(|status| status.node),
        served = router.serve_with_incoming(incoming) => panic!("the server ended: {served:?}"),
    }
}

fn trusting(ca: Pem) -> TlsOptions {
    TlsOptions { ca: Some(ca), identity: None }
}

fn identity((chain, key): (String, String)) -> Option<(Pem, Pem)> {
    Some((Pem::Bytes(chain.into_bytes()), Pem::Bytes(key.into_bytes())))
}

#[tokio::test]
async fn only_the_given_authority_is_trusted() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    assert_eq!(status(router(&authority, None), trusting(authority.pem())).await, Ok("a".to_owned()));
    let error = status(router(&authority, None), trusting(other.pem())).await.unwrap_err();
    assert!(matches!(&error, Error::Connect { reason, .. } if reason.contains("UnknownIssuer")), "{error:?}");
    // Those of the operating system, if it has any.
    assert!(status(router(&authority, None), TlsOptions::default()).await.is_err());
}

#[tokio::test]
async fn a_server_that_asks_who_we_are_is_shown_it() {
    let (authority, clients) = (Authority::new("ours"), Authority::new("clients"));
    let server = || router(&authority, Some(&clients));
    let known = identity(clients.sign("client", ExtendedKeyUsagePurpose::ClientAuth));
    let unknown = identity(authority.sign("client", ExtendedKeyUsagePurpose::ClientAuth));
    let tls = |identity| TlsOptions { ca: Some(authority.pem()), identity };
    assert_eq!(status(server(), tls(known)).await, Ok("a".to_owned()));
    for identity in [None, unknown] {
        assert!(status(server(), tls(identity)).await.is_err());
    }
}

/// What a server over HTTP does with its certificate, and with the clients' authority that it asks for.
fn acceptor(authority: &Authority, clients: &Authority) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (chain, key) = authority.sign("localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(clients.0.pem().as_bytes()).unwrap()).unwrap();
    let asks = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(asks)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        );
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

#[tokio::test]
async fn http_trusts_and_shows_the_same() {
    let (authority, clients) = (Authority::new("ours"), Authority::new("clients"));
    let known = || identity(clients.sign("client", ExtendedKeyUsagePurpose::ClientAuth));
    let tls = |identity| TlsOptions { ca: Some(authority.pem()), identity };
    let acceptor = acceptor(&authority, &clients);
    let options =
        [(tls(known()), true), (tls(None), false), (TlsOptions { ca: Some(clients.pem()), identity: known() }, false)];
    for (tls, works) in options {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let connection = Connection::new(Options { tls, ..Options::new(url) }).unwrap();
        let serve = async {
            let (socket, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(socket).await {
                let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                assert!(stream.read(&mut [0; 1_000]).await.unwrap() > 0);
                stream.write_all(answer).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        };
        let both = futures::future::join(connection.request(Method::GET, "/ping").send(), serve);
        let (answer, ()) = tokio::time::timeout(PATIENCE, both).await.expect("the test ends in time");
        assert_eq!(answer.is_ok(), works, "{answer:?}");
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_before_anything_is_sent() {
    let authority = Authority::new("ours");
    let (chain, _) = authority.sign("client", ExtendedKeyUsagePurpose::ClientAuth);
    let tls = TlsOptions { ca: Some(authority.pem()), identity: identity((chain, "no key".to_owned())) };
    let error = Connection::new(Options { tls, ..Options::new("https://h") }).unwrap_err();
    assert!(matches!(&error, Error::Usage(message) if message.contains("certificate and key")), "{error:?}");
}
