//! The key that tokens are encrypted with, and the encryption.

use std::io::{ErrorKind as IoKind, Read as _, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use throughline_core::{Error, ErrorKind, Result, Secret};

use crate::files::{hex, private_file, sync_dir};

const KEY_BYTES: usize = 32;
/// XChaCha20's: long enough that random ones never meet.
const NONCE_BYTES: usize = 24;
/// Binds a value to its purpose and account: a row copied to another account does not decrypt.
const DOMAIN: &[u8] = b"throughline token v1\0";

/// 32 bytes; `Debug` prints none of them.
#[derive(Clone)]
pub struct TokenKey([u8; KEY_BYTES]);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl TokenKey {
    /// From a secret of the user: 32 bytes as 64 hexadecimal digits or as Base64.
    pub fn parse(text: &Secret) -> Result<Self> {
        Self::decode(text.expose().trim()).ok_or_else(|| {
            Error::config("the token key is not 32 bytes, in 64 hexadecimal digits or in Base64")
                .hint("make one with `openssl rand -hex 32`")
        })
    }

    fn decode(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let bytes = if digits.len() == 2 * KEY_BYTES {
            let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
            digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
        } else {
            STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()
        };
        bytes?.try_into().ok().map(Self)
    }

    /// Reads the key of a file, made with random bytes when it is not there.
    ///
    /// # Errors
    /// `Config` when others than the owner may read it, or when it holds no key.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        match read(path)? {
            Some(key) => Ok(key),
            None => {
                create(path)?;
                read(path)?
                    .ok_or_else(|| Error::bug(format!("the token key {} has vanished", path.display())))
            }
        }
    }

    /// The 32 bytes, for a keyed hash.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn seal(&self, account: &str, clear: &[u8]) -> Result<Vec<u8>> {
        let mut sealed = vec![0; NONCE_BYTES];
        random(&mut sealed).map_err(|e| Error::io("get", "random bytes from the system", e))?;
        let nonce = XNonce::from_slice(&sealed).to_owned();
        let text = XChaCha20Poly1305::new(&self.0.into())
            .encrypt(&nonce, Payload { msg: clear, aad: &associated(account) })
            .map_err(|_| Error::bug("a token is too long to encrypt"))?;
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    pub(crate) fn open(&self, account: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let opened = sealed.split_at_checked(NONCE_BYTES).and_then(|(nonce, text)| {
            XChaCha20Poly1305::new(&self.0.into())
                .decrypt(XNonce::from_slice(nonce), Payload { msg: text, aad: &associated(account) })
                .ok()
        });
        opened.ok_or_else(|| {
            Error::new(ErrorKind::Auth, format!("the stored token of account {account:?} does not decrypt"))
                .hint("it was encrypted with another key: restore that token.key, or authorise the account again")
        })
    }
}

fn random(bytes: &mut [u8]) -> std::io::Result<()> {
    getrandom::fill(bytes).map_err(|e| std::io::Error::other(e.to_string()))
}

fn associated(account: &str) -> Vec<u8> {
    [DOMAIN, account.as_bytes()].concat()
}

fn read(path: &Path) -> Result<Option<TokenKey>> {
    let shown = path.display();
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read the token key", &shown, e)),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode =
            file.metadata().map_err(|e| Error::io("read the token key", &shown, e))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Error::config(format!(
                "others may read the token key {shown} (mode {:o})",
                mode & 0o777
            ))
            .hint(format!("run `chmod 600 {shown}`")));
        }
    }
    let mut text = String::new();
    file.take(256).read_to_string(&mut text).map_err(|e| Error::io("read the token key", &shown, e))?;
    TokenKey::decode(text.trim())
        .map(Some)
        .ok_or_else(|| Error::config(format!("{shown} holds no token key")).hint("restore it from a backup"))
}

/// Puts a whole key at `path`, or leaves the one that somebody else has put there meanwhile.
fn create(path: &Path) -> Result<()> {
    let made = (|| {
        let mut key = [0; KEY_BYTES];
        random(&mut key)?;
        let mut unique = [0; 8];
        random(&mut unique)?;
        let part = path.with_extension(format!("{}.part", hex(&unique)));
        let mut file = private_file().create_new(true).open(&part)?;
        let written = writeln!(file, "{}", hex(&key)).and_then(|()| file.sync_all());
        // Not a rename: that would put our key over one already in use.
        let linked = written.and_then(|()| std::fs::hard_link(&part, path));
        let _ = std::fs::remove_file(&part);
        match linked {
            Err(e) if e.kind() != IoKind::AlreadyExists => Err(e),
            _ => Ok(()),
        }
    })();
    made.map_err(|e| Error::io("make the token key", path.display(), e))?;
    path.parent().map_or(Ok(()), sync_dir)
}
