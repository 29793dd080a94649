//! What a ticket asks for.
//!
//! Clients of InfluxDB 3 send one of three forms: a JSON object, the protobuf message `ReadInfo`, or that message
//! within a `google.protobuf.Any`.

use ochre_query::{ParamError, Params};
use ochre_types::{DatabaseName, NameError};
use prost::Message;
use prost_types::Any;
use serde::Deserialize;
use serde_json::{Map, Value};
use tonic::Status;

use crate::grpc::status;
use crate::http::failure::{Failure, Kind};

/// The type of the message within an `Any`, after the last `/` of its URL.
const READ_INFO: &str = "influxdata.iox.querier.v1.ReadInfo";

/// `ReadInfo.query_type`.
mod query_type {
    pub const UNSPECIFIED: i32 = 0;
    pub const SQL: i32 = 1;
    pub const INFLUXQL: i32 = 2;
    pub const FLIGHT_SQL: i32 = 3;
}

/// What a ticket asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The database.
    pub database: DatabaseName,
    /// One statement of SQL.
    pub sql: String,
    /// The values of its parameters.
    pub params: Params,
}

/// Why a ticket was refused.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// It is in none of the forms.
    #[error(
        "the ticket is neither JSON nor a ReadInfo message: send such as \
         {{\"database\": \"mine\", \"sql_query\": \"SELECT 1\"}}"
    )]
    Unreadable,
    /// It is JSON, but not of this form.
    #[error(
        "the ticket is not such as {{\"database\": \"mine\", \"sql_query\": \"SELECT 1\", \"query_type\": \"sql\", \
         \"params\": {{}}}}: {0}"
    )]
    Json(serde_json::Error),
    /// It names no database.
    #[error("the ticket names no database: add \"database\"")]
    NoDatabase,
    /// The name can't be one.
    #[error("the ticket's database: {0}")]
    Database(#[from] NameError),
    /// It has no statement.
    #[error("the ticket has no query: add \"sql_query\"")]
    NoQuery,
    /// A parameter can't be used.
    #[error("the ticket's params: {0}")]
    Params(#[from] ParamError),
    /// The language is not known.
    #[error("the ticket's query_type is {0:?}: write \"sql\"")]
    Language(String),
    /// The language is known, but not to this server.
    #[error("{0} is not understood by this server: ask in SQL, with \"query_type\": \"sql\"")]
    NotSql(&'static str),
}

impl TicketError {
    fn field(&self) -> &'static str {
        match self {
            Self::Unreadable | Self::Json(_) => "ticket",
            Self::NoDatabase | Self::Database(_) => "ticket.database",
            Self::NoQuery => "ticket.sql_query",
            Self::Params(_) => "ticket.params",
            Self::Language(_) | Self::NotSql(_) => "ticket.query_type",
        }
    }
}

impl From<TicketError> for Status {
    fn from(error: TicketError) -> Self {
        match error {
            TicketError::NotSql(_) => status::status(&Failure::new(Kind::NotImplemented, error.to_string())),
            _ => status::invalid(error.field(), error.to_string()),
        }
    }
}

impl Ask {
    /// Reads a ticket.
    pub fn read(ticket: &[u8]) -> Result<Self, TicketError> {
        if ticket.trim_ascii_start().first() == Some(&b'{') {
            return match serde_json::from_slice::<Json>(ticket) {
                Ok(json) => json.ask(),
                // A line feed begins a protobuf field, and any byte can follow it.
                Err(error) => protobuf(ticket).ok_or(TicketError::Json(error))?.ask(),
            };
        }
        protobuf(ticket).ok_or(TicketError::Unreadable)?.ask()
    }

    fn new(database: &str, sql: String, params: Map<String, Value>) -> Result<Self, TicketError> {
        if database.is_empty() {
            return Err(TicketError::NoDatabase);
        }
        if sql.is_empty() {
            return Err(TicketError::NoQuery);
        }
        Ok(Self { database: DatabaseName::new(database)?, sql, params: Params::new(params)? })
    }
}

/// The JSON form. What it says beside this, such as `is_debug`, is passed over.
#[derive(Deserialize)]
struct Json {
    #[serde(default, alias = "namespace_name", alias = "bucket", alias = "bucket-name")]
    database: String,
    #[serde(default)]
    sql_query: String,
    #[serde(default)]
    query_type: Option<String>,
    #[serde(default)]
    params: Option<Map<String, Value>>,
}

impl Json {
    fn ask(self) -> Result<Ask, TicketError> {
        match self.query_type.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("sql") => Ask::new(&self.database, self.sql_query, self.params.unwrap_or_default()),
            Some("influxql") => Err(TicketError::NotSql("InfluxQL")),
            Some(_) => Err(TicketError::Language(self.query_type.unwrap_or_default())),
        }
    }
}

/// The fields of `influxdata.iox.querier.v1.ReadInfo` that matter here.
#[derive(Clone, PartialEq, Message)]
struct ReadInfo {
    #[prost(string, tag = "1")]
    namespace_name: String,
    #[prost(string, tag = "2")]
    sql_query: String,
    #[prost(int32, tag = "3")]
    query_type: i32,
}

