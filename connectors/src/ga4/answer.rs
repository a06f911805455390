//! What is read of an answer before its rows become columns: how many there are, whether they are those that were
//! asked for, what they lack, and what the question cost.
//!
//! Answer: <https://developers.google.com/analytics/devguides/reporting/data/v1/rest/v1beta/RunReportResponse>.

use std::borrow::Cow;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use chrono::{DateTime, Days, NaiveTime, TimeZone};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use throughline_core::time::InstantUs;
use throughline_core::{Error, ErrorKind, Result};

use super::config::Loss;
use super::reports::Report;

/// Daily tokens come back at midnight there.
const QUOTA_ZONE: chrono_tz::Tz = chrono_tz::America::Los_Angeles;
/// What Google writes where it rolled rows up.
const OTHER: &str = "(other)";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Answer {
    dimension_headers: Vec<Header>,
    metric_headers: Vec<Header>,
    pub row_count: Option<u64>,
    pub rows: Rows,
    pub metadata: Metadata,
    pub property_quota: Option<Quota>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Header {
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Metadata {
    data_loss_from_other_row: bool,
    subject_to_thresholding: bool,
    sampling_metadatas: Vec<Sampling>,
    schema_restriction_response: Restrictions,
    data_truncation_reasons: Vec<IgnoredAny>,
    pub empty_reason: String,
    pub currency_code: String,
    pub time_zone: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Restrictions {
    active_metric_restrictions: Vec<Restriction>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Restriction {
    metric_name: String,
}

/// Numbers beyond 32 bits come as text.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Sampling {
    samples_read_count: String,
    sampling_space_size: String,
}

/// What a report lacks, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lack {
    pub loss: Loss,
    /// For a sentence: `rows with few users are withheld`.
    pub words: String,
    /// What there was and what was used, where Google tells both.
    pub events: Option<(u64, u64)>,
}

impl Metadata {
    pub fn lacks(&self) -> Vec<Lack> {
        let mut lacks = Vec::new();
        if self.subject_to_thresholding {
            lacks.push(Lack {
                loss: Loss::Thresholding,
                words: "rows with few users are withheld (thresholding)".into(),
                events: None,
            });
        }
        if self.data_loss_from_other_row {
            lacks.push(Lack {
                loss: Loss::OtherRow,
                words: "rare combinations are rolled up into the row (other)".into(),
                events: None,
            });
        }
        for sampling in &self.sampling_metadatas {
            let read = sampling.samples_read_count.parse().unwrap_or(0);
            let space = sampling.sampling_space_size.parse().unwrap_or(0);
            let share =
                if space > 0 { format!(": {read} of {space} events were read") } else { String::new() };
            lacks.push(Lack {
                loss: Loss::Sampling,
                words: format!("its numbers are estimates from a sample{share}"),
                events: (space > read).then_some((space, read)),
            });
        }
        if !self.data_truncation_reasons.is_empty() {
            lacks.push(Lack {
                loss: Loss::OtherRow,
                words: "Google cut it short (data truncation)".into(),
                events: None,
            });
        }
        lacks
    }
}

/// Rows as far as they matter before they are columns.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub count: u64,
    /// Of the dimensions of each.
    pub marks: Vec<u64>,
    /// The values of the first dimension, each once, a handful at most.
    pub firsts: Vec<String>,
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Rows;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of rows")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Rows, A::Error> {
                let mut rows = Rows::default();
                while let Some(row) = list.next_element::<Row>()? {
                    rows.count += 1;
                    rows.marks.push(row.dimensions.mark);
                    if let Some(first) = row.dimensions.first
                        && rows.firsts.len() < 5
                        && !rows.firsts.contains(&first)
                    {
                        rows.firsts.push(first);
                    }
                }
                Ok(rows)
            }
        }
        deserializer.deserialize_seq(Walk)
    }
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "dimensionValues", default)]
    dimensions: Dimensions,
}

#[derive(Deserialize)]
struct Cell<'a> {
    #[serde(borrow, default)]
    value: Cow<'a, str>,
}

#[derive(Default)]
struct Dimensions {
    mark: u64,
    first: Option<String>,
}

impl<'de> Deserialize<'de> for Dimensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Dimensions;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("values of dimensions")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Dimensions, A::Error> {
                let (mut hash, mut first) = (DefaultHasher::new(), None);
                while let Some(cell) = list.next_element::<Cell<'de>>()? {
                    cell.value.hash(&mut hash);
                    first.get_or_insert_with(|| cell.value.chars().take(40).collect());
                }
                Ok(Dimensions { mark: hash.finish(), first })
            }
        }
        deserializer.deserialize_seq(Walk)
    }
}

impl Answer {
    /// # Errors
    /// `Protocol` when it is no report.
    pub fn read(body: &[u8], what: &str) -> Result<Self> {
        let said = |e: &dyn fmt::Display| {
            Error::protocol(format!("Google's answer for {what} is not what its pages describe: {e}"))
                .temporary(None)
        };
        let answer: Self = serde_json::from_slice(body).map_err(|e| said(&e))?;
        if answer.rows.count > 0 && answer.row_count.is_none() {
            return Err(said(&"it has rows but no rowCount"));
        }
        if answer.rows.count == 0
            && answer.metadata.time_zone.is_empty()
            && answer.dimension_headers.is_empty()
        {
            return Err(said(&"it has neither headers nor metadata"));
        }
        Ok(answer)
    }

