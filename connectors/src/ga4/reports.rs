//! Which reports are asked for: the usual two and those of the user.
//!
//! Names and scopes: <https://developers.google.com/analytics/devguides/reporting/data/v1/api-schema>. Which of
//! them go together changes; `check` asks Google.

use throughline_core::{Capabilities, ColumnSpec, ColumnType, Restates, StreamSpec};

use super::config::{OwnReport, mark};

pub(crate) const AD_COSTS: &str = "ad_costs";
pub(crate) const SESSIONS: &str = "sessions";
/// The first dimension of every report.
pub(crate) const DATE: &str = "date";

/// Stated in the discovery document.
const MOST_DIMENSIONS: usize = 9;
const MOST_METRICS: usize = 10;

const COST_DIMENSIONS: &[&str] =
    &["sessionSource", "sessionMedium", "sessionCampaignId", "sessionCampaignName"];
const COST_METRICS: &[&str] = &["advertiserAdCost", "advertiserAdClicks", "advertiserAdImpressions"];
/// Dimensions that the mapping of `ad_costs` knows besides.
const MORE_COST_DIMENSIONS: &[&str] = &[
    "sessionGoogleAdsAdGroupId",
    "sessionGoogleAdsCreativeId",
    "sessionGoogleAdsKeyword",
    "sessionManualAdContent",
    "sessionManualTerm",
];
const SESSION_DIMENSIONS: &[&str] = &[
    "sessionSource",
    "sessionMedium",
    "sessionCampaignName",
    "sessionDefaultChannelGroup",
    "deviceCategory",
];
const SESSION_METRICS: &[&str] =
    &["sessions", "engagedSessions", "totalUsers", "newUsers", "screenPageViews", "keyEvents"];

/// Added to every row: whose report it is, the day it was asked for, in which currency and zone it was made, and
/// which fields were asked for, so that rows of one question are never taken for versions of rows of another.
pub(crate) const PROPERTY: &str = "property";
pub(crate) const DAY: &str = "report_day";
pub(crate) const CURRENCY: &str = "report_currency";
pub(crate) const ZONE: &str = "report_time_zone";
pub(crate) const FIELDS: &str = "report_fields";
const OWN: &[&str] = &[PROPERTY, DAY, CURRENCY, ZONE, FIELDS, "dimensionValues", "metricValues"];

/// One question, asked for each day.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub stream: String,
    /// `date` first.
    pub dimensions: Vec<String>,
    pub metrics: Vec<String>,
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

/// Every report; tells `wrong` what cannot be asked for.
pub(crate) fn all(
    cost_dimensions: &[String],
    own: &[OwnReport],
    wrong: &mut dyn FnMut(String, &str),
) -> Vec<Report> {
    let mut reports = usual(cost_dimensions);
    for (i, name) in cost_dimensions.iter().enumerate() {
        if let Some(why) = refused(name, &cost_dimensions[..i]) {
            wrong(why, &format!("/cost_dimensions/{i}"));
        } else if COST_DIMENSIONS.contains(&name.as_str()) {
            wrong(format!("{name} is asked for already"), &format!("/cost_dimensions/{i}"));
        }
    }
    too_many(&reports[0], "/cost_dimensions", wrong);
    for (i, report) in own.iter().enumerate() {
        let place = format!("/reports/{i}");
        let good = report.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if report.name.is_empty() || !good || !report.name.as_bytes()[0].is_ascii_lowercase() {
            let message =
                format!("{:?} is no name of a stream; write small letters, digits and _", report.name);
            wrong(message, &format!("{place}/name"));
        } else if reports.iter().any(|r| r.stream == report.name) {
            wrong(format!("there is a report {} already", report.name), &format!("{place}/name"));
        }
        for (list, names) in [("dimensions", &report.dimensions), ("metrics", &report.metrics)] {
            for (n, name) in names.iter().enumerate() {
                if let Some(why) = refused(name, &names[..n]) {
                    wrong(why, &format!("{place}/{list}/{n}"));
                }
            }
        }
        if let Some(name) = report.metrics.iter().find(|m| report.dimensions.contains(m)) {
            wrong(format!("{name} stands among dimensions and metrics"), &format!("{place}/metrics"));
        }
        if report.metrics.is_empty() {
            wrong("a report has a metric at least".into(), &format!("{place}/metrics"));
        }
        let mut dimensions = vec![DATE.to_owned()];
        dimensions.extend(report.dimensions.iter().filter(|d| *d != DATE).cloned());
        let report = Report { stream: report.name.clone(), dimensions, metrics: report.metrics.clone() };
        too_many(&report, &place, wrong);
        reports.push(report);
    }
    reports
}

