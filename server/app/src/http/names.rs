//! Which database the names of the older APIs mean.
//!
//! InfluxDB 1 has databases with retention policies, InfluxDB 2 has buckets; here there are only databases. The
//! default policy (`autogen`, `default`, or none) of `db` is the database `db`; any other is a database `db/policy`
//! of its own, with the policy in lower case, as InfluxDB 3 does it.

use ochre_types::{DatabaseName, NameError};

/// The database that a v1 request means by `db` and `rp`.
pub fn from_policy(db: &str, rp: &str) -> Result<DatabaseName, NameError> {
    match rp.to_lowercase().as_str() {
        "" | "''" | "\"\"" | "autogen" | "default" => DatabaseName::new(db),
        // An empty database name must not become the name "/policy".
        _ if db.is_empty() => DatabaseName::new(db),
        policy => DatabaseName::new(format!("{db}/{policy}")),
    }
}

/// The database that a v2 request means by `bucket`: `db` or `db/rp`.
pub fn from_bucket(bucket: &str) -> Result<DatabaseName, NameError> {
    match bucket.split_once('/') {
        Some((db, rp)) if !db.is_empty() && !rp.is_empty() => from_policy(db, rp),
        _ => DatabaseName::new(bucket),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policy_is_the_database_itself() {
        for rp in ["", "autogen", "default", "AutoGen", "DEFAULT", "''", "\"\""] {
            assert_eq!(from_policy("Mine", rp).unwrap().as_str(), "Mine", "{rp:?}");
        }
        assert_eq!(from_policy("Mine", "One_Week").unwrap().as_str(), "Mine/one_week");
        assert!(from_policy("", "one_week").is_err());
        assert!(from_policy("", "").is_err());
    }

    #[test]
    fn a_bucket_may_carry_a_policy() {
        for (bucket, database) in [
            ("b", "b"),
            ("b/autogen", "b"),
            ("b/Default", "b"),
            ("B/Week", "B/week"),
            ("b/x/y", "b/x/y"),
            ("/b", "/b"),
            ("b/", "b/"),
        ] {
            assert_eq!(from_bucket(bucket).unwrap().as_str(), database);
        }
        assert!(from_bucket("").is_err());
        assert!(from_bucket("a\nb").is_err());
    }
}
