//! What may be received: webhooks of a vendor, events of a site.

use throughline_core::Secret;

/// `POST /hooks/<source>`.
#[derive(Clone, Debug)]
pub struct Hook {
    /// Name of the source in the pipeline: letters, digits, `_` and `-`.
    pub source: String,
    pub verify: Verify,
}

/// How a vendor proves that a delivery is its own.
#[derive(Clone, Debug)]
pub enum Verify {
    /// WhatsApp, Messenger, Instagram: `X-Hub-Signature-256`, HMAC-SHA256 of the raw body; the GET handshake.
    Meta { app_secret: Secret, verify_token: Option<Secret> },
    /// `X-Viber-Content-Signature`, HMAC-SHA256 of the raw body, or the query's `sig`.
    Viber { auth_token: Secret },
    /// `X-Telegram-Bot-Api-Secret-Token`.
    Telegram { secret: Secret },
    /// The member `secret` of the body; `confirmation` is answered with the code.
    Vk { secret: Secret, confirmation: Option<Secret> },
    /// `Authorization: Bearer ..`: Wazzup.
    Bearer { token: Secret },
    /// CoMagic: `Authorization: Bearer ..` or `Basic ..`, and the event in the path, `/hooks/<source>/<event>`.
    Comagic { secret: Secret },
    /// Any other header with a fixed value: ManyChat, Dialogflow, Botmother.
    Header { name: String, secret: Secret },
    /// `/hooks/<source>/<secret>`: Chatfuel and whoever can send nothing else.
    Path { secret: Secret },
}

impl Verify {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Meta { .. } => "meta",
            Self::Viber { .. } => "viber",
            Self::Telegram { .. } => "telegram",
            Self::Vk { .. } => "vk",
            Self::Bearer { .. } => "bearer",
            Self::Comagic { .. } => "comagic",
            Self::Header { .. } => "header",
            Self::Path { .. } => "path",
        }
    }

    /// How many parts of a path may stand behind `/hooks/<source>`. One that should not be there is told from
    /// a hook that does not exist.
    pub fn path_parts(&self) -> usize {
        if self.tells_event_by_path() { 3 } else { 1 }
    }

    /// Whether path and method say what a body is about: they are kept with it.
    pub fn tells_event_by_path(&self) -> bool {
        matches!(self, Self::Comagic { .. })
    }
}

/// `/site/<source>/..`.
#[derive(Clone, Debug)]
pub struct Site {
    pub source: String,
    /// `https://shop.example`: scheme, host, and port where it is not the scheme's own.
    pub origins: Vec<String>,
}

/// Whether it can stand in a path as it is.
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}
