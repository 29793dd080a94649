//! The manifest of a backup: lines of text, so that it can be read without any tool.
//!
//! ```text
//! ochre-backup 1
//! id 20261122T172409123Z-1a2b3c4d
//! node a
//! epoch 7
//! begun 1795368249123
//! ended 1795368251001
//! complete yes
//! node-catalog revision=12 size=345 digest=0011aabb
//! database revision=40 chunks=3 rows=1200 bytes=45678 size=999 digest=0011aabb name=telegraf%2Fautogen
//! end 5d0c9f11
//! ```
//! Names are percent-encoded. The last line has the digest of all bytes before it.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime};
use ochre_store::object::verified::checksums;
use ochre_types::{DatabaseName, Epoch, NodeId};

use super::BackupError;

/// The first line.
const HEAD: &str = "ochre-backup 1";

/// The identity of a backup: when it was begun, and a random number. Ids sort as times do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupId {
    /// When, in milliseconds since 1970-01-01 UTC, by the clock of whoever made it.
    pub begun_millis: u64,
    /// Drawn for this backup.
    pub nonce: u32,
}

/// The time in the text of an id.
const TIME: &str = "%Y%m%dT%H%M%S%3fZ";

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = i64::try_from(self.begun_millis).ok().and_then(DateTime::from_timestamp_millis).unwrap_or_default();
        write!(f, "{}-{:08x}", time.format(TIME), self.nonce)
    }
}

impl FromStr for BackupId {
    type Err = BackupError;

    fn from_str(text: &str) -> Result<Self, BackupError> {
        let id = text.rsplit_once('-').and_then(|(time, nonce)| {
            let time = NaiveDateTime::parse_from_str(time, TIME).ok()?;
            let begun_millis = u64::try_from(time.and_utc().timestamp_millis()).ok()?;
            Some(Self { begun_millis, nonce: u32::from_str_radix(nonce, 16).ok()? })
        });
        // One id has one text.
        id.filter(|id| id.to_string() == text).ok_or_else(|| BackupError::BadId(text.to_owned()))
    }
}

/// An object that a manifest names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The revision of the catalog that it is a copy of.
    pub revision: u64,
    /// Its bytes.
    pub size: u64,
    /// The digest of its checksums.
    pub digest: u32,
}

/// A database in a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabasePart {
    /// Its name.
    pub name: DatabaseName,
    /// Its catalog.
    pub catalog: Part,
    /// Chunks.
    pub chunks: u64,
    /// Rows in them, counting versions of one key apart.
    pub rows: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

/// What a backup consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its identity.
    pub id: BackupId,
    /// The node that it is of.
    pub node: NodeId,
    /// The epoch under which that node was held.
    pub epoch: Epoch,
    /// When it was finished, in milliseconds since 1970-01-01 UTC.
    pub ended_millis: u64,
    /// Whether everything is in it that was acknowledged when it was begun. Not so if it was made without the server:
    /// what only the log held is missing then.
    pub complete: bool,
    /// The node's catalog.
    pub node_catalog: Part,
    /// Its databases, by name.
    pub databases: Vec<DatabasePart>,
}

impl Manifest {
    /// The bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.databases.iter().map(|database| database.bytes).sum()
    }

    /// Rows in all files, counting versions of one key apart.
    pub fn rows(&self) -> u64 {
        self.databases.iter().map(|database| database.rows).sum()
    }

    pub(super) fn write(&self) -> String {
        let Self { id, node, epoch, ended_millis, complete, node_catalog, databases } = self;
        let node = percent(node.as_str());
        let complete = if *complete { "yes" } else { "no" };
        let mut text = format!(
            "{HEAD}\nid {id}\nnode {node}\nepoch {epoch}\nbegun {}\nended {ended_millis}\ncomplete {complete}\n",
            id.begun_millis
        );
        let part = |part: &Part| format!("size={} digest={:08x}", part.size, part.digest);
        text.push_str(&format!("node-catalog revision={} {}\n", node_catalog.revision, part(node_catalog)));
        for DatabasePart { name, catalog, chunks, rows, bytes } in databases {
            let counts = format!("revision={} chunks={chunks} rows={rows} bytes={bytes}", catalog.revision);
            text.push_str(&format!("database {counts} {} name={}\n", part(catalog), percent(name.as_str())));
        }
        let end = sum(&text);
        text.push_str(&format!("end {end:08x}\n"));
        text
    }

    /// The inverse of `write`; or what is wrong with the text.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is no text".to_owned())?;
        if text.lines().next() != Some(HEAD) {
            let first = text.lines().next().unwrap_or_default().chars().take(40).collect::<String>();
            return Err(format!("it begins with {first:?} instead of {HEAD:?}: use a newer release to read it"));
        }
        let end = text.rfind("end ").ok_or("it has no last line")?;
        if text[end..] != format!("end {:08x}\n", sum(&text[..end])) {
            return Err("it does not match its checksum".to_owned());
        }
        let mut lines = text[..end].lines().skip(1);
        let mut line = |key: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(key)?.strip_prefix(' '));
            line.ok_or_else(|| format!("the line of {key} is missing"))
        };
        let id: BackupId = line("id")?.parse().map_err(|error: BackupError| error.to_string())?;
        let node = unpercent(line("node")?).and_then(|name| NodeId::new(&name).ok()).ok_or("its node has no name")?;
        let epoch = Epoch(number(line("epoch")?)?);
        line("begun")?;
        let ended_millis = number(line("ended")?)?;
        let complete = line("complete")? == "yes";
        let node_catalog = Fields(line("node-catalog")?).part()?;
        let databases = lines.map(database).collect::<Result<_, _>>()?;
        Ok(Self { id, node, epoch, ended_millis, complete, node_catalog, databases })
    }
}

fn database(line: &str) -> Result<DatabasePart, String> {
    let fields = Fields(line.strip_prefix("database ").ok_or_else(|| format!("it has an unknown line {line:?}"))?);
    let name = unpercent(fields.get("name")?).and_then(|name| DatabaseName::new(&name).ok());
    Ok(DatabasePart {
        name: name.ok_or("a database has no name")?,
        catalog: fields.part()?,
        chunks: number(fields.get("chunks")?)?,
        rows: number(fields.get("rows")?)?,
        bytes: number(fields.get("bytes")?)?,
    })
}

/// `key=value` and so on.
struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    fn get(&self, key: &str) -> Result<&'a str, String> {
        let mut words = self.0.split(' ').filter_map(|word| word.split_once('='));
        words.find(|(name, _)| *name == key).map(|(_, value)| value).ok_or_else(|| format!("{key} is missing"))
    }

    fn part(&self) -> Result<Part, String> {
        let digest = self.get("digest")?;
        let digest = u32::from_str_radix(digest, 16).map_err(|_| format!("{digest:?} is no digest"))?;
        Ok(Part { revision: number(self.get("revision")?)?, size: number(self.get("size")?)?, digest })
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn sum(text: &str) -> u32 {
    super::layout::digest(&checksums(text.as_bytes()))
}

/// A name without blanks and lines, reversibly, however long it is.
fn percent(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn unpercent(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let plain = if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        };
        bytes.push(plain);
    }
    String::from_utf8(bytes).ok()
}
