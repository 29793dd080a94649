//! Credentials and what else configures the client of a cloud store, by reference: variables of the environment, or a
//! file.
//!
//! The file has lines of `name = value`, the value bare or in quotes, with `#` or `;` before comments: so it may be the
//! shared credentials file of AWS's tools, or TOML. Names are those of the variables, in either case
//! (`aws_secret_access_key`). A line `[name]` begins a profile: only the one asked for is read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use ochre_env::Env;

/// The profile of a file that is read unless the variable `AWS_PROFILE` names another.
const DEFAULT_PROFILE: &str = "default";
/// What names in files begin with.
const PREFIXES: [&str; 3] = ["aws_", "google_", "azure_"];

/// Why a file of credentials can't be used. Never shows a value.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It can't be read.
    #[error("reading the file of credentials {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// It is no text.
    #[error("the file of credentials {path} is not UTF-8 text")]
    Text {
        /// The file.
        path: String,
    },
    /// A line is not understood.
    #[error("the file of credentials {path}, line {line}: {reason}")]
    Line {
        /// The file.
        path: String,
        /// The line's number, from 1.
        line: usize,
        /// What is wrong, and what would be right.
        reason: &'static str,
    },
    /// Nothing was found where it was looked for.
    #[error(
        "the file of credentials {path} has nothing in the profile {profile:?}: write `name = value` lines below \
         [{profile}], or name another profile in AWS_PROFILE"
    )]
    Empty {
        /// The file.
        path: String,
        /// The profile.
        profile: String,
    },
}

/// Names and values that configure a client. Values are never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials(BTreeMap<String, String>);

impl Credentials {
    /// The variables `AWS_*`, `GOOGLE_*` and `AZURE_*` of this process. Others are not taken: clients would read a
    /// variable named `TOKEN` or `BUCKET` as theirs.
    pub fn environment() -> Self {
        let variables = std::env::vars_os();
        let text = variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self(text.map(|(name, value)| (name.to_ascii_lowercase(), value)).filter(|(name, _)| is_ours(name)).collect())
    }

    /// What a file says, over what `self` has.
    ///
    /// # Errors
    /// If the file can't be read or understood.
    pub fn with_file(mut self, path: &Path, env: &Env) -> Result<Self, CredentialsError> {
        let shown = path.display().to_string();
        let bytes = env.disk.read(path).map_err(|source| CredentialsError::Read { path: shown.clone(), source })?;
        let text = String::from_utf8(bytes).map_err(|_| CredentialsError::Text { path: shown.clone() })?;
        let profile = self.get("aws_profile").unwrap_or(DEFAULT_PROFILE).to_owned();
        let found = parse(&text, &profile).map_err(|(line, reason)| CredentialsError::Line {
            path: shown.clone(),
            line,
            reason,
        })?;
        if found.is_empty() {
            return Err(CredentialsError::Empty { path: shown, profile });
        }
        self.0.extend(found);
        Ok(self)
    }

    /// One value, by its name in small letters.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Names in small letters, and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for Credentials {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name, format_args!("…")))).finish()
    }
}

fn is_ours(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Reads lines before any profile, and those of `profile`.
fn parse(text: &str, profile: &str) -> Result<BTreeMap<String, String>, (usize, &'static str)> {
    let mut found = BTreeMap::new();
    let mut reading = true;
    for (index, line) in text.lines().enumerate() {
        let (number, line) = (index + 1, line.trim());
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            let name = rest.strip_suffix(']').ok_or((number, "a profile is written as [name]"))?.trim();
            reading = name.strip_prefix("profile ").unwrap_or(name).trim_matches('"') == profile;
            continue;
        }
        let (name, value) = line.split_once('=').ok_or((number, "write `name = value`"))?;
        let name = name.trim().to_ascii_lowercase();
        let value = unquote(value.trim()).map_err(|reason| (number, reason))?;
        if !reading {
            continue;
        }
        let name = match name.as_str() {
            // As AWS's tools write them.
            "region" | "endpoint_url" => format!("aws_{name}"),
            _ if is_ours(&name) => name,
            _ => return Err((number, "the name is not known: names begin with aws_, google_ or azure_")),
        };
        if found.insert(name, value).is_some() {
            return Err((number, "the name was given before"));
        }
    }
    Ok(found)
}

