//! Object stores as processes of this machine.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use object_store::aws::AmazonS3Builder;
use object_store::signer::Signer;
use ochre_env::Env;
use ochre_store::object::{Credentials, Opened, Policy, Settings, open_with};
use sha2::{Digest, Sha256};

/// The bucket or container of all tests.
pub const BUCKET: &str = "ochre-tests";
/// How long a store may take until it listens.
const UP: Duration = Duration::from_secs(30);
/// How often a store is started until it gets its port.
const STARTS: usize = 3;

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// S3 over files.
    Versitygw,
    /// S3.
    Minio,
    /// Google's protocol.
    Gcs,
    /// Microsoft's protocol.
    Azure,
}

/// Who the tests are.
pub const USER: &str = "ochre-test-user";
/// No test may print it.
pub const SECRET: &str = "canary-Zm9vYmFy-0123456789";
/// The development account that azurite always has.
const AZURE_ACCOUNT: &str = "devstoreaccount1";
/// Its well-known key, which is no secret.
const AZURE_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// An account that needs no token.
const GCS_ACCOUNT: &str = r#"{"disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}"#;

impl Kind {
    fn variable(self) -> &'static str {
        match self {
            Self::Versitygw => "OCHRE_OBJECTS_VERSITYGW",
            Self::Minio => "OCHRE_OBJECTS_MINIO",
            Self::Gcs => "OCHRE_OBJECTS_GCS",
            Self::Azure => "OCHRE_OBJECTS_AZURE",
        }
    }

    /// The program, if the tests are to use it. Panics where it is needed and not named.
    fn program(self) -> Option<PathBuf> {
        let variable = self.variable();
        if let Some(program) = std::env::var_os(variable) {
            return Some(program.into());
        }
        let quick = std::env::var("OCHRE_TEST_TIER").is_ok_and(|tier| tier == "quick");
        assert!(
            quick || self != Self::Versitygw,
            "{variable} is not set: run ./dev test, or export {variable}=$(./dev objects-server versitygw), which needs \
             Go; OCHRE_TEST_TIER=quick leaves this test out"
        );
        // Not `eprintln!`, which only failing tests show.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {self:?}: {variable} names no program; ./dev objects runs this");
        None
    }
}

