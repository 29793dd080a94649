//! The token file: one token a line, each of which may do everything. Made at the first start, with one random token.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ochre_env::{Disk, Entropy, Env};
use ochre_types::token::TokenHash;

use super::secret::{Secret, hash};

/// The least characters of a token: fewer can be guessed.
const LEAST: usize = 32;
/// The most bytes of the file.
const FILE_BYTES: u64 = 64 << 10;
/// The permissions of others, in the mode of a file.
const OTHERS: u32 = 0o077;

/// Why the token file can't be used. No message repeats what is in it.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It can't be read.
    #[error("the token file {} can't be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It can't be made.
    #[error(
        "the token file {} is not there and can't be made: {source}; name another with --token-file", path.display()
    )]
    Make {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is larger than any token file.
    #[error("the token file {} has {bytes} bytes, more than {FILE_BYTES}: is it another file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// It is not text.
    #[error("the token file {} is not text: is it another file?", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// A line is no token.
    #[error("the token file {}, line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// The tokens of the file `path`, which is made if it is not there.
pub fn open(env: &Env, path: &Path) -> Result<Vec<TokenHash>, TokenFileError> {
    let disk = &*env.disk;
    match read(disk, path) {
        Err(TokenFileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            make(disk, &*env.entropy, path).map_err(|source| TokenFileError::Make { path: path.to_owned(), source })?;
            read(disk, path)
        }
        tokens => {
            warn_if_others_can_read(path);
            tokens
        }
    }
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Vec<TokenHash>, TokenFileError> {
    let failed = |source| TokenFileError::Read { path: path.to_owned(), source };
    let bytes = disk.open_read(path).and_then(|file| file.len()).map_err(failed)?;
    if bytes > FILE_BYTES {
        return Err(TokenFileError::TooLarge { path: path.to_owned(), bytes });
    }
    let text = String::from_utf8(disk.read(path).map_err(failed)?)
        .map_err(|_| TokenFileError::NotText { path: path.to_owned() })?;
    let lines = text.lines().map(str::trim).enumerate();
    let tokens = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let tokens: Vec<TokenHash> = tokens
        .map(|(index, token)| match flaw(token) {
            None => Ok(hash(token)),
            Some(reason) => Err(TokenFileError::Line { path: path.to_owned(), line: index + 1, reason }),
        })
        .collect::<Result<_, _>>()?;
    if tokens.is_empty() {
        tracing::warn!(path = %path.display(), "the token file has no token: only tokens that were made before get in");
    }
    Ok(tokens)
}

/// What is wrong with a token, without repeating it.
fn flaw(token: &str) -> Option<String> {
    let length = token.chars().count();
    if length < LEAST {
        return Some(format!("a token has {length} characters: at least {LEAST} are needed"));
    }
    let is_wrong = |c: char| !c.is_ascii_graphic() || c == ':';
    token.chars().position(is_wrong).map(|at| {
        format!("a token can't be sent as its character {} is: use letters, digits, '-', '_', '.', '+', '/'", at + 1)
    })
}

/// Makes the file with one random token, whole and durable, or fails because somebody else has just made it.
fn make(disk: &dyn Disk, entropy: &dyn Entropy, path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let dir = path.parent().ok_or(io::ErrorKind::NotFound)?;
    // Under a name of its own until it is whole: a crash leaves no empty token file.
    let mut unfinished = path.clone().into_os_string();
    unfinished.push(format!(".{:016x}", entropy.next_u64()));
    let unfinished = PathBuf::from(unfinished);
    let mut file = disk.create_private(&unfinished)?;
    let linked = file
        .append(format!("{}\n", Secret::random(entropy).reveal()).as_bytes())
        .and_then(|()| file.sync())
        .and_then(|()| {
            match disk.hard_link(&unfinished, &path) {
                // Another server that uses the same file was faster: its token is as good.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => other,
            }
        });
    let removed = disk.remove_file(&unfinished);
    linked.and(removed)?;
    disk.sync_dir(dir)?;
    tracing::info!(path = %path.display(), "made the token file: its one token may do everything");
    Ok(())
}

fn warn_if_others_can_read(path: &Path) {
    let Ok(metadata) = std::fs::metadata(path) else { return };
    let mode = metadata.permissions().mode();
    if mode & OTHERS != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format!("{:o}", mode & 0o7777),
            "others than its owner may use the token file: chmod 600 it"
        );
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test writes its own input")]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<TokenHash>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        std::fs::write(&path, text).unwrap();
        open(&Env::system(), &path).map_err(|error| error.to_string().replace(&path.display().to_string(), "F"))
    }

    #[tokio::test]
    async fn the_first_start_makes_a_token_and_later_ones_keep_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.token");
        let first = open(&Env::system(), &path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let token = text.strip_suffix('\n').unwrap();
        assert_eq!(first, [hash(token)]);
        assert_eq!(token.len(), 6 + 43);
        assert!(
            token.strip_prefix("ochre_").unwrap().chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        );
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing unfinished is left");
        assert_eq!(open(&Env::system(), &path).unwrap(), first);
        let other = open(&Env::system(), &dir.path().join("other")).unwrap();
        assert_ne!(other, first);
    }

    #[tokio::test]
    async fn every_line_is_a_token_but_comments() {
        let (a, b) = ("a".repeat(32), "b".repeat(100));
        assert_eq!(read_text(&format!("# ours\n\n{a}\n  {b}\r\n#{a}")).unwrap(), [hash(&a), hash(&b)]);
        assert_eq!(read_text("# none\n").unwrap(), []);
    }

    #[tokio::test]
    async fn what_is_no_token_is_named_by_its_line_and_never_repeated() {
        for (text, message) in [
            (
                "# x\nshort-secret\n".to_owned(),
                "the token file F, line 2: a token has 12 characters: at least 32 are needed",
            ),
            (
                format!("{}:secret", "s".repeat(40)),
                "the token file F, line 1: a token can't be sent as its character 41 is: use letters, digits, '-', '_', \
                 '.', '+', '/'",
            ),
            ("x".repeat(70_000), "the token file F has 70000 bytes, more than 65536: is it another file?"),
        ] {
            assert_eq!(read_text(&text).unwrap_err(), message);
        }
        let nowhere = open(&Env::system(), Path::new("/nowhere/at/all")).unwrap_err().to_string();
        assert!(nowhere.starts_with("the token file /nowhere/at/all is not there and can't be made: No such file"));
    }
}
