//! What is wrong with a token that does not check, symbol by symbol.

use throughline_core::token::{ALPHABET, TOKEN_LEN, VisitToken, symbol};

/// A token as a message holds it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Broken {
    /// As written, between the brackets and behind the label.
    pub written: String,
    /// Its symbols as they are read; `?` for what is none.
    pub symbols: String,
    pub problem: String,
}

/// The first bracketed token of a text that does not check; `None` when there is nothing of the kind.
pub(super) fn broken(text: &str) -> Option<Broken> {
    let mut valid: Vec<VisitToken> = Vec::new();
    for (open, _) in text.char_indices().filter(|(_, c)| matches!(c, '[' | '［')) {
        let inside =
            text[open..].chars().skip(1).take(64).take_while(|c| !matches!(c, ']' | '］' | '[' | '［'));
        let Some(written) = behind_label(&inside.collect::<String>()) else { continue };
        match judge(&written) {
            Ok(token) if valid.iter().any(|t| *t != token) => {
                return Some(Broken {
                    symbols: token.as_str().to_string(),
                    written,
                    problem: format!("the message holds two tokens, {} and {token}", valid[0]),
                });
            }
            Ok(token) => valid.push(token),
            Err(broken) => return Some(broken),
        }
    }
    None
}

/// What stands behind `ID`, less separators around it.
fn behind_label(inside: &str) -> Option<String> {
    let mut letters = inside.char_indices().filter(|(_, c)| c.is_alphanumeric());
    let (first, second) = (letters.next()?, letters.next()?);
    let is_label = symbol(first.1) == Some('1') && symbol(second.1) == Some('D');
    let rest = &inside[second.0 + second.1.len_utf8()..];
    let ends = rest.chars().next().is_some_and(|c| !c.is_alphanumeric());
    (is_label && ends).then(|| rest.trim_matches(|c: char| !c.is_alphanumeric()).to_string())
}

fn judge(written: &str) -> Result<VisitToken, Broken> {
    let separator = |c: char| {
        c.is_whitespace()
            || c == '-'
            || ('\u{2010}'..='\u{2015}').contains(&c)
            || !c.is_alphanumeric() && !c.is_ascii_punctuation()
    };
    let given: Vec<char> = written.chars().filter(|c| !separator(*c)).collect();
    let read: Vec<Option<char>> = given.iter().map(|c| symbol(*c)).collect();
    let symbols: String = read.iter().map(|s| s.unwrap_or('?')).collect();
    if let Some(token) = VisitToken::from_bare(&symbols) {
        return Ok(token);
    }
    let problem = if let Some(at) = read.iter().position(Option::is_none) {
        format!(
            "its symbol {} of {}, {:?}, is none of a token's ({})",
            at + 1,
            read.len(),
            given[at],
            alphabet()
        )
    } else if read.len() != TOKEN_LEN {
        format!("it has {} symbols in place of {TOKEN_LEN}", read.len())
    } else {
        let (head, last) = symbols.split_at(TOKEN_LEN - 1);
        let wanted = ALPHABET
            .iter()
            .map(|s| char::from(*s))
            .find(|s| VisitToken::from_bare(&format!("{head}{s}")).is_some());
        format!(
            "its check symbol, the {TOKEN_LEN}th, is {last}, and {head} wants {}: at least one symbol was changed",
            wanted.unwrap_or('?')
        )
    };
    Err(Broken { written: written.to_string(), symbols, problem })
}

fn alphabet() -> &'static str {
    "0-9 and A-Z without I L O U"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_way_to_break_a_token_is_told() {
        let problem = |text: &str| broken(text).map(|b| b.problem);
        assert_eq!(problem("Цена? [ID:HHR3D1196WD]"), None);
        assert_eq!(problem("Цена?"), None);
        assert_eq!(problem("[1] и [скидка]"), None);
        assert_eq!(
            problem("Цена? [ID:HHR3D1196WX]").unwrap(),
            "its check symbol, the 11th, is X, and HHR3D1196W wants D: at least one symbol was changed"
        );
        assert_eq!(problem("[ID: HHR3D1196W]").unwrap(), "it has 10 symbols in place of 11");
        assert_eq!(
            problem("[id:HHR3Ж1196WD]").unwrap(),
            "its symbol 5 of 11, 'Ж', is none of a token's (0-9 and A-Z without I L O U)"
        );
        let other = VisitToken::from_number(7).unwrap();
        assert!(
            problem(&format!("[ID:HHR3D1196WD] [ID:{other}]")).unwrap().starts_with("the message holds two")
        );
        for odd in ["[", "[]", "[ID", "[ID:", "[ID:]", "[ID]", "］［ID：🙂］", "[I[D:x]"] {
            let _ = broken(odd);
        }
    }
}
