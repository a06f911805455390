//! Channels: ordered rules over where a touch came from.
//!
//! The rules run once per distinct origin (a handful to some thousands), never per touch: SQL finds
//! the distinct ones, this module names them, SQL joins the names back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// No touch at all.
pub const NONE: &str = "(none)";
/// A touch that no rule names.
pub const OTHER: &str = "(other)";
pub const DIRECT: &str = "direct";
/// Names that always mean the same and cannot be taken.
pub const RESERVED: &[&str] = &[NONE, OTHER];

/// One channel and the touches that belong to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelRule {
    /// Channel id in all tables, e.g. `"paid_search"`. Several rules may share one.
    pub name: String,
    /// A wider heading for reports, e.g. `"paid"`. Default: `paid` or `free`, by `paid`.
    #[serde(default)]
    pub group: Option<String>,
    /// Whether its touches are paid for.
    #[serde(default)]
    pub paid: bool,
    /// All conditions given must hold.
    pub when: When,
}

/// Conditions on a touch. Each takes one pattern or a list of which one must fit; `*` stands for any
/// run of characters, case does not matter, and `""` fits what is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// `visit`, `ad_referral`, `deeplink`, `broadcast`, `deal`, or the kind of a prepared touch.
    pub kind: Option<Patterns>,
    /// utm_source, or what the analytics system found.
    pub source: Option<Patterns>,
    /// utm_medium, or the traffic type.
    pub medium: Option<Patterns>,
    pub campaign: Option<Patterns>,
    /// As in `visits.traffic_type`: ad, organic, social, messenger, referral, direct, ...
    pub traffic_type: Option<Patterns>,
    /// Click ids present: yclid, gclid, fbclid, ctwa_clid.
    pub click_id: Option<Patterns>,
    pub referrer_host: Option<Patterns>,
}

impl When {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One pattern, or several of which one must fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Patterns {
    One(String),
    Any(Vec<String>),
}

impl Patterns {
    fn fits(&self, value: &str) -> bool {
        match self {
            Self::One(p) => glob(p, value),
            Self::Any(list) => list.iter().any(|p| glob(p, value)),
        }
    }
    fn fits_one_of(&self, values: &[&str]) -> bool {
        if values.is_empty() { self.fits("") } else { values.iter().any(|v| self.fits(v)) }
    }
}

/// Where a touch came from, as far as rules can ask. Absent values are empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'a> {
    pub kind: &'a str,
    pub source: &'a str,
    pub medium: &'a str,
    pub campaign: &'a str,
    pub traffic_type: &'a str,
    /// Names joined by commas.
    pub click_ids: &'a str,
    pub referrer_host: &'a str,
}

/// A channel as `dim_channel` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub id: String,
    pub group: String,
    pub is_paid: bool,
}

/// The user's rules, then the built-in ones; numbers of channels are positions in [`Channels::list`].
#[derive(Clone, Debug)]
pub struct Channels {
    rules: Vec<(When, usize)>,
    list: Vec<Channel>,
}

impl Channels {
    pub const NONE: usize = 0;
    pub const OTHER: usize = 1;

    pub fn new(rules: &[ChannelRule], builtin: bool) -> Self {
        let mut channels = Self { rules: Vec::new(), list: Vec::new() };
        channels.add(NONE, "none", false);
        channels.add(OTHER, "other", false);
        channels.add(DIRECT, "direct", false);
        for rule in rules {
            let group = rule.group.as_deref().unwrap_or(if rule.paid { "paid" } else { "free" });
            let n = channels.add(&rule.name, group, rule.paid);
            channels.rules.push((rule.when.clone(), n));
        }
        if builtin {
            for (name, group, paid, when) in builtin_rules() {
                let n = channels.add(name, group, paid);
                channels.rules.push((when, n));
            }
        }
        channels
    }

    /// The number of a channel, made known when it is not yet (prepared touches bring their own).
    pub fn add(&mut self, id: &str, group: &str, is_paid: bool) -> usize {
        if let Some(n) = self.list.iter().position(|c| c.id == id) {
            return n;
        }
        self.list.push(Channel { id: id.to_string(), group: group.to_string(), is_paid });
        self.list.len() - 1
    }

    pub fn list(&self) -> &[Channel] {
        &self.list
    }

    pub fn classify(&self, origin: &Origin<'_>) -> usize {
        let clicks: Vec<&str> = origin.click_ids.split(',').filter(|c| !c.is_empty()).collect();
        let fits = |when: &When| {
            let one =
                |patterns: &Option<Patterns>, value: &str| patterns.as_ref().is_none_or(|p| p.fits(value));
            one(&when.kind, origin.kind)
                && one(&when.source, origin.source)
                && one(&when.medium, origin.medium)
                && one(&when.campaign, origin.campaign)
                && one(&when.traffic_type, origin.traffic_type)
                && one(&when.referrer_host, origin.referrer_host)
                && when.click_id.as_ref().is_none_or(|p| p.fits_one_of(&clicks))
        };
        self.rules.iter().find(|(when, _)| fits(when)).map_or(Self::OTHER, |(_, n)| *n)
    }
}

