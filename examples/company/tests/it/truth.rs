use std::collections::BTreeMap;

use company::story::Variant;
use company::token::{ALPHABET, token};
use company::truth::{counts, intact_permille};
use company::{Company, Config, output};

use crate::csv;

fn files(cfg: Config, now: Option<i64>) -> (Company, BTreeMap<String, String>) {
    let c = Company::new(cfg);
    let dir = tempfile::tempdir().unwrap();
    output::write(&c, now.unwrap_or(c.cfg.end_at()), dir.path(), true).unwrap();
    let mut out = BTreeMap::new();
    for sub in ["", "truth", "inbox"] {
        for e in std::fs::read_dir(dir.path().join(sub)).unwrap() {
            let e = e.unwrap();
            if e.file_type().unwrap().is_file() {
                let name = format!("{sub}/{}", e.file_name().to_string_lossy());
                out.insert(name, std::fs::read_to_string(e.path()).unwrap());
            }
        }
    }
    (c, out)
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let cfg = || Config { seed: 5, visits: 1_000, history: 40, ..Config::default() };
    let (_, a) = files(cfg(), None);
    let (_, b) = files(cfg(), None);
    assert_eq!(a, b);
    let (_, other) = files(Config { seed: 6, ..cfg() }, None);
    assert_ne!(a["truth/deals.csv"], other["truth/deals.csv"]);
}

#[test]
fn the_books_balance() {
    let (c, f) = files(Config { seed: 9, visits: 8_000, history: 100, ..Config::default() }, None);
    let counts = counts(&c, c.cfg.end_at());
    assert_eq!(counts.visits, 8_000);
    let deals = csv(&f["truth/deals.csv"]);
    let won: u64 =
        deals.iter().filter(|d| d["status"] == "won").map(|d| d["value"].parse::<u64>().unwrap()).sum();
    assert_eq!(won, counts.revenue);
    assert_eq!(deals.iter().filter(|d| d["status"] != "deleted").count() as u64, counts.leads);
    let campaigns = csv(&f["truth/campaigns.csv"]);
    let n = |r: &std::collections::HashMap<String, String>, k: &str| r[k].parse::<u64>().unwrap();
    for basis in ["own", "sign"] {
        let of: Vec<_> = campaigns.iter().filter(|r| r["basis"] == basis).collect();
        assert_eq!(of.iter().map(|r| n(r, "revenue")).sum::<u64>(), counts.revenue);
        assert_eq!(of.iter().map(|r| n(r, "deals")).sum::<u64>(), counts.leads);
        assert_eq!(of.iter().map(|r| n(r, "visits")).sum::<u64>(), counts.visits);
        assert_eq!(of.iter().map(|r| n(r, "inquiries")).sum::<u64>(), counts.inquiries);
        let roubles: u64 = of.iter().filter(|r| r["currency"] == "RUB").map(|r| n(r, "cost_minor")).sum();
        assert_eq!(roubles, counts.cost_minor["RUB"]);
    }
    // Deals again, by the campaign each of them names.
    let mut by_campaign: BTreeMap<String, u64> = BTreeMap::new();
    for d in deals.iter().filter(|d| d["status"] == "won") {
        *by_campaign.entry(d["campaign_id"].clone()).or_default() += d["value"].parse::<u64>().unwrap();
    }
    for r in campaigns.iter().filter(|r| r["basis"] == "own" && !r["campaign_id"].is_empty()) {
        assert_eq!(by_campaign.get(&r["campaign_id"]).copied().unwrap_or(0), n(r, "revenue"));
    }
    let costs = csv(&f["/costs.csv"]);
    assert_eq!(costs.len() as u64, counts.cost_rows);
    let sum: u64 = costs
        .iter()
        .filter(|r| r["currency"] == "USD")
        .map(|r| r["cost"].replace('.', "").parse::<u64>().unwrap())
        .sum();
    assert_eq!(sum, counts.cost_minor["USD"]);
}

#[test]
fn most_phrases_arrive_untouched() {
    let c = Company::new(Config { seed: 3, visits: 40_000, ..Config::default() });
    let counts = counts(&c, c.cfg.end_at());
    let share = intact_permille(&counts);
    assert!((935..=965).contains(&share), "{share}");
    for v in Variant::ALL {
        assert!(counts.inquiries_by_token.contains_key(v.name()), "{}", v.name());
    }
    assert!(counts.leads_won > 500 && counts.leads_open > 0 && counts.leads_deleted > 0);
}

/// Reads tokens back with the published rules, in the plainest way, and compares with what is claimed.
#[test]
fn texts_say_what_the_truth_says() {
    let c = Company::new(Config { seed: 11, visits: 30_000, ..Config::default() });
    let fits = |s: &str| {
        let number = s.chars().take(10).try_fold(0u64, |n, ch| {
            let i = ALPHABET.iter().position(|a| char::from(*a) == ch)?;
            Some(n << 5 | i as u64)
        });
        s.len() == 11 && number.is_some_and(|n| company::token::text(&token(n)) == s)
    };
    let mut seen = 0;
    for k in 0..c.people() {
        let s = c.story(k);
        for i in &s.inquiries {
            let text = company::chat::first_text(&c.cfg, &s, i);
            let inside: Vec<String> = text
                .to_uppercase()
                .split("[ID:")
                .skip(1)
                .map(|t| t.split(']').next().unwrap_or("").to_owned())
                .collect();
            let good: Vec<&String> = inside.iter().filter(|t| fits(t)).collect();
            match i.variant {
                Variant::Intact | Variant::TextAdded | Variant::LowerCase => {
                    assert_eq!((inside.len(), good.len()), (1, 1), "{text}");
                }
                Variant::SymbolChanged | Variant::Truncated => {
                    assert_eq!((inside.len(), good.len()), (1, 0), "{text}")
                }
                Variant::TwoIds => assert!(good.len() == 2 && good[0] != good[1], "{text}"),
                Variant::LookAlikes => assert_eq!(inside.len(), 1, "{text}"),
                _ => assert!(inside.is_empty(), "{text}"),
            }
            seen += 1;
        }
    }
    assert!(seen > 2_000, "{seen}");
}

#[test]
fn identifiers_do_not_collide() {
    let c = Company::new(Config { seed: 4, visits: 50_000, ..Config::default() });
    let mut phones = std::collections::HashSet::new();
    let mut tokens = std::collections::HashSet::new();
    for k in 0..c.people() {
        let s = c.story(k);
        assert!(phones.insert(s.person.phone), "{}", s.person.phone);
        for v in &s.visits {
            assert!(tokens.insert(v.number));
        }
    }
}
