//! The rows of a report: costs, added up over what the asked fields do not tell apart.

use std::collections::BTreeMap;

use chrono::{Datelike, Months, NaiveDate};
use serde_json::Value;

use super::{LOGIN, Options};
use crate::ads::Leaf;
use crate::company::Company;
use crate::costs::{Cost, costs, push_minor};
use crate::text::{push_date, push_uint};

const MOST_ROWS: u64 = 1_000_000;

/// Fields that this account has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Field {
    Date,
    CampaignId,
    CampaignName,
    AdGroupId,
    AdGroupName,
    AdId,
    Criterion,
    CriterionId,
    CriterionType,
    AdNetworkType,
    Impressions,
    Clicks,
    Cost,
}

impl Field {
    fn of(name: &str) -> Option<Field> {
        Some(match name {
            "Date" => Field::Date,
            "CampaignId" => Field::CampaignId,
            "CampaignName" => Field::CampaignName,
            "AdGroupId" => Field::AdGroupId,
            "AdGroupName" => Field::AdGroupName,
            "AdId" => Field::AdId,
            "Criterion" => Field::Criterion,
            "CriterionId" => Field::CriterionId,
            "CriterionType" => Field::CriterionType,
            "AdNetworkType" => Field::AdNetworkType,
            "Impressions" => Field::Impressions,
            "Clicks" => Field::Clicks,
            "Cost" => Field::Cost,
            _ => return None,
        })
    }

    fn is_metric(self) -> bool {
        matches!(self, Field::Impressions | Field::Clicks | Field::Cost)
    }
}

/// A report as it was asked for.
pub struct Wanted {
    names: Vec<String>,
    fields: Vec<Field>,
    from: i64,
    to: i64,
    limit: usize,
    vat: bool,
}

/// Which lines there are besides rows, and how money is written.
#[derive(Clone, Copy)]
pub struct Style {
    pub title: bool,
    pub columns: bool,
    pub summary: bool,
    pub micros: bool,
}

