//! Tokens, without their secrets.

use std::time::SystemTime;

use ochre_types::token::{Action, Grants, Scope, TokenName};

use crate::{Invalid, time, v1};

/// The scopes that a token may have.
pub const MAX_SCOPES: usize = 1_000;

/// A token as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its name.
    pub name: TokenName,
    /// What it may do.
    pub grants: Grants,
    /// When it was made.
    pub created: SystemTime,
}

/// A token that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its name.
    pub name: TokenName,
    /// What it may do: at least something.
    pub grants: Grants,
}

impl From<&Scope> for v1::TokenScope {
    fn from(scope: &Scope) -> Self {
        let action = match scope.action {
            Action::Read => v1::Action::Read,
            Action::Write => v1::Action::Write,
            Action::Manage => v1::Action::Manage,
        };
        Self { action: action.into(), database: scope.database.to_string() }
    }
}

impl TryFrom<v1::TokenScope> for Scope {
    type Error = Invalid;

    fn try_from(wire: v1::TokenScope) -> Result<Self, Invalid> {
        let action = match v1::Action::try_from(wire.action) {
            Ok(v1::Action::Read) => Action::Read,
            Ok(v1::Action::Write) => Action::Write,
            Ok(v1::Action::Manage) => Action::Manage,
            Ok(v1::Action::Unspecified) => {
                return Err(Invalid::new("action", "is missing: give ACTION_READ, ACTION_WRITE or ACTION_MANAGE"));
            }
            Err(_) => {
                let known = "ACTION_READ (1), ACTION_WRITE (2) and ACTION_MANAGE (3)";
                return Err(Invalid::new("action", format!("{} is not known here: {known} are", wire.action)));
            }
        };
        let database = wire.database.parse().map_err(|error| Invalid::new("database", error))?;
        Ok(Self { action, database })
    }
}

fn name(name: &str) -> Result<TokenName, Invalid> {
    TokenName::new(name).map_err(|error| Invalid::new("name", error))
}

fn grants(scopes: Vec<v1::TokenScope>) -> Result<Grants, Invalid> {
    let scopes = scopes.into_iter().enumerate();
    let scopes = scopes.map(|(index, scope)| {
        Scope::try_from(scope).map_err(|invalid| invalid.within(format_args!("scopes[{index}]")))
    });
    Ok(Grants(scopes.collect::<Result<_, _>>()?))
}

impl From<&Token> for v1::TokenInfo {
    fn from(token: &Token) -> Self {
        Self {
            name: token.name.to_string(),
            scopes: token.grants.0.iter().map(v1::TokenScope::from).collect(),
            created_at: Some(token.created.into()),
        }
    }
}

impl TryFrom<v1::TokenInfo> for Token {
    type Error = Invalid;

    fn try_from(wire: v1::TokenInfo) -> Result<Self, Invalid> {
        Ok(Self {
            name: name(&wire.name)?,
            grants: grants(wire.scopes)?,
            created: time::instant("created_at", wire.created_at)?,
        })
    }
}

impl TryFrom<v1::CreateTokenRequest> for NewToken {
    type Error = Invalid;

    fn try_from(wire: v1::CreateTokenRequest) -> Result<Self, Invalid> {
        match wire.scopes.len() {
            0 => return Err(Invalid::new("scopes", "a token that may do nothing is of no use: give at least one")),
            count if count > MAX_SCOPES => {
                return Err(Invalid::new("scopes", format!("{count} scopes: at most {MAX_SCOPES} are allowed")));
            }
            _ => {}
        }
        Ok(Self { name: name(&wire.name)?, grants: grants(wire.scopes)? })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn scopes(scopes: &[&str]) -> Grants {
        Grants(scopes.iter().map(|scope| scope.parse().unwrap()).collect())
    }

    #[test]
    fn tokens_read_back() {
        let token = Token {
            name: TokenName::new("grafana").unwrap(),
            grants: scopes(&["read:metrics", "write:*", "manage:a b"]),
            created: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        };
        let wire = v1::TokenInfo::from(&token);
        assert_eq!(wire.scopes[1], v1::TokenScope { action: 2, database: "*".to_owned() });
        assert_eq!(Token::try_from(wire), Ok(token));
    }

    #[test]
    fn mistakes_are_told_with_their_path() {
        let scope = |action, database: &str| v1::TokenScope { action, database: database.to_owned() };
        let error = |name: &str, scopes| {
            let request = v1::CreateTokenRequest { name: name.to_owned(), scopes };
            NewToken::try_from(request).unwrap_err().to_string()
        };
        assert_eq!(error("a", Vec::new()), "scopes: a token that may do nothing is of no use: give at least one");
        assert_eq!(error("", vec![scope(1, "m")]), "name: a token name has 0 bytes: 1 to 100 are allowed");
        let missing = "scopes[1].action: is missing: give ACTION_READ, ACTION_WRITE or ACTION_MANAGE";
        assert_eq!(error("a", vec![scope(1, "m"), scope(0, "m")]), missing);
        let unknown = "scopes[0].action: 9 is not known here: ACTION_READ (1), ACTION_WRITE (2) and ACTION_MANAGE (3) \
                       are";
        assert_eq!(error("a", vec![scope(9, "m")]), unknown);
        let empty = "scopes[0].database: a database name is empty: give it at least one character";
        assert_eq!(error("a", vec![scope(3, "")]), empty);
        let many = "scopes: 1001 scopes: at most 1000 are allowed";
        assert_eq!(error("a", vec![scope(1, "m"); 1_001]), many);
    }
}
