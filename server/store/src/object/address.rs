//! The URL of an object store: what it names, and what must not be in it.

use object_store::path::Path;
use url::Url;

use super::OpenError;

/// What a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// This process's memory.
    Memory,
    /// A folder of this machine.
    Folder(std::path::PathBuf),
    /// A bucket or container of a service, and a folder in it.
    Remote {
        /// Whose.
        service: Service,
        /// The URL of the bucket itself.
        bucket: Url,
        /// The folder; empty for all of the bucket.
        prefix: Path,
    },
}

/// Whose protocol a remote store speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// Amazon's, which many servers speak.
    S3,
    /// Google's.
    Google,
    /// Microsoft's.
    Azure,
}

impl Address {
    /// Understands a URL.
    pub(super) fn parse(text: &str) -> Result<Self, OpenError> {
        if text == "memory" || text == "memory:" {
            return Ok(Self::Memory);
        }
        let url = Url::parse(text).map_err(|source| OpenError::Url { url: redact(text), source })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OpenError::SecretInUrl { url: redact(text) });
        }
        let service = match url.scheme() {
            "memory" => return Ok(Self::Memory),
            "file" => {
                let path = url.to_file_path().map_err(|()| OpenError::FilePath { url: redact(text) })?;
                return Ok(Self::Folder(path));
            }
            "s3" => Service::S3,
            "gs" => Service::Google,
            "az" => Service::Azure,
            scheme => return Err(OpenError::Scheme { url: redact(text), scheme: scheme.to_owned() }),
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(OpenError::SecretInUrl { url: redact(text) });
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(OpenError::Bucket { url: redact(text) });
        }
        let prefix = Path::from_url_path(url.path())
            .map_err(|source| OpenError::Client { url: redact(text), source: source.into() })?;
        let mut bucket = url;
        bucket.set_path("");
        Ok(Self::Remote { service, bucket, prefix })
    }
}

impl Service {
    /// What the names of its variables begin with, in capitals.
    pub(super) fn variables(self) -> &'static str {
        match self {
            Self::S3 => "AWS_",
            Self::Google => "GOOGLE_",
            Self::Azure => "AZURE_",
        }
    }
}

/// A URL as it may be shown: without user, password, query and fragment, where secrets are put by mistake.
pub fn redact(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let (main, cut) = match rest.find(['?', '#']) {
        Some(at) => (&rest[..at], "?…"),
        None => (rest, ""),
    };
    let authority = main.find('/').unwrap_or(main.len());
    match main[..authority].rfind('@') {
        Some(at) => format!("{scheme}…@{}{cut}", &main[at + 1..]),
        None => format!("{scheme}{main}{cut}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_bucket_and_a_folder() {
        let Ok(Address::Remote { service, bucket, prefix }) = Address::parse("s3://metrics/team/a%20b") else {
            panic!("it is a bucket")
        };
        assert_eq!((service, bucket.as_str(), prefix.as_ref()), (Service::S3, "s3://metrics", "team/a b"));
        let Ok(Address::Remote { service, prefix, .. }) = Address::parse("gs://metrics") else { panic!() };
        assert_eq!((service, prefix), (Service::Google, Path::default()));
        assert_eq!(Address::parse("memory:").unwrap(), Address::Memory);
        assert_eq!(Address::parse("file:///data").unwrap(), Address::Folder("/data".into()));
        assert!(matches!(Address::parse("s3:///only/a/path"), Err(OpenError::Bucket { .. })));
    }

    #[test]
    fn secrets_in_a_url_are_refused_and_not_repeated() {
        for url in [
            "s3://key:canary@bucket/prefix",
            "s3://canary@bucket",
            "az://container/p?sig=canary",
            "gs://bucket/#canary",
            "ftp://u:canary@host/x?canary",
            "canary@nothing",
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{error}");
        }
        assert_eq!(redact("s3://a:b@bucket/x?y"), "s3://…@bucket/x?…");
        assert_eq!(redact("s3://bucket/x@y"), "s3://bucket/x@y");
        assert_eq!(redact("memory"), "memory");
    }
}
