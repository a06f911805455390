//! TLS to a mail server, verified: its name and a chain to a trusted root.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::BuilderVerifierExt as _;
use throughline_core::{Error, ErrorKind, Result};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// `None` stands for the machine's authorities, which are read when they are needed: a machine without any still
/// checks a pipeline offline.
pub(super) struct Tls(Option<Arc<ClientConfig>>);

impl Tls {
    /// Trusts the machine's roots, or only those in the PEM file `ca`.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate.
    pub fn new(ca: Option<&Path>) -> Result<Self> {
        Ok(Self(ca.map(|ca| config(Some(ca))).transpose()?))
    }

    pub async fn wrap(&self, tcp: TcpStream, host: &str) -> Result<TlsStream<TcpStream>> {
        let config = match &self.0 {
            Some(config) => config.clone(),
            None => config(None)?,
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::config(format!("host {host:?} is no name for TLS")))?;
        TlsConnector::from(config).connect(name, tcp).await.map_err(|e| {
            if e.kind() == std::io::ErrorKind::InvalidData {
                Error::new(ErrorKind::Auth, format!("TLS with the mail server {host}: {e}"))
                    .hint("is `host` the name in its certificate, and `tls` what its port speaks? `ca` names an authority")
            } else {
                Error::new(ErrorKind::Io, format!("TLS with the mail server {host}: {e}")).temporary(None)
            }
        })
    }
}

fn config(ca: Option<&Path>) -> Result<Arc<ClientConfig>> {
    let no_tls = |e: String| Error::config(format!("no TLS on this machine: {e}"));
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| no_tls(e.to_string()))?;
    let Some(path) = ca else {
        let verified = builder.with_platform_verifier().map_err(|e| {
            no_tls(e.to_string())
                .hint("install the system's certificates (ca-certificates), or name the server's by `ca`")
        })?;
        return Ok(Arc::new(verified.with_no_client_auth()));
    };
    let wrong = |why: String| Error::config(format!("ca = {}: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
        roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("no certificate in PEM form".into()));
    }
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
