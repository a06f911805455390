//! How a message begins in an exported chat: a moment in the writing of the phone's language, and who speaks.
//!
//! ```text
//! 12.03.2026, 14:05 - Анна: текст                     Android
//! [12.03.2026, 14:05:33] Анна: текст                  iOS
//! ١٢‏/٣‏/٢٠٢٦، ٢:٠٥ م - آنا: نص                           Arabic digits, marks between them
//! 3/12/26, 2:05 PM - Anna: text                       another order, a clock of twelve hours
//! ```

/// What all heads of a file have in common: it was written by one phone. A line that looks like a head but is
/// framed otherwise is something that somebody pasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    pub frame: Frame,
    /// Between the numbers of a date.
    pub separator: char,
    pub seconds: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// `[..] `: iOS.
    Bracket,
    /// `.. - `: Android.
    Dash,
    /// `..: `: old versions.
    Colon,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub style: Style,
    /// The three numbers of the date, as they stand.
    pub date: [u32; 3],
    /// How many digits each has.
    pub digits: [usize; 3],
    /// 0 to 23.
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    /// Behind the frame.
    pub rest: &'a str,
}

/// Marks of direction and joining, which nobody sees.
pub(super) fn is_mark(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{61c}' | '\u{feff}')
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}')
}

fn digit(c: char) -> Option<u32> {
    // Latin, Arabic-Indic, Persian, Devanagari, Bengali, full width.
    const ZEROS: [u32; 6] = [0x30, 0x660, 0x6f0, 0x966, 0x9e6, 0xff10];
    let code = u32::from(c);
    ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&code)).map(|zero| code - zero)
}

const BEFORE_NOON: [&str; 12] =
    ["am", "ص", "قظ", "오전", "上午", "午前", "πμ", "öö", "sa", "fm", "पूर्वाह्न", "पूर्वाह"];
const AFTER_NOON: [&str; 12] =
    ["pm", "م", "بظ", "오후", "下午", "午後", "μμ", "ös", "ch", "em", "अपराह्न", "अपराह"];
/// Words between date and time.
const JOINERS: [&str; 8] = ["klo", "kl.", "at", "um", "в", "à", "às", "o"];
/// Characters of a name, in the address book or as its owner gave it.
const NAME_MOST: usize = 80;
/// A frame's end is no farther behind the time than this, in bytes.
const TAIL: usize = 40;

