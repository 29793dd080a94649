//! TLS and mutual TLS: who can speak to the port, and in which version of HTTP.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;

use super::server::{Server, Start, dir, ochre};

/// A certificate authority of the test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn sign(&self, name: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

#[allow(clippy::disallowed_methods, reason = "a test writes its own input")]
fn file(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// A server with a certificate of `ca`; with `clients`, it demands one that this authority has signed.
fn start(dir: &Path, ca: &Authority, clients: Option<&Authority>) -> Server {
    let pair = ca.sign("localhost");
    let certificate = file(dir, "server.pem", &pair.certificate);
    let key = file(dir, "server.key", &pair.key);
    let mut args = vec!["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let ca_file = clients.map(|clients| file(dir, "clients.pem", &clients.0.pem()));
    if let Some(path) = &ca_file {
        args.extend(["--tls-client-ca", path.to_str().unwrap()]);
    }
    Start::in_dir(&dir.join("data")).args(&args).start()
}

/// A client that trusts `ca` alone, and shows `identity`.
fn client(ca: &Authority, identity: Option<&Pair>) -> reqwest::Client {
    let root = reqwest::Certificate::from_pem(ca.0.pem().as_bytes()).unwrap();
    let builder = reqwest::Client::builder().no_proxy().tls_built_in_root_certs(false).add_root_certificate(root);
    match identity {
        None => builder.build().unwrap(),
        Some(pair) => {
            let pem = format!("{}{}", pair.certificate, pair.key);
            builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap()).build().unwrap()
        }
    }
}

fn url(server: &Server, path: &str) -> String {
    format!("https://localhost:{}{path}", server.address.port())
}

/// Writes a row and asks for it; the reason if the server can't be spoken to.
async fn round_trip(server: &Server, client: &reqwest::Client) -> Result<serde_json::Value, reqwest::Error> {
    let wrote = client.post(url(server, "/api/v3/write_lp?db=mine")).body("cpu v=1 1\n").send().await?;
    assert_eq!(wrote.status().as_u16(), 204);
    client.get(url(server, "/api/v3/query_sql?db=mine&q=SELECT+v+FROM+cpu")).send().await?.json().await
}

#[tokio::test]
async fn whoever_trusts_the_authority_is_served_and_nobody_else() {
    let (dir, ours, others) = (dir(), Authority::new("ours"), Authority::new("others"));
    let server = start(dir.path(), &ours, None);
    assert_eq!(round_trip(&server, &client(&ours, None)).await.unwrap(), json!([{ "v": 1.0 }]));
    let error = round_trip(&server, &client(&others, None)).await.unwrap_err();
    assert!(error.is_connect() && format!("{error:?}").contains("UnknownIssuer"), "{error:?}");
    let plain = reqwest::Client::builder().no_proxy().build().unwrap();
    plain.get(server.url("/ping")).send().await.unwrap_err();
    let metrics = client(&ours, None).get(url(&server, "/metrics")).send().await.unwrap().text().await.unwrap();
    let failed = metrics.lines().find_map(|line| line.strip_prefix("ochre_http_failed_handshakes_total "));
    assert_eq!(failed, Some("2"), "{metrics}");
}

#[tokio::test]
async fn with_a_client_authority_its_certificates_are_demanded() {
    let dir = dir();
    let (ours, clients, others) = (Authority::new("ours"), Authority::new("clients"), Authority::new("others"));
    let server = start(dir.path(), &ours, Some(&clients));
    let (good, bad) = (clients.sign("agent-7"), others.sign("agent-7"));
    assert_eq!(round_trip(&server, &client(&ours, Some(&good))).await.unwrap(), json!([{ "v": 1.0 }]));
    round_trip(&server, &client(&ours, Some(&bad))).await.unwrap_err();
    round_trip(&server, &client(&ours, None)).await.unwrap_err();
}

/// Shakes hands offering `protocols`, and returns what was agreed on with the connection.
async fn shake_hands(
    server: &Server,
    ca: &Authority,
    protocols: &[&[u8]],
) -> std::io::Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.0.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = tokio::net::TcpStream::connect(server.address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn the_version_of_http_is_agreed_on_in_the_handshake() {
    let (dir, ours) = (dir(), Authority::new("ours"));
    let server = start(dir.path(), &ours, None);
    for (offered, agreed) in [
        (vec![b"http/1.1".as_slice()], Some(b"http/1.1".as_slice())),
        (vec![b"http/1.1".as_slice(), b"h2"], Some(b"h2")),
        (vec![], None),
    ] {
        let stream = shake_hands(&server, &ours, &offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
    }
    shake_hands(&server, &ours, &[b"spdy"]).await.unwrap_err();

    let stream = shake_hands(&server, &ours, &[b"h2"]).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let request = http::Request::get(url(&server, "/health")).body(Empty::<Bytes>::new()).unwrap();
    let asked = async {
        let response = sender.send_request(request).await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
        response.into_body().collect().await.unwrap().to_bytes()
    };
    let body = tokio::select! {
        biased;
        body = asked => body,
        ended = connection => panic!("the connection ended before its answer: {ended:?}"),
    };
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["status"], "pass");
}

#[tokio::test]
async fn a_client_that_does_not_shake_hands_keeps_nobody_waiting() {
    use tokio::io::AsyncReadExt;

    let (dir, ours) = (dir(), Authority::new("ours"));
    let server = start(dir.path(), &ours, None);
    let again = server.again().args(&["--read-timeout", "1s"]);
    drop(server);
    let server = again.start();
    let mut silent = tokio::net::TcpStream::connect(server.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut silent, &[0x16, 0x03, 0x01]).await.unwrap();
    assert_eq!(round_trip(&server, &client(&ours, None)).await.unwrap(), json!([{ "v": 1.0 }]));
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), silent.read(&mut [0; 16])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "the server has let it go: {ended:?}");
}

