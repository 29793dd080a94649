//! Managing a server: the typed calls of `ochre.v1.Management`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ochre_types::DatabaseName;
use ochre_types::rules::document::Target;
use ochre_types::token::{Scope, TokenName};
use ochre_wire::Invalid;
use ochre_wire::v1;
use ochre_wire::v1::management_client::ManagementClient;
use tonic::{Request, Response, Status};

use crate::applied::{Applied, Apply, GenerationRecord, RulesInForce, RulesSource};
use crate::connection::Authorized;
use crate::error::Error;
use crate::retry::Repeat;
use crate::secret::Secret;
use crate::unary;

pub use ochre_wire::database::Database;
pub use ochre_wire::token::Token;

/// Bytes that an answer may have: the rules of a database, its history, or the status of many databases.
const MAX_ANSWER: usize = 64 << 20;

/// Manages one server. Cheap to clone.
///
/// Every call has the connection's request timeout for all its attempts. A call is tried again only where that can't do
/// anything twice: if the server was unavailable and the call changes nothing, or if it was never sent.
#[derive(Clone)]
pub struct Management {
    client: ManagementClient<Authorized>,
    url: Arc<str>,
    timeout: Duration,
}

impl Management {
    pub(crate) fn new(channel: Authorized, url: Arc<str>, timeout: Duration) -> Self {
        let client = ManagementClient::new(channel).max_decoding_message_size(MAX_ANSWER);
        Self { client, url, timeout }
    }

    /// The same with another deadline for each call.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The state of the server and of the databases that the token may read.
    pub async fn status(&self) -> Result<v1::GetStatusResponse, Error> {
        let send = |mut client: Client, request| async move { client.get_status(request).await };
        self.call(Repeat::Always, v1::GetStatusRequest {}, send).await
    }

    /// Makes a database.
    pub async fn create_database(&self, name: &DatabaseName) -> Result<(), Error> {
        let request = v1::CreateDatabaseRequest { name: name.to_string() };
        let send = |mut client: Client, request| async move { client.create_database(request).await };
        self.call(Repeat::IfNotSent, request, send).await.map(|_| ())
    }

    /// The databases that the token may see, by name.
    pub async fn databases(&self) -> Result<Vec<Database>, Error> {
        let send = |mut client: Client, request| async move { client.list_databases(request).await };
        let answer = self.call(Repeat::Always, v1::ListDatabasesRequest {}, send).await?;
        self.all(answer.databases)
    }

    /// Takes rules as a whole, or nothing of them.
    pub async fn apply_rules(&self, source: RulesSource, apply: Apply) -> Result<Applied, Error> {
        let request = v1::ApplyRulesRequest {
            source: Some(source.into()),
            expected_generation: apply.expected_generation,
            fence: apply.fence,
            dry_run: apply.dry_run,
        };
        let send = |mut client: Client, request| async move { client.apply_rules(request).await };
        Ok(self.call(apply.repeat(), request, send).await?.into())
    }

    /// The rules in force, or those of an earlier generation that is still kept.
    pub async fn rules(&self, target: &Target, generation: Option<u64>) -> Result<RulesInForce, Error> {
        let request = v1::GetRulesRequest { database: target.to_string(), generation };
        let send = |mut client: Client, request| async move { client.get_rules(request).await };
        Ok(self.call(Repeat::Always, request, send).await?.into())
    }

    /// The generations that are kept, newest first.
    pub async fn rules_history(&self, target: &Target) -> Result<Vec<GenerationRecord>, Error> {
        let request = v1::ListRulesHistoryRequest { database: target.to_string() };
        let send = |mut client: Client, request| async move { client.list_rules_history(request).await };
        self.all(self.call(Repeat::Always, request, send).await?.generations)
    }

    /// Applies the document of an earlier generation as a new one.
    pub async fn rollback_rules(&self, target: &Target, generation: u64, apply: Apply) -> Result<Applied, Error> {
        let request = v1::RollbackRulesRequest {
            database: target.to_string(),
            generation,
            expected_generation: apply.expected_generation,
            fence: apply.fence,
            dry_run: apply.dry_run,
        };
        let send = |mut client: Client, request| async move { client.rollback_rules(request).await };
        Ok(self.call(apply.repeat(), request, send).await?.into())
    }

    /// What the rules in force do with lines of line protocol. Nothing is written.
    pub async fn explain_rules(
        &self,
        database: &DatabaseName,
        lines: impl Into<String>,
    ) -> Result<v1::ExplainRulesResponse, Error> {
        let request = v1::ExplainRulesRequest { database: database.to_string(), lines: lines.into() };
        let send = |mut client: Client, request| async move { client.explain_rules(request).await };
        self.call(Repeat::Always, request, send).await
    }

    /// Makes a token. Its secret is shown this once.
    pub async fn create_token(&self, name: &TokenName, scopes: &[Scope]) -> Result<Secret, Error> {
        let scopes = scopes.iter().map(v1::TokenScope::from).collect();
        let request = v1::CreateTokenRequest { name: name.to_string(), scopes };
        let send = |mut client: Client, request| async move { client.create_token(request).await };
        let answer = self.call(Repeat::IfNotSent, request, send).await?;
        Secret::new(answer.token).map_err(|error| self.senseless(&error.to_string()))
    }

    /// The tokens, by name.
    pub async fn tokens(&self) -> Result<Vec<Token>, Error> {
        let send = |mut client: Client, request| async move { client.list_tokens(request).await };
        let answer = self.call(Repeat::Always, v1::ListTokensRequest {}, send).await?;
        self.all(answer.tokens)
    }

    /// Ends a token.
    pub async fn revoke_token(&self, name: &TokenName) -> Result<(), Error> {
        let request = v1::RevokeTokenRequest { name: name.to_string() };
        let send = |mut client: Client, request| async move { client.revoke_token(request).await };
        self.call(Repeat::IfNotSent, request, send).await.map(|_| ())
    }

    /// Makes a call, and again where that is harmless.
    async fn call<Q: Clone, A, F: Future<Output = Result<Response<A>, Status>>>(
        &self,
        repeat: Repeat,
        message: Q,
        send: impl Fn(Client, Request<Q>) -> F,
    ) -> Result<A, Error> {
        unary::call(&self.client, (&self.url, self.timeout), repeat, message, send).await
    }

    /// What the server answered in a list, as types.
    fn all<W, T: TryFrom<W, Error = Invalid>>(&self, items: Vec<W>) -> Result<Vec<T>, Error> {
        let items = items.into_iter().map(T::try_from).collect::<Result<Vec<T>, Invalid>>();
        items.map_err(|invalid| self.senseless(&invalid.to_string()))
    }

    fn senseless(&self, reason: &str) -> Error {
        Error::Internal { message: format!("{} answered what makes no sense: {reason}", self.url) }
    }
}

/// The generated client.
type Client = ManagementClient<Authorized>;

impl fmt::Debug for Management {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Management").field("url", &self.url).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
