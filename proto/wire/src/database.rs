//! Databases as they are listed.

use std::time::SystemTime;

use ochre_types::DatabaseName;

use crate::{Invalid, name, time, v1};

/// A database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Its name.
    pub name: DatabaseName,
    /// When it was made on this node.
    pub created: SystemTime,
}

impl From<&Database> for v1::DatabaseInfo {
    fn from(database: &Database) -> Self {
        Self { name: database.name.to_string(), created: Some(database.created.into()) }
    }
}

impl TryFrom<v1::DatabaseInfo> for Database {
    type Error = Invalid;

    fn try_from(wire: v1::DatabaseInfo) -> Result<Self, Invalid> {
        Ok(Self { name: name::database("name", &wire.name)?, created: time::instant("created", wire.created)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_read_back() {
        let database = Database { name: DatabaseName::new("m").unwrap(), created: SystemTime::UNIX_EPOCH };
        assert_eq!(Database::try_from(v1::DatabaseInfo::from(&database)), Ok(database));
        let wire = v1::DatabaseInfo { name: "m".to_owned(), created: None };
        assert_eq!(Database::try_from(wire).unwrap_err().path, "created");
    }
}