impl ReadInfo {
    fn ask(self) -> Result<Ask, TicketError> {
        match self.query_type {
            query_type::UNSPECIFIED | query_type::SQL => Ask::new(&self.namespace_name, self.sql_query, Map::new()),
            query_type::INFLUXQL => Err(TicketError::NotSql("InfluxQL")),
            query_type::FLIGHT_SQL => Err(TicketError::NotSql("a Flight SQL message within a ticket")),
            other => Err(TicketError::Language(other.to_string())),
        }
    }
}

/// Either protobuf form. A `ReadInfo` can be read as an `Any` too, but its database is no such URL.
fn protobuf(ticket: &[u8]) -> Option<ReadInfo> {
    if ticket.is_empty() {
        return None;
    }
    match Any::decode(ticket) {
        Ok(any) if any.type_url.rsplit('/').next() == Some(READ_INFO) => ReadInfo::decode(any.value.as_slice()).ok(),
        _ => ReadInfo::decode(ticket).ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tonic::Code;

    use super::*;

    fn ask(params: Value) -> Ask {
        let params = params.as_object().unwrap().clone();
        Ask::new("mine", "SELECT 1".to_owned(), params).unwrap()
    }

    fn read_info(query_type: i32) -> ReadInfo {
        ReadInfo { namespace_name: "mine".to_owned(), sql_query: "SELECT 1".to_owned(), query_type }
    }

    #[test]
    fn json_has_a_database_by_four_names() {
        for name in ["database", "namespace_name", "bucket", "bucket-name"] {
            let ticket = json!({ name: "mine", "sql_query": "SELECT 1", "is_debug": false }).to_string();
            assert_eq!(Ask::read(ticket.as_bytes()).unwrap(), ask(json!({})), "{name}");
        }
        let full = json!({ "database": "mine", "sql_query": "SELECT 1", "query_type": "SQL", "params": { "a": 1 } });
        assert_eq!(Ask::read(format!("\n {full}").as_bytes()).unwrap(), ask(json!({ "a": 1 })));
    }

    #[test]
    fn protobuf_comes_raw_and_wrapped() {
        for query_type in [query_type::UNSPECIFIED, query_type::SQL] {
            let raw = read_info(query_type).encode_to_vec();
            assert_eq!(Ask::read(&raw).unwrap(), ask(json!({})));
            for type_url in [format!("type.googleapis.com/{READ_INFO}"), READ_INFO.to_owned()] {
                let any = Any { type_url, value: raw.clone() }.encode_to_vec();
                assert_eq!(Ask::read(&any).unwrap(), ask(json!({})));
            }
        }
        // By hand: what other encoders write, with a field that is passed over (is_debug = 5) at the end.
        assert_eq!(Ask::read(b"\x0a\x04mine\x12\x08SELECT 1\x18\x01\x28\x01").unwrap(), ask(json!({})));
        // A name of 123 bytes makes its message begin with a line feed and a brace.
        let long = ReadInfo { namespace_name: "n".repeat(123), ..read_info(query_type::SQL) }.encode_to_vec();
        assert_eq!(&long[..2], b"\n{");
        assert_eq!(Ask::read(&long).unwrap().database.as_str(), "n".repeat(123));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        let wrapped = read_info(query_type::INFLUXQL).encode_to_vec();
        let flight_sql = read_info(query_type::FLIGHT_SQL).encode_to_vec();
        let strange = read_info(9).encode_to_vec();
        for (ticket, code, field) in [
            (&b""[..], Code::InvalidArgument, "ticket"),
            (b"\xff\xff", Code::InvalidArgument, "ticket"),
            (b"SELECT 1", Code::InvalidArgument, "ticket"),
            (b"{", Code::InvalidArgument, "ticket"),
            (b"{\"database\": 1}", Code::InvalidArgument, "ticket"),
            (b"{\"sql_query\": \"SELECT 1\"}", Code::InvalidArgument, "ticket.database"),
            (b"{\"database\": \"a\\nb\", \"sql_query\": \"SELECT 1\"}", Code::InvalidArgument, "ticket.database"),
            (b"{\"database\": \"mine\"}", Code::InvalidArgument, "ticket.sql_query"),
            (
                b"{\"database\": \"mine\", \"sql_query\": \"SELECT $a\", \"params\": {\"a\": []}}",
                Code::InvalidArgument,
                "ticket.params",
            ),
            (
                b"{\"database\": \"mine\", \"sql_query\": \"x\", \"query_type\": \"flux\"}",
                Code::InvalidArgument,
                "ticket.query_type",
            ),
            (&strange, Code::InvalidArgument, "ticket.query_type"),
            (
                b"{\"database\": \"mine\", \"sql_query\": \"x\", \"query_type\": \"influxql\"}",
                Code::Unimplemented,
                "ticket.query_type",
            ),
            (&wrapped, Code::Unimplemented, "ticket.query_type"),
            (&flight_sql, Code::Unimplemented, "ticket.query_type"),
        ] {
            let error = Ask::read(ticket).unwrap_err();
            assert_eq!(error.field(), field, "{error}");
            assert_eq!(Status::from(error).code(), code);
        }
    }
}
