//! Events of the export: what a site's tag sent, a row each, in the words of the export's schema.
//!
//! <https://support.google.com/analytics/answer/7029846>

use serde_json::{Value, json};

use super::bigquery::Options;
use super::report::source;
use crate::company::{Company, VisitRef};
use crate::metrika::rows::start_url;
use crate::person::device_of;
use crate::story::{Story, Visit};
use crate::text::push_date;
use crate::token;
use crate::whatsapp::button_url;
use crate::words::PAGES;

/// The GA cookie's id of a browser.
pub fn client(company: &Company, s: &Story, v: &Visit) -> String {
    let id = s.person.client_id(&company.cfg, v.device);
    format!("{}.{}", id % 2_147_483_647, id / 1_000_000_000)
}

pub fn session(v: &Visit) -> i64 {
    v.at
}

/// Moments of a visit's events in microseconds, with what they are: page number, or none for the click on the button.
pub fn moments(v: &Visit) -> Vec<(i64, &'static str, u8)> {
    let mut all = vec![(v.at * 1_000_000, "session_start", 0)];
    for page in 0..v.views {
        let at = v.at + i64::from(v.seconds) * i64::from(page) / i64::from(v.views.max(1));
        all.push((at * 1_000_000 + 1_000 + i64::from(page), "page_view", page));
    }
    if let Some(click) = v.click {
        all.push((click * 1_000_000 + 500_000, "click", 0));
    }
    all
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"string_value": value, "int_value": null, "float_value": null, "double_value": null}})
}

fn number(key: &str, value: i64) -> Value {
    json!({"key": key, "value": {"string_value": null, "int_value": value, "float_value": null, "double_value": null}})
}

/// Sets a member when there is something to say; the export has null for the rest.
fn or_null(text: &str) -> Value {
    if text.is_empty() || text.starts_with('(') { Value::Null } else { text.into() }
}

/// An event: its visit, its place among the visit's, when and what it is.
#[derive(Clone, Copy)]
pub struct Event {
    visit: VisitRef,
    n: usize,
    at: i64,
    name: &'static str,
    page: u8,
}

/// Every event of a day's table, as the export stands at `now`.
pub fn of_day(company: &Company, options: &Options, day: i64, now: i64) -> Vec<Event> {
    let cfg = &company.cfg;
    let (from, to, today) = (cfg.midnight(day), cfg.midnight(day + 1), cfg.day_of(now));
    let mut out = Vec::new();
    for visit in company.visits_between(from - 86_400, to.min(now + 1), now).filter(|r| !r.robot) {
        let s = company.story(u64::from(visit.k));
        let Some(v) = s.visit(visit.no) else { continue };
        // Phones send what they saved up some days later.
        if today - day <= options.late_days && v.number.is_multiple_of(5) {
            continue;
        }
        for (n, (at, name, page)) in moments(v).into_iter().enumerate() {
            if at >= from * 1_000_000 && at < to * 1_000_000 && at <= now * 1_000_000 {
                out.push(Event { visit, n, at, name, page });
            }
        }
    }
    out
}

/// Events as rows of the table.
pub fn rows<'a>(company: &'a Company, day: i64, events: &'a [Event]) -> impl Iterator<Item = Value> + 'a {
    let mut date = String::new();
    push_date(&mut date, day);
    let date = date.replace('-', "");
    let mut last: Option<(u32, Story)> = None;
    events.iter().filter_map(move |e| {
        let story = match last.take().filter(|(k, _)| *k == e.visit.k) {
            Some((_, story)) => story,
            None => company.story(u64::from(e.visit.k)),
        };
        let row = story.visit(e.visit.no).map(|v| row(company, &story, v, &date, e.n, e.at, e.name, e.page));
        last = Some((e.visit.k, story));
        row
    })
}

