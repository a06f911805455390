//! Which columns a report has, and what they are.
//!
//! Names and rules: <https://yandex.com/dev/direct/doc/en/fields-list> and
//! <https://yandex.com/dev/direct/doc/en/compatibility>.

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_core::{ColumnSpec, ColumnType};

/// How deep costs are split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Campaign,
    Adgroup,
    Ad,
    #[default]
    Keyword,
}

pub(crate) const DATE: &str = "Date";

/// Dimensions from coarse to fine, with the level that asks for them. Free text stands last: whoever reads
/// a row by eye finds the ids first.
const DIMENSIONS: &[(&str, Level)] = &[
    (DATE, Level::Campaign),
    ("CampaignId", Level::Campaign),
    ("AdGroupId", Level::Adgroup),
    ("AdId", Level::Ad),
    ("CriterionId", Level::Keyword),
    ("CriterionType", Level::Keyword),
    ("CampaignName", Level::Campaign),
    ("AdGroupName", Level::Adgroup),
    ("Criterion", Level::Keyword),
];

const METRICS: &[&str] = &["Impressions", "Clicks", "Cost"];

/// Numbers that may be asked for besides; whatever else is asked for splits rows and is part of their key.
const MORE_METRICS: &[&str] = &[
    "AvgClickPosition",
    "AvgCpc",
    "AvgCpm",
    "AvgEffectiveBid",
    "AvgImpressionFrequency",
    "AvgImpressionPosition",
    "AvgPageviews",
    "AvgTrafficVolume",
    "BounceRate",
    "Bounces",
    "ConversionRate",
    "Conversions",
    "CostPerConversion",
    "Ctr",
    "GoalsRoi",
    "ImpressionReach",
    "ImpressionShare",
    "Profit",
    "PurchaseGoalsRoi",
    "PurchaseProfit",
    "PurchaseRevenue",
    "Revenue",
    "Sessions",
    "WeightedCtr",
    "WeightedImpressions",
];

/// Why a field cannot be asked for besides the usual ones.
pub(crate) fn refused(field: &str) -> Option<&'static str> {
    match field {
        "Week" | "Month" | "Quarter" | "Year" => {
            Some("costs are read by days, and Direct gives one period at a time")
        }
        "ClickType" => Some("Direct does not combine it with Impressions"),
        "Criteria" | "CriteriaId" | "CriteriaType" => {
            Some("Direct does not combine it with Criterion, CriterionId and CriterionType")
        }
        "Keyword" | "AudienceTargetId" | "DynamicTextAdTargetId" | "SmartAdTargetId" => {
            Some("it is for filters only")
        }
        "Query" => Some("search queries need a report of another type"),
        "" => Some("a field has a name"),
        name if !name.bytes().all(|b| b.is_ascii_alphanumeric()) => Some("field names are Latin letters"),
        _ => None,
    }
}

/// The fields to ask for, in the order of columns.
pub(crate) fn list(level: Level, more: &[String]) -> Vec<String> {
    let dimensions = DIMENSIONS.iter().filter(|(_, from)| (*from as u8) <= (level as u8)).map(|(n, _)| *n);
    let mut fields: Vec<String> = dimensions.chain(METRICS.iter().copied()).map(str::to_owned).collect();
    for field in more {
        if !fields.contains(field) {
            fields.push(field.clone());
        }
    }
    fields
}

/// Added to every row: the login, its currency, whether costs include VAT, and which fields were asked for,
/// so that rows of one question are never taken for versions of rows of another.
pub(crate) const ACCOUNT: &str = "account";
pub(crate) const CURRENCY: &str = "currency";
pub(crate) const VAT: &str = "vat";
pub(crate) const FIELDS: &str = "fields";

/// Every dimension: two rows that agree in all of them would be one.
pub(crate) fn key(more: &[String]) -> Vec<String> {
    let usual = [ACCOUNT, FIELDS].into_iter().chain(DIMENSIONS.iter().map(|(n, _)| *n)).map(str::to_owned);
    let mut key: Vec<String> = usual.collect();
    for field in more.iter().filter(|f| !is_metric(f)) {
        if !key.contains(field) {
            key.push(field.clone());
        }
    }
    key
}

fn is_metric(field: &str) -> bool {
    METRICS.contains(&field) || MORE_METRICS.contains(&field)
}

/// The contract with the mapping: the usual columns even at a coarser level, and what was asked for besides.
pub(crate) fn contract(more: &[String]) -> Vec<ColumnSpec> {
    let column = |name: &str, kind, doc: &str| ColumnSpec { name: name.into(), kind, doc: doc.into() };
    let mut columns = vec![
        column(ACCOUNT, ColumnType::Text, "the advertiser's login"),
        column(CURRENCY, ColumnType::Text, "of the account, ISO 4217"),
        column(VAT, ColumnType::Text, "`with` or `without`: what the cost was asked for"),
        column(FIELDS, ColumnType::Text, "stands for the list of fields that were asked for"),
    ];
    for name in list(Level::Keyword, more) {
        let (kind, doc) = match name.as_str() {
            DATE => (ColumnType::Date, ""),
            "Cost" => (ColumnType::Int, "in millionths of the currency"),
            "Impressions" | "Clicks" => (ColumnType::Int, ""),
            _ => (ColumnType::Text, ""),
        };
        columns.push(column(&name, kind, doc));
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_ask_for_more_and_more() {
        let counts = [Level::Campaign, Level::Adgroup, Level::Ad, Level::Keyword].map(|l| list(l, &[]).len());
        assert_eq!(counts, [6, 8, 9, 12]);
        let more = ["Device".to_owned(), "Conversions".to_owned(), "Clicks".to_owned()];
        let asked = list(Level::Campaign, &more);
        assert_eq!(asked[asked.len() - 2..], more[..2]);
        let key = key(&more);
        assert!(key.contains(&"Device".to_owned()) && !key.contains(&"Conversions".to_owned()), "{key:?}");
        assert!(refused("ClickType").is_some() && refused("Device").is_none() && refused("a b").is_some());
    }
}