const SEARCH: &[&str] = &[
    "google*",
    "*yandex*",
    "*яндекс*",
    "bing*",
    "*mail.ru*",
    "duckduckgo*",
    "baidu*",
    "rambler*",
    "adwords",
    "direct.yandex*",
];
const SOCIAL: &[&str] = &[
    "vk*",
    "*vkontakte*",
    "*вконтакте*",
    "facebook*",
    "fb",
    "*.facebook.com",
    "meta*",
    "instagram*",
    "*.instagram.com",
    "ig",
    "tiktok*",
    "telegram*",
    "tg",
    "tgads",
    "ok",
    "ok.ru",
    "odnoklassniki*",
    "mytarget*",
    "linkedin*",
    "twitter*",
    "x.com",
    "t.co",
    "youtube*",
    "pinterest*",
    "snapchat*",
    "dzen*",
];
const MESSENGERS: &[&str] =
    &["whatsapp*", "wa.me", "telegram*", "t.me", "viber*", "vk.me", "m.me", "messenger*", "max"];
const PAID: &[&str] = &[
    "cpc",
    "ppc",
    "cpm",
    "cpv",
    "cpa",
    "cpl",
    "cpo",
    "paid*",
    "ad",
    "ads",
    "retargeting",
    "remarketing",
    "target*",
];
const DISPLAY: &[&str] = &["display", "banner", "cpm", "programmatic", "video"];

fn any(list: &[&str]) -> Option<Patterns> {
    Some(Patterns::Any(list.iter().map(|s| (*s).to_string()).collect()))
}

fn builtin_rules() -> Vec<(&'static str, &'static str, bool, When)> {
    let w = When::default;
    let paid_medium = || any(PAID);
    let ad = || any(&["ad"]);
    vec![
        (
            "click_to_message_ads",
            "paid",
            true,
            When { kind: any(&["ad_referral"]), medium: paid_medium(), ..w() },
        ),
        ("organic_social", "free", false, When { kind: any(&["ad_referral"]), ..w() }),
        ("messenger_broadcast", "owned", false, When { kind: any(&["broadcast"]), ..w() }),
        ("messenger_link", "owned", false, When { kind: any(&["deeplink"]), ..w() }),
        ("email", "owned", false, When { kind: any(&["email"]), ..w() }),
        ("email", "owned", false, When { medium: any(&["email", "e-mail", "mail", "newsletter"]), ..w() }),
        ("email", "owned", false, When { traffic_type: any(&["email"]), ..w() }),
        ("phone_call", "free", false, When { kind: any(&["call"]), ..w() }),
        ("display", "paid", true, When { medium: any(DISPLAY), ..w() }),
        ("paid_social", "paid", true, When { source: any(SOCIAL), medium: paid_medium(), ..w() }),
        ("paid_search", "paid", true, When { source: any(SEARCH), medium: paid_medium(), ..w() }),
        ("paid_social", "paid", true, When { source: any(SOCIAL), traffic_type: ad(), ..w() }),
        ("paid_search", "paid", true, When { source: any(SEARCH), traffic_type: ad(), ..w() }),
        ("paid_search", "paid", true, When { click_id: any(&["yclid", "gclid"]), ..w() }),
        ("paid_other", "paid", true, When { medium: paid_medium(), ..w() }),
        ("paid_other", "paid", true, When { traffic_type: ad(), ..w() }),
        (
            "messenger_broadcast",
            "owned",
            false,
            When { medium: any(&["broadcast", "mailing", "рассылка"]), ..w() },
        ),
        ("messenger", "free", false, When { traffic_type: any(&["messenger"]), ..w() }),
        ("messenger", "free", false, When { medium: any(&["messenger", "chat"]), ..w() }),
        ("organic_search", "free", false, When { traffic_type: any(&["organic"]), ..w() }),
        ("organic_search", "free", false, When { medium: any(&["organic"]), ..w() }),
        ("organic_social", "free", false, When { traffic_type: any(&["social"]), ..w() }),
        (
            "organic_social",
            "free",
            false,
            When { medium: any(&["social", "organic_social", "smm", "post"]), ..w() },
        ),
        ("qr_code", "free", false, When { traffic_type: any(&["qrcode"]), ..w() }),
        ("qr_code", "free", false, When { medium: any(&["qr", "qrcode", "qr_code"]), ..w() }),
        ("referral", "free", false, When { traffic_type: any(&["referral", "recommend"]), ..w() }),
        ("referral", "free", false, When { medium: any(&["referral", "affiliate", "partner*"]), ..w() }),
        (
            DIRECT,
            "direct",
            false,
            When {
                traffic_type: any(&["direct", "internal", "saved"]),
                source: any(&["", "(direct)", "direct"]),
                ..w()
            },
        ),
        (
            DIRECT,
            "direct",
            false,
            When {
                traffic_type: any(&["direct", "internal", "saved"]),
                medium: any(&["", "(none)", "none", "direct", "internal", "saved"]),
                ..w()
            },
        ),
        (
            "messenger",
            "free",
            false,
            When {
                traffic_type: any(&["", "undefined"]),
                medium: any(&[""]),
                referrer_host: any(MESSENGERS),
                ..w()
            },
        ),
        (
            "organic_social",
            "free",
            false,
            When {
                traffic_type: any(&["", "undefined"]),
                medium: any(&[""]),
                source: any(&[""]),
                referrer_host: any(&[
                    "vk.com",
                    "*.vk.com",
                    "*facebook.com",
                    "*instagram.com",
                    "t.co",
                    "x.com",
                    "*twitter.com",
                    "*tiktok.com",
                    "ok.ru",
                    "*.ok.ru",
                    "*linkedin.com",
                    "*youtube.com",
                    "dzen.ru",
                ]),
                ..w()
            },
        ),
        (
            "organic_search",
            "free",
            false,
            When {
                traffic_type: any(&["", "undefined"]),
                medium: any(&[""]),
                source: any(&[""]),
                referrer_host: any(&[
                    "*google.*",
                    "*yandex.*",
                    "ya.ru",
                    "*bing.com",
                    "duckduckgo.com",
                    "*baidu.com",
                    "*search.yahoo.com",
                    "go.mail.ru",
                ]),
                ..w()
            },
        ),
        (
            DIRECT,
            "direct",
            false,
            When {
                source: any(&["", "(direct)", "direct"]),
                medium: any(&["", "(none)", "none", "direct"]),
                referrer_host: any(&[""]),
                ..w()
            },
        ),
        (
            "referral",
            "free",
            false,
            When { source: any(&[""]), medium: any(&[""]), referrer_host: any(&["*"]), ..w() },
        ),
    ]
}

