//! Words by which customers opt out and in again.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A language whose words for opting out and in are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English
    En,
    /// Russian
    Ru,
    /// Arabic
    Ar,
}

impl Language {
    pub const ALL: [Self; 3] = [Self::En, Self::Ru, Self::Ar];

    fn opt_out(self) -> &'static [&'static str] {
        match self {
            Self::En => &[
                "stop",
                "stop all",
                "stopall",
                "unsubscribe",
                "unsubscribe me",
                "opt out",
                "opt-out",
                "optout",
                "cancel subscription",
                "stop promotions",
            ],
            Self::Ru => &[
                "стоп",
                "отписаться",
                "отписка",
                "отпишите меня",
                "отпишите",
                "отменить подписку",
                "не присылайте",
                "не присылайте больше",
                "больше не присылайте",
                "хватит писать",
            ],
            Self::Ar => &[
                "إيقاف",
                "ايقاف",
                "توقف",
                "إلغاء الاشتراك",
                "الغاء الاشتراك",
                "الغاء الإشتراك",
                "إلغاء الإشتراك",
                "أوقف الرسائل",
                "اوقف الرسائل",
            ],
        }
    }

    fn opt_in(self) -> &'static [&'static str] {
        match self {
            Self::En => &["subscribe", "subscribe me", "resubscribe", "unstop", "opt in", "opt-in", "optin"],
            Self::Ru => &["подписаться", "подписка", "подпишите меня", "подпишите", "возобновить подписку"],
            Self::Ar => &["اشتراك", "اشترك", "الاشتراك", "إشتراك"],
        }
    }
}

/// Every word with what it does: the built-in ones of `languages` and the user's own. What is in both
/// lists opts out.
pub(crate) fn words(
    languages: &[Language],
    own_out: &[String],
    own_in: &[String],
) -> BTreeMap<String, &'static str> {
    let mut all = BTreeMap::new();
    let built_in = |words: fn(Language) -> &'static [&'static str]| {
        languages.iter().flat_map(move |l| words(*l)).map(|w| normal_word(w))
    };
    for word in built_in(Language::opt_in).chain(own_in.iter().map(|w| normal_word(w))) {
        all.insert(word, "opt_in");
    }
    for word in built_in(Language::opt_out).chain(own_out.iter().map(|w| normal_word(w))) {
        all.insert(word, "opt_out");
    }
    all.remove("");
    all
}

/// As steps/41_messages.sql normalises texts before it compares them.
pub(crate) fn normal_word(word: &str) -> String {
    const PUNCTUATION: &str = ".,!?;:\"'«»()[]*";
    let kept: String = word.to_lowercase().chars().filter(|c| !PUNCTUATION.contains(*c)).collect();
    kept.trim_matches(' ').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_normalised_as_texts_are() {
        assert_eq!(normal_word(" «СТОП!» "), "стоп");
        assert_eq!(normal_word("Opt out."), "opt out");
    }

    #[test]
    fn own_words_come_on_top_and_out_wins() {
        let words = words(&[Language::Ru], &["Баста!".into(), " ".into()], &["баста".into(), "хочу".into()]);
        assert_eq!(words.get("стоп"), Some(&"opt_out"));
        assert_eq!(words.get("баста"), Some(&"opt_out"));
        assert_eq!(words.get("хочу"), Some(&"opt_in"));
        assert!(!words.contains_key("stop") && !words.contains_key(""));
    }

    #[test]
    fn no_word_does_both() {
        for language in Language::ALL {
            assert!(language.opt_in().iter().all(|w| !language.opt_out().contains(w)), "{language:?}");
        }
    }
}
