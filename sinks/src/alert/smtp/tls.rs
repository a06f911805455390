//! Whom a mail server's certificate must come from.

use std::path::Path;

use lettre::transport::smtp::client::{Certificate, CertificateStore, TlsParameters};
use throughline_core::{Error, Result};

/// `None` stands for the machine's authorities, which are read when they are needed: a machine without any still
/// checks a pipeline offline.
pub(super) struct Tls(Option<Certificate>);

impl Tls {
    /// Trusts the machine's roots, or only those in the PEM file `ca`.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate.
    pub fn new(ca: Option<&Path>) -> Result<Self> {
        let Some(path) = ca else { return Ok(Self(None)) };
        let wrong = |why: String| Error::config(format!("ca = {}: {why}", path.display()));
        let pem = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
        if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
            return Err(wrong("no certificate in PEM form".into()));
        }
        let tls = Self(Some(Certificate::from_pem(&pem).map_err(|e| wrong(e.to_string()))?));
        // Whether it can be trusted shows only now.
        tls.parameters("localhost").map_err(|e| wrong(e.message().to_owned()))?;
        Ok(tls)
    }

    /// For a server of this name.
    ///
    /// # Errors
    /// `Config` when this machine trusts nobody.
    pub fn parameters(&self, host: &str) -> Result<TlsParameters> {
        let builder = TlsParameters::builder(host.to_owned());
        let builder = match &self.0 {
            Some(ca) => builder.certificate_store(CertificateStore::None).add_root_certificate(ca.clone()),
            None => builder,
        };
        builder.build().map_err(|e| {
            Error::config(format!("no TLS on this machine: {e}"))
                .hint("install the system's certificates (ca-certificates), or name the server's by `ca`")
        })
    }
}