/// `*` fits any run of characters; letters fit in either case.
fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().flat_map(char::to_lowercase).collect();
    let text: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
    let (mut p, mut t) = (0, 0);
    // The last star seen and the text position it was tried with: where to go on after a mismatch.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && pattern[p] == text[t] {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            p = star_p + 1;
            t = star_t + 1;
            star = Some((star_p, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(origin: &Origin<'_>) -> String {
        let channels = Channels::new(&[], true);
        channels.list()[channels.classify(origin)].id.clone()
    }

    #[test]
    fn globs() {
        for (pattern, text, fits) in [
            ("cpc", "CPC", true),
            ("*yandex*", "direct.Yandex.ru", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("", "", true),
            ("", "x", false),
            ("*", "", true),
            ("*реклама", "Моя Реклама", true),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} on {text}");
        }
    }

    #[test]
    fn builtin_channels_by_hand() {
        let visit = Origin { kind: "visit", ..Origin::default() };
        for (origin, expected) in [
            (visit, "direct"),
            (Origin { traffic_type: "direct", medium: "direct", ..visit }, "direct"),
            (Origin { traffic_type: "internal", ..visit }, "direct"),
            (Origin { source: "google", medium: "cpc", ..visit }, "paid_search"),
            (Origin { source: "yandex", medium: "cpc", traffic_type: "ad", ..visit }, "paid_search"),
            (Origin { source: "vk", medium: "cpc", ..visit }, "paid_social"),
            (Origin { source: "vk", medium: "social", traffic_type: "social", ..visit }, "organic_social"),
            (
                Origin { source: "google", medium: "organic", traffic_type: "organic", ..visit },
                "organic_search",
            ),
            (Origin { click_ids: "yclid", ..visit }, "paid_search"),
            (Origin { click_ids: "fbclid", referrer_host: "l.facebook.com", ..visit }, "organic_social"),
            (Origin { referrer_host: "blog.example", ..visit }, "referral"),
            (Origin { traffic_type: "referral", source: "blog.example", ..visit }, "referral"),
            (Origin { source: "sber", medium: "cpc", ..visit }, "paid_other"),
            (Origin { source: "offline", medium: "flyer", ..visit }, "(other)"),
            (Origin { source: "news", medium: "email", ..visit }, "email"),
            (
                Origin { kind: "broadcast", source: "whatsapp", medium: "broadcast", ..Origin::default() },
                "messenger_broadcast",
            ),
            (
                Origin {
                    kind: "ad_referral",
                    source: "meta",
                    medium: "cpc",
                    click_ids: "ctwa_clid",
                    ..Origin::default()
                },
                "click_to_message_ads",
            ),
            (
                Origin { kind: "deeplink", source: "telegram", medium: "deeplink", ..Origin::default() },
                "messenger_link",
            ),
        ] {
            assert_eq!(name(&origin), expected, "{origin:?}");
        }
    }

    #[test]
    fn own_rules_come_first() {
        let rules = [ChannelRule {
            name: "brand".into(),
            group: None,
            paid: true,
            when: When { campaign: Some(Patterns::One("*brand*".into())), ..When::default() },
        }];
        let channels = Channels::new(&rules, false);
        let hit = Origin { campaign: "RU_Brand_2026", ..Origin::default() };
        assert_eq!(channels.list()[channels.classify(&hit)].id, "brand");
        assert_eq!(channels.classify(&Origin::default()), Channels::OTHER);
    }
}
