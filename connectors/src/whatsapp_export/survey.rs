//! A first look at a whole file: how it is written, in which order its dates are, and who talks in it.

use std::path::Path;

use throughline_core::phone;
use throughline_core::{Error, Result};

use super::config::Settings;
use super::dates::{DateOrder, Orders};
use super::head::{Frame, Head, Style, speaker};
use super::text::Source;
use super::words::said;

/// So many names of a group are shown; that there are two tells that it is one.
const NAMES: usize = 5;

/// What must be known of a file before its first line can be a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chat {
    pub style: Style,
    pub order: DateOrder,
    /// More people than one write who are not ours.
    pub is_group: bool,
    /// Who it is with: a number in digits where one is known, else a name; of a group, its title.
    pub with: String,
    /// Of the one it is with, E.164.
    pub phone: Option<String>,
    pub ours_spoke: bool,
    /// The first who are not ours.
    pub customers: Vec<String>,
}

/// `None` for an empty file.
///
/// # Errors
/// It cannot be read, is no chat, or its dates may be read in two ways.
pub(super) fn survey(path: &Path, name: &str, settings: &Settings) -> Result<Option<Chat>> {
    let mut source = Source::open(path)?;
    let mut lines = source.lines()?;
    let mut style: Option<Style> = None;
    let mut orders = Orders::default();
    let (mut customers, mut ours_spoke, mut any) = (Vec::<String>::new(), false, false);
    while let Some(line) = lines.next()? {
        let Ok(text) = std::str::from_utf8(line.bytes) else {
            any = true;
            continue;
        };
        any |= !text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}').is_empty();
        let Some(head) = Head::read(text) else { continue };
        if *style.get_or_insert(head.style) != head.style {
            continue;
        }
        // A date that is none, where the user said the order, is for the dead letters.
        orders.see(&head, line.number);
        let Some((who, words)) = speaker(head.rest) else { continue };
        let notice = head.style.frame == Frame::Bracket && said(words, true).kind == "system";
        if settings.operators.contains(&who) {
            ours_spoke = true;
        } else if !notice && customers.len() < NAMES && !customers.contains(&who) {
            customers.push(who);
        }
    }
    let Some(style) = style else {
        return if any {
            Err(Error::data(format!(
                "{name} is no exported chat: no line of it begins with a date and a time"
            ))
            .hint("let `path` name exported chats alone"))
        } else {
            Ok(None)
        };
    };
    let order = match settings.date_order {
        Some(order) => order,
        None => orders.decide().map_err(|why| {
            Error::data(format!("{name}: {why}"))
                .hint("set `date_order` to dmy, mdy or ymd, as the phone writes dates")
        })?,
    };
    let title = title(path);
    let is_group = customers.len() > 1;
    let phone = match customers.as_slice() {
        [] => in_title(&title, settings),
        [one] => phone_of(one, settings).or_else(|| in_title(&title, settings)),
        _ => None,
    };
    let with = match (&phone, customers.first()) {
        (Some(phone), _) => phone.trim_start_matches('+').to_owned(),
        (None, Some(name)) if !is_group => name.clone(),
        (None, _) => title,
    };
    Ok(Some(Chat { style, order, is_group, with, phone, ours_spoke, customers }))
}

/// The file's name without its endings and without the number that a second download gets. iOS calls every chat
/// `_chat.txt`: then the folder's name.
fn title(path: &Path) -> String {
    let mut name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    for ending in [".gz", ".gzip", ".zst", ".zstd", ".txt", ".zip"] {
        let cut = name.len().checked_sub(ending.len()).filter(|at| name.is_char_boundary(*at));
        if let Some(at) = cut
            && name[at..].eq_ignore_ascii_case(ending)
        {
            name = &name[..at];
        }
    }
    if name == "_chat"
        && let Some(folder) = path.parent().and_then(Path::file_name).and_then(|n| n.to_str())
    {
        name = folder;
    }
    let numbered = name.strip_suffix(')').and_then(|n| n.rsplit_once(" ("));
    let name = match numbered {
        Some((before, number)) if number.bytes().all(|b| b.is_ascii_digit()) => before,
        _ => name,
    };
    super::head::clean(name)
}

/// A name that is nothing but a number: of somebody who is in nobody's address book.
pub(super) fn phone_of(name: &str, settings: &Settings) -> Option<String> {
    let written = name.chars().all(|c| c.is_numeric() || " +()-.".contains(c));
    phone::parse(name, settings.region).filter(|_| written).map(|p| p.e164)
}

/// A phone in the file's name: `WhatsApp Chat with +7 916 123-45-67`, `79161234567`.
fn in_title(title: &str, settings: &Settings) -> Option<String> {
    if let Some(at) = title.find('+') {
        let run: String =
            title[at + 1..].chars().take_while(|c| c.is_ascii_digit() || " ()-.".contains(*c)).collect();
        return phone::parse(&format!("+{}", run.trim()), None).map(|p| p.e164);
    }
    let digits = title.split(|c: char| !c.is_ascii_digit()).find(|run| (10..=15).contains(&run.len()))?;
    let home = settings.region.and_then(|region| phone::parse(digits, Some(region)));
    home.filter(|p| p.valid)
        .or_else(|| phone::parse(&format!("+{digits}"), None).filter(|p| p.valid))
        .map(|p| p.e164)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_and_the_phones_in_them() {
        let of = |path: &str| title(Path::new(path));
        assert_eq!(of("chats/WhatsApp Chat with Анна (2).txt"), "WhatsApp Chat with Анна");
        assert_eq!(of("WhatsApp Chat - Анна.zip"), "WhatsApp Chat - Анна");
        assert_eq!(of("Анна/_chat.txt"), "Анна");
        assert_eq!(of("a.TXT.gz"), "a");
        let settings = |region: Option<&str>| Settings {
            base_dir: "".into(),
            path: String::new(),
            operators: Vec::new(),
            account: String::new(),
            time_zone: String::new(),
            date_order: None,
            region: region.and_then(phone::region),
        };
        let phone = |title: &str, region| in_title(title, &settings(region));
        assert_eq!(phone("WhatsApp Chat with +7 916 123-45-67", None).as_deref(), Some("+79161234567"));
        assert_eq!(phone("79161234567", None).as_deref(), Some("+79161234567"));
        assert_eq!(phone("chat 89161234567", Some("RU")).as_deref(), Some("+79161234567"));
        assert_eq!(phone("WhatsApp Chat with Анна 2026-03-12", Some("RU")), None);
        assert_eq!(phone("20260312140533", None), None);
    }
}
