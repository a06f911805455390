//! The Data API: `runReport` and `checkCompatibility`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use chrono::NaiveDate;
use serde_json::{Map, Value, json};

use super::{Call, Options, PROPERTY, pretty, refuse};
use crate::ads::{Leaf, Origin};
use crate::company::Company;
use crate::costs::{costs, push_minor};
use crate::faults::Fault;
use crate::person::device_of;
use crate::reply::{Reply, lock};
use crate::text::push_date;

pub const CURRENCY: &str = "USD";
const NOT_SET: &str = "(not set)";
/// Tokens of a request.
const PRICE: i64 = 4;

const DIMENSIONS: &[&str] = &[
    "date",
    "sessionSource",
    "sessionMedium",
    "sessionCampaignId",
    "sessionCampaignName",
    "sessionDefaultChannelGroup",
    "sessionManualAdContent",
    "sessionManualTerm",
    "sessionGoogleAdsAdGroupId",
    "sessionGoogleAdsCreativeId",
    "sessionGoogleAdsKeyword",
    "deviceCategory",
    "country",
    // Of another scope than costs.
    "eventName",
];
const METRICS: &[(&str, &str)] = &[
    ("sessions", "TYPE_INTEGER"),
    ("engagedSessions", "TYPE_INTEGER"),
    ("totalUsers", "TYPE_INTEGER"),
    ("newUsers", "TYPE_INTEGER"),
    ("screenPageViews", "TYPE_INTEGER"),
    ("keyEvents", "TYPE_FLOAT"),
    ("advertiserAdCost", "TYPE_CURRENCY"),
    ("advertiserAdClicks", "TYPE_INTEGER"),
    ("advertiserAdImpressions", "TYPE_INTEGER"),
];
const KNOWN: &[&str] = &[
    "dimensions",
    "metrics",
    "dateRanges",
    "dimensionFilter",
    "metricFilter",
    "offset",
    "limit",
    "metricAggregations",
    "orderBys",
    "currencyCode",
    "cohortSpec",
    "keepEmptyRows",
    "returnPropertyQuota",
    "comparisons",
    "property",
];

/// Tokens that were spent, by the company's hour and day.
#[derive(Default)]
pub struct Spent(Mutex<(i64, i64, i64, i64)>);

#[derive(Clone, Default)]
struct Sums {
    sessions: u64,
    engaged: u64,
    users: BTreeSet<u64>,
    new: u64,
    views: u64,
    keys: u64,
    cost_minor: u64,
    clicks: u64,
    impressions: u64,
}

struct Wanted {
    dimensions: Vec<String>,
    metrics: Vec<String>,
    from: i64,
    to: i64,
    offset: usize,
    limit: usize,
    ordered: Vec<String>,
    keep_empty: bool,
}

fn invalid(message: &str) -> Reply {
    refuse(400, "INVALID_ARGUMENT", "", message)
}

pub fn answer(options: &Options, spent: &Spent, call: &Call) -> Reply {
    if call.method != "POST" {
        return refuse(404, "NOT_FOUND", "", "no such method");
    }
    let Some((property, method)) =
        call.path.strip_prefix("/v1beta/properties/").and_then(|rest| rest.split_once(':'))
    else {
        return refuse(404, "NOT_FOUND", "", "no such path");
    };
    if property != PROPERTY.to_string() {
        let message = "User does not have sufficient permissions for this property. To learn more about Property ID, see \
                       https://developers.google.com/analytics/devguides/reporting/data/v1/property-id.";
        return refuse(403, "PERMISSION_DENIED", "", message);
    }
    let Ok(Value::Object(body)) = serde_json::from_slice::<Value>(call.body) else {
        return invalid("Invalid JSON payload received.");
    };
    match method {
        "runReport" => run(options, spent, call, &body),
        "checkCompatibility" => compatibility(&body),
        _ => refuse(404, "NOT_FOUND", "", "no such method"),
    }
}

