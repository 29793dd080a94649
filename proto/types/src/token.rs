//! Tokens: their names, what they may do, and the hashes by which a server knows them. Making secrets and hashing them
//! is done by the server.

use std::fmt;
use std::str::FromStr;

use crate::name::{DatabaseName, NameError};

/// The longest name of a token, in bytes.
pub const MAX_TOKEN_NAME: usize = 100;

/// Why a text names no token, scope or hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The name is empty or too long.
    #[error("a token name has {0} bytes: 1 to {MAX_TOKEN_NAME} are allowed")]
    Length(usize),
    /// The name has a character that names of tokens don't have.
    #[error("a token name has the character {0:?}: use letters, digits, '-', '_' and '.' of ASCII")]
    Character(char),
    /// The action is none.
    #[error("{0:?} is no action: write read, write or manage")]
    Action(String),
    /// The scope is not an action and a database.
    #[error("{0:?} is no scope: write an action, a colon and a database or *, such as read:metrics or write:*")]
    Scope(String),
    /// The database of a scope is none.
    #[error("the scope {scope:?}: {source}")]
    Database {
        /// The scope.
        scope: String,
        /// Why.
        source: NameError,
    },
    /// The hash is not written as hashes are. It is not repeated: it might be a secret that was put in its place.
    #[error("a token's hash is 64 hexadecimal digits of SHA-256 in lower case: this text has {0} bytes, or others")]
    Hash(usize),
}

/// A token's name, for people: letters, digits, `-`, `_` and `.`, at most [`MAX_TOKEN_NAME`]. It is no secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenName(Box<str>);

impl TokenName {
    /// Checks `name` and takes it.
    pub fn new(name: &str) -> Result<Self, TokenError> {
        if !(1..=MAX_TOKEN_NAME).contains(&name.len()) {
            return Err(TokenError::Length(name.len()));
        }
        match name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.')) {
            Some(character) => Err(TokenError::Character(character)),
            None => Ok(Self(name.into())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenName {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        Self::new(text)
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What can be done to a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Ask for rows.
    Read,
    /// Send rows.
    Write,
    /// Make, change and remove. Includes reading and writing.
    Manage,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Manage];

    /// Whether who may do this may do `other`.
    pub fn includes(self, other: Self) -> bool {
        self == other || self == Self::Manage
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Manage => "manage",
        })
    }
}

impl FromStr for Action {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let action = Self::ALL.into_iter().find(|action| action.to_string() == text);
        action.ok_or_else(|| TokenError::Action(text.to_owned()))
    }
}

/// The databases of a scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScopeTarget {
    /// `*`: all, now and later, and the server itself.
    All,
    /// One.
    Database(DatabaseName),
}

impl ScopeTarget {
    /// Whether a database is among them.
    pub fn covers(&self, database: &DatabaseName) -> bool {
        match self {
            Self::All => true,
            Self::Database(name) => name == database,
        }
    }
}

impl fmt::Display for ScopeTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Database(name) => name.fmt(f),
        }
    }
}

impl FromStr for ScopeTarget {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "*" { Ok(Self::All) } else { DatabaseName::new(text).map(Self::Database) }
    }
}

/// An action on databases, written as `read:metrics` or `write:*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// What may be done.
    pub action: Action,
    /// To which.
    pub database: ScopeTarget,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.action, self.database)
    }
}

impl FromStr for Scope {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let (action, database) = text.split_once(':').ok_or_else(|| TokenError::Scope(text.to_owned()))?;
        let database = database.parse().map_err(|source| TokenError::Database { scope: text.to_owned(), source })?;
        Ok(Self { action: action.parse()?, database })
    }
}

/// The SHA-256 of a token's secret: all that a server keeps of it. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TokenHash {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let error = || TokenError::Hash(text.len());
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(error()),
        };
        let mut hash = [0; 32];
        if text.len() != 2 * hash.len() {
            return Err(error());
        }
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(hash))
    }
}

/// Everything that a token may do. The default is nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants(pub Vec<Scope>);

impl Grants {
    /// Every action on every database.
    pub fn everything() -> Self {
        Self(vec![Scope { action: Action::Manage, database: ScopeTarget::All }])
    }

    /// Whether `action` is allowed on this database.
    pub fn allows(&self, action: Action, database: &DatabaseName) -> bool {
        self.0.iter().any(|scope| scope.action.includes(action) && scope.database.covers(database))
    }

