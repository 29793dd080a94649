//! Names in requests.

use ochre_types::DatabaseName;
use ochre_types::rules::document::Target;

use crate::Invalid;

/// The database that the field at `path` names.
pub fn database(path: &str, name: &str) -> Result<DatabaseName, Invalid> {
    DatabaseName::new(name).map_err(|error| Invalid::new(path, error))
}

/// The database, or `*`, that the field at `path` names.
pub fn target(path: &str, name: &str) -> Result<Target, Invalid> {
    name.parse().map_err(|error| Invalid::new(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_arrive() {
        assert_eq!(database("name", "metrics").unwrap().as_str(), "metrics");
        assert_eq!(target("database", "*"), Ok(Target::Default));
        assert_eq!(target("database", "m"), Ok(Target::Database(DatabaseName::new("m").unwrap())));
        let error = database("name", "").unwrap_err();
        assert_eq!(error.to_string(), "name: a database name is empty: give it at least one character");
        assert_eq!(target("database", "a\n").unwrap_err().path, "database");
    }
}
