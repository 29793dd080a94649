//! How a store is reached.

use std::time::Duration;

use super::credentials::Credentials;

/// How a store is reached. What is not set is the service's own default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The URL of the service, where it is not its owner's.
    pub endpoint: Option<String>,
    /// The region of the bucket (S3).
    pub region: Option<String>,
    /// Whether the bucket is part of the host's name, not of the path (S3).
    pub virtual_host: bool,
    /// Whether requests may go unencrypted to another machine.
    pub allow_http: bool,
    /// Credentials, and what else variables and files say.
    pub credentials: Credentials,
    /// How patient we are with it.
    pub policy: Policy,
}

impl Settings {
    /// The defaults with what the environment says.
    pub fn environment() -> Self {
        Self { credentials: Credentials::environment(), ..Self::default() }
    }
}

/// How long and how often a store is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How often a request is sent at most, the first time included.
    pub attempts: u32,
    /// How long one request may take, and what it carries a second more for each MiB.
    pub timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// Requests under way at a time, of each of three kinds: those that write, those that read, and small ones.
    pub requests: usize,
}

impl Policy {
    /// The longest time limit of one request. With it, a request and its retries end within the time that
    /// [`super::create`] gives them.
    pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(25);

    /// For stores of this machine, which fail for good or not at all: one attempt without a limit.
    pub(super) const LOCAL: Self = Self {
        attempts: 1,
        timeout: Duration::MAX,
        connect_timeout: Duration::MAX,
        requests: tokio::sync::Semaphore::MAX_PERMITS,
    };

    /// Whether this is for stores of this machine.
    pub(super) fn is_local(&self) -> bool {
        self.timeout == Duration::MAX
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self { attempts: 5, timeout: Duration::from_secs(10), connect_timeout: Duration::from_secs(5), requests: 64 }
    }
}