impl Wanted {
    /// # Errors
    /// Which parameter is wrong.
    pub fn parse(params: &Value, today: i64) -> Result<Wanted, String> {
        let text = |name: &str| params[name].as_str().unwrap_or_default();
        for (name, allowed) in
            [("ReportType", "CUSTOM_REPORT"), ("DateRangeType", "CUSTOM_DATE"), ("Format", "TSV")]
        {
            if text(name) != allowed {
                return Err(format!("{name}: this account makes {allowed} only"));
            }
        }
        let vat = match text("IncludeVAT") {
            "YES" => true,
            "NO" => false,
            _ => return Err("IncludeVAT: YES or NO is required".to_owned()),
        };
        let day = |name: &str| {
            let text = params["SelectionCriteria"][name].as_str().unwrap_or_default();
            text.parse::<NaiveDate>().map_err(|_| format!("{name}: YYYY-MM-DD is needed"))
        };
        let (from, to) = (day("DateFrom")?, day("DateTo")?);
        if from > to {
            return Err("DateFrom is later than DateTo".to_owned());
        }
        let now = NaiveDate::from_epoch_days(i32::try_from(today).unwrap_or(0)).unwrap_or_default();
        let kept = now.with_day(1).and_then(|d| d.checked_sub_months(Months::new(36)));
        if kept.is_some_and(|kept| from < kept) {
            return Err("DateFrom: statistics are kept for three years".to_owned());
        }
        let names: Vec<String> = params["FieldNames"]
            .as_array()
            .map(|all| all.iter().map(|n| n.as_str().unwrap_or_default().to_owned()).collect())
            .unwrap_or_default();
        let mut fields = Vec::new();
        for name in &names {
            let field = Field::of(name).ok_or_else(|| format!("FieldNames: {name} is not allowed here"))?;
            if fields.contains(&field) {
                return Err(format!("FieldNames: {name} stands twice"));
            }
            fields.push(field);
        }
        if fields.is_empty() {
            return Err("FieldNames: fields are required".to_owned());
        }
        let limit = match &params["Page"]["Limit"] {
            Value::Null => MOST_ROWS,
            limit => {
                let limit = limit.as_u64().filter(|l| (1..=MOST_ROWS).contains(l));
                limit.ok_or("Page.Limit: a number from 1 to 1000000")?
            }
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (from, to) = (i64::from(from.to_epoch_days()), i64::from(to.to_epoch_days()));
        Ok(Wanted { names, fields, from, to, limit, vat })
    }
}

/// Clicks and cost with VAT: in young days robots are still among those who clicked.
pub fn figures(options: &Options, cost: &Cost, today: i64) -> (u64, u64) {
    if today - cost.day > options.robots_days {
        return (cost.clicks, cost.cost_minor);
    }
    (cost.clicks + cost.clicks / 10 + 1, cost.cost_minor + cost.cost_minor / 10 + 1)
}

/// The report, less `lost` of its rows, which the summary counts all the same.
pub fn text(
    company: &Company,
    options: &Options,
    now: i64,
    wanted: &Wanted,
    style: Style,
    lost: usize,
) -> String {
    let today = company.cfg.day_of(now);
    // Rows in the order of days.
    let mut rows: BTreeMap<(i64, Vec<String>), (u64, u64, u64)> = BTreeMap::new();
    for cost in costs(company, now) {
        if cost.leaf.system != "yandex_direct" || !(wanted.from..=wanted.to).contains(&cost.day) {
            continue;
        }
        let (clicks, minor) = figures(options, &cost, today);
        let minor = if wanted.vat { minor } else { without_vat(minor, options.vat) };
        let key: Vec<String> = wanted
            .fields
            .iter()
            .filter(|f| !f.is_metric())
            .map(|f| dimension(*f, cost.leaf, cost.day))
            .collect();
        let day = if wanted.fields.contains(&Field::Date) { cost.day } else { 0 };
        let sums = rows.entry((day, key)).or_default();
        *sums = (sums.0 + cost.impressions, sums.1 + clicks, sums.2 + minor);
    }
    let mut out = String::new();
    if style.title {
        out.push_str(&format!("\"report ({LOGIN})\"\n"));
    }
    if style.columns {
        out.push_str(&wanted.names.join("\t"));
        out.push('\n');
    }
    let count = rows.len().min(wanted.limit);
    for ((_, key), (impressions, clicks, minor)) in rows.iter().take(count.saturating_sub(lost)) {
        let mut key = key.iter();
        for (n, field) in wanted.fields.iter().enumerate() {
            if n > 0 {
                out.push('\t');
            }
            match field {
                Field::Impressions => push_uint(&mut out, *impressions),
                Field::Clicks => push_uint(&mut out, *clicks),
                Field::Cost if style.micros => push_uint(&mut out, minor * 10_000),
                Field::Cost => push_minor(&mut out, *minor),
                _ => out.push_str(key.next().map_or("--", String::as_str)),
            }
        }
        out.push('\n');
    }
    if style.summary {
        out.push_str("Total rows: ");
        push_uint(&mut out, count as u64);
        out.push('\n');
    }
    out
}

/// Rounded to whole minor units.
pub fn without_vat(minor: u64, percent: u64) -> u64 {
    let with = 100 + percent;
    (minor * 100 + with / 2) / with
}

fn dimension(field: Field, leaf: &Leaf, day: i64) -> String {
    // Numbered by what it says: a criterion of one ad group keeps its number.
    let criterion = |text: &str| {
        let sum = text.bytes().fold(17_u64, |sum, b| (sum * 31 + u64::from(b)) % 1_000_000_007);
        20_000_000_000 + leaf.adgroup_id % 1000 * 1_000_000_007 + sum
    };
    match field {
        Field::Date => {
            let mut out = String::new();
            push_date(&mut out, day);
            out
        }
        Field::CampaignId => leaf.campaign_id.to_string(),
        Field::CampaignName => leaf.campaign.to_owned(),
        Field::AdGroupId => leaf.adgroup_id.to_string(),
        Field::AdGroupName => format!("{} {}", leaf.campaign, leaf.adgroup_id),
        Field::AdId => leaf.ad_id.to_string(),
        Field::Criterion => leaf.keyword.unwrap_or("--").to_owned(),
        Field::CriterionId => leaf.keyword.map_or("--".to_owned(), |k| criterion(k).to_string()),
        Field::CriterionType => match leaf.keyword {
            None => "--".to_owned(),
            Some(_) if leaf.auto_tagged => "RETARGETING".to_owned(),
            Some(_) => "KEYWORD".to_owned(),
        },
        Field::AdNetworkType => if leaf.auto_tagged { "AD_NETWORK" } else { "SEARCH" }.to_owned(),
        Field::Impressions | Field::Clicks | Field::Cost => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vat_is_taken_out_to_the_nearest_minor_unit() {
        assert_eq!([0, 1, 6, 120, 12_345].map(|m| without_vat(m, 20)), [0, 1, 5, 100, 10_288]);
    }
}
