//! `s3://bucket/prefix` and its like.

/// Which protocol a bucket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    S3,
    Gcs,
    Azure,
}

/// Where a sink's objects are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub kind: Kind,
    /// Bucket, or container.
    pub bucket: String,
    /// Without slashes at its ends; may be empty.
    pub prefix: String,
}

/// Whether a path is an address of this kind or another, and no folder.
pub(crate) fn is_address(path: &str) -> bool {
    path.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    })
}

impl Kind {
    pub(super) fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }
    /// The section with its options.
    pub(super) fn section(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Azure => "azure",
        }
    }
}

impl Address {
    /// What is wrong, in words, when it is none.
    pub(super) fn parse(path: &str) -> Result<Self, String> {
        let (scheme, rest) = path.split_once("://").unwrap_or_default();
        let Some(kind) = [Kind::S3, Kind::Gcs, Kind::Azure].into_iter().find(|k| k.scheme() == scheme) else {
            return Err(format!(
                "path = {path:?}: a bucket is written s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
            ));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if bucket.is_empty() || bucket.len() > 255 || !bucket.chars().all(plain) {
            return Err(format!("path = {path:?}: {bucket:?} is no name of a bucket"));
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        // Readers put it into globs and URLs: signs that mean something there are kept out.
        let fits = |part: &str| {
            let good = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '=' | '+' | '@');
            !part.is_empty() && part != "." && part != ".." && part.chars().all(good)
        };
        if !prefix.is_empty() && !prefix.split('/').all(fits) {
            return Err(format!(
                "path = {path:?}: {prefix:?} is no prefix: letters, digits and - _ . = + @ between single slashes"
            ));
        }
        if prefix.len() > 500 {
            return Err(format!("path = {path:?}: the prefix is longer than 500 bytes"));
        }
        Ok(Self { kind, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }

    /// The address of an object, or of the place itself.
    pub(super) fn url(&self, name: &str) -> String {
        let mut url = format!("{}://{}", self.kind.scheme(), self.bucket);
        for part in [self.prefix.as_str(), name].into_iter().filter(|p| !p.is_empty()) {
            url.push('/');
            url.push_str(part);
        }
        url
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses() {
        let shop = Address::parse("s3://shop-lake/marketing/v1/").unwrap();
        assert_eq!(
            (shop.kind, shop.bucket.as_str(), shop.prefix.as_str()),
            (Kind::S3, "shop-lake", "marketing/v1")
        );
        assert_eq!(shop.url("current.json"), "s3://shop-lake/marketing/v1/current.json");
        assert_eq!(Address::parse("gs://b").unwrap().url("x"), "gs://b/x");
        assert_eq!(Address::parse("az://c/отчёты").unwrap().url(""), "az://c/отчёты");
        for bad in [
            "s3://",
            "s3:///x",
            "s3://b//x",
            "s3://b/../x",
            "s3://b/a*b",
            "s3://b/a?b",
            "http://b/x",
            "s3://a b/x",
            "S3://b",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
        assert!(is_address("s3://b") && is_address("abfss://c@a/x"));
        assert!(!is_address("out/parquet") && !is_address("C:\\out") && !is_address("://"));
    }
}