/// The two that are always there.
pub(crate) fn usual(cost_dimensions: &[String]) -> Vec<Report> {
    let costs = [&[DATE], COST_DIMENSIONS].concat();
    let mut dimensions = owned(&costs);
    dimensions.extend_from_slice(cost_dimensions);
    vec![
        Report { stream: AD_COSTS.into(), dimensions, metrics: owned(COST_METRICS) },
        Report {
            stream: SESSIONS.into(),
            dimensions: owned(&[&[DATE], SESSION_DIMENSIONS].concat()),
            metrics: owned(SESSION_METRICS),
        },
    ]
}

fn too_many(report: &Report, place: &str, wrong: &mut dyn FnMut(String, &str)) {
    for (what, list, most) in
        [("dimensions", &report.dimensions, MOST_DIMENSIONS), ("metrics", &report.metrics, MOST_METRICS)]
    {
        if list.len() > most {
            let and_date = if what == "dimensions" { ", date included" } else { "" };
            let message = format!(
                "{} has {} {what}{and_date}; Google makes reports of {most} at most",
                report.stream,
                list.len()
            );
            wrong(message, place);
        }
    }
}

fn refused(name: &str, before: &[String]) -> Option<String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_:".contains(&b) || b > 127;
    if name.is_empty() || name.len() > 200 || !name.bytes().all(fits) {
        return Some(format!("{name:?} is no API name of a dimension or metric, such as sessionSource"));
    }
    if OWN.contains(&name) {
        return Some(format!("{name} is a column that every row gets from us"));
    }
    if ["dateHour", "dateHourMinute", "comparison", "cohort", "dateRange"].contains(&name) {
        return Some(format!("{name} cannot stand in a report by days"));
    }
    before.iter().any(|b| b == name).then(|| format!("{name} stands twice"))
}

impl Report {
    pub fn fields(&self) -> String {
        format!("{};{}", self.dimensions.join(","), self.metrics.join(","))
    }

    /// Stands for the list of fields.
    pub fn mark(&self) -> String {
        mark(&self.fields())
    }

    pub fn stream_spec(&self) -> StreamSpec {
        let mut key = owned(&[PROPERTY, FIELDS, DAY]);
        key.extend(self.dimensions.iter().cloned());
        StreamSpec {
            name: self.stream.clone(),
            doc: match self.stream.as_str() {
                AD_COSTS => {
                    "What ads cost by day, source, medium and campaign, as Analytics knows it.".into()
                }
                SESSIONS => "Sessions added up by day, source, medium, campaign, channel and device.".into(),
                other => format!("The report {other} of the pipeline, by days."),
            },
            key,
            columns: self.contract(),
            restates: Some(Restates { day_column: DAY.into() }),
            capabilities: Capabilities {
                incremental: true,
                deletes: true,
                count: true,
                resumable: true,
                windowed: true,
                ..Default::default()
            },
        }
    }

    /// The contract with the mapping. Metrics may be whole numbers or fractions, and one that was whole yesterday
    /// has a fraction today: exact decimals hold both.
    fn contract(&self) -> Vec<ColumnSpec> {
        let column = |name: &str, kind, doc: &str| ColumnSpec { name: name.into(), kind, doc: doc.into() };
        let mut columns = vec![
            column(PROPERTY, ColumnType::Text, "number of the property"),
            column(DAY, ColumnType::Date, "the day the row was asked for, in the property's time zone"),
            column(CURRENCY, ColumnType::Text, "of money in this row, ISO 4217"),
            column(ZONE, ColumnType::Text, "the property's time zone"),
            column(FIELDS, ColumnType::Text, "stands for the list of fields that were asked for"),
        ];
        let more: &[&str] = if self.stream == AD_COSTS { MORE_COST_DIMENSIONS } else { &[] };
        for name in self.dimensions.iter().map(String::as_str).chain(more.iter().copied()) {
            if !columns.iter().any(|c| c.name == name) {
                let doc = if name == DATE { "YYYYMMDD, or (other)" } else { "" };
                columns.push(column(name, ColumnType::Text, doc));
            }
        }
        for name in &self.metrics {
            let doc = if name == "advertiserAdCost" { "in report_currency" } else { "" };
            columns.push(column(name, ColumnType::Decimal, doc));
        }
        columns
    }
}