#[expect(clippy::too_many_arguments, reason = "the parts of a row")]
fn row(
    company: &Company,
    s: &Story,
    v: &Visit,
    date: &str,
    n: usize,
    at: i64,
    name: &str,
    page: u8,
) -> Value {
    let (cfg, lang) = (&company.cfg, s.person.lang());
    let start = start_url(s, v);
    let place = |page: u8| {
        let page = &PAGES[usize::from(v.page + page) % PAGES.len()];
        (format!("https://studio.example/{}/{}", lang.code(), page.path), page.title(lang))
    };
    let (url, title) = place(page);
    let first = page == 0;
    let mut params =
        vec![number("ga_session_id", session(v)), number("ga_session_number", i64::from(v.no) + 1)];
    params.push(text("page_location", if first { &start } else { &url }));
    match (first, v.origin.referrer()) {
        (true, "") => {}
        (true, referrer) => params.push(text("page_referrer", referrer)),
        (false, _) => params.push(text("page_referrer", &place(page - 1).0)),
    }
    params.push(text("page_title", title));
    if name == "page_view" {
        params.push(text(&cfg.token_param, token::text(&v.token())));
        params.push(number("engagement_time_msec", i64::from(v.seconds) * 1000 / i64::from(v.views.max(1))));
    }
    if name == "click" {
        let prefill = PAGES[usize::from(v.page) % PAGES.len()].prefill(lang);
        params.push(text("link_url", &button_url(lang, prefill, token::text(&v.token()))));
        params.push(text("outbound", "true"));
    }
    let own = v.origin.source();
    let gclid = url::Url::parse(&start)
        .ok()
        .and_then(|u| u.query_pairs().find(|(k, _)| k == "gclid").map(|(_, v)| v.into_owned()));
    // What came with this very event: marks of the page's address.
    let collected = if first && (own.utm || gclid.is_some()) {
        let mark = |t: &str| if own.utm { or_null(t) } else { Value::Null };
        json!({"manual_campaign_id": null, "manual_campaign_name": mark(own.campaign), "manual_source": mark(own.source),
            "manual_medium": mark(own.medium), "manual_term": mark(own.keyword), "manual_content": mark(own.ad),
            "gclid": gclid, "dclid": null, "srsltid": null})
    } else {
        Value::Null
    };
    let (last_source, last_medium, _, last_campaign, leaf) = source(s.last_significant(v.no, false));
    let google = leaf.filter(|l| l.system == "google_ads");
    let marked = leaf.filter(|l| !l.auto_tagged);
    let device = device_of(cfg, s.person.k, v.device);
    let category = ["", "desktop", "mobile", "tablet"][usize::from(device.category) % 4];
    json!({
        "event_date": date, "event_timestamp": at, "event_name": name, "event_params": params,
        "event_previous_timestamp": null, "event_bundle_sequence_id": v.number % 1_000_000 + n as u64,
        "user_id": null, "user_pseudo_id": client(company, s, v),
        "privacy_info": {"analytics_storage": "Yes", "ads_storage": "Yes", "uses_transient_token": "No"},
        "user_properties": [],
        "device": {"category": category, "mobile_brand_name": or_null(device.maker), "mobile_model_name": or_null(device.model),
            "operating_system": device.os_root, "operating_system_version": device.os, "language": lang.code(),
            "web_info": {"browser": device.browser, "browser_version": device.version.to_string(), "hostname": "studio.example"}},
        "geo": {"city": s.person.city().0, "country": s.person.country.iso, "region": null},
        "traffic_source": {"name": null, "medium": null, "source": null},
        "stream_id": "3300112233", "platform": "WEB", "is_active_user": true,
        "batch_event_index": n as u64 + 1, "batch_ordering_id": 1, "batch_page_id": at / 1000,
        "collected_traffic_source": collected,
        "session_traffic_source_last_click": {
            "manual_campaign": {"campaign_id": null, "campaign_name": last_campaign, "source": last_source, "medium": last_medium,
                "term": marked.and_then(|l| l.keyword), "content": marked.map(|l| l.ad.as_str())},
            "google_ads_campaign": google.map(|l| json!({"customer_id": l.account, "account_name": "studio",
                "campaign_id": l.campaign_id.to_string(), "campaign_name": l.campaign,
                "ad_group_id": l.adgroup_id.to_string(), "ad_group_name": "Group"})),
            "cross_channel_campaign": {"campaign_id": google.map(|l| l.campaign_id.to_string()), "campaign_name": last_campaign,
                "source": last_source, "medium": last_medium, "source_platform": null, "default_channel_group": null,
                "primary_channel_group": null},
        },
    })
}
