//! Claims signed with a private key (RS256), with which programs sign in by themselves.
//!
//! <https://www.rfc-editor.org/rfc/rfc7523>

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

/// A key that can sign. Nothing of the key itself is ever shown.
#[derive(Clone)]
pub(crate) struct SigningKey {
    pair: Arc<RsaKeyPair>,
    /// Stands for the key; not reversible.
    pub mark: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Of an RSA key in PKCS #8 (`-----BEGIN PRIVATE KEY-----`); `None` when it is none.
    pub fn from_pem(pem: &str) -> Option<Self> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok()?;
        let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()?;
        let mark =
            Sha256::digest(der.secret_pkcs8_der()).iter().take(8).map(|b| format!("{b:02x}")).collect();
        Some(Self { pair: Arc::new(pair), mark })
    }

    /// Header and claims, signed; `None` when the key cannot sign.
    pub fn sign(&self, header: &serde_json::Value, claims: &serde_json::Value) -> Option<String> {
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut jwt = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), jwt.as_bytes(), &mut signature).ok()?;
        jwt.push('.');
        jwt.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Some(jwt)
    }
}
