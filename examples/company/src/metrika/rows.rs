//! Rows of a Logs export: TabSeparated as ClickHouse writes it, columns in the order asked.

use std::fmt::Write as _;

use crate::ads::{ENGINES, Origin, SITES, SOCIAL};
use crate::company::{Company, VisitRef};
use crate::metrika::fields::{Field, Model, Src};
use crate::person::{Device, device_of};
use crate::rng::For;
use crate::story::{Story, Visit, visit_id, watch_id};
use crate::text::{push_date, push_datetime, push_int, push_json, push_percent, push_tsv, push_uint};
use crate::token;
use crate::whatsapp::button_url;
use crate::words::PAGES;

pub const GOAL_WHATSAPP: u32 = 301_001;
pub const GOAL_DEPTH: u32 = 301_002;
const SITE: &str = "https://studio.example/";
/// `dateTimeUTC` and `goalsDateTime` are documented as UTC+3.
const UTC_PLUS_3: i64 = 3 * 3600;
/// Metrica goes on counting for a while: a young visit may still lack its last page.
const SETTLED: i64 = 36 * 3600;

pub fn views(v: &Visit, now: i64) -> u8 {
    v.views - u8::from(v.views > 1 && v.number.is_multiple_of(5) && now < v.at + SETTLED)
}

/// Rows of `source=hits` that belong to a visit: its pages, and the click on the WhatsApp button.
pub fn hits(v: &Visit, now: i64) -> u8 {
    views(v, now) + u8::from(v.click.is_some())
}

/// The last hit of a visit with a click is that click.
fn is_click(v: &Visit, hit: u8, now: i64) -> bool {
    v.click.is_some() && hit == views(v, now)
}

/// When a hit happened: after midnight it belongs to the next day, unlike its visit.
pub fn hit_at(v: &Visit, hit: u8, now: i64) -> i64 {
    match v.click.filter(|_| is_click(v, hit, now)) {
        Some(click) => click,
        None => v.at + i64::from(v.seconds) * i64::from(hit) / i64::from(v.views.max(1)),
    }
}

fn page_url(s: &Story, page: u8) -> String {
    format!("{SITE}{}/{}", s.person.lang().code(), PAGES[usize::from(page) % PAGES.len()].path)
}

/// The entrance page with its marks.
pub fn start_url(s: &Story, v: &Visit) -> String {
    let mut url = page_url(s, v.page);
    let source = v.origin.source();
    let mut sep = '?';
    let mut add = |url: &mut String, name: &str, value: &str| {
        if !value.is_empty() {
            url.push(sep);
            sep = '&';
            url.push_str(name);
            url.push('=');
            push_percent(url, value);
        }
    };
    if source.utm {
        add(&mut url, "utm_source", source.source);
        add(&mut url, "utm_medium", source.medium);
        add(&mut url, "utm_campaign", source.campaign);
        add(&mut url, "utm_content", source.ad);
        add(&mut url, "utm_term", source.keyword);
    }
    match v.origin.leaf().map(|l| l.system) {
        Some("yandex_direct") => {
            add(&mut url, "yclid", &(v.number * 9 + 1_000_000_000_000_000_000).to_string())
        }
        Some("google_ads") => add(&mut url, "gclid", &gclid(v)),
        _ => {}
    }
    url
}

fn gclid(v: &Visit) -> String {
    format!("CjwKCAjw{}BwE-{}_x", token::text(&v.token()), v.number % 997)
}

/// What is needed of the surroundings to write a row.
pub struct Writer<'a> {
    pub company: &'a Company,
    pub now: i64,
    pub fields: &'a [Field],
    /// Instants `[from, to)` of the days asked for.
    pub from: i64,
    pub to: i64,
}

struct Row<'a> {
    s: &'a Story,
    v: &'a Visit,
    device: &'a Device,
    /// Number of the hit; none in a visit row.
    hit: Option<u8>,
}

