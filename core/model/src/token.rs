//! Visit tokens: 50 random bits that travel from a web visit into a messenger and back.
//!
//! Ten symbols of Crockford base32 (no I, L, O, U), most significant first, and a check symbol by
//! Luhn mod 32 over the same alphabet: eleven symbols that are legal in every carrier. All
//! single-symbol errors are caught, and all swaps of neighbours but `0` with `Z`. In text that a
//! customer sees it stands as `[ID:HHR3D1196WD]`; hidden carriers (a Telegram `start`, a VK `ref`, a
//! Viber `context`) hold the bare symbols.
//!
//! Customers' keyboards change it: reading folds case and width, takes Cyrillic capitals for the
//! Latin ones they look like, `O` for `0`, `I` and `L` for `1`, and drops spaces, hyphens and
//! invisible marks inside the brackets.

use std::fmt;

/// The 32 symbols, in the order of their values.
pub const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Symbols of a token, the check symbol included.
pub const TOKEN_LEN: usize = 11;
/// Numbers below this have a token.
pub const NUMBERS: u64 = 1 << 50;

/// A token whose check symbol fits, in its one canonical form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VisitToken([u8; TOKEN_LEN]);

/// What the text of a first message says about its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenState {
    /// In its brackets.
    Ok,
    /// Brackets or label are lost, but the symbols fit.
    Edited,
    /// Something in the brackets that does not check, or two different valid tokens.
    Invalid,
    /// Nothing like a token.
    Missing,
}

impl TokenState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Edited => "edited",
            Self::Invalid => "invalid",
            Self::Missing => "missing",
        }
    }
}

impl VisitToken {
    /// `None` for numbers from 2^50 on.
    pub fn from_number(number: u64) -> Option<Self> {
        if number >= NUMBERS {
            return None;
        }
        let mut values = [0; TOKEN_LEN];
        for (i, value) in values[..TOKEN_LEN - 1].iter_mut().enumerate() {
            let shift = 5 * (TOKEN_LEN - 2 - i);
            *value = (number >> shift & 31) as u8;
        }
        values[TOKEN_LEN - 1] = check_value(&values);
        Some(Self(values.map(|v| ALPHABET[usize::from(v)])))
    }

    /// Reads the bare symbols of a hidden carrier, spaces around them aside. `None` when there is
    /// anything else, or the check symbol does not fit.
    pub fn from_bare(text: &str) -> Option<Self> {
        let mut symbols = Symbols::default();
        for c in text.trim().chars() {
            symbols.push(fold(c)?);
        }
        symbols.token()
    }

    /// Reads a hidden carrier that may hold more than the token: a site's own payload and the token joined
    /// by `__` (Telegram `start`, VK `ref`), or behind ManyChat's `w123--`. `None` without exactly one token.
    pub fn from_carrier(text: &str) -> Option<Self> {
        if let Some(token) = Self::from_bare(text) {
            return Some(token);
        }
        let mut found = None;
        for token in text.split("__").flat_map(|part| part.split("--")).filter_map(Self::from_bare) {
            if found.is_some_and(|before| before != token) {
                return None;
            }
            found = Some(token);
        }
        found
    }

    /// The number it encodes, below 2^50.
    pub fn number(&self) -> u64 {
        self.0[..TOKEN_LEN - 1].iter().fold(0, |n, symbol| n << 5 | u64::from(value(*symbol).unwrap_or(0)))
    }

    pub fn as_str(&self) -> &str {
        // Made of ALPHABET, which is ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn has_letter(&self) -> bool {
        self.0.iter().any(u8::is_ascii_alphabetic)
    }
}

impl fmt::Display for VisitToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl fmt::Debug for VisitToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads the text of a message: the token, when there is exactly one, and its state.
///
/// A token in its brackets wins over bare words. A bare run of eleven symbols counts only when it
/// holds a letter, lest a phone number whose last digit happens to fit be taken for a visit.
pub fn read_text(text: &str) -> (TokenState, Option<VisitToken>) {
    let mut bracketed = Found::None;
    let mut broken = false;
    let mut edited = Found::None;
    let mut rest = text;
    while let Some(open) = rest.find(['[', '［']) {
        let inside = rest[open..].char_indices().nth(1).map_or("", |(i, _)| &rest[open + i..]);
        match bracket(inside) {
            Bracket::Label(Some(token)) => bracketed.add(token),
            Bracket::Label(None) => broken = true,
            Bracket::Bare(token) => edited.add(token),
            Bracket::Other => {}
        }
        rest = inside;
    }
    if broken {
        return (TokenState::Invalid, None);
    }
    match bracketed {
        Found::One(token) => return (TokenState::Ok, Some(token)),
        Found::Several => return (TokenState::Invalid, None),
        Found::None => {}
    }
    let mut run = Symbols::default();
    for c in text.chars().chain([' ']) {
        if c.is_alphanumeric() {
            run.push(fold(c).unwrap_or(0));
            continue;
        }
        if let Some(token) = std::mem::take(&mut run).token().filter(VisitToken::has_letter) {
            edited.add(token);
        }
    }
    match edited {
        Found::One(token) => (TokenState::Edited, Some(token)),
        Found::Several => (TokenState::Invalid, None),
        Found::None => (TokenState::Missing, None),
    }
}

