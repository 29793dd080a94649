//! A server of the real binary, in a directory of its own, on a port of its own.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use rustix::process::{Pid, Signal};

/// The binary under test.
pub const OCHRE: &str = env!("CARGO_BIN_EXE_ochre");

/// How long a server may take to end.
const END: Duration = Duration::from_secs(60);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(10);

/// A server that is to be started.
#[derive(Debug, Clone)]
pub struct Start {
    data_dir: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    with_tokens: bool,
    memory: String,
    subcommand: &'static str,
}

impl Start {
    /// A server whose log and objects are in `data_dir`, and which serves everybody.
    pub fn in_dir(data_dir: &Path) -> Self {
        let memory = "512MiB".to_owned();
        Self {
            data_dir: data_dir.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            with_tokens: false,
            memory,
            subcommand: "serve",
        }
    }

    /// Starts it by another command than `serve`.
    pub fn subcommand(self, subcommand: &'static str) -> Self {
        Self { subcommand, ..self }
    }

    /// Gives it another memory budget than 512 MiB.
    pub fn memory(mut self, limit: &str) -> Self {
        self.memory = limit.to_owned();
        self
    }

    /// Lets it ask for tokens, as it does unless told otherwise.
    pub fn with_tokens(mut self) -> Self {
        self.with_tokens = true;
        self
    }

    /// Adds arguments to its command line.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(OCHRE);
        clean(&mut command);
        command.args([
            self.subcommand,
            "--listen",
            "127.0.0.1:0",
            "--node-id",
            "a",
            "--memory",
            &self.memory,
            "--data-dir",
        ]);
        command.arg(&self.data_dir).args((!self.with_tokens).then_some("--without-auth"));
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it, and waits until it is ready.
    pub fn start(self) -> Server {
        match self.clone().try_start() {
            Ok(server) => server,
            Err(output) => panic!("the server did not start: {output:?}"),
        }
    }

    /// Starts it; fails with its status and standard error if it ends before it is ready.
    pub fn try_start(self) -> Result<Server, (ExitStatus, String)> {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let stderr_path = dir.path().join("stderr");
        let stderr = OpenOptions::new().create(true).append(true).open(&stderr_path).expect("a file can be made there");
        let mut child =
            self.command().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().expect("the binary runs");
        let stdout = child.stdout.take().expect("it was asked for");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("its output is text");
        let ready = line.strip_prefix("ready node=").and_then(|rest| rest.trim_end().split_once(" listen="));
        match ready {
            Some((node, address)) => {
                let address = address.parse().expect("the ready line has an address");
                Ok(Server { child, node: node.to_owned(), address, stderr_path, _dir: dir, start: self })
            }
            None => {
                let status = child.wait().expect("it can be waited for");
                Err((status, std::fs::read_to_string(&stderr_path).unwrap_or_default()))
            }
        }
    }
}

/// No setting of whoever runs the tests may reach the binary.
fn clean(command: &mut Command) {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OCHRE_")) {
        command.env_remove(name);
    }
    command.env("NO_PROXY", "127.0.0.1");
}

/// Runs the binary as a client, and returns what it said.
pub fn ochre(args: &[&str]) -> Output {
    let mut command = Command::new(OCHRE);
    clean(&mut command);
    command.args(args).stdin(Stdio::null()).output().expect("the binary runs")
}

/// The same with something on its standard input.
pub fn ochre_with_input(args: &[&str], input: &str) -> Output {
    use std::io::Write;
    let mut command = Command::new(OCHRE);
    clean(&mut command);
    let mut child = (command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn())
        .expect("the binary runs");
    child.stdin.take().expect("it was asked for").write_all(input.as_bytes()).expect("it reads its input");
    child.wait_with_output().expect("it can be waited for")
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// The node id of the ready line.
    pub node: String,
    /// The address of the ready line.
    pub address: SocketAddr,
    stderr_path: PathBuf,
    _dir: tempfile::TempDir,
    start: Start,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header as text; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers are text"))
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Server {
    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends a request.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response =
            request.send().await.unwrap_or_else(|error| panic!("{error:?}\n{}\n{}", self.state(), self.logs()));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.expect("the answer has an end").to_vec();
        Answer { status, headers, body }
    }

    /// Sends a POST with a body.
    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(client().post(self.url(path)).body(body)).await
    }

    /// Sends a GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(client().get(self.url(path))).await
    }

    /// Asks for rows in SQL; panics unless there is an answer.
    pub async fn sql(&self, database: &str, sql: &str) -> serde_json::Value {
        let ask = serde_json::json!({ "db": database, "q": sql, "format": "json" });
        let answer = self.post("/api/v3/query_sql", ask.to_string()).await;
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
        answer.json()
    }

    /// What it has written to standard error so far.
    pub fn logs(&self) -> String {
        std::fs::read_to_string(&self.stderr_path).unwrap_or_default()
    }

    /// The token that it made for its operators at its first start.
    pub fn operator_token(&self) -> String {
        let path = self.start.data_dir.join("admin.token");
        std::fs::read_to_string(path).expect("the token file is there").trim_end().to_owned()
    }

    /// Whether its object store has the object.
    pub fn has_object(&self, object: &str) -> bool {
        self.start.data_dir.join("objects").join(object).is_file()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the system says of its process, where it says so in files.
    fn state(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        status.lines().find(|line| line.starts_with("State:")).unwrap_or("State: unknown").to_owned()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process has an id");
        rustix::process::kill_process(pid, signal).expect("it is there");
    }

    /// Kills it as a crash would.
    pub fn kill(&mut self) {
        // It may have ended by itself; that is for the caller to find out.
        let _ = self.child.kill();
        self.child.wait().expect("it can be waited for");
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let begun = now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(begun.elapsed() < END, "the server did not end:\n{}", self.logs());
            pause(LOOK);
        }
    }

    /// Stops it as an operator does, and returns how it ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// How it was started, to start it again.
    pub fn again(&self) -> Start {
        self.start.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Tests take the time themselves: a process of its own has no clock to inject.
#[allow(clippy::disallowed_methods, reason = "a real process is waited for")]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits for a real process.
#[allow(clippy::disallowed_methods, reason = "a real process is waited for")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A client that no proxy of the environment comes between.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("the defaults can be built")
}

/// A directory for a server.
pub fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}
