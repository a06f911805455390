//! A letter: who it is from and for, and what it says, in any script.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, Message, MessageBuilder, SinglePart};
use lettre::{Address, message};
use throughline_core::time::InstantUs;
use throughline_core::{Error, Result};

/// A subject is one line.
const MOST_SUBJECT_CHARS: usize = 200;

/// Reads `a@example.com` or `Name <a@example.com>`.
pub(super) fn mailbox(text: &str) -> Result<Mailbox, String> {
    let text = text.trim();
    let (name, address) = match text.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
        Some((name, address)) => (name.trim().trim_matches('"').to_owned(), address),
        None => (String::new(), text),
    };
    if name.contains(|c: char| c.is_control() || matches!(c, '<' | '>')) {
        return Err("the name has signs that no name has".into());
    }
    if !address.contains('@') {
        return Err("it has no @".into());
    }
    if !address.is_ascii() {
        return Err("letters beyond ASCII cannot stand in it: write the domain in its form xn--".into());
    }
    let address: Address = address.parse().map_err(|e| format!("{e}; write it as somebody@example.com"))?;
    Ok(Mailbox::new(Some(name).filter(|name| !name.is_empty()), address))
}

pub(super) struct Letter<'a> {
    pub from: &'a Mailbox,
    pub to: &'a [Mailbox],
    pub subject: &'a str,
    pub text: &'a str,
    pub at: InstantUs,
}

impl Letter<'_> {
    /// With CRLF, base64 below ASCII headers.
    pub fn written(&self) -> Result<Vec<u8>> {
        let wrong = |e: &dyn std::fmt::Display| Error::bug(format!("a letter that cannot be written: {e}"));
        let at = u64::try_from(self.at).map_err(|_| wrong(&format!("the clock says {}", self.at)))?;
        let mut number = [0_u8; 12];
        getrandom::fill(&mut number).map_err(|e| wrong(&format!("no random numbers: {e}")))?;
        let id = number.iter().fold(String::new(), |mut id, b| {
            let _ = write!(id, "{b:02x}");
            id
        });
        let subject: String = self.subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let subject: String = subject.chars().take(MOST_SUBJECT_CHARS).collect();
        let mut builder: MessageBuilder = Message::builder()
            .from(self.from.clone())
            .subject(subject)
            .date(UNIX_EPOCH + Duration::from_micros(at))
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            // So that nobody's absence answers it (RFC 3834).
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ));
        for to in self.to {
            builder = builder.mailbox(message::header::To::from(message::Mailboxes::from(to.clone())));
        }
        let body = Body::new_with_encoding(self.text.to_owned(), ContentTransferEncoding::Base64)
            .map_err(|_| wrong(&"its text"))?;
        let part = SinglePart::builder().header(ContentType::TEXT_PLAIN).body(body);
        Ok(builder.singlepart(part).map_err(|e| wrong(&e))?.formatted())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let good = |text: &str| mailbox(text).unwrap();
        assert_eq!(good(" a@b.example ").to_string(), "a@b.example");
        assert_eq!(good("Team A <a+x@b.example>").email.to_string(), "a+x@b.example");
        assert_eq!(good("\"Отчёты, все\" <a@b.example>").name.unwrap(), "Отчёты, все");
        for bad in [
            "",
            "a",
            "a@",
            "@b",
            "a b@c.example",
            "a@b.example>",
            "x <a@b.example",
            "a@b.example, c@d.example",
        ] {
            assert!(mailbox(bad).is_err(), "{bad:?}");
        }
        for bad in ["a@пример.рф", "a\r\nb@c.example", "a@b.example>\r\nRCPT TO:<x@y", "n\nm <a@b.example>"]
        {
            assert!(mailbox(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn no_line_is_long_and_no_header_is_made_by_a_subject() {
        let from = mailbox("Ж, \"x\" <a@b.example>").unwrap();
        let to: Vec<Mailbox> =
            (0..40).map(|n| mailbox(&format!("Имя {n} <n{n}@b.example>")).unwrap()).collect();
        let subject = format!("ж\r\nBcc: x@y.example\n{}", "ж".repeat(1000));
        let letter = Letter { from: &from, to: &to, subject: &subject, text: "a\nb\r\nc\r", at: 1 };
        let written = String::from_utf8(letter.written().unwrap()).unwrap();
        assert!(written.is_ascii() && written.lines().all(|l| l.len() <= 998), "{written}");
        assert!(!written.replace("\r\n", "").contains(['\r', '\n']));
        let head = written.split("\r\n\r\n").next().unwrap();
        assert!(!head.split("\r\n").any(|l| l.starts_with("Bcc")), "{head}");
        assert_eq!(head.split("\r\n").filter(|l| l.starts_with("To:")).count(), 1, "{head}");
    }
}
