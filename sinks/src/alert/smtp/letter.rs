//! A letter as it stands on the wire: RFC 5322, MIME (RFC 2045, 2047), any script in base64.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use throughline_core::time::InstantUs;
use throughline_core::{Error, Result};

/// A subject is one line.
const MOST_SUBJECT_CHARS: usize = 200;

/// An address and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mailbox {
    name: String,
    pub address: String,
}

impl Mailbox {
    /// `a@example.com` or `Name <a@example.com>`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (name, address) = match text.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
            Some((name, address)) => (name.trim().trim_matches('"').to_owned(), address),
            None => (String::new(), text),
        };
        if name.contains(|c: char| c.is_control() || matches!(c, '<' | '>')) {
            return Err("the name has signs that no name has".into());
        }
        let (local, domain) = address.rsplit_once('@').ok_or("it has no @")?;
        let plain =
            |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | ',' | ';' | '"' | '\\' | '(' | ')');
        if !address.is_ascii() {
            return Err("letters beyond ASCII cannot stand in it: write the domain in its form xn--".into());
        }
        if local.is_empty() || domain.is_empty() || !address.chars().all(plain) || address.len() > 254 {
            return Err("write it as somebody@example.com".into());
        }
        Ok(Self { name, address: address.to_owned() })
    }

    fn written(&self) -> String {
        match self.name.is_empty() {
            true => self.address.clone(),
            false => format!("{} <{}>", words(&self.name), self.address),
        }
    }
}

pub(super) struct Letter<'a> {
    pub from: &'a Mailbox,
    pub to: &'a [Mailbox],
    pub subject: &'a str,
    pub text: &'a str,
    pub at: InstantUs,
}

impl Letter<'_> {
    /// With CRLF, and no line that a dot begins.
    pub fn written(&self) -> Result<String> {
        let at = chrono::DateTime::from_timestamp_micros(self.at)
            .ok_or_else(|| Error::bug(format!("the clock says {}", self.at)))?;
        let mut number = [0_u8; 12];
        getrandom::fill(&mut number).map_err(|e| Error::bug(format!("no random numbers: {e}")))?;
        let id = number.iter().fold(String::new(), |mut id, b| {
            let _ = write!(id, "{b:02x}");
            id
        });
        let domain = self.from.address.rsplit('@').next().unwrap_or("localhost");
        let to: Vec<String> = self.to.iter().map(Mailbox::written).collect();
        let subject: String = self
            .subject
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MOST_SUBJECT_CHARS)
            .collect();
        let mut letter = format!(
            "From: {}\r\nTo: {}\r\nSubject: {}\r\nDate: {}\r\nMessage-ID: <{id}@{domain}>\r\nAuto-Submitted: auto-generated\r\n\
             MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n",
            self.from.written(),
            to.join(",\r\n "),
            words(&subject),
            at.to_rfc2822(),
        );
        let text = self.text.replace('\n', "\r\n");
        let body = STANDARD.encode(text);
        for line in body.as_bytes().chunks(76) {
            letter.push_str(&String::from_utf8_lossy(line));
            letter.push_str("\r\n");
        }
        letter.truncate(letter.trim_end_matches("\r\n").len());
        Ok(letter)
    }
}

/// A text in a header: as it is, or in encoded words of 75 signs at most.
fn words(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || " .:,;!?'-_+/#%".contains(c);
    // In a name some of these signs would have a meaning.
    let quiet = text.chars().all(plain) && !text.contains([',', ';', ':', '.']);
    if quiet && text.len() <= 60 {
        return text.to_owned();
    }
    let mut parts = vec![String::new()];
    for sign in text.chars() {
        if parts.last().is_some_and(|part| part.len() + sign.len_utf8() > 45) {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push(sign);
        }
    }
    let coded: Vec<String> =
        parts.iter().map(|part| format!("=?UTF-8?B?{}?=", STANDARD.encode(part))).collect();
    coded.join("\r\n ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let good = |text: &str| Mailbox::parse(text).unwrap();
        assert_eq!(good(" a@b.example ").written(), "a@b.example");
        assert_eq!(good("Отчёты <a@b.example>").written(), "=?UTF-8?B?0J7RgtGH0ZHRgtGL?= <a@b.example>");
        assert_eq!(good("Reports <a@b.example>").written(), "Reports <a@b.example>");
        for wrong in
            ["", "a", "a@", "@b", "a b@c", "a@b\r\nRCPT TO:<x@y>", "я@b.example", "<a@b", "a@b>, <c@d>"]
        {
            assert!(Mailbox::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn long_words_are_cut_between_letters() {
        let coded = words(&"ж".repeat(100));
        let mut whole = String::new();
        for line in coded.split("\r\n ") {
            assert!(line.len() <= 75, "{line}");
            let inside = line.strip_prefix("=?UTF-8?B?").and_then(|l| l.strip_suffix("?=")).unwrap();
            whole += std::str::from_utf8(&STANDARD.decode(inside).unwrap()).unwrap();
        }
        assert_eq!(whole, "ж".repeat(100));
    }
}
