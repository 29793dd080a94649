//! The names of objects.

use object_store::path::Path;
use ochre_types::path::{encode_element, encode_key_element};
use ochre_types::{DatabaseName, Epoch, NodeId, TableName};

/// Names the objects of one node below one prefix.
///
/// ```text
/// <prefix>/<node>/epoch/<n>                            who owns this prefix since when
/// <prefix>/<node>/node/<revision>.pb                   the node's own catalog
/// <prefix>/<node>/log/<epoch>/<number>.seg             the log, where it lives in the object store
/// <prefix>/<node>/<database>/catalog/<revision>.pb     revisions and checkpoints of a database
/// <prefix>/<node>/<database>/data/<table>/<partition key>/<chunk id>.parquet
/// ```
/// Numbers in names have 20 digits, so that names sort as numbers do. A database may be called `epoch`, `node` or
/// `log`: its folder then holds folders only (`catalog`, `data`), and ours numbers only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    node: Path,
}

impl Layout {
    /// The objects of `node` below `prefix` (empty where the store itself begins at the prefix).
    pub fn new(prefix: &Path, node: &NodeId) -> Self {
        Self { node: below(prefix, &encode_element(node.as_str())) }
    }

    /// Everything of the node.
    pub fn node(&self) -> &Path {
        &self.node
    }

    /// The folder of epoch records.
    pub fn epochs(&self) -> Path {
        below(&self.node, "epoch")
    }

    /// One epoch's record.
    pub fn epoch(&self, epoch: Epoch) -> Path {
        below(&self.epochs(), &format!("{:020}", epoch.0))
    }

    /// The folder of the node catalog's revisions.
    pub fn node_catalog(&self) -> Path {
        below(&self.node, "node")
    }

    /// The folder of the log's epochs, where the log is in the object store.
    pub fn log(&self) -> Path {
        below(&self.node, "log")
    }

    /// Everything of a database.
    pub fn database(&self, database: &DatabaseName) -> Path {
        below(&self.node, &encode_element(database.as_str()))
    }

    /// The folder of a database catalog's revisions.
    pub fn catalog(&self, database: &DatabaseName) -> Path {
        below(&self.database(database), "catalog")
    }

    /// A chunk's object path below its database's folder, as the catalog records it. `partition_key` is the key's
    /// text, `chunk` the chunk's id. Of an existing chunk the catalog knows the path: it may be an older one.
    pub fn chunk(table: &TableName, partition_key: &str, chunk: &str) -> String {
        format!(
            "data/{}/{}/{}.parquet",
            encode_element(table.as_str()),
            encode_key_element(partition_key),
            encode_element(chunk)
        )
    }

    /// The whole path of an object that a database's catalog names by `object` (see [`Layout::chunk`]).
    pub fn object(&self, database: &DatabaseName, object: &str) -> Path {
        object.split('/').fold(self.database(database), |folder, element| below(&folder, element))
    }
}

/// `element` as a child of `folder`. Not `Path::join`, which would percent-encode what is encoded already.
fn below(folder: &Path, element: &str) -> Path {
    let text = if folder.as_ref().is_empty() { element.to_owned() } else { format!("{folder}/{element}") };
    Path::parse(&text).expect("encoded elements are legal: no separators, no dots alone, no control characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_as_documented() {
        let layout = Layout::new(&Path::from("team/ochre"), &NodeId::new("a").unwrap());
        assert_eq!(layout.epoch(Epoch(7)).as_ref(), "team/ochre/a/epoch/00000000000000000007");
        assert_eq!(layout.node_catalog().as_ref(), "team/ochre/a/node");
        let database = DatabaseName::new("telegraf/autogen").unwrap();
        assert_eq!(layout.catalog(&database).as_ref(), "team/ochre/a/telegraf%2Fautogen/catalog");
        let chunk = Layout::chunk(&TableName::new("CPU").unwrap(), "2026-11-22T06", "000000000000002a-1");
        assert_eq!(
            layout.object(&database, &chunk).as_ref(),
            "team/ochre/a/telegraf%2Fautogen/data/%43%50%55/2026-11-22T06/000000000000002a-1.parquet"
        );
        let older = "data/cpu/2026-11-22%5406/000000000000002a-1.parquet";
        assert!(
            layout
                .object(&database, older)
                .as_ref()
                .ends_with("/a/telegraf%2Fautogen/data/cpu/2026-11-22%5406/000000000000002a-1.parquet")
        );
    }

    #[test]
    fn hostile_names_stay_in_their_folder() {
        let layout = Layout::new(&Path::default(), &NodeId::new("a").unwrap());
        for name in ["..", ".", "../../b", "/etc/passwd", "a/../../b", "üñï", "~", "%2e%2e"] {
            let path = layout.catalog(&DatabaseName::new(name).unwrap());
            let parts: Vec<_> = path.as_ref().split('/').collect();
            assert_eq!(parts.len(), 3, "{path}");
            assert_eq!((parts[0], parts[2]), ("a", "catalog"), "{path}");
            assert!(parts[1] != ".." && parts[1] != ".", "{path}");
        }
    }
}
