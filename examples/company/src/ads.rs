//! What the company advertises: systems, campaigns, ads and keywords, each with its currency, click price and
//! share of the traffic. A leaf is the finest thing that costs money.

use std::sync::LazyLock;

pub struct Leaf {
    pub system: &'static str,
    pub account: &'static str,
    pub currency: &'static str,
    /// utm_source and utm_medium of its visits.
    pub source: &'static str,
    pub medium: &'static str,
    pub campaign_id: u64,
    pub campaign: &'static str,
    pub adgroup_id: u64,
    pub ad_id: u64,
    /// utm_content of its visits.
    pub ad: String,
    pub keyword: Option<&'static str>,
    /// Price of a click in minor units of `currency`.
    pub cpc_minor: u64,
    pub weight: u32,
    /// Visits carry only the system's own click id: the campaign is known through Metrica's link to Direct.
    pub auto_tagged: bool,
    /// People write to WhatsApp straight from the ad and never see the site.
    pub click_to_chat: bool,
}

struct Campaign {
    system: &'static str,
    id: u64,
    name: &'static str,
    ads: &'static [&'static str],
    keywords: &'static [&'static str],
    cpc_minor: u64,
    weight: u32,
}

const CAMPAIGNS: &[Campaign] = &[
    Campaign {
        system: "yandex_direct",
        id: 70_112_233,
        name: "search_children",
        ads: &["kids_price", "kids_studio"],
        keywords: &["детская фотосессия", "фотосессия ребенка цена", "\"фотограф детский\""],
        cpc_minor: 4_200,
        weight: 26,
    },
    Campaign {
        system: "yandex_direct",
        id: 70_112_234,
        name: "осень_2026",
        ads: &["family_autumn"],
        keywords: &["семейная фотосессия", "фотосессия осень москва"],
        cpc_minor: 3_650,
        weight: 18,
    },
    Campaign {
        system: "yandex_direct",
        id: 70_112_235,
        name: "Ретаргетинг | РСЯ",
        ads: &["Вернитесь за фото"],
        keywords: &["Условие ретаргетинга №1"],
        cpc_minor: 1_125,
        weight: 12,
    },
    Campaign {
        system: "vk_ads",
        id: 9_300_101,
        name: "vk_moms",
        ads: &["video_1", "carousel_2"],
        keywords: &[],
        cpc_minor: 2_275,
        weight: 24,
    },
    Campaign {
        system: "vk_ads",
        id: 9_300_102,
        name: "vk_lookalike",
        ads: &["promo_post"],
        keywords: &[],
        cpc_minor: 1_950,
        weight: 10,
    },
    Campaign {
        system: "telegram_ads",
        id: 551,
        name: "tg_city_channels",
        ads: &["msk_moms", "dubai_expats"],
        keywords: &[],
        cpc_minor: 48,
        weight: 14,
    },
    Campaign {
        system: "google_ads",
        id: 20_555_000_111,
        name: "gcc_search_ar",
        ads: &["ar_family"],
        keywords: &["تصوير أطفال دبي", "استوديو تصوير"],
        cpc_minor: 131,
        weight: 16,
    },
    Campaign {
        system: "google_ads",
        id: 20_555_000_112,
        name: "en_brand_generic",
        ads: &["en_studio"],
        keywords: &["kids' photo shoot", "family photographer, near me"],
        cpc_minor: 118,
        weight: 12,
    },
    Campaign {
        system: "meta_ads",
        id: 120_210_000_000_000_001,
        name: "wa_click_gcc",
        ads: &["chat_with_us"],
        keywords: &[],
        cpc_minor: 95,
        weight: 10,
    },
];

pub static LEAVES: LazyLock<Vec<Leaf>> = LazyLock::new(|| {
    let mut out = Vec::new();
    for c in CAMPAIGNS {
        let (account, currency, source, medium) = match c.system {
            "yandex_direct" => ("studio-svet", "RUB", "yandex", "cpc"),
            "vk_ads" => ("vk-4411", "RUB", "vk", "cpc"),
            "telegram_ads" => ("tg-77", "EUR", "telegram", "cpc"),
            "google_ads" => ("123-456-7890", "USD", "google", "cpc"),
            _ => ("act_2222", "USD", "meta", "click_to_chat"),
        };
        for (a, ad) in c.ads.iter().enumerate() {
            let keywords: Vec<Option<&'static str>> = if c.keywords.is_empty() {
                vec![None]
            } else {
                c.keywords.iter().copied().map(Some).collect()
            };
            for keyword in keywords {
                out.push(Leaf {
                    system: c.system,
                    account,
                    currency,
                    source,
                    medium,
                    campaign_id: c.id,
                    campaign: c.name,
                    adgroup_id: c.id % 100_000_000 * 10 + a as u64,
                    ad_id: 1_500_000_000 + c.id % 100_000_000 * 10 + a as u64,
                    ad: (*ad).to_owned(),
                    keyword,
                    cpc_minor: c.cpc_minor,
                    weight: c.weight,
                    auto_tagged: c.id == 70_112_235,
                    click_to_chat: c.system == "meta_ads",
                });
            }
        }
    }
    out
});

