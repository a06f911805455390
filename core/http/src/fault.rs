//! What can go wrong below HTTP, sorted by the one question that matters: may it be sent again?

use throughline_core::{Error, ErrorKind};

/// An attempt without a usable answer. The errors name the request and hold no secret.
#[derive(Debug)]
pub enum Fault {
    /// The request never left: anything may be sent again.
    NotSent(Error),
    /// It left, and the answer did not (wholly) arrive: the vendor may have done what was asked.
    Lost(Error),
    /// Another attempt would end the same.
    Final(Error),
}

impl Fault {
    pub fn into_error(self) -> Error {
        match self {
            Self::NotSent(error) | Self::Lost(error) | Self::Final(error) => error,
        }
    }

    /// The answer's bytes stopped before their end, or make no sense.
    pub fn broken(title: &str, read: u64, why: &str) -> Self {
        let message = format!("{title}: the answer broke off after {read} bytes: {why}");
        Self::Lost(Error::new(ErrorKind::Protocol, message).temporary(None))
    }

    pub fn too_large(title: &str, limit: u64) -> Self {
        let message = format!("{title}: the answer is larger than the {limit} bytes allowed for it");
        Self::Final(Error::protocol(message).hint("ask for smaller pages or a shorter period"))
    }
}