    /// Whether `action` is allowed on all databases.
    pub fn allows_everywhere(&self, action: Action) -> bool {
        self.0.iter().any(|scope| scope.action.includes(action) && scope.database == ScopeTarget::All)
    }

    /// Whether `action` is allowed on any database.
    pub fn allows_somewhere(&self, action: Action) -> bool {
        self.0.iter().any(|scope| scope.action.includes(action))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(scopes: &[&str]) -> Grants {
        Grants(scopes.iter().map(|scope| scope.parse().unwrap()).collect())
    }

    #[test]
    fn names_are_plain_labels() {
        assert_eq!(TokenName::new("grafana-7.site_b").unwrap().to_string(), "grafana-7.site_b");
        assert_eq!(TokenName::new(""), Err(TokenError::Length(0)));
        assert!(TokenName::new(&"x".repeat(100)).is_ok());
        assert_eq!(TokenName::new(&"x".repeat(101)), Err(TokenError::Length(101)));
        for (name, character) in [("a b", ' '), ("ä", 'ä'), ("a/b", '/'), ("a\n", '\n'), ("a:b", ':')] {
            assert_eq!(name.parse::<TokenName>(), Err(TokenError::Character(character)), "{name}");
        }
    }

    #[test]
    fn scopes_read_back() {
        for text in ["read:metrics", "write:*", "manage:a:b", "read: x"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        assert_eq!("write:*".parse(), Ok::<_, TokenError>(Scope { action: Action::Write, database: ScopeTarget::All }));
        let message = |text: &str| text.parse::<Scope>().unwrap_err().to_string();
        assert_eq!(message("delete:a"), "\"delete\" is no action: write read, write or manage");
        assert_eq!(message("Read:a"), "\"Read\" is no action: write read, write or manage");
        assert_eq!(
            message("read"),
            "\"read\" is no scope: write an action, a colon and a database or *, such as read:metrics or write:*"
        );
        assert_eq!(message("read:"), "the scope \"read:\": a database name is empty: give it at least one character");
    }

    #[test]
    fn managing_includes_the_rest_and_nothing_else_does() {
        let a = DatabaseName::new("a").unwrap();
        let b = DatabaseName::new("b").unwrap();
        let allowed =
            |grants: &Grants, database: &DatabaseName| Action::ALL.map(|action| grants.allows(action, database));
        let some = grants(&["read:a", "write:b"]);
        assert_eq!(allowed(&some, &a), [true, false, false]);
        assert_eq!(allowed(&some, &b), [false, true, false]);
        assert_eq!(Action::ALL.map(|action| some.allows_somewhere(action)), [true, true, false]);
        assert_eq!(Action::ALL.map(|action| some.allows_everywhere(action)), [false; 3]);

        let manager = grants(&["manage:a", "read:*"]);
        assert_eq!(allowed(&manager, &a), [true; 3]);
        assert_eq!(allowed(&manager, &b), [true, false, false]);
        assert_eq!(Action::ALL.map(|action| manager.allows_somewhere(action)), [true; 3]);
        assert_eq!(Action::ALL.map(|action| manager.allows_everywhere(action)), [true, false, false]);

        assert_eq!(allowed(&Grants::default(), &a), [false; 3]);
        assert_eq!(allowed(&Grants::everything(), &a), [true; 3]);
        assert_eq!(Action::ALL.map(|action| Grants::everything().allows_everywhere(action)), [true; 3]);
    }

    #[test]
    fn hashes_read_back_and_are_never_repeated_in_errors() {
        let mut hash = TokenHash([0; 32]);
        (hash.0[0], hash.0[1], hash.0[31]) = (0xa7, 0x0f, 0xff);
        let text = format!("a70f{}ff", "0".repeat(58));
        assert_eq!(hash.to_string(), text);
        assert_eq!(format!("{hash:?}"), text);
        assert_eq!(text.parse(), Ok::<_, TokenError>(hash));
        for wrong in ["", "a7", &text.to_uppercase(), &format!("{text}0"), &"ü".repeat(32)] {
            assert_eq!(wrong.parse::<TokenHash>(), Err(TokenError::Hash(wrong.len())), "{wrong}");
        }
        assert!(!"secret".parse::<TokenHash>().unwrap_err().to_string().contains("secret"));
    }
}