/// Where a visit came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    Ad(u16),
    Organic(u8),
    Social(u8),
    Referral(u8),
    Messenger(u8),
    Email,
    Direct,
}

/// The same in the words of a report: empty where there is nothing to say.
#[derive(Clone, Copy, Default)]
pub struct Source<'a> {
    pub traffic: &'a str,
    pub source: &'a str,
    pub medium: &'a str,
    pub campaign_id: u64,
    pub campaign: &'a str,
    pub adgroup_id: u64,
    pub ad_id: u64,
    pub ad: &'a str,
    pub keyword: &'a str,
    /// The visit's URL carries utm_ marks.
    pub utm: bool,
}

pub const ENGINES: &[(&str, &str)] =
    &[("yandex", "https://yandex.ru/"), ("google", "https://www.google.com/")];
pub const SOCIAL: &[(&str, &str)] =
    &[("vkontakte", "https://vk.com/"), ("instagram", "https://l.instagram.com/")];
pub const SITES: &[(&str, &str)] = &[
    ("moms-forum.example", "https://moms-forum.example/topic/18?page=2"),
    ("afisha.example", "https://afisha.example/studio"),
];
pub const MESSENGERS: &[(&str, &str)] = &[("telegram", "https://t.me/"), ("whatsapp", "https://wa.me/")];

impl Origin {
    pub fn leaf(self) -> Option<&'static Leaf> {
        match self {
            Origin::Ad(i) => LEAVES.get(usize::from(i)),
            _ => None,
        }
    }

    /// Yandex calls direct visits insignificant: a significant source before them wins.
    pub fn is_significant(self) -> bool {
        self != Origin::Direct
    }

    pub fn source(self) -> Source<'static> {
        let plain = |traffic, source| Source { traffic, source, medium: traffic, ..Source::default() };
        match self {
            Origin::Ad(_) => match self.leaf() {
                Some(l) => Source {
                    traffic: "ad",
                    source: l.source,
                    medium: l.medium,
                    campaign_id: l.campaign_id,
                    campaign: l.campaign,
                    adgroup_id: l.adgroup_id,
                    ad_id: l.ad_id,
                    ad: &l.ad,
                    keyword: l.keyword.unwrap_or(""),
                    utm: !l.auto_tagged,
                },
                None => Source::default(),
            },
            Origin::Organic(i) => plain("organic", ENGINES[usize::from(i) % ENGINES.len()].0),
            Origin::Social(i) => plain("social", SOCIAL[usize::from(i) % SOCIAL.len()].0),
            Origin::Referral(i) => plain("referral", SITES[usize::from(i) % SITES.len()].0),
            // A link in the company's own channel, marked by hand.
            Origin::Messenger(0) => Source {
                traffic: "messenger",
                source: "tg_channel",
                medium: "messenger",
                campaign: "posts",
                utm: true,
                ..Source::default()
            },
            Origin::Messenger(i) => plain("messenger", MESSENGERS[usize::from(i) % MESSENGERS.len()].0),
            Origin::Email => Source {
                traffic: "email",
                source: "newsletter",
                medium: "email",
                campaign: "august_letter",
                utm: true,
                ..Source::default()
            },
            Origin::Direct => Source { traffic: "direct", ..Source::default() },
        }
    }

    pub fn referrer(self) -> &'static str {
        match self {
            Origin::Ad(_) => match self.leaf().map(|l| l.system) {
                Some("yandex_direct") => "https://yandex.ru/",
                Some("vk_ads") => "https://vk.com/",
                Some("google_ads") => "https://www.google.com/",
                _ => "",
            },
            Origin::Organic(i) => ENGINES[usize::from(i) % ENGINES.len()].1,
            Origin::Social(i) => SOCIAL[usize::from(i) % SOCIAL.len()].1,
            Origin::Referral(i) => SITES[usize::from(i) % SITES.len()].1,
            Origin::Messenger(i) => MESSENGERS[usize::from(i) % MESSENGERS.len()].1,
            Origin::Email | Origin::Direct => "",
        }
    }
}
