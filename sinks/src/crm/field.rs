//! A field of a CRM's deals, and values as texts that can be compared with what the CRM says.

/// As the CRM describes it.
#[derive(Clone, Debug)]
pub(super) struct CrmField {
    /// What it is written by.
    pub key: String,
    /// What it may be called by in the pipeline: its number, code, internal name.
    pub names: Vec<String>,
    /// What people see.
    pub label: String,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// So many characters at most.
    Text {
        most: usize,
    },
    Number,
    /// Options: what is written, and what people see.
    Choice(Vec<(String, String)>),
    /// Nothing that can be written; why.
    Other(String),
}

impl Kind {
    pub fn word(&self) -> String {
        match self {
            Self::Text { .. } => "text".into(),
            Self::Number => "number".into(),
            Self::Choice(options) => format!("choice of {}", options.len()),
            Self::Other(word) => word.clone(),
        }
    }
}

/// What became of a value on its way into a field.
pub(super) enum Fitted {
    /// As the CRM will say it.
    As(String),
    /// Cut to the field's length.
    Cut(String),
    /// Cannot be written; why.
    Not(String),
}

impl CrmField {
    pub fn fit(&self, value: &str, cut: bool) -> Fitted {
        match &self.kind {
            Kind::Text { most } => {
                let length = value.chars().count();
                if length <= *most {
                    return Fitted::As(value.to_owned());
                }
                if cut {
                    let text: String = value.chars().take(*most).collect();
                    return Fitted::Cut(text.trim_end().to_owned());
                }
                Fitted::Not(format!(
                    "field {}: {length} characters, and the CRM takes {most}; use a longer field, or allow `cut = true`",
                    self.label
                ))
            }
            Kind::Number => match number(value) {
                Some(number) => Fitted::As(number),
                None => Fitted::Not(format!("field {} takes numbers, and {value:?} is none", self.label)),
            },
            Kind::Choice(options) => {
                let folded = value.to_lowercase();
                match options.iter().find(|(_, label)| label.trim().to_lowercase() == folded) {
                    Some((_, label)) => Fitted::As(label.trim().to_owned()),
                    None => Fitted::Not(format!(
                        "field {} has no option {value:?}: add it in the CRM, or map a text field",
                        self.label
                    )),
                }
            }
            Kind::Other(word) => {
                Fitted::Not(format!("field {} is of type {word}, which is not written", self.label))
            }
        }
    }

    /// A value as the CRM gave it; empty is none.
    pub fn read(&self, value: &str) -> Option<String> {
        let value = value.trim();
        if value.is_empty() {
            return None;
        }
        Some(match self.kind {
            Kind::Number => number(value).unwrap_or_else(|| value.to_owned()),
            _ => value.to_owned(),
        })
    }

    /// Of a choice: what is written for its label.
    pub fn option(&self, label: &str) -> Option<&str> {
        let Kind::Choice(options) = &self.kind else { return None };
        options.iter().find(|(_, l)| l.trim() == label.trim()).map(|(key, _)| key.as_str())
    }

    /// What people see of an option, by what is written for it.
    pub fn label_of<'a>(&'a self, key: &'a str) -> &'a str {
        let Kind::Choice(options) = &self.kind else { return key };
        options.iter().find(|(k, _)| k == key).map_or(key, |(_, label)| label.as_str())
    }
}

/// A decimal number in one form: no plus, no zeros around it, `-0` is `0`.
pub(super) fn number(text: &str) -> Option<String> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + part.len() == 0 || !all_digits(whole) || !all_digits(part) {
        // Floats of small and large numbers have an exponent.
        let float = text.parse::<f64>().ok().filter(|f| f.is_finite() && text.contains(['e', 'E']))?;
        return number(&format!("{float}"));
    }
    let whole = whole.trim_start_matches('0');
    let part = part.trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(match (whole, part) {
        ("0", "") => "0".into(),
        (whole, "") => format!("{sign}{whole}"),
        (whole, part) => format!("{sign}{whole}.{part}"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn field(kind: Kind) -> CrmField {
        CrmField { key: "1".into(), names: vec!["1".into()], label: "Канал".into(), kind }
    }

    #[test]
    fn numbers_have_one_form() {
        for (given, one) in [("007.50", "7.5"), ("+1", "1"), ("-0.0", "0"), (".5", "0.5"), ("-3.", "-3")] {
            assert_eq!(number(given).as_deref(), Some(one), "{given}");
        }
        assert_eq!(number("1e3").as_deref(), Some("1000"));
        for bad in ["", "-", "1,5", "1.2.3", "x", "NaN", "1e999", "٣"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_too_long_is_told_and_cut_only_when_asked() {
        let field = field(Kind::Text { most: 3 });
        let Fitted::Not(why) = field.fit("слово", false) else { panic!() };
        assert!(why.contains("5 characters") && why.contains("takes 3"), "{why}");
        assert!(matches!(field.fit("слово", true), Fitted::Cut(text) if text == "сло"));
        assert!(matches!(field.fit("сло", false), Fitted::As(text) if text == "сло"));
    }

    #[test]
    fn options_are_found_by_what_people_see() {
        let field = field(Kind::Choice(vec![("7".into(), "Яндекс".into()), ("8".into(), "VK".into())]));
        assert!(matches!(field.fit("яндекс", false), Fitted::As(label) if label == "Яндекс"));
        assert!(matches!(field.fit("гугл", false), Fitted::Not(why) if why.contains("no option")));
        assert_eq!((field.option("VK"), field.label_of("7")), (Some("8"), "Яндекс"));
    }
}