impl Writer<'_> {
    pub fn visit(&self, r: VisitRef, out: &mut String) {
        let s = self.company.story(u64::from(r.k));
        let Some(v) = s.visit(r.no) else { return };
        let device = device_of(&self.company.cfg, s.person.k, v.device);
        self.row(&Row { s: &s, v, device, hit: None }, out);
    }

    /// All hits of a visit; says how many.
    pub fn hits(&self, r: VisitRef, out: &mut String) -> u64 {
        let s = self.company.story(u64::from(r.k));
        let Some(v) = s.visit(r.no) else { return 0 };
        let device = device_of(&self.company.cfg, s.person.k, v.device);
        let mut n = 0;
        for hit in 0..hits(v, self.now) {
            if (self.from..self.to).contains(&hit_at(v, hit, self.now)) {
                self.row(&Row { s: &s, v, device, hit: Some(hit) }, out);
                n += 1;
            }
        }
        n
    }

    fn row(&self, row: &Row, out: &mut String) {
        for (n, f) in self.fields.iter().enumerate() {
            if n > 0 {
                out.push('\t');
            }
            self.cell(*f, row, out);
        }
        out.push('\n');
    }

    fn at(&self, row: &Row) -> i64 {
        row.hit.map_or(row.v.at, |h| hit_at(row.v, h, self.now))
    }

    fn is_click(&self, row: &Row) -> bool {
        row.hit.is_some_and(|h| is_click(row.v, h, self.now))
    }

    fn page(&self, row: &Row) -> u8 {
        row.hit.map_or(row.v.page, |h| if h == 0 { row.v.page } else { (row.v.page + h) % PAGES.len() as u8 })
    }

    fn cell(&self, field: Field, row: &Row, out: &mut String) {
        let (s, v, d) = (row.s, row.v, row.device);
        let k = s.person.k;
        let cfg = &self.company.cfg;
        match field {
            Field::Blank(text) => out.push_str(text),
            Field::Id => push_uint(
                out,
                match row.hit {
                    Some(h) => watch_id(k, v.no, h),
                    None => visit_id(k, v.no),
                },
            ),
            Field::VisitId => push_uint(out, visit_id(k, v.no)),
            Field::PageViewId => push_uint(out, v.number % 1_000_000_000 + u64::from(row.hit.unwrap_or(0))),
            Field::CounterId => push_uint(out, cfg.counter_id),
            Field::WatchIds => {
                out.push('[');
                for h in 0..hits(v, self.now) {
                    if h > 0 {
                        out.push(',');
                    }
                    push_uint(out, watch_id(k, v.no, h));
                }
                out.push(']');
            }
            Field::Date => push_date(out, cfg.day_of(self.at(row))),
            Field::DateTime => {
                let at = self.at(row);
                push_datetime(out, at + cfg.offset(at), ' ');
            }
            Field::DateTimeUtc => push_datetime(out, self.at(row) + UTC_PLUS_3, ' '),
            Field::IsNewUser => bit(out, s.visits.iter().all(|w| w.device != v.device || w.no >= v.no)),
            Field::StartUrl => push_tsv(out, &start_url(s, v)),
            Field::EndUrl => {
                push_tsv(out, &page_url(s, (v.page + views(v, self.now) - 1) % PAGES.len() as u8))
            }
            Field::PageViews => push_uint(out, u64::from(views(v, self.now))),
            Field::Duration => push_uint(out, u64::from(v.seconds)),
            Field::Bounce => bit(out, v.views == 1 && v.seconds < 15),
            Field::Ip => {
                let _ = write!(out, "{}.{}.{}.xxx", 11 + k % 200, v.number % 250, s.person.phone % 250);
            }
            Field::Country => out.push_str(s.person.country.iso),
            Field::City => out.push_str(s.person.city().0),
            Field::CountryId => push_uint(out, u64::from(s.person.country.id)),
            Field::CityId => push_uint(out, u64::from(s.person.city().1)),
            Field::ClientId => push_uint(out, s.person.client_id(cfg, v.device)),
            Field::UserHash => push_uint(out, cfg.rng(For::Client, k, 50 + u64::from(v.device)).draw()),
            Field::GoalsId => self.goals(row, out, |out, goal, _| push_uint(out, u64::from(goal))),
            Field::GoalsSerial => self.goals(row, out, |out, _, _| out.push('1')),
            Field::GoalsDateTime => self.goals(row, out, |out, _, at| {
                out.push('\'');
                push_datetime(out, at + UTC_PLUS_3, ' ');
                out.push('\'');
            }),
            Field::GoalsPrice => self.goals(row, out, |out, _, _| out.push('0')),
            Field::GoalsText => self.goals(row, out, |out, _, _| out.push_str("''")),
            Field::Referer => match row.hit {
                Some(h) if h > 0 => push_tsv(out, &page_url(s, v.page)),
                _ => push_tsv(out, v.origin.referrer()),
            },
            Field::Language => out.push_str(s.person.lang().code()),
            Field::BrowserCountry => out.push_str(s.person.country.iso),
            Field::TimeZone => push_int(out, i64::from(s.person.country.minutes_east)),
            Field::DeviceCategory => push_uint(out, u64::from(d.category)),
            Field::Maker => out.push_str(d.maker),
            Field::MobileModel => out.push_str(d.model),
            Field::OsRoot => out.push_str(d.os_root),
            Field::Os => out.push_str(d.os),
            Field::Browser => out.push_str(d.browser),
            Field::BrowserMajor => push_uint(out, u64::from(d.version)),
            Field::Engine => out.push_str(if d.browser.contains("safari") { "WebKit" } else { "Blink" }),
            Field::One => out.push('1'),
            Field::ScreenFormat => out.push_str(if d.category == 1 { "16:9" } else { "9:21" }),
            Field::ScreenColors => out.push_str("24"),
            Field::Orientation => out.push(if d.width > d.height { '2' } else { '1' }),
            Field::OrientationName => {
                out.push_str(if d.width > d.height { "landscape" } else { "portrait" });
            }
            Field::Width => push_uint(out, u64::from(d.width)),
            Field::Height => push_uint(out, u64::from(d.height)),
            Field::Param(n) => self.param(n, row, out),
            Field::Title if self.is_click(row) => {}
            Field::Title => {
                push_tsv(out, PAGES[usize::from(self.page(row)) % PAGES.len()].title(s.person.lang()))
            }
            Field::Url if self.is_click(row) => {
                let page = &PAGES[usize::from(v.page) % PAGES.len()];
                let lang = s.person.lang();
                push_tsv(out, &button_url(lang, page.prefill(lang), token::text(&v.token())));
            }
            Field::Url if row.hit == Some(0) => push_tsv(out, &start_url(s, v)),
            Field::Url => push_tsv(out, &page_url(s, self.page(row))),
            Field::IsPageView => bit(out, !self.is_click(row)),
            Field::Link => bit(out, self.is_click(row)),
            Field::NotBounce => out.push('0'),
            Field::Params if row.hit == Some(0) => {
                let mut json = String::from("{");
                push_json(&mut json, &cfg.token_param);
                json.push(':');
                push_json(&mut json, token::text(&v.token()));
                json.push('}');
                push_tsv(out, &json);
            }
            Field::Params => {}
            Field::Charset => out.push_str("utf-8"),
            Field::Source(model, f) => source_cell(out, s, v, model, f),
        }
    }

    fn goals(&self, row: &Row, out: &mut String, f: impl Fn(&mut String, u32, i64)) {
        let click =
            row.v.click.filter(|_| row.hit.is_none() || self.is_click(row)).map(|at| (GOAL_WHATSAPP, at));
        let depth = (row.v.views >= 3 && row.hit.is_none_or(|h| h == 2 && !self.is_click(row)))
            .then_some((GOAL_DEPTH, row.v.at + i64::from(row.v.seconds) / 2));
        out.push('[');
        for (n, (goal, at)) in depth.into_iter().chain(click).enumerate() {
            if n > 0 {
                out.push(',');
            }
            f(out, goal, at);
        }
        out.push(']');
    }

    /// Visit parameters as Metrica flattens them: level 1 the names, level 2 the values, side by side.
    fn param(&self, level: u8, row: &Row, out: &mut String) {
        if row.hit.is_some_and(|h| h > 0) || level > 2 {
            out.push_str("[]");
            return;
        }
        let experiment = row.v.number.is_multiple_of(10);
        out.push('[');
        if experiment {
            out.push_str(if level == 1 { "'header_test'," } else { "'B\\'s header'," });
        }
        out.push('\'');
        if level == 1 {
            push_tsv(out, &self.company.cfg.token_param);
        } else {
            out.push_str(token::text(&row.v.token()));
        }
        out.push_str("']");
    }
}

