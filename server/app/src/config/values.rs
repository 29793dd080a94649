//! How the text of a setting becomes its value.

use std::fmt::Display;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use ochre_types::rules::Ack;
use ochre_types::{ByteSize, NodeId};

use super::sources::{Origin, Sources};
use super::{Config, ConfigError};

/// A value that can be read from text.
pub trait Value: Sized {
    /// Reads it, or says what would be right.
    fn read(text: &str) -> Result<Self, String>;
}

/// Where the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogHomeKind {
    /// In files of the data directory.
    Disk,
    /// In memory only.
    Memory,
    /// In the object store.
    ObjectStore,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A size, or a share of the machine's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemorySize(ByteSize);

impl MemorySize {
    /// With less than this a server can't work.
    pub const LEAST: ByteSize = ByteSize::mib(128);

    /// The size in bytes.
    pub fn bytes(self) -> ByteSize {
        self.0
    }
}

impl Value for MemorySize {
    fn read(text: &str) -> Result<Self, String> {
        match text.strip_suffix('%') {
            None => ByteSize::read(text).map(Self),
            Some(share) => match share.trim().parse::<u64>() {
                Ok(percent @ 1..=100) => Ok(Self(ByteSize(crate::machine::memory().0 / 100 * percent))),
                _ => {
                    Err("not a share of the memory: write a number from 1% to 100%, or a size such as 4GiB".to_owned())
                }
            },
        }
    }
}

/// A share of something, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(pub u8);

impl Value for Percent {
    fn read(text: &str) -> Result<Self, String> {
        match text.strip_suffix('%').unwrap_or(text).trim().parse::<u8>() {
            Ok(percent @ 1..=99) => Ok(Self(percent)),
            _ => Err("not a share: write a number from 1% to 99%".to_owned()),
        }
    }
}

impl Value for ByteSize {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(said)
    }
}

impl Value for Duration {
    fn read(text: &str) -> Result<Self, String> {
        ochre_types::size::parse_duration(text).map_err(said)
    }
}

impl Value for NodeId {
    fn read(text: &str) -> Result<Self, String> {
        Self::new(text).map_err(said)
    }
}

impl Value for String {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

/// The URL of an object store or of the service that has it. Secrets in it are refused, and not repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// Its text; empty if none was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for StoreUrl {
    fn read(text: &str) -> Result<Self, String> {
        if ochre_store::object::redact(text) == text {
            return Ok(Self(text.to_owned()));
        }
        Err("a user, a password or a query is in it: credentials come from the environment (AWS_*, GOOGLE_*, \
             AZURE_*) or from the file of storage.object-store-credentials-file"
            .to_owned())
    }
}

impl Value for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("no path: name a directory".to_owned()) } else { Ok(text.into()) }
    }
}

impl Value for Option<PathBuf> {
    fn read(text: &str) -> Result<Self, String> {
        Ok((!text.is_empty()).then(|| text.into()))
    }
}

impl Value for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        let wrong = "not an address with a port: write such as 127.0.0.1:8086, [::1]:8086 or localhost:8086";
        match text.to_socket_addrs() {
            Ok(mut addresses) => addresses.next().ok_or_else(|| wrong.to_owned()),
            Err(_) => Err(wrong.to_owned()),
        }
    }
}

impl Value for bool {
    fn read(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" | "on" => Ok(true),
            "false" | "no" | "0" | "off" | "" => Ok(false),
            _ => Err("neither true nor false".to_owned()),
        }
    }
}

impl Value for u64 {
    fn read(text: &str) -> Result<Self, String> {
        text.replace('_', "").parse().map_err(|_| "not a whole number".to_owned())
    }
}

impl Value for usize {
    fn read(text: &str) -> Result<Self, String> {
        u64::read(text).and_then(|n| Self::try_from(n).map_err(said))
    }
}

impl Value for Ack {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "durable" => Ok(Self::Durable),
            "accepted" => Ok(Self::Accepted),
            _ => Err("neither durable nor accepted".to_owned()),
        }
    }
}

impl Value for LogHomeKind {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "disk" => Ok(Self::Disk),
            "memory" => Ok(Self::Memory),
            "object-store" => Ok(Self::ObjectStore),
            _ => Err("none of disk, object-store and memory".to_owned()),
        }
    }
}

impl Value for LogFormat {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("neither text nor json".to_owned()),
        }
    }
}

fn said(error: impl Display) -> String {
    error.to_string()
}

/// Reads settings and collects what is wrong.
pub struct Reader<'a> {
    sources: &'a Sources,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// A reader of `sources`, whose own problems come first.
    pub fn new(sources: &'a Sources) -> Self {
        Self { sources, problems: sources.problems.clone() }
    }

    /// The value of a setting. Where its text is wrong, that is noted and the default taken.
    pub fn read<T: Value>(&mut self, flag: &str, default: &str) -> T {
        let (text, origin) = match self.sources.given(flag) {
            Some((text, origin)) => (text, origin),
            None => (default, Origin::Default),
        };
        match T::read(text) {
            Ok(value) => value,
            Err(reason) => {
                // Whoever gives a URL with a secret must not find it in the log.
                let text = if text.contains("://") { ochre_store::object::redact(text) } else { text.to_owned() };
                self.problems.push(format!("{origin} is {text:?}: {reason}"));
                match T::read(default) {
                    Ok(value) => value,
                    Err(reason) => unreachable!("the default {default:?} of --{flag} can't be read: {reason}"),
                }
            }
        }
    }

    /// The configuration, if nothing was wrong.
    pub fn finish(mut self, config: Config) -> Result<Config, ConfigError> {
        if self.problems.is_empty() {
            self.problems = config.contradictions();
        }
        if self.problems.is_empty() { Ok(config) } else { Err(ConfigError { problems: self.problems }) }
    }
}
