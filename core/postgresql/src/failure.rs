//! What goes wrong between us and a server, and whether it may go right later.

use std::io;

use throughline_core::{Error, ErrorKind};

use super::guard::Refusal;

const CLOSED: &str = "the server closed the connection";

/// An operation that failed.
#[derive(Debug)]
pub struct Failure {
    /// SQLSTATE, where the server said why: five characters.
    pub state: Option<String>,
    /// A new connection may well succeed.
    pub passing: bool,
    error: Error,
}

impl Failure {
    /// The connection is gone, or did not come about: nobody knows what the server still did.
    pub fn lost(why: impl std::fmt::Display) -> Self {
        let error = Error::new(ErrorKind::Io, format!("no connection to PostgreSQL: {why}"));
        Self { state: None, passing: true, error }
    }

    /// Trying again gives the same.
    pub fn permanent(error: Error) -> Self {
        Self { state: None, passing: false, error }
    }

    /// From an error of the client.
    pub fn of(error: &tokio_postgres::Error) -> Self {
        if let Some(said) = error.as_db_error() {
            return Self::server(
                said.code().code(),
                said.message(),
                said.detail().unwrap_or_default(),
                said.hint().unwrap_or_default(),
            );
        }
        let io = std::error::Error::source(error).and_then(|e| e.downcast_ref::<std::io::Error>());
        if let Some(refusal) = io.and_then(|e| e.get_ref()).and_then(|e| e.downcast_ref::<Refusal>()) {
            let refused = Error::new(refusal.kind, refusal.message.clone());
            return Self::permanent(if refusal.hint.is_empty() {
                refused
            } else {
                refused.hint(refusal.hint)
            });
        }
        match io {
            // What the client could not read.
            Some(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
                Self::permanent(Error::protocol(format!("PostgreSQL's protocol: {e}")))
            }
            Some(e) if e.kind() == io::ErrorKind::UnexpectedEof => Self::lost(CLOSED),
            Some(e) => Self::lost(e),
            None if error.is_closed() => Self::lost(CLOSED),
            None => Self::permanent(Error::protocol(format!("PostgreSQL: {}", chain(error)))),
        }
    }

    /// The same before the server knows who we are: what is no broken line is want of trust.
    pub(crate) fn signing_in(error: &tokio_postgres::Error) -> Self {
        let failure = Self::of(error);
        if failure.passing || failure.state.is_some() || failure.error.kind() != ErrorKind::Protocol {
            return failure;
        }
        let io = std::error::Error::source(error).is_some_and(|e| e.is::<std::io::Error>());
        if io {
            return failure;
        }
        Self::permanent(
            Error::new(ErrorKind::Auth, format!("signing in to PostgreSQL: {}", chain(error)))
                .hint("somebody may stand between: use tls = \"verify\""),
        )
    }

    /// From what the server said.
    fn server(state: &str, message: &str, detail: &str, hint: &str) -> Self {
        let kind = match state {
            s if s.starts_with("28") || s == "42501" => ErrorKind::Auth,
            s if s.starts_with("22") || s.starts_with("23") => ErrorKind::Data,
            "3D000" => ErrorKind::Config,
            _ => ErrorKind::Io,
        };
        let mut error = Error::new(kind, format!("PostgreSQL: {message} (SQLSTATE {state})"));
        if !detail.is_empty() {
            error = error.with("detail", detail);
        }
        let hint = match (state, hint.is_empty()) {
            (_, false) => hint,
            ("42501", _) => "give the user the rights that the README names",
            ("53100", _) => "make room on the server's disk, then run again",
            ("55P03", _) => "somebody holds a lock on the tables: see pg_stat_activity",
            _ => "",
        };
        if !hint.is_empty() {
            error = error.hint(hint);
        }
        Self { passing: passes(state), state: Some(state.to_owned()), error }
    }

    pub fn is(&self, state: &str) -> bool {
        self.state.as_deref() == Some(state)
    }

    /// For callers that try no more.
    pub fn into_error(self) -> Error {
        if self.passing { self.error.temporary(None) } else { self.error }
    }

    pub fn map(self, change: impl FnOnce(Error) -> Error) -> Self {
        Self { error: change(self.error), ..self }
    }
}

/// An error and what it came of.
fn chain(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map(|e| format!(": {e}"));
    format!("{error}{}", cause.unwrap_or_default())
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::permanent(error)
    }
}

/// States after which a new try may succeed (manual, "PostgreSQL Error Codes").
fn passes(state: &str) -> bool {
    state.starts_with("08")
        || matches!(
            state,
            // Serialization, deadlock, lock timeout.
            "40001" | "40P01" | "55P03"
            // Somebody stops the server, it crashed, it is not up yet; too many connections.
            | "57P01" | "57P02" | "57P03" | "53300"
            // A standby that is not the primary any more, or not yet.
            | "25006"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_words_are_kept_and_sorted() {
        let failure = Failure::server("57P01", "terminating connection", "", "");
        assert!(failure.passing && failure.is("57P01"));
        let failure = Failure::server("23505", "double", "Key (id)=(1)", "");
        assert!(!failure.passing);
        let error = failure.into_error();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains("double (SQLSTATE 23505)"), "{error}");
        for (state, passing) in
            [("40001", true), ("40P01", true), ("08006", true), ("42601", false), ("53100", false)]
        {
            assert_eq!(passes(state), passing, "{state}");
        }
    }
}
