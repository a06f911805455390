//! What a store's client says went wrong, as the house's error: without secrets, with what to do.

use std::fmt::Display;

use throughline_core::secret::Redactor;
use throughline_core::{Error, ErrorKind};

/// Answers may be whole pages.
const LONGEST: usize = 400;

/// `doing` and `on` as in [`Error::io`].
pub(super) fn failed(
    doing: &str,
    on: impl Display,
    error: &object_store::Error,
    redactor: &Redactor,
) -> Error {
    use object_store::Error as Store;
    let whole = error.to_string();
    let message = format!("{doing} {on}: {}", said(&whole, redactor));
    // The client knows the status of most answers by kind, and of lists in words alone.
    match (error, status(&whole)) {
        (Store::PermissionDenied { .. } | Store::Unauthenticated { .. }, _) | (_, Some(401 | 403)) => {
            Error::new(ErrorKind::Auth, message).hint(
                "check the keys and their rights: the sink lists, reads, writes and deletes objects below its `path`",
            )
        }
        (Store::NotFound { .. }, _) | (_, Some(404)) => Error::new(ErrorKind::NotFound, message)
            .hint("check the bucket's name, the region and the endpoint; the sink makes no bucket"),
        (Store::NotImplemented { .. } | Store::NotSupported { .. }, _) | (_, Some(501)) => {
            Error::new(ErrorKind::Unsupported, message)
        }
        (Store::InvalidPath { .. }, _) => Error::new(ErrorKind::Data, message),
        // Somebody was quicker; or no answer at all, as of a cut or refused connection.
        (Store::AlreadyExists { .. } | Store::Precondition { .. } | Store::NotModified { .. }, _)
        | (_, None | Some(408 | 429 | 500..)) => Error::new(ErrorKind::Io, message).temporary(None),
        _ => Error::new(ErrorKind::Io, message),
    }
}

/// One line, cut, and without secrets: what the store says where it says something.
fn said(whole: &str, redactor: &Redactor) -> String {
    let clean = redactor.redact(whole);
    let tag = |name: &str| Some(clean.split_once(&format!("<{name}>"))?.1.split_once("</")?.0);
    let words = match (status(&clean), tag("Code"), tag("Message")) {
        (Some(status), Some(code), Some(message)) => format!("{status} {code}: {message}"),
        _ => clean.to_string(),
    };
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line,
    }
}

fn status(said: &str) -> Option<u16> {
    said.split_once("status code: ")?.1.get(..3)?.parse().ok()
}

/// The store says that it does not know conditions.
pub(super) fn knows_no_conditions(error: &object_store::Error) -> bool {
    let said = error.to_string();
    matches!(error, object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. })
        || status(&said) == Some(501)
        || said.contains("NotImplemented")
}