enum Found {
    None,
    One(VisitToken),
    Several,
}

impl Found {
    fn add(&mut self, token: VisitToken) {
        *self = match self {
            Self::None => Self::One(token),
            Self::One(have) if *have == token => return,
            _ => Self::Several,
        };
    }
}

enum Bracket {
    /// `[ID: ...]`, and the token in it if it checks.
    Label(Option<VisitToken>),
    /// `[HHR3D1196WD]`: the label is lost.
    Bare(VisitToken),
    Other,
}

/// Nothing longer can be a token with a few spaces and marks in it.
const MAX_INSIDE_CHARS: usize = 64;

fn bracket(inside: &str) -> Bracket {
    let mut symbols = Symbols::default();
    let mut label = Label::Before;
    for c in inside.chars().take(MAX_INSIDE_CHARS) {
        match c {
            ']' | '］' => {
                let token = symbols.token();
                return match (label, token) {
                    (Label::Seen, token) => Bracket::Label(token),
                    (_, Some(token)) if token.has_letter() => Bracket::Bare(token),
                    _ => Bracket::Other,
                };
            }
            '[' | '［' => return Bracket::Other,
            // The two letters alone are the label; with more behind them they are a word.
            _ if !c.is_alphanumeric() => {
                if label == Label::Before && symbols.is_label() {
                    label = Label::Seen;
                    symbols = Symbols::default();
                } else if !is_dropped(c) && (label == Label::Before || symbols.len > 0) {
                    symbols.push(0);
                }
            }
            _ => symbols.push(fold(c).unwrap_or(0)),
        }
    }
    Bracket::Other
}

#[derive(PartialEq)]
enum Label {
    Before,
    Seen,
}

/// Spaces of all kinds, hyphens and dashes, and the marks that steer writing direction.
fn is_dropped(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ad}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Symbols read so far; a foreign one (0) or a twelfth spoils them.
#[derive(Default)]
struct Symbols {
    read: [u8; TOKEN_LEN],
    len: usize,
    spoiled: bool,
}

impl Symbols {
    fn push(&mut self, symbol: u8) {
        match self.read.get_mut(self.len) {
            Some(slot) if symbol != 0 => *slot = symbol,
            _ => self.spoiled = true,
        }
        self.len += 1;
    }

    /// `ID`, whose `I` is read as `1`.
    fn is_label(&self) -> bool {
        !self.spoiled && self.len == 2 && self.read.starts_with(b"1D")
    }

    fn token(&self) -> Option<VisitToken> {
        if self.spoiled || self.len != TOKEN_LEN {
            return None;
        }
        let mut values = [0; TOKEN_LEN];
        for (slot, symbol) in values.iter_mut().zip(&self.read) {
            *slot = value(*symbol)?;
        }
        (check_value(&values) == values[TOKEN_LEN - 1]).then_some(VisitToken(self.read))
    }
}

/// Luhn mod 32 over the first ten values: from the right, factors 2, 1, 2, ...
fn check_value(values: &[u8; TOKEN_LEN]) -> u8 {
    let mut sum = 0;
    for (i, value) in values[..TOKEN_LEN - 1].iter().rev().enumerate() {
        let product = if i % 2 == 0 { value * 2 } else { *value };
        sum += u32::from(product / 32 + product % 32);
    }
    ((32 - sum % 32) % 32) as u8
}

fn value(symbol: u8) -> Option<u8> {
    ALPHABET.iter().position(|s| *s == symbol).map(|i| i as u8)
}

/// The symbol a character is read as; none for what no token is written with.
pub fn symbol(c: char) -> Option<char> {
    fold(c).map(char::from)
}