fn bit(out: &mut String, b: bool) {
    out.push(if b { '1' } else { '0' });
}

fn origin_of(s: &Story, v: &Visit, model: Model) -> Origin {
    match model {
        Model::Own => v.origin,
        Model::LastSign => s.last_significant(v.no, false),
        Model::CrossLastSign => s.last_significant(v.no, true),
        Model::First => s.first_origin(v.no, false),
        Model::CrossFirst => s.first_origin(v.no, true),
        Model::LastDirectClick => s.visits[..=usize::from(v.no)]
            .iter()
            .rev()
            .map(|w| w.origin)
            .find(|o| o.leaf().is_some_and(|l| l.system == "yandex_direct"))
            .unwrap_or_else(|| s.last_significant(v.no, false)),
    }
}

fn source_cell(out: &mut String, s: &Story, v: &Visit, model: Model, f: Src) {
    let origin = origin_of(s, v, model);
    let source = origin.source();
    let direct = origin.leaf().filter(|l| l.system == "yandex_direct");
    let utm = |text: &'static str| if source.utm { text } else { "" };
    let text = match f {
        Src::TrafficSource => source.traffic,
        Src::AdvEngine => match origin.leaf().map(|l| l.system) {
            Some("yandex_direct") => "ya_direct",
            Some("google_ads") => "google_adwords",
            Some("vk_ads") => "vk_ads",
            Some(_) => "other",
            None => "",
        },
        Src::ReferalSource => match origin {
            Origin::Referral(i) => SITES[usize::from(i) % SITES.len()].0,
            _ => "",
        },
        Src::SearchEngineRoot => match origin {
            Origin::Organic(i) => ENGINES[usize::from(i) % ENGINES.len()].0,
            _ => "",
        },
        Src::SearchEngine => match origin {
            Origin::Organic(0) => "yandex_mobile",
            Origin::Organic(_) => "google",
            _ => "",
        },
        Src::SocialNetwork => match origin {
            Origin::Social(i) => SOCIAL[usize::from(i) % SOCIAL.len()].0,
            _ => "",
        },
        // An array with holes when it is known, as documented.
        Src::Messenger => match origin {
            Origin::Messenger(0) => "[,,telegram]",
            Origin::Messenger(_) => "[whatsapp]",
            _ => "[]",
        },
        Src::DirectClickOrder => return push_uint(out, direct.map_or(0, |l| l.campaign_id)),
        Src::DirectBannerGroup => return push_uint(out, direct.map_or(0, |l| l.adgroup_id)),
        Src::DirectClickBanner => {
            if let Some(l) = direct {
                push_uint(out, l.ad_id);
            }
            return;
        }
        Src::DirectClickOrderName => direct.map_or("", |l| l.campaign),
        Src::ClickBannerGroupName => direct.map_or("", |_| "Группа 1"),
        Src::DirectClickBannerName => direct.map_or("", |l| l.ad.as_str()),
        Src::DirectPhraseOrCond => direct.and_then(|l| l.keyword).unwrap_or(""),
        Src::DirectConditionType => {
            direct.map_or("", |l| if l.auto_tagged { "retargeting" } else { "keyword" })
        }
        Src::DirectPlatformType => direct.map_or("", |l| if l.auto_tagged { "context" } else { "search" }),
        Src::CurrencyId => direct.map_or("", |l| l.currency),
        Src::UtmCampaign => utm(source.campaign),
        Src::UtmContent => utm(source.ad),
        Src::UtmMedium => utm(source.medium),
        Src::UtmSource => utm(source.source),
        Src::UtmTerm => utm(source.keyword),
        Src::HasGclid => return bit(out, origin.leaf().is_some_and(|l| l.system == "google_ads")),
        Src::Gclid => {
            if origin == v.origin && origin.leaf().is_some_and(|l| l.system == "google_ads") {
                push_tsv(out, &gclid(v));
            }
            return;
        }
        Src::Text => "",
    };
    push_tsv(out, text);
}
