//! What goes wrong between us and a server, and whether it may go right later.

use throughline_core::{Error, ErrorKind};

/// An operation that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// SQLSTATE, where the server said why: five characters.
    pub state: Option<String>,
    /// A new connection may well succeed.
    pub passing: bool,
    error: Error,
}

impl Failure {
    /// The connection is gone, or did not come about: nobody knows what the server still did.
    pub(crate) fn lost(why: impl std::fmt::Display) -> Self {
        let error = Error::new(ErrorKind::Io, format!("no connection to PostgreSQL: {why}"));
        Self { state: None, passing: true, error }
    }

    /// Trying again gives the same.
    pub(crate) fn permanent(error: Error) -> Self {
        Self { state: None, passing: false, error }
    }

    /// From an ErrorResponse.
    pub(crate) fn server(body: &[u8]) -> Self {
        let (mut state, mut message, mut detail, mut hint) =
            (String::new(), String::new(), String::new(), String::new());
        for field in body.split(|b| *b == 0) {
            let Some((letter, text)) = field.split_first() else { continue };
            let text = || String::from_utf8_lossy(text).into_owned();
            match letter {
                b'C' => state = text(),
                b'M' => message = text(),
                b'D' => detail = text(),
                b'H' => hint = text(),
                _ => {}
            }
        }
        let kind = match state.as_str() {
            s if s.starts_with("28") || s == "42501" => ErrorKind::Auth,
            s if s.starts_with("22") || s.starts_with("23") => ErrorKind::Data,
            "3D000" => ErrorKind::Config,
            _ => ErrorKind::Io,
        };
        let mut error = Error::new(kind, format!("PostgreSQL: {message} (SQLSTATE {state})"));
        if !detail.is_empty() {
            error = error.with("detail", detail);
        }
        let hint = match (state.as_str(), hint.is_empty()) {
            (_, false) => hint,
            ("42501", _) => "give the sink's user the rights that its README names".into(),
            ("53100", _) => "make room on the server's disk, then run again".into(),
            ("55P03", _) => "somebody holds a lock on the tables: see pg_stat_activity".into(),
            _ => String::new(),
        };
        if !hint.is_empty() {
            error = error.hint(hint);
        }
        Self { passing: passes(&state), state: Some(state), error }
    }

    pub(crate) fn is(&self, state: &str) -> bool {
        self.state.as_deref() == Some(state)
    }

    /// For callers that try no more.
    pub(crate) fn into_error(self) -> Error {
        if self.passing { self.error.temporary(None) } else { self.error }
    }

    pub(crate) fn map(self, change: impl FnOnce(Error) -> Error) -> Self {
        Self { error: change(self.error), ..self }
    }
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
        let failure = Failure::server(b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0");
        assert!(failure.passing && failure.is("57P01"));
        let failure = Failure::server(b"SERROR\0C23505\0Mdouble\0DKey (id)=(1)\0\0");
        assert!(!failure.passing);
        let error = failure.into_error();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains("double (SQLSTATE 23505)"), "{error}");
        for (state, passing) in
            [("40001", true), ("40P01", true), ("08006", true), ("42601", false), ("53100", false)]
        {
            assert_eq!(passes(state), passing, "{state}");
        }
        assert!(!Failure::server(b"\xff\0").passing, "nothing in it is trusted");
    }
}