fn unquote(value: &str) -> Result<String, &'static str> {
    let Some(quote) = value.chars().next().filter(|first| matches!(first, '"' | '\'')) else {
        return Ok(value.to_owned());
    };
    let inner = value[1..].split_once(quote).ok_or("the value's quotes are not closed")?;
    let rest = inner.1.trim_start();
    if !(rest.is_empty() || rest.starts_with('#')) {
        return Err("only a comment may come after the value's quotes");
    }
    if quote == '"' && inner.0.contains('\\') {
        return Err("a value with a backslash is written in single quotes");
    }
    Ok(inner.0.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ochre_doubles::disk::SimDisk;
    use ochre_env::{Disk, LocalDisk};

    use super::super::paused::{block_on, env};
    use super::*;

    fn pairs(found: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
        found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    #[test]
    fn the_shared_file_of_aws_is_read_by_profile() {
        let text = "[default]\naws_access_key_id = A\naws_secret_access_key=b+/=\n\n[profile other]\nregion=eu\naws_access_key_id = C\n";
        let found = parse(text, "default").unwrap();
        assert_eq!(pairs(&found), [("aws_access_key_id", "A"), ("aws_secret_access_key", "b+/=")]);
        let found = parse(text, "other").unwrap();
        assert_eq!(pairs(&found), [("aws_access_key_id", "C"), ("aws_region", "eu")]);
    }

    #[test]
    fn toml_is_read_too() {
        let text = "# ours\nAZURE_STORAGE_ACCOUNT_NAME = \"dev\" # it\nazure_storage_account_key = 'a\\b='\n";
        let found = parse(text, "default").unwrap();
        assert_eq!(pairs(&found), [("azure_storage_account_key", "a\\b="), ("azure_storage_account_name", "dev")]);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line_and_without_its_value() {
        for (text, line) in [
            ("canary", 1),
            ("\ntoken = canary", 2),
            ("aws_token = \"canary", 1),
            ("aws_token = \"can\\ary\"", 1),
            ("aws_token = 'a' canary", 1),
            ("[default\naws_token = canary", 1),
            ("aws_token = canary\naws_token = canary", 2),
        ] {
            let (number, reason) = parse(text, "default").unwrap_err();
            assert_eq!(number, line, "{text:?}: {reason}");
            assert!(!reason.contains("canary"));
        }
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the file is an operator's")]
    fn a_file_is_read_over_the_environment_and_nothing_of_it_is_shown() {
        block_on(async {
            let env = Env { disk: Arc::new(LocalDisk) as Arc<dyn Disk>, ..env(&SimDisk::new(1)) };
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("credentials");
            std::fs::write(&path, "aws_secret_access_key = canary\n").unwrap();
            let given: Credentials = [("AWS_SECRET_ACCESS_KEY", "older"), ("AWS_REGION", "eu")]
                .map(|(n, v)| (n.into(), v.into()))
                .into_iter()
                .collect();
            let both = given.with_file(&path, &env).unwrap();
            assert_eq!((both.get("aws_secret_access_key"), both.get("aws_region")), (Some("canary"), Some("eu")));
            assert_eq!(format!("{both:?}"), "{\"aws_region\": …, \"aws_secret_access_key\": …}");
            std::fs::write(&path, "[other]\naws_token = canary\n").unwrap();
            let error = both.clone().with_file(&path, &env).unwrap_err().to_string();
            assert!(error.contains("has nothing in the profile \"default\""), "{error}");
            let error = both.with_file(&dir.path().join("none"), &env).unwrap_err().to_string();
            assert!(error.starts_with("reading the file of credentials"), "{error}");
        });
    }
}
