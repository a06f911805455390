//! What the ads cost, day by day at the finest level, in the currencies of the accounts; and exchange rates.

use crate::ads::{LEAVES, Leaf};
use crate::company::Company;
use crate::rng::For;
use crate::text::{push_csv, push_date, push_uint};

pub struct Cost {
    pub leaf: &'static Leaf,
    /// Day number since 1970.
    pub day: i64,
    pub impressions: u64,
    pub clicks: u64,
    pub cost_minor: u64,
}

/// All cost rows of days that are over at `now`, in the order of days.
pub fn costs(company: &Company, now: i64) -> impl Iterator<Item = Cost> + '_ {
    let cfg = &company.cfg;
    let today = cfg.day_of(now);
    (0..i64::from(cfg.days)).take_while(move |n| cfg.start_day() + n < today).flat_map(move |n| {
        LEAVES.iter().enumerate().filter_map(move |(i, leaf)| {
            let mut r = cfg.rng(For::Cost, i as u64, n as u64);
            let visits = u64::from(company.visits_of_leaf(i, n as usize));
            // Some clicks never become a visit, and some days cost money without one visit.
            let clicks = visits + r.below(visits / 6 + 2) + if leaf.click_to_chat { r.below(6) } else { 0 };
            if clicks == 0 {
                return None;
            }
            let cost_minor = clicks * leaf.cpc_minor * (80 + r.below(41)) / 100;
            let impressions = clicks * (12 + r.below(80)) + r.below(40);
            Some(Cost { leaf, day: cfg.start_day() + n, impressions, clicks, cost_minor })
        })
    })
}

pub const COSTS_HEADER: &str = "day,system,account,source,medium,campaign_id,campaign,adgroup_id,ad_id,ad,keyword,\
impressions,clicks,cost,currency\n";

pub fn push_minor(out: &mut String, minor: u64) {
    push_uint(out, minor / 100);
    out.push('.');
    out.push(char::from(b'0' + (minor / 10 % 10) as u8));
    out.push(char::from(b'0' + (minor % 10) as u8));
}

/// `costs.csv`: decimal amounts, UTF-8, a header.
pub fn costs_csv(company: &Company, now: i64) -> String {
    let mut out = COSTS_HEADER.to_owned();
    for c in costs(company, now) {
        push_date(&mut out, c.day);
        for text in [c.leaf.system, c.leaf.account, c.leaf.source, c.leaf.medium] {
            out.push(',');
            push_csv(&mut out, text);
        }
        out.push(',');
        push_uint(&mut out, c.leaf.campaign_id);
        out.push(',');
        push_csv(&mut out, c.leaf.campaign);
        out.push(',');
        push_uint(&mut out, c.leaf.adgroup_id);
        out.push(',');
        push_uint(&mut out, c.leaf.ad_id);
        out.push(',');
        push_csv(&mut out, &c.leaf.ad);
        out.push(',');
        push_csv(&mut out, c.leaf.keyword.unwrap_or(""));
        out.push(',');
        push_uint(&mut out, c.impressions);
        out.push(',');
        push_uint(&mut out, c.clicks);
        out.push(',');
        push_minor(&mut out, c.cost_minor);
        out.push(',');
        out.push_str(c.leaf.currency);
        out.push('\n');
    }
    out
}

/// `rates.csv`: roubles for one unit, every day of the period and the week before it.
pub fn rates_csv(company: &Company, now: i64) -> String {
    let cfg = &company.cfg;
    let mut out = "day,currency,rate\n".to_owned();
    let today = cfg.day_of(now);
    for n in -7..=i64::from(cfg.days) {
        let day = cfg.start_day() + n;
        if day > today {
            break;
        }
        for (i, (currency, base)) in [("USD", 812_500u64), ("EUR", 948_000)].into_iter().enumerate() {
            let mut r = cfg.rng(For::Cost, 1000 + i as u64, (n + 7) as u64);
            let rate = base + r.below(12_000);
            push_date(&mut out, day);
            out.push_str(&format!(",{currency},{}.{:04}\n", rate / 10_000, rate % 10_000));
        }
    }
    out
}
