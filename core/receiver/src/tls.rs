//! TLS by file: which certificate is shown, and when the files are read anew.
//!
//! Let's Encrypt's programs replace the files every two months or so, one after the other. They are looked at
//! every few seconds, by content; what cannot be used twice in a row is told once, and the one before it stays.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sha2::{Digest, Sha256};
use throughline_core::{Error, Result};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_util::sync::CancellationToken;

/// PEM files, as certbot, acme.sh and lego write them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and behind it those that lead to the authority: `fullchain.pem`.
    pub certificate: PathBuf,
    /// Its private key, without a passphrase: `privkey.pem`.
    pub key: PathBuf,
    /// How often they are looked at: what is new is in use so soon, and what is broken is told after twice that.
    pub look_every: Duration,
}

/// A chain has a few kB.
const MOST_BYTES: u64 = 1 << 20;

type Content = [u8; 32];

pub struct Tls {
    files: TlsFiles,
    current: RwLock<(Content, Arc<ServerConfig>)>,
}

impl Tls {
    /// # Errors
    /// `Io` when a file cannot be read, `Config` when it holds something else; the message names the file.
    pub fn open(files: TlsFiles) -> Result<Self> {
        let bytes = Bytes::read(&files)?;
        let config = bytes.config(&files)?;
        warn_of_readers(&files.key);
        Ok(Self { files, current: RwLock::new((bytes.content(), config)) })
    }

    /// For the next connection; those that are open keep theirs.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Looks at the files until `stop`.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut look = Look::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.files.look_every) => {}
            }
            let tls = self.clone();
            // Files may be on a disk that takes its time.
            let looked = tokio::task::spawn_blocking(move || {
                tls.look(&mut look);
                look
            });
            look = looked.await.unwrap_or_default();
        }
    }

    fn look(&self, look: &mut Look) {
        let known = self.current.read().unwrap_or_else(PoisonError::into_inner).0;
        let read = Bytes::read(&self.files);
        // A file that cannot be read is a content of its own.
        let content = read.as_ref().map_or([0; 32], Bytes::content);
        if content == known {
            *look = Look::default();
            return;
        }
        let usable = read.and_then(|bytes| bytes.config(&self.files));
        match usable {
            Ok(config) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = (content, config);
                *look = Look::default();
                tracing::info!("a new certificate is in use: {}", self.files.certificate.display());
                warn_of_readers(&self.files.key);
            }
            // Half written, or the certificate there and its key not yet: the next look tells.
            Err(_) if look.seen != Some(content) => *look = Look { seen: Some(content), told: false },
            Err(_) if look.told => {}
            Err(error) => {
                look.told = true;
                let hint = error.hint_text().map(|h| format!(" ({h})")).unwrap_or_default();
                tracing::error!("the new certificate cannot be used, the one before it stays: {error}{hint}");
            }
        }
    }
}

/// What the last looks found that could not be used.
#[derive(Default)]
struct Look {
    seen: Option<Content>,
    told: bool,
}

struct Bytes {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Bytes {
    fn read(files: &TlsFiles) -> Result<Self> {
        Ok(Self { certificate: read(&files.certificate)?, key: read(&files.key)? })
    }

    fn content(&self) -> Content {
        let mut hash = Sha256::new();
        hash.update((self.certificate.len() as u64).to_be_bytes());
        hash.update(&self.certificate);
        hash.update(&self.key);
        hash.finalize().into()
    }

    fn config(&self, files: &TlsFiles) -> Result<Arc<ServerConfig>> {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        let wrong = |what: String, hint: &str| Error::config(what).hint(hint);
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|e| wrong(format!("{certificate}: {e}"), CERTIFICATE_HINT))?;
        if chain.is_empty() {
            return Err(wrong(format!("{certificate} holds no certificate"), CERTIFICATE_HINT));
        }
        // Not the error's own words: they may hold bytes of the key.
        let secret = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| wrong(format!("{key} holds no private key"), KEY_HINT))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|e| Error::bug(format!("TLS: {e}")))?
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(|e| match e {
                rustls::Error::InconsistentKeys(_) => wrong(
                    format!("{key} is not the key of the certificate in {certificate}"),
                    "name the two files of one certificate",
                ),
                rustls::Error::InvalidCertificate(why) => {
                    wrong(format!("{certificate}: no good certificate: {why:?}"), CERTIFICATE_HINT)
                }
                other => wrong(format!("{certificate} and {key} cannot be used: {other}"), KEY_HINT),
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

const CERTIFICATE_HINT: &str = "PEM is needed, the server's certificate first: certbot's fullchain.pem";
const KEY_HINT: &str = "PEM is needed, without a passphrase, RSA, ECDSA or Ed25519: certbot's privkey.pem";

fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = |e| Error::io("read", path.display(), e).hint("see [receiver.tls]");
    let about = std::fs::metadata(path).map_err(failed)?;
    if !about.is_file() || about.len() > MOST_BYTES {
        return Err(Error::config(format!("{} is no PEM file", path.display())).hint("see [receiver.tls]"));
    }
    std::fs::read(path).map_err(failed)
}

#[cfg(unix)]
fn warn_of_readers(key: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    if std::fs::metadata(key).is_ok_and(|m| m.permissions().mode() & 0o004 != 0) {
        tracing::warn!(
            "everybody on this machine can read the private key {0}: chmod o-r {0}",
            key.display()
        );
    }
}
#[cfg(not(unix))]
fn warn_of_readers(_: &Path) {}
