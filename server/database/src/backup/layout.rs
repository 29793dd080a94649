//! The names of objects of backups.

use object_store::path::Path;
use ochre_store::catalog::ChunkMeta;
use ochre_store::object::Layout;
use ochre_store::object::verified::checksums;
use ochre_types::DatabaseName;
use ochre_types::path::encode_element;

use super::BackupId;

/// The folder of manifests.
pub(super) fn backups() -> Path {
    Path::from("backup")
}

/// The folder of one backup.
pub(super) fn backup(id: BackupId) -> Path {
    path(format!("backup/{id}"))
}

/// A backup's manifest.
pub(super) fn manifest(id: BackupId) -> Path {
    path(format!("backup/{id}/manifest"))
}

/// The node's catalog in a backup.
pub(super) fn node(id: BackupId) -> Path {
    path(format!("backup/{id}/node.pb"))
}

/// A database's catalog in a backup.
pub(super) fn database(id: BackupId, database: &DatabaseName) -> Path {
    path(format!("backup/{id}/database/{}.pb", encode_element(database.as_str())))
}

/// The folder of files.
pub(super) fn files() -> Path {
    Path::from("file")
}

/// The file of a chunk whose checksums are known.
pub(super) fn file(chunk: &ChunkMeta) -> Path {
    path(format!("file/{}/{}-{:08x}.parquet", chunk.id.incarnation, chunk.id, digest(&chunk.checksums)))
}

/// The folder of marks.
pub(super) fn marks() -> Path {
    Path::from("mark")
}

/// The note on a node's prefix that says that it is being restored. A database may be called `restore`: its folder
/// then holds folders only, and ours this one object.
pub(crate) fn unfinished_note(layout: &Layout) -> Path {
    path(format!("{}/restore/unfinished", layout.node()))
}

/// One number of all checksums of an object.
pub(super) fn digest(sums: &[u32]) -> u32 {
    let bytes: Vec<u8> = sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
    checksums(&bytes).iter().fold(0, |digest: u32, sum| digest.rotate_left(1) ^ sum)
}

/// The digest of an object's bytes.
pub(super) fn digest_of(bytes: &[u8]) -> u32 {
    digest(&checksums(bytes))
}

fn path(text: String) -> Path {
    Path::parse(&text).expect("encoded elements and numbers are legal")
}