    /// Rows are those of the report and the day that was asked for.
    ///
    /// # Errors
    /// `Protocol` when they are not; `Auth` when metrics are hidden from this account.
    pub fn fits(&self, report: &Report, day: &str, what: &str) -> Result<()> {
        let names = |headers: &[Header]| headers.iter().map(|h| h.name.clone()).collect::<Vec<_>>();
        let (dimensions, metrics) = (names(&self.dimension_headers), names(&self.metric_headers));
        let headers = dimensions == report.dimensions && metrics == report.metrics;
        if !headers && (self.rows.count > 0 || !dimensions.is_empty()) {
            return Err(Error::protocol(format!(
                "{what}: asked for {}, Google answered with {};{}",
                report.fields(),
                dimensions.join(","),
                metrics.join(",")
            )));
        }
        if let Some(strange) = self.rows.firsts.iter().find(|d| *d != day && *d != OTHER) {
            return Err(Error::protocol(format!("{what}: Google gave rows of {strange:?}")));
        }
        let hidden = &self.metadata.schema_restriction_response.active_metric_restrictions;
        if hidden.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = hidden.iter().map(|r| r.metric_name.as_str()).collect();
        Err(Error::new(ErrorKind::Auth, format!("{what}: Google hides {} from this account", names.join(", ")))
            .hint("its role in the property carries No Cost Metrics or No Revenue Metrics: take that away, or leave the stream out"))
    }
}

/// What is left of the property's tokens after an answer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Quota {
    tokens_per_day: Tokens,
    tokens_per_hour: Tokens,
    tokens_per_project_per_hour: Tokens,
    potentially_thresholded_requests_per_hour: Tokens,
    server_errors_per_project_per_hour: Tokens,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Tokens {
    consumed: i64,
    remaining: Option<i64>,
}

impl Quota {
    /// Whether another question like the last fits into what is left.
    ///
    /// # Errors
    /// `RateLimited`, with the time when there are tokens again.
    pub fn room(&self, property: u64, now_us: InstantUs) -> Result<()> {
        for (tokens, per, after) in [
            (&self.tokens_per_day, "of the day", until_pacific_midnight(now_us)),
            (&self.tokens_per_hour, "of the hour", until_next_hour(now_us)),
            (&self.tokens_per_project_per_hour, "of the hour for this project", until_next_hour(now_us)),
            (
                &self.server_errors_per_project_per_hour,
                "of the hour's server errors",
                until_next_hour(now_us),
            ),
        ] {
            // Twice: the next may cost more than the last.
            let least = if per.ends_with("errors") { 1 } else { tokens.consumed.max(1) * 2 };
            if let Some(left) = tokens.remaining.filter(|left| *left < least) {
                return Err(used_up(property, &format!("tokens {per} ({left} left)"), after));
            }
        }
        Ok(())
    }

    /// For people.
    pub fn words(&self) -> String {
        let left = |t: &Tokens| t.remaining.map_or("?".to_owned(), |n| n.to_string());
        format!(
            "left of the property's tokens: {} today, {} this hour, {} this hour for this project; {} reports of this \
             hour may be thresholded",
            left(&self.tokens_per_day),
            left(&self.tokens_per_hour),
            left(&self.tokens_per_project_per_hour),
            left(&self.potentially_thresholded_requests_per_hour)
        )
    }
}

/// The error that ends a run whose tokens are gone.
pub(crate) fn used_up(property: u64, what: &str, after: Duration) -> Error {
    Error::new(ErrorKind::RateLimited, format!("the {what} of property {property} are used up"))
        .hint("days that were read are safe; the next run goes on behind them when there are tokens again")
        .temporary(Some(after))
}

pub(crate) fn until_next_hour(now_us: InstantUs) -> Duration {
    let seconds = now_us.div_euclid(1_000_000).rem_euclid(3600);
    Duration::from_secs(u64::try_from(3600 - seconds).unwrap_or(3600))
}

pub(crate) fn until_pacific_midnight(now_us: InstantUs) -> Duration {
    let now = DateTime::from_timestamp_micros(now_us).unwrap_or_default();
    let tomorrow = now.with_timezone(&QUOTA_ZONE).date_naive().checked_add_days(Days::new(1));
    tomorrow
        .and_then(|day| QUOTA_ZONE.from_local_datetime(&day.and_time(NaiveTime::MIN)).earliest())
        .and_then(|at| (at.to_utc() - now).to_std().ok())
        .unwrap_or(Duration::from_secs(86_400))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn quotas_come_back_when_they_do() {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros();
        assert_eq!(until_next_hour(at("2026-09-01T10:59:30Z")).as_secs(), 30);
        assert_eq!(until_next_hour(at("2026-09-01T10:00:00Z")).as_secs(), 3600);
        // Summer time in California: UTC-7; winter: UTC-8.
        assert_eq!(until_pacific_midnight(at("2026-09-01T06:00:00Z")).as_secs(), 3600);
        assert_eq!(until_pacific_midnight(at("2026-12-01T06:00:00Z")).as_secs(), 7200);
    }

    #[test]
    fn nothing_is_asked_that_does_not_fit() {
        let quota = |day: i64, hour: i64, project: i64| {
            let text = format!(
                "{{\"tokensPerDay\":{{\"consumed\":4,\"remaining\":{day}}},\"tokensPerHour\":{{\"consumed\":4,\
                 \"remaining\":{hour}}},\"tokensPerProjectPerHour\":{{\"remaining\":{project}}}}}"
            );
            serde_json::from_str::<Quota>(&text).unwrap().room(7, 0).map_err(|e| e.to_string())
        };
        assert!(quota(8, 8, 2).is_ok());
        assert!(quota(7, 8, 2).unwrap_err().contains("tokens of the day (7 left) of property 7"));
        assert!(quota(8, 7, 2).unwrap_err().contains("of the hour (7 left)"));
        assert!(quota(8, 8, 1).unwrap_err().contains("for this project"));
        assert!(Quota::default().room(7, 0).is_ok());
    }
}
