//! TLS, verified: the server's name and a chain to a trusted root.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::BuilderVerifierExt as _;
use throughline_core::{Error, Result};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::Failure;

/// With the user's own authorities; `None` stands for the machine's, which are read when they are needed: a
/// machine without any still checks a pipeline offline.
#[derive(Clone)]
pub struct Tls(Option<Arc<ClientConfig>>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Trusts the machine's roots, or only those in the PEM file `ca`.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate.
    pub fn new(ca: Option<&Path>) -> Result<Self> {
        Ok(Self(ca.map(|ca| config(Some(ca))).transpose()?))
    }

    pub(super) async fn wrap(&self, tcp: TcpStream, host: &str) -> Result<TlsStream<TcpStream>, Failure> {
        let config = match &self.0 {
            Some(config) => config.clone(),
            None => config(None)?,
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Failure::permanent(Error::config(format!("host {host:?} is no name for TLS"))))?;
        TlsConnector::from(config).connect(name, tcp).await.map_err(|e| {
            // An untrusted certificate stays one; a broken connection may not.
            if e.kind() == std::io::ErrorKind::InvalidData {
                Failure::permanent(
                    Error::config(format!("TLS with {host}: {e}"))
                        .hint("name the authority that signed the server's certificate by `ca`"),
                )
            } else {
                Failure::lost(format!("TLS with {host}: {e}"))
            }
        })
    }
}

fn config(ca: Option<&Path>) -> Result<Arc<ClientConfig>> {
    let no_tls = |e: String| Error::config(format!("no TLS on this machine: {e}"));
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| no_tls(e.to_string()))?;
    let config = match ca {
        None => builder
            .with_platform_verifier()
            .map_err(|e| {
                no_tls(e.to_string())
                    .hint("install the system's certificates (ca-certificates), or name the server's by `ca`")
            })?
            .with_no_client_auth(),
        Some(path) => {
            let wrong = |why: String| Error::config(format!("ca = {}: {why}", path.display()));
            let pem = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
                roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
            }
            if roots.is_empty() {
                return Err(wrong("no certificate in PEM form".into())
                    .hint("it has lines -----BEGIN CERTIFICATE-----"));
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    Ok(Arc::new(config))
}
