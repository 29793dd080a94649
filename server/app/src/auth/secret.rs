//! The secret that a request shows, in any of the forms that clients send it in.

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::AUTHORIZATION;
use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};
use ochre_env::Entropy;
use ochre_types::token::TokenHash;
use sha2::{Digest, Sha256};

use crate::http::failure::{Failure, Kind};

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a token that we make begins with, so that people and scanners for leaked secrets know it.
const PREFIX: &str = "ochre_";
/// Times that 64 random bits go into a token.
const WORDS: usize = 4;

/// A secret. It can't be printed.
pub struct Secret(String);

impl Secret {
    /// A secret that came in another way than in a header.
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// A new one of 256 random bits: `ochre_` and 43 characters that need no quoting anywhere.
    pub fn random(entropy: &dyn Entropy) -> Self {
        let bytes: Vec<u8> = (0..WORDS).flat_map(|_| entropy.next_u64().to_le_bytes()).collect();
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// What is kept of it.
    pub fn hash(&self) -> TokenHash {
        hash(&self.0)
    }

    /// The secret itself, to be told to whom it belongs.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The secret in the header `Authorization`: `Bearer x`, `Token x`, `Token user:x` or `Basic` with `user:x`.
    pub fn of_headers(headers: &HeaderMap) -> Result<Option<Self>, Failure> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let (scheme, rest) = value.to_str().ok().and_then(|text| text.trim().split_once(' ')).ok_or_else(unreadable)?;
        if values.next().is_some() {
            return Err(unreadable());
        }
        let rest = rest.trim();
        let secret = match scheme.to_ascii_lowercase().as_str() {
            "bearer" => rest.to_owned(),
            // InfluxDB 1 has a user before the password; a token has no colon.
            "token" => rest.split_once(':').map_or(rest, |(_user, secret)| secret).to_owned(),
            "basic" => of_basic(rest).ok_or_else(unreadable)?,
            _ => return Err(unreadable()),
        };
        if secret.is_empty() { Err(unreadable()) } else { Ok(Some(Self(secret))) }
    }

    /// Takes the parameters `u` and `p` out of a request's query string, so that nothing behind can print them. The
    /// first `p` is the secret.
    pub fn take_from_query(uri: &mut Uri) -> Option<Self> {
        let query = uri.query()?;
        let name = |part: &str| url::form_urlencoded::parse(part.as_bytes()).next().map(|(name, _)| name.into_owned());
        let is_credential = |part: &&str| matches!(name(part).as_deref(), Some("u" | "p"));
        if !query.split('&').any(|part| is_credential(&part)) {
            return None;
        }
        let secret = url::form_urlencoded::parse(query.as_bytes())
            .find(|(name, value)| name == "p" && !value.is_empty())
            .map(|(_, value)| Self(value.into_owned()));
        let rest: Vec<&str> = query.split('&').filter(|part| !is_credential(part)).collect();
        let without = format!("{}?{}", uri.path(), rest.join("&"));
        let mut parts = uri.clone().into_parts();
        // A part of what could be read can be read.
        parts.path_and_query = Some(without.parse().unwrap_or(PathAndQuery::from_static("/")));
        *uri = Uri::from_parts(parts).unwrap_or_default();
        secret
    }
}

fn of_basic(encoded: &str) -> Option<String> {
    let decoded = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
    decoded.split_once(':').map(|(_user, secret)| secret.to_owned())
}

fn unreadable() -> Failure {
    Failure::new(
        Kind::Unauthenticated,
        "the header Authorization can't be read: send it once, as Bearer <token>, Token <token>, or Basic with any \
         user and the token as password",
    )
}

/// What is kept of a secret: SHA-256 of its bytes.
pub fn hash(secret: &str) -> TokenHash {
    TokenHash(Sha256::digest(secret.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
        Secret::of_headers(&headers).ok().flatten().map(|secret| secret.0)
    }

    #[test]
    fn every_form_of_the_header_is_read() {
        for (value, secret) in [
            ("Bearer abc", Some("abc")),
            ("bearer   a:b ", Some("a:b")),
            ("Token abc", Some("abc")),
            ("Token me:a:b", Some("a:b")),
            ("Basic bWU6YWJj", Some("abc")),
            ("BASIC bWU6YTpi", Some("a:b")),
            ("Basic OmFiYw==", Some("abc")),
            ("Basic OmFiYw", Some("abc")),
            ("Basic bWU=", None),
            ("Basic bWU6", None),
            ("Basic ***", None),
            ("Basic /w==", None),
            ("Token me:", None),
            ("Bearer", None),
            ("Digest abc", None),
            ("abc", None),
        ] {
            assert_eq!(shown(value).as_deref(), secret, "{value}");
        }
        assert!(Secret::of_headers(&HeaderMap::new()).is_ok_and(|none| none.is_none()));
        let twice = HeaderMap::from_iter(["Bearer a", "Bearer a"].map(|v| (AUTHORIZATION, v.parse().unwrap())));
        assert!(Secret::of_headers(&twice).is_err());
    }

    #[test]
    fn credentials_leave_the_query_string() {
        for (query, secret, rest) in [
            ("db=x&u=me&p=abc", Some("abc"), "db=x"),
            ("p=a%2Bb+c&db=x%2Fy&rp=p&p=second", Some("a+b c"), "db=x%2Fy&rp=p"),
            ("%70=abc&db=x", Some("abc"), "db=x"),
            ("u=me&db=x&p=", None, "db=x"),
            ("p=abc", Some("abc"), ""),
            ("db=x&rp=y&q=p%3Dz", None, "db=x&rp=y&q=p%3Dz"),
        ] {
            let mut uri: Uri = format!("/write?{query}").parse().unwrap();
            assert_eq!(Secret::take_from_query(&mut uri).map(|s| s.0).as_deref(), secret, "{query}");
            assert_eq!((uri.path(), uri.query().unwrap_or("")), ("/write", rest), "{query}");
        }
        let mut absolute: Uri = "http://host:1/query?p=abc&q=x".parse().unwrap();
        assert!(Secret::take_from_query(&mut absolute).is_some());
        assert_eq!(absolute.to_string(), "http://host:1/query?q=x");
    }

    #[test]
    fn the_hash_is_sha_256() {
        assert_eq!(hash("abc").to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