/// A running store with an empty bucket. Killed when dropped.
pub struct Store {
    kind: Kind,
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Store {
    /// Starts one; `None` if this run has no program for it.
    pub async fn start(kind: Kind) -> Option<Self> {
        let program = kind.program()?;
        for _ in 0..STARTS {
            if let Some(store) = Self::try_start(kind, &program) {
                store.make_bucket().await;
                return Some(store);
            }
        }
        panic!("{} did not listen", program.display());
    }

    /// Another program may take the port in between: then it is tried again.
    fn try_start(kind: Kind, program: &Path) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = command(kind, program, address, dir.path());
        let said = std::fs::File::create(dir.path().join("said")).unwrap();
        command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said).current_dir(dir.path());
        let child = command.spawn().unwrap_or_else(|error| panic!("{} does not run: {error}", program.display()));
        let mut store = Self { kind, child, address, _dir: dir };
        let begun = Instant::now();
        while begun.elapsed() < UP && store.child.try_wait().unwrap().is_none() {
            if TcpStream::connect(address).is_ok() {
                return Some(store);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// The URL of a folder of the bucket.
    pub fn url(&self, prefix: &str) -> String {
        let scheme = match self.kind {
            Kind::Versitygw | Kind::Minio => "s3",
            Kind::Gcs => "gs",
            Kind::Azure => "az",
        };
        format!("{scheme}://{BUCKET}/{prefix}")
    }

    /// The service's own URL.
    pub fn endpoint(&self) -> String {
        self.endpoint_at(self.address)
    }

    /// The same as reached through another address.
    pub fn endpoint_at(&self, address: SocketAddr) -> String {
        match self.kind {
            Kind::Azure => format!("http://{address}/{AZURE_ACCOUNT}"),
            _ => format!("http://{address}"),
        }
    }

    /// Names and values that say who asks.
    pub fn credentials(&self) -> Vec<(&'static str, &'static str)> {
        match self.kind {
            Kind::Versitygw | Kind::Minio => vec![("AWS_ACCESS_KEY_ID", USER), ("AWS_SECRET_ACCESS_KEY", SECRET)],
            Kind::Gcs => vec![("GOOGLE_SERVICE_ACCOUNT_KEY", GCS_ACCOUNT)],
            Kind::Azure => {
                vec![("AZURE_STORAGE_ACCOUNT_NAME", AZURE_ACCOUNT), ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY)]
            }
        }
    }

    /// The same as a file.
    pub fn credentials_file(&self, path: &Path) {
        let lines: String =
            self.credentials().iter().map(|(name, value)| format!("{} = {value}\n", name.to_lowercase())).collect();
        std::fs::write(path, format!("[default]\n{lines}")).unwrap();
    }

    /// A folder of the bucket through Ochre's own client.
    pub async fn open(&self, prefix: &str) -> Opened {
        self.open_at(self.address, prefix, Policy::default()).await
    }

    /// The same through another address, as patient as told.
    pub async fn open_at(&self, address: SocketAddr, prefix: &str, policy: Policy) -> Opened {
        let pairs = self.credentials().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings {
            endpoint: Some(self.endpoint_at(address)),
            credentials: pairs.collect::<Credentials>(),
            policy,
            ..Settings::default()
        };
        open_with(&self.url(prefix), &settings, &Env::system()).await.unwrap()
    }

    async fn make_bucket(&self) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = match self.kind {
            Kind::Versitygw | Kind::Minio => {
                let s3 = AmazonS3Builder::new().with_bucket_name(BUCKET).with_endpoint(self.endpoint());
                let s3 =
                    s3.with_access_key_id(USER).with_secret_access_key(SECRET).with_allow_http(true).build().unwrap();
                let bucket = object_store::path::Path::default();
                client.put(s3.signed_url(http::Method::PUT, &bucket, Duration::from_secs(60)).await.unwrap())
            }
            Kind::Gcs => {
                let url = format!("http://{}/storage/v1/b?project=test", self.address);
                client.post(url).json(&serde_json::json!({ "name": BUCKET }))
            }
            Kind::Azure => azure_container(&client, &self.endpoint()),
        };
        let answer = request.send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success(), "making the bucket of {:?}: {status} {}", self.kind, answer.text().await.unwrap());
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(kind: Kind, program: &Path, address: SocketAddr, dir: &Path) -> Command {
    let objects = dir.join("objects");
    std::fs::create_dir(&objects).unwrap();
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let mut command = Command::new(program);
    match kind {
        Kind::Versitygw => {
            command.env("ROOT_ACCESS_KEY", USER).env("ROOT_SECRET_KEY", SECRET);
            command.args(["--port", &address.to_string(), "posix"]).arg(objects);
        }
        Kind::Minio => {
            command.env("MINIO_ROOT_USER", USER).env("MINIO_ROOT_PASSWORD", SECRET).env("MINIO_BROWSER", "off");
            command.args(["server", "--address", &address.to_string()]).arg(objects);
        }
        Kind::Gcs => {
            command.args(["-scheme", "http", "-host", &host, "-port", &port, "-backend", "memory"]);
            command.args(["-public-host", &address.to_string()]);
        }
        Kind::Azure => {
            command.args(["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--inMemoryPersistence"]);
            command.args(["--blobHost", &host, "--blobPort", &port]);
        }
    }
    command
}

/// The signed request that makes the container.
fn azure_container(client: &reqwest::Client, endpoint: &str) -> reqwest::RequestBuilder {
    let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let (version, resource) = ("2021-08-06", format!("/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{BUCKET}\nrestype:container"));
    let text = format!("PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n{resource}");
    let key = BASE64_STANDARD.decode(AZURE_KEY).unwrap();
    let signature = BASE64_STANDARD.encode(hmac_sha256(&key, text.as_bytes()));
    client
        .put(format!("{endpoint}/{BUCKET}?restype=container"))
        .header("x-ms-date", date)
        .header("x-ms-version", version)
        .header("content-length", "0")
        .header("authorization", format!("SharedKey {AZURE_ACCOUNT}:{signature}"))
}

/// RFC 2104 over SHA-256.
fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    assert!(key.len() <= 64);
    let pad = |with: u8| -> [u8; 64] { std::array::from_fn(|at| key.get(at).copied().unwrap_or(0) ^ with) };
    let inner: [u8; 32] = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize().into();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}