/// The symbol a character stands for.
fn fold(c: char) -> Option<u8> {
    let c = match c {
        // Full-width forms.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0)?,
        '\u{660}'..='\u{669}' => char::from_u32(c as u32 - 0x660 + 0x30)?,
        '\u{6f0}'..='\u{6f9}' => char::from_u32(c as u32 - 0x6f0 + 0x30)?,
        _ => c,
    };
    let latin = match c {
        'А' | 'а' => 'A',
        'В' | 'в' => 'B',
        'Е' | 'е' => 'E',
        'К' | 'к' => 'K',
        'М' | 'м' => 'M',
        'Н' | 'н' => 'H',
        'О' | 'о' => 'O',
        'Р' | 'р' => 'P',
        'С' | 'с' => 'C',
        'Т' | 'т' => 'T',
        'У' | 'у' | 'Ү' | 'ү' => 'Y',
        'Х' | 'х' => 'X',
        'І' | 'і' => 'I',
        'Ѕ' | 'ѕ' => 'S',
        'Ј' | 'ј' => 'J',
        other => other.to_ascii_uppercase(),
    };
    let symbol = match latin {
        'O' => b'0',
        'I' | 'L' => b'1',
        other => u8::try_from(other).ok()?,
    };
    value(symbol).map(|_| symbol)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A walk over numbers that is the same every time.
    fn numbers() -> impl Iterator<Item = u64> {
        let step = |n: &u64| {
            Some(
                (n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
                    % (1 << 62),
            )
        };
        std::iter::successors(Some(1), step).map(|n| n >> 12).filter(|n| *n < NUMBERS).take(300)
    }

    #[test]
    fn carriers_that_hold_more_than_the_token() {
        let (one, two) = (VisitToken::from_number(1).unwrap(), VisitToken::from_number(2).unwrap());
        for carrier in
            [format!("{one}"), format!("promo_5__{one}"), format!("w12--{one}"), format!("{one}__{one}")]
        {
            assert_eq!(VisitToken::from_carrier(&carrier), Some(one), "{carrier}");
        }
        for carrier in
            ["promo", "", "__", "--"].map(str::to_owned).into_iter().chain([format!("{one}__{two}")])
        {
            assert_eq!(VisitToken::from_carrier(&carrier), None, "{carrier}");
        }
    }

    #[test]
    fn numbers_and_tokens_are_each_others_inverse() {
        for n in numbers() {
            let token = VisitToken::from_number(n).unwrap();
            assert_eq!(token.number(), n);
            assert_eq!(VisitToken::from_bare(token.as_str()), Some(token));
            assert_eq!(read_text(&format!("Привет! [ID:{token}]")), (TokenState::Ok, Some(token)));
        }
        assert_eq!(VisitToken::from_number(NUMBERS), None);
    }

    #[test]
    fn every_single_symbol_error_is_caught() {
        for n in numbers() {
            let token = VisitToken::from_number(n).unwrap().0;
            for i in 0..TOKEN_LEN {
                for symbol in ALPHABET {
                    let mut wrong = token;
                    wrong[i] = *symbol;
                    let read = VisitToken::from_bare(std::str::from_utf8(&wrong).unwrap());
                    assert_eq!(read.is_some(), wrong == token);
                }
            }
        }
    }

    #[test]
    fn every_swap_of_neighbours_is_caught_but_zero_with_z() {
        for n in numbers() {
            let token = VisitToken::from_number(n).unwrap().0;
            for i in 0..TOKEN_LEN - 1 {
                let mut wrong = token;
                wrong.swap(i, i + 1);
                let harmless = token[i] == token[i + 1]
                    || matches!((token[i], token[i + 1]), (b'0', b'Z') | (b'Z', b'0'));
                let read = VisitToken::from_bare(std::str::from_utf8(&wrong).unwrap());
                assert_eq!(read.is_some(), harmless, "{wrong:?}");
            }
        }
    }

    #[test]
    fn what_keyboards_and_messengers_do_to_it() {
        let token = VisitToken::from_bare("HHR3D1196WD").unwrap();
        for text in [
            "[ID HHR3D1196WD]",
            "[id:\u{a0}hhr3 d119\u{2011}6wd\u{200f}]",
            "［ＩＤ：ＨＨＲ３Ｄ１１９６ＷＤ］",
            "\u{202b}مرحبا [ID:HHR3D1196WD]\u{202c}",
            "[ID:HHR3D١١٩٦WD]",
            "a [note] [ID:HHR3D1196WD] and information",
            "[[ID:HHR3D1196WD]]",
        ] {
            assert_eq!(read_text(text), (TokenState::Ok, Some(token)), "{text}");
        }
        for text in ["[HHR3D1196WD]", "ID:HHR3D1196WD", "(hhr3d1196wd).", "[ID:HHR3D1196WD", "HHR3D1196WD]"] {
            assert_eq!(read_text(text), (TokenState::Edited, Some(token)), "{text}");
        }
        for text in [
            "",
            "[]",
            "[ID",
            "xHHR3D1196WD",
            "HHR3D1196WDx",
            "HHR3D 1196WD",
            "[idea]",
            "[Иван]",
            "[79160000098]",
        ] {
            assert_eq!(read_text(text), (TokenState::Missing, None), "{text}");
        }
        for text in [
            "[ID:]",
            "[ID: ]",
            "[ID:Иванов]",
            "[ID:HHR3D1196WDD]",
            "[ID:HHR3D1196WD] [ID:1]",
            "[ID:HHR3D+1196WD]",
        ] {
            assert_eq!(read_text(text), (TokenState::Invalid, None), "{text}");
        }
        assert_eq!(VisitToken::from_bare(" hhr3d1196wd\n"), Some(token));
        assert_eq!(VisitToken::from_bare("[ID:HHR3D1196WD]"), None);
        assert_eq!(VisitToken::from_bare("HHR3D-1196WD"), None);
    }
}