#[test]
fn files_that_can_not_be_used_end_the_start_with_their_names() {
    let (dir, ours) = (dir(), Authority::new("ours"));
    let pair = ours.sign("localhost");
    let certificate = file(dir.path(), "server.pem", &pair.certificate);
    let other = file(dir.path(), "other.key", &ours.sign("localhost").key);
    let data = dir.path().join("data");
    let with = |key: &Path| {
        let args = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
        let (status, said) = Start::in_dir(&data).args(&args).try_start().unwrap_err();
        (status.code(), said)
    };
    let (code, said) = with(&dir.path().join("nowhere.key"));
    assert_eq!(code, Some(1));
    assert!(said.contains("nowhere.key (--tls-key) can't be read: No such file"), "{said}");
    let (code, said) = with(&other);
    assert_eq!(code, Some(1));
    assert!(said.contains("other.key can't be used together"), "{said}");
}

#[tokio::test]
async fn the_command_line_shows_its_certificate_and_trusts_the_authority_it_is_told() {
    let dir = dir();
    let (ours, clients) = (Authority::new("ours"), Authority::new("clients"));
    let server = start(dir.path(), &ours, Some(&clients));
    let pair = clients.sign("agent-7");
    let path = |name: &str, text: &str| file(dir.path(), name, text).to_str().unwrap().to_owned();
    let (ca, cert, key) = (path("ca.pem", &ours.0.pem()), path("c.pem", &pair.certificate), path("c.key", &pair.key));
    let url = url(&server, "");
    let identity = ["--client-cert", &cert, "--client-key", &key];
    let run = |args: &[&str]| {
        let output = ochre(&[args, &["--host", &url]].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let trusted = [&["--ca", &ca][..], &identity].concat();
    let made = run(&[&["database", "create", "mine"], &trusted[..]].concat());
    assert_eq!(made, (0, "created database mine\n".to_owned(), String::new()));
    let lines = path("lines", "cpu v=1 1\n");
    let wrote = run(&[&["write", "--database", "mine", &lines], &trusted[..]].concat());
    assert_eq!(wrote, (0, "wrote 1 lines, 0 refused\n".to_owned(), String::new()));
    let asked = run(&[&["query", "--database", "mine", "--format", "csv", "SELECT v FROM cpu"], &trusted[..]].concat());
    assert_eq!(asked, (0, "v\n1.0\n".to_owned(), String::new()));

    let (code, _, said) = run(&["database", "list", "--ca", &ca]);
    assert_eq!(code, 1, "no certificate is shown: {said}");
    let (code, _, said) = run(&[&["database", "list"], &identity[..]].concat());
    assert!(code == 1 && said.contains("is the server running?"), "the system does not trust our authority: {said}");
    let (code, _, said) = run(&["database", "list", "--client-cert", &cert]);
    assert!(code == 2 && said.contains("--client-key"), "{said}");
}
