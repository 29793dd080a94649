//! Parameters in a query string or a form.

use std::collections::BTreeMap;

use super::failure::Failure;

/// The parameters of a request. Of several with one name the first counts.
#[derive(Debug, Clone, Default)]
pub struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Reads a query string or an URL-encoded form.
    pub fn parse(text: &[u8]) -> Self {
        let mut parameters = Self::default();
        parameters.add(text);
        parameters
    }

    /// The parameters of a request's query string.
    pub fn of(uri: &http::Uri) -> Self {
        Self::parse(uri.query().unwrap_or("").as_bytes())
    }

    /// Adds those of a form, below the ones already here.
    pub fn add(&mut self, text: &[u8]) {
        for (name, value) in url::form_urlencoded::parse(text) {
            self.0.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
    }

    /// A parameter's value; an empty one counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter that is `true` or `false`.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, Failure> {
        match self.get(name) {
            None => Ok(default),
            Some("true" | "1" | "t") => Ok(true),
            Some("false" | "0" | "f") => Ok(false),
            Some(other) => Err(Failure::invalid(format!("the parameter {name} is {other:?}: write true or false"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_counts_and_an_empty_one_does_not() {
        let mut parameters = Parameters::parse(b"db=a%2Fb&q=x+y&rp=&db=second&accept_partial=false&z=maybe");
        parameters.add(b"db=form&u=me");
        assert_eq!(parameters.get("db"), Some("a/b"));
        assert_eq!(parameters.get("q"), Some("x y"));
        assert_eq!(parameters.get("u"), Some("me"));
        assert_eq!(parameters.get("rp"), None);
        assert!(!parameters.flag("accept_partial", true).unwrap());
        assert!(parameters.flag("no_sync", true).unwrap());
        assert!(parameters.flag("z", true).is_err());
    }
}