fn names(body: &Map<String, Value>, list: &str) -> Vec<String> {
    let empty = Vec::new();
    let all = body.get(list).and_then(Value::as_array).unwrap_or(&empty);
    all.iter().map(|d| d["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Costs know nothing of events.
fn clash(dimensions: &[String], metrics: &[String]) -> bool {
    dimensions.iter().any(|d| d == "eventName") && metrics.iter().any(|m| m.starts_with("advertiser"))
}

fn compatibility(body: &Map<String, Value>) -> Reply {
    let (dimensions, metrics) = (names(body, "dimensions"), names(body, "metrics"));
    let clash = clash(&dimensions, &metrics);
    let word = |bad: bool| if bad { "INCOMPATIBLE" } else { "COMPATIBLE" };
    let wanted = body.get("compatibilityFilter").and_then(Value::as_str).unwrap_or_default();
    let fits = |found: &str| wanted.is_empty() || wanted == found;
    let of = |kind: &str, name: &str, found: &str| json!({format!("{kind}Metadata"): {"apiName": name, "uiName": name}, "compatibility": found});
    let dimensions: Vec<Value> = DIMENSIONS
        .iter()
        .map(|d| (d, word(clash && *d == "eventName")))
        .filter(|(_, found)| fits(found))
        .map(|(d, found)| of("dimension", d, found))
        .collect();
    let metrics: Vec<Value> = METRICS
        .iter()
        .map(|(m, _)| (m, word(clash && m.starts_with("advertiser"))))
        .filter(|(_, found)| fits(found))
        .map(|(m, found)| of("metric", m, found))
        .collect();
    let mut answer = json!({});
    if !dimensions.is_empty() {
        answer["dimensionCompatibilities"] = dimensions.into();
    }
    if !metrics.is_empty() {
        answer["metricCompatibilities"] = metrics.into();
    }
    Reply::json(200, pretty(&answer))
}

fn parse(body: &Map<String, Value>, today: i64) -> Result<Wanted, String> {
    if let Some(unknown) = body.keys().find(|k| !KNOWN.contains(&k.as_str())) {
        return Err(format!("Invalid JSON payload received. Unknown name \"{unknown}\": Cannot find field."));
    }
    let (dimensions, metrics) = (names(body, "dimensions"), names(body, "metrics"));
    if dimensions.len() > 9 {
        return Err("Requests are limited to 9 dimensions.".to_owned());
    }
    if metrics.len() > 10 {
        return Err("Requests are limited to 10 metrics.".to_owned());
    }
    if let Some(bad) = dimensions.iter().find(|d| !DIMENSIONS.contains(&d.as_str())) {
        return Err(format!(
            "Field {bad} is not a valid dimension. For a list of valid dimensions and metrics, see ..."
        ));
    }
    if let Some(bad) = metrics.iter().find(|m| !METRICS.iter().any(|(name, _)| name == m)) {
        return Err(format!(
            "Field {bad} is not a valid metric. For a list of valid dimensions and metrics, see ..."
        ));
    }
    if clash(&dimensions, &metrics) {
        return Err("Please remove eventName to make the request compatible.".to_owned());
    }
    if body.get("currencyCode").is_some_and(|c| c != CURRENCY) {
        return Err("currencyCode: this property reports in USD only".to_owned());
    }
    let ranges = body.get("dateRanges").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let [range] = ranges else { return Err("dateRanges: this property takes one".to_owned()) };
    let day = |name: &str| match range[name].as_str().unwrap_or_default() {
        "today" => Ok(today),
        "yesterday" => Ok(today - 1),
        text => text
            .parse::<NaiveDate>()
            .map(|d| i64::from(d.to_epoch_days()))
            .map_err(|_| format!("Invalid {name}: {text}. Date must be in the format YYYY-MM-DD.")),
    };
    let (from, to) = (day("startDate")?, day("endDate")?);
    if from > to {
        return Err("startDate is after endDate".to_owned());
    }
    // Both forms of a 64-bit number are read.
    let number = |name: &str, default: usize| match body.get(name) {
        None => Ok(default),
        Some(Value::String(s)) => s.parse().map_err(|_| format!("Invalid value at '{name}'")),
        Some(n) => n.as_u64().map(|n| n as usize).ok_or(format!("Invalid value at '{name}'")),
    };
    let limit = number("limit", 10_000)?;
    if limit == 0 || limit > 250_000 {
        return Err("limit must be from 1 to 250000".to_owned());
    }
    let empty = Vec::new();
    let order = body.get("orderBys").and_then(Value::as_array).unwrap_or(&empty);
    let ordered: Vec<String> = order
        .iter()
        .map(|o| o["dimension"]["dimensionName"].as_str().unwrap_or_default().to_owned())
        .collect();
    if let Some(bad) = ordered.iter().find(|o| !dimensions.contains(o)) {
        return Err(format!("orderBys: {bad} is not among the dimensions"));
    }
    let keep_empty = body.get("keepEmptyRows").and_then(Value::as_bool).unwrap_or(false);
    Ok(Wanted { dimensions, metrics, from, to, offset: number("offset", 0)?, limit, ordered, keep_empty })
}

fn run(options: &Options, spent: &Spent, call: &Call, body: &Map<String, Value>) -> Reply {
    let today = call.company.cfg.day_of(call.now);
    let wanted = match parse(body, today) {
        Ok(wanted) => wanted,
        Err(message) => return invalid(&message),
    };
    let quota = match spend(options, spent, call.now) {
        Ok(quota) => quota,
        Err(reply) => return reply,
    };
    let mut rows = rows(options, call.company, call.now, &wanted);
    let mut metadata = json!({"currencyCode": CURRENCY, "timeZone": call.company.cfg.zone.name()});
    if options.threshold > 0 {
        let before = rows.len();
        rows.retain(|(_, sums)| sums.sessions == 0 || sums.users.len() as u64 >= options.threshold);
        if rows.len() < before {
            metadata["subjectToThresholding"] = true.into();
        }
    }
    if options.cardinality > 0 && rows.len() > options.cardinality {
        metadata["dataLossFromOtherRow"] = true.into();
        let rest = rows.split_off(options.cardinality);
        let mut other = Sums::default();
        rest.iter().for_each(|(_, sums)| other.add(sums));
        rows.push((vec!["(other)".to_owned(); wanted.dimensions.len()], other));
    }
    if options.sample > 1 && !rows.is_empty() {
        let all = call.company.visits.len() as u64 * 7;
        metadata["samplingMetadatas"] = json!([{"samplesReadCount": (all / options.sample).to_string(), "samplingSpaceSize": all.to_string()}]);
    }
    let hidden: Vec<Value> = (options.hidden.iter())
        .filter(|m| wanted.metrics.iter().any(|w| w == *m))
        .map(|m| json!({"metricName": m, "restrictedMetricTypes": ["COST_DATA"]}))
        .collect();
    if !hidden.is_empty() {
        metadata["schemaRestrictionResponse"] = json!({ "activeMetricRestrictions": hidden });
    }
    let total = rows.len();
    // What is not ordered by the asker comes in an order that holds for this answer only.
    if wanted.ordered.len() < wanted.dimensions.len() && total > 0 {
        rows.rotate_left(wanted.offset % total);
    }
    let lost: usize =
        call.faults.iter().map(|f| if let Fault::LeaveOut { rows } = f { *rows } else { 0 }).sum();
    let page: Vec<Value> = (rows.iter().skip(wanted.offset).take(wanted.limit))
        .map(|(key, sums)| {
            let values: Vec<Value> = wanted.metrics.iter().map(|m| json!({"value": sums.text(m)})).collect();
            let keys: Vec<Value> = key.iter().map(|k| json!({ "value": k })).collect();
            json!({"dimensionValues": keys, "metricValues": values})
        })
        .collect();
    let page = &page[..page.len().saturating_sub(lost)];
    let dimensions: Vec<Value> = wanted.dimensions.iter().map(|d| json!({ "name": d })).collect();
    let metrics: Vec<Value> = wanted
        .metrics
        .iter()
        .map(
            |m| json!({"name": m, "type": METRICS.iter().find(|(name, _)| name == m).map_or("", |(_, t)| t)}),
        )
        .collect();
    let mut answer = json!({"dimensionHeaders": dimensions, "metricHeaders": metrics});
    if !page.is_empty() {
        answer["rows"] = page.into();
    }
    // Changed in between: one row more from the second page on.
    let touched = usize::from(call.faults.iter().any(|f| matches!(f, Fault::Touch { .. })));
    if total + touched > 0 {
        answer["rowCount"] = (total + touched).into();
    }
    answer["metadata"] = metadata;
    if body.get("returnPropertyQuota") == Some(&Value::Bool(true)) {
        answer["propertyQuota"] = quota;
    }
    answer["kind"] = "analyticsData#runReport".into();
    Reply::json(200, pretty(&answer))
}

/// Takes the price of a request from what is left.
fn spend(options: &Options, spent: &Spent, now: i64) -> Result<Value, Reply> {
    let (hour, day) = (now.div_euclid(3600), now.div_euclid(86_400));
    let mut spent = lock(&spent.0);
    if spent.0 != hour {
        (spent.0, spent.1) = (hour, 0);
    }
    if spent.2 != day {
        (spent.2, spent.3) = (day, 0);
    }
    let exhausted = |what: &str| {
        let message =
            format!("Exhausted property tokens {what}. These quota tokens will return in under an hour.");
        Err(refuse(429, "RESOURCE_EXHAUSTED", "", &message))
    };
    if spent.3 + PRICE > options.day_tokens {
        return exhausted("per day");
    }
    if spent.1 + PRICE > options.hour_tokens {
        return exhausted("per project per hour");
    }
    (spent.1, spent.3) = (spent.1 + PRICE, spent.3 + PRICE);
    let left = |most: i64, used: i64| json!({"consumed": PRICE, "remaining": most - used});
    Ok(json!({
        "tokensPerDay": left(options.day_tokens, spent.3), "tokensPerHour": left(40_000, spent.1),
        "tokensPerProjectPerHour": left(options.hour_tokens, spent.1), "concurrentRequests": {"remaining": 10},
        "serverErrorsPerProjectPerHour": {"remaining": 10}, "potentiallyThresholdedRequestsPerHour": {"remaining": 120},
    }))
}

impl Sums {
    fn add(&mut self, more: &Sums) {
        self.sessions += more.sessions;
        self.engaged += more.engaged;
        self.users.extend(&more.users);
        self.new += more.new;
        self.views += more.views;
        self.keys += more.keys;
        self.cost_minor += more.cost_minor;
        self.clicks += more.clicks;
        self.impressions += more.impressions;
    }

    fn text(&self, metric: &str) -> String {
        let number = match metric {
            "advertiserAdCost" => {
                let mut text = String::new();
                push_minor(&mut text, self.cost_minor);
                let short = text.trim_end_matches('0').trim_end_matches('.');
                return if short.is_empty() { "0".to_owned() } else { short.to_owned() };
            }
            "sessions" => self.sessions,
            "engagedSessions" => self.engaged,
            "totalUsers" => self.users.len() as u64,
            "newUsers" => self.new,
            "screenPageViews" => self.views,
            "keyEvents" => self.keys,
            "advertiserAdClicks" => self.clicks,
            _ => self.impressions,
        };
        number.to_string()
    }
}

/// What Analytics calls the source of a session: source, medium, campaign id, campaign, leaf.
pub fn source(origin: Origin) -> (String, String, String, String, Option<&'static Leaf>) {
    let s = origin.source();
    let leaf = origin.leaf();
    let google = leaf.filter(|l| l.system == "google_ads");
    let id = google.map_or(NOT_SET.to_owned(), |l| l.campaign_id.to_string());
    let text = |t: &str, none: &str| if t.is_empty() { none.to_owned() } else { t.to_owned() };
    match s.traffic {
        "direct" => ("(direct)".into(), "(none)".into(), NOT_SET.into(), "(direct)".into(), None),
        "organic" => (s.source.into(), "organic".into(), NOT_SET.into(), "(organic)".into(), None),
        "referral" | "social" => {
            (s.source.into(), "referral".into(), NOT_SET.into(), "(referral)".into(), None)
        }
        _ => (text(s.source, NOT_SET), text(s.medium, NOT_SET), id, text(s.campaign, NOT_SET), leaf),
    }
}

fn key(wanted: &[String], day: i64, origin: Origin, device: &str, country: &str) -> Vec<String> {
    let (source, medium, campaign_id, campaign, leaf) = source(origin);
    let google = leaf.filter(|l| l.system == "google_ads");
    let or = |text: Option<String>| text.filter(|t| !t.is_empty()).unwrap_or_else(|| NOT_SET.to_owned());
    let mut date = String::new();
    push_date(&mut date, day);
    let one = |name: &String| match name.as_str() {
        "date" => date.replace('-', ""),
        "sessionSource" => source.clone(),
        "sessionMedium" => medium.clone(),
        "sessionCampaignId" => campaign_id.clone(),
        "sessionCampaignName" => campaign.clone(),
        "sessionDefaultChannelGroup" => match medium.as_str() {
            "(none)" => "Direct",
            "organic" => "Organic Search",
            "referral" => "Referral",
            "email" => "Email",
            "cpc" => "Paid Search",
            _ => "Unassigned",
        }
        .to_owned(),
        "sessionManualAdContent" => or(leaf.map(|l| l.ad.clone())),
        "sessionManualTerm" => or(leaf.and_then(|l| l.keyword).map(str::to_owned)),
        "sessionGoogleAdsAdGroupId" => or(google.map(|l| l.adgroup_id.to_string())),
        "sessionGoogleAdsCreativeId" => or(google.map(|l| l.ad_id.to_string())),
        "sessionGoogleAdsKeyword" => or(google.and_then(|l| l.keyword).map(str::to_owned)),
        "deviceCategory" => device.to_owned(),
        "country" => country.to_owned(),
        _ => "session_start".to_owned(),
    };
    wanted.iter().map(one).collect()
}

/// All rows of a report, in the order of their dimensions.
fn rows(options: &Options, company: &Company, now: i64, wanted: &Wanted) -> Vec<(Vec<String>, Sums)> {
    let today = company.cfg.day_of(now);
    let mut all: BTreeMap<Vec<String>, Sums> = BTreeMap::new();
    for day in wanted.from..=wanted.to.min(today) {
        let end = company.cfg.midnight(day + 1).min(now + 1);
        for visit in company.visits_between(company.cfg.midnight(day), end, now) {
            let s = company.story(u64::from(visit.k));
            let Some(v) = s.visit(visit.no) else { continue };
            // Some events of young days come late.
            if today - day <= options.young_days && v.number.is_multiple_of(6) {
                continue;
            }
            let device = device_of(&company.cfg, s.person.k, v.device);
            let category = ["", "desktop", "mobile", "tablet"][usize::from(device.category) % 4];
            let origin = s.last_significant(v.no, false);
            let sums =
                all.entry(key(&wanted.dimensions, day, origin, category, s.person.country.iso)).or_default();
            sums.sessions += 1;
            sums.engaged += u64::from(v.views > 1 || v.seconds >= 10);
            sums.users.insert(s.person.client_id(&company.cfg, v.device));
            sums.new += u64::from(s.visits.iter().all(|w| w.device != v.device || w.no >= v.no));
            sums.views += u64::from(v.views);
            sums.keys += u64::from(v.click.is_some());
        }
    }
    for cost in costs(company, now).filter(|c| c.leaf.system == "google_ads") {
        if !(wanted.from..=wanted.to).contains(&cost.day) {
            continue;
        }
        let leaf = crate::ads::LEAVES.iter().position(|l| std::ptr::eq(l, cost.leaf)).unwrap_or(0);
        let key = key(&wanted.dimensions, cost.day, Origin::Ad(leaf as u16), NOT_SET, NOT_SET);
        let (clicks, minor) = figures(options, &cost, today);
        let sums = all.entry(key).or_default();
        sums.cost_minor += minor;
        sums.clicks += clicks;
        sums.impressions += cost.impressions;
    }
    all.into_iter()
        .filter(|(_, sums)| wanted.keep_empty || wanted.metrics.iter().any(|m| sums.text(m) != "0"))
        .collect()
}

/// Clicks and cost that Google Ads has told Analytics so far.
pub fn figures(options: &Options, cost: &crate::costs::Cost, today: i64) -> (u64, u64) {
    if today - cost.day > options.young_days {
        return (cost.clicks, cost.cost_minor);
    }
    (cost.clicks - cost.clicks / 8, cost.cost_minor - cost.cost_minor / 8)
}