impl<'a> Head<'a> {
    /// `None` when the line does not begin so.
    pub fn read(line: &'a str) -> Option<Self> {
        let mut scan = Scan(line.trim_start_matches(is_mark));
        let bracket = scan.take('[');
        scan.blanks();
        let (a, digits_a) = scan.number(4)?;
        let separator = scan.separator()?;
        let (b, digits_b) = scan.number(2)?;
        if scan.separator()? != separator {
            return None;
        }
        let (c, digits_c) = scan.number(4)?;
        if digits_a == 3 || digits_c == 3 {
            return None;
        }
        // `2026. 03. 12.` in Hungarian, `12.3.2026 г.` in Bulgarian.
        scan.take('.');
        scan.word("г.");
        let comma = scan.take(',') || scan.take('،');
        if !scan.blanks() && !comma {
            return None;
        }
        let _ = JOINERS.iter().any(|joiner| scan.word(joiner));
        let early = scan.meridiem_before();
        let (hour, hour_digits) = scan.number(2)?;
        let clock = [':', '.', '٫'].into_iter().find(|c| scan.take(*c))?;
        let minute = scan.number(2).filter(|(_, digits)| *digits == 2)?.0;
        let mut second = None;
        let before = scan.0;
        if scan.take(clock) {
            match scan.number(2) {
                Some((value, 2)) => second = Some(value),
                // The colon of the old frame.
                _ => scan.0 = before,
            }
        }
        let (tail, frame, rest) = ending(scan.0, bracket)?;
        let late = match meridiem(tail) {
            Some(Noon::None) => None,
            Some(noon) => Some(noon),
            None => return None,
        };
        let hour = match early.or(late) {
            None => hour,
            Some(_) if hour > 12 => return None,
            Some(Noon::Before) => hour % 12,
            Some(_) => hour % 12 + 12,
        };
        if hour > 23 || minute > 59 || second.is_some_and(|s| s > 60) || hour_digits == 0 {
            return None;
        }
        Some(Self {
            style: Style { frame, separator, seconds: second.is_some() },
            date: [a, b, c],
            digits: [digits_a, digits_b, digits_c],
            hour,
            minute,
            second: second.unwrap_or(0).min(59),
            rest,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noon {
    Before,
    After,
    None,
}

/// `None` when it is something else.
fn meridiem(text: &str) -> Option<Noon> {
    let word: String = text
        .chars()
        .filter(|c| !is_mark(*c) && !is_space(*c) && *c != '.')
        .flat_map(char::to_lowercase)
        .collect();
    if word.is_empty() {
        Some(Noon::None)
    } else if BEFORE_NOON.contains(&word.as_str()) {
        Some(Noon::Before)
    } else if AFTER_NOON.contains(&word.as_str()) {
        Some(Noon::After)
    } else {
        None
    }
}

/// What stands between the time and the frame's end, the frame, and what is behind it.
fn ending(text: &str, bracket: bool) -> Option<(&str, Frame, &str)> {
    let mut end = TAIL.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let near = &text[..end];
    if bracket {
        let at = near.find(']')?;
        return Some((&near[..at], Frame::Bracket, &text[at + 1..]));
    }
    for dash in [" - ", " – ", "\u{a0}- ", "\u{202f}- "] {
        if let Some(at) = near.find(dash) {
            return Some((&near[..at], Frame::Dash, &text[at + dash.len()..]));
        }
    }
    let at = near.find(": ")?;
    Some((&near[..at], Frame::Colon, &text[at + 2..]))
}

/// The rest of a line.
struct Scan<'a>(&'a str);

impl Scan<'_> {
    fn marks(&mut self) {
        self.0 = self.0.trim_start_matches(is_mark);
    }

    /// Whether there were any.
    fn blanks(&mut self) -> bool {
        let before = self.0.len();
        self.0 = self.0.trim_start_matches(|c| is_space(c) || is_mark(c));
        self.0.len() < before
    }

    fn take(&mut self, wanted: char) -> bool {
        self.marks();
        match self.0.strip_prefix(wanted) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// A word with a blank behind it.
    fn word(&mut self, word: &str) -> bool {
        let text = self.0.trim_start_matches(|c| is_space(c) || is_mark(c));
        match text.strip_prefix(word) {
            Some(rest) if rest.is_empty() || rest.starts_with(|c| is_space(c) || c == ',') => {
                self.0 = rest;
                self.take(',');
                self.blanks();
                true
            }
            _ => false,
        }
    }

    /// 1 to `most` digits, of one script or another.
    fn number(&mut self, most: usize) -> Option<(u32, usize)> {
        self.marks();
        let (mut value, mut count) = (0, 0);
        while let Some(next) = self.0.chars().next().and_then(|c| Some((digit(c)?, c.len_utf8()))) {
            count += 1;
            if count > most {
                return None;
            }
            value = value * 10 + next.0;
            self.0 = &self.0[next.1..];
        }
        (count > 0).then_some((value, count))
    }

    fn separator(&mut self) -> Option<char> {
        self.marks();
        let found = self.0.chars().next().filter(|c| matches!(c, '.' | '/' | '-'))?;
        self.0 = &self.0[found.len_utf8()..];
        self.blanks();
        Some(found)
    }

    /// `오후 2:05`, `下午2:05`.
    fn meridiem_before(&mut self) -> Option<Noon> {
        let end = self.0.char_indices().take(12).find(|(_, c)| digit(*c).is_some()).map(|(i, _)| i)?;
        let noon = meridiem(&self.0[..end]).filter(|n| *n != Noon::None)?;
        self.0 = &self.0[end..];
        Some(noon)
    }
}

/// A name or text without the marks around it, every blank a space.
pub(super) fn clean(text: &str) -> String {
    let text: String =
        text.chars().filter(|c| !is_mark(*c)).map(|c| if is_space(c) { ' ' } else { c }).collect();
    text.trim().to_owned()
}

/// Who speaks, and what; `None` for a notice of WhatsApp itself, which nobody speaks.
pub(super) fn speaker(rest: &str) -> Option<(String, &str)> {
    let at = rest.find(": ").or_else(|| rest.trim_end().strip_suffix(':').map(str::len))?;
    let name = clean(&rest[..at]);
    // Of an unknown number people see the name that its owner gave: `~ Анна`.
    let name = name.trim_start_matches('~').trim_start().to_owned();
    // What is longer is a notice with a colon in it.
    let quotes = ['"', '“', '”', '«', '»'];
    if name.is_empty() || name.chars().count() > NAME_MOST || name.contains(quotes) {
        return None;
    }
    let text = &rest[at + 1..];
    Some((name, text.strip_prefix(' ').unwrap_or(text)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    type Clock = (u32, u32, u32);

    #[track_caller]
    fn head(line: &str) -> (Frame, [u32; 3], Clock, String) {
        let head = Head::read(line).unwrap_or_else(|| panic!("no head: {line}"));
        let rest = head.rest.trim_start_matches(|c| is_space(c) || is_mark(c)).to_owned();
        (head.style.frame, head.date, (head.hour, head.minute, head.second), rest)
    }

    #[test]
    fn heads_of_many_languages() {
        use Frame::{Bracket, Colon, Dash};
        let table: &[(&str, Frame, [u32; 3], Clock)] = &[
            ("12.03.2026, 14:05 - А: т", Dash, [12, 3, 2026], (14, 5, 0)),
            ("[12.03.2026, 14:05:33] А: т", Bracket, [12, 3, 2026], (14, 5, 33)),
            ("\u{200e}[12.03.26, 14:05:33] А: т", Bracket, [12, 3, 26], (14, 5, 33)),
            ("\u{feff}3/12/26, 2:05\u{202f}PM - А: т", Dash, [3, 12, 26], (14, 5, 0)),
            ("[3/12/26, 12:05:33\u{202f}AM] А: т", Bracket, [3, 12, 26], (0, 5, 33)),
            ("28/3/2025, 9:29 p. m. - А: т", Dash, [28, 3, 2025], (21, 29, 0)),
            ("2023-12-20, 5:46 p.m. - А: т", Dash, [2023, 12, 20], (17, 46, 0)),
            ("2023/12/20, 5:46 pm - А: т", Dash, [2023, 12, 20], (17, 46, 0)),
            ("١٢\u{200f}/٣\u{200f}/٢٠٢٦، ٢:٠٥ م - А: т", Dash, [12, 3, 2026], (14, 5, 0)),
            ("[١٢\u{200f}/٣\u{200f}/٢٠٢٦، ١٢:٠٥:٣٣ ص] А: т", Bracket, [12, 3, 2026], (0, 5, 33)),
            ("۱۲/۳/۲۰۲۶، ۲:۰۵ ب.ظ. - А: т", Dash, [12, 3, 2026], (14, 5, 0)),
            ("[12.3.2022 klo 14.08.18] А: т", Bracket, [12, 3, 2022], (14, 8, 18)),
            ("2026. 03. 12. 14:05 - А: т", Dash, [2026, 3, 12], (14, 5, 0)),
            ("2026. 3. 12. 오후 2:05 - А: т", Dash, [2026, 3, 12], (14, 5, 0)),
            ("2026/3/12 下午2:05 - А: т", Dash, [2026, 3, 12], (14, 5, 0)),
            ("03.08.21, 12:30 – А: т", Dash, [3, 8, 21], (12, 30, 0)),
            ("3/24/14, 1:59:59 PM: А: т", Colon, [3, 24, 14], (13, 59, 59)),
            ("09/12/2012 17:03:48: А: т", Colon, [9, 12, 2012], (17, 3, 48)),
        ];
        for (line, frame, date, time) in table {
            assert_eq!(head(line), (*frame, *date, *time, "А: т".to_owned()), "{line}");
        }
    }

    #[test]
    fn other_lines_are_no_heads() {
        for line in [
            "",
            "текст",
            "12.03.2026",
            "12.03.2026, 14:05",
            "12.03.2026 14:05",
            "12.03.2026, 24:05 - А: т",
            "12.03.2026, 13:05 PM - А: т",
            "12.03.2026, 14:5 - А: т",
            "12.03.2026, 14:05 примерно - А: т",
            "12.03-2026, 14:05 - А: т",
            "120.03.2026, 14:05 - А: т",
            "12.003.2026, 14:05 - А: т",
            "99999999999999999999.1.1, 1:00 - А: т",
            "[12.03.2026, 14:05:33 А: т",
            "12:05 - 14:05",
            "[",
            "\u{200e}",
            "12.03.2026, 14:05 - ",
        ] {
            if line == "12.03.2026, 14:05 - " {
                assert_eq!(Head::read(line).unwrap().rest, "");
                continue;
            }
            assert_eq!(Head::read(line), None, "{line}");
        }
    }

    #[test]
    fn who_speaks() {
        let of = |rest: &str| speaker(rest).map(|(name, text)| (name, text.to_owned()));
        let some = |name: &str, text: &str| Some((name.to_owned(), text.to_owned()));
        assert_eq!(of("Анна: да: нет"), some("Анна", "да: нет"));
        assert_eq!(of("\u{202a}+7\u{a0}916 123-45-67\u{202c}: да"), some("+7 916 123-45-67", "да"));
        assert_eq!(of(" ~\u{202f}Анна:"), some("Анна", ""));
        assert_eq!(of("Анна: \u{200e}image omitted"), some("Анна", "\u{200e}image omitted"));
        assert_eq!(of("Сообщения защищены шифрованием."), None);
        assert_eq!(of("Анна изменила тему на «Диваны: цены»"), None);
        assert_eq!(of(": да"), None);
    }
}
