//! Segments of persons: ordered rules, the first that holds names the segment.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tables::OutputSpec;

/// One segment and who belongs to it. All conditions given must hold; none takes everybody left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SegmentRule {
    /// As in `dim_person.segment`.
    pub name: String,
    pub min_inquiries: Option<u32>,
    pub max_inquiries: Option<u32>,
    /// Won conversions.
    pub min_sales: Option<u32>,
    pub max_sales: Option<u32>,
    /// Net of all won conversions, in whole units of the reporting currency.
    pub min_spend: Option<f64>,
    pub max_spend: Option<f64>,
    /// Nothing of this person for at least so many days of 24 hours.
    pub inactive_days: Option<u32>,
    /// Something of this person within so many days.
    pub active_days: Option<u32>,
    /// The latest consent: `"opt_in"` or `"opt_out"`.
    pub consent: Option<String>,
}

/// Without rules: inactive, repeat, new.
pub(crate) fn default_rules() -> Vec<SegmentRule> {
    let rule = |name: &str| SegmentRule { name: name.into(), ..SegmentRule::default() };
    vec![
        SegmentRule { inactive_days: Some(180), ..rule("inactive") },
        SegmentRule { min_sales: Some(2), ..rule("repeat") },
        SegmentRule { min_inquiries: Some(2), ..rule("repeat") },
        rule("new"),
    ]
}

impl SegmentRule {
    /// What is wrong, with the place below `/segment/<n>`.
    pub(crate) fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        if self.name.trim().is_empty() {
            wrong.push(("/name".into(), "a segment needs a name".into()));
        }
        for (name, value) in [("min_spend", self.min_spend), ("max_spend", self.max_spend)] {
            if value.is_some_and(|v| !v.is_finite() || v.abs() > 1e12) {
                wrong.push((format!("/{name}"), "is no amount of money".into()));
            }
        }
        for (name, low, high) in [
            ("max_inquiries", self.min_inquiries, self.max_inquiries),
            ("max_sales", self.min_sales, self.max_sales),
            ("active_days", self.inactive_days, self.active_days),
        ] {
            if let (Some(low), Some(high)) = (low, high)
                && low > high
            {
                wrong.push((
                    format!("/{name}"),
                    format!("{high} is less than {low}: the rule holds for nobody"),
                ));
            }
        }
        if let Some(consent) = &self.consent
            && consent != "opt_in"
            && consent != "opt_out"
        {
            wrong.push(("/consent".into(), format!("`{consent}` is neither opt_in nor opt_out")));
        }
        wrong
    }

    /// As a condition over `x_person_fact`; `units` minor units are one of the reporting currency.
    fn condition(&self, units: i64, now_us: i64) -> String {
        let mut all: Vec<String> = Vec::new();
        let mut at_least = |column: &str, value: i64| all.push(format!("{column} >= {value}"));
        let minor = |amount: f64| (amount * units as f64).round() as i64;
        let ago = |days: u32| now_us.saturating_sub(i64::from(days) * 86_400_000_000);
        if let Some(n) = self.min_inquiries {
            at_least("n_inquiries", n.into());
        }
        if let Some(n) = self.min_sales {
            at_least("n_sales", n.into());
        }
        if let Some(amount) = self.min_spend {
            at_least("ltv_minor", minor(amount));
        }
        if let Some(days) = self.active_days {
            at_least("last_us", ago(days));
        }
        let mut at_most = |column: &str, value: i64| all.push(format!("{column} <= {value}"));
        if let Some(n) = self.max_inquiries {
            at_most("n_inquiries", n.into());
        }
        if let Some(n) = self.max_sales {
            at_most("n_sales", n.into());
        }
        if let Some(amount) = self.max_spend {
            at_most("ltv_minor", minor(amount));
        }
        if let Some(days) = self.inactive_days {
            at_most("last_us", ago(days));
        }
        if let Some(consent) = &self.consent {
            all.push(format!("consent_state = '{}'", consent.replace('\'', "''")));
        }
        if all.is_empty() { "1 = 1".into() } else { all.join(" AND ") }
    }
}

/// `x_person_fact` with the segment of each person: the rules as one CASE, in their order.
pub(crate) fn select(rules: &[SegmentRule], units: i64, now_us: i64) -> String {
    let case = case(rules, units, now_us);
    format!(
        "SELECT person, first_us, last_us, region, {case} AS segment, consent_state, consent_us, n_inquiries, n_sales, \
         ltv_minor FROM x_person_fact"
    )
}

/// Rows of an earlier `dim_person`, bound as `table`, whose segment is another one by now, with the new one.
pub(crate) fn changed(
    table: &str,
    rules: &[SegmentRule],
    decimals: u32,
    now_us: i64,
    spec: &OutputSpec,
) -> String {
    let case = case(rules, 10_i64.pow(decimals), now_us);
    let columns: Vec<String> = spec
        .columns
        .iter()
        .map(|c| match c.name {
            "segment" => "arrow_cast(s.segment_now, 'Utf8') AS segment".to_string(),
            name => format!("s.\"{name}\""),
        })
        .collect();
    let units = 10_i64.pow(decimals);
    format!(
        "SELECT {} FROM (SELECT f.*, {case} AS segment_now FROM (SELECT t.*, \
         arrow_cast(arrow_cast(t.last_seen, 'Timestamp(Microsecond, Some(\"UTC\"))'), 'Int64') AS last_us, \
         CAST(round(t.ltv * {units}) AS BIGINT) AS ltv_minor FROM {table} AS t) AS f) AS s \
         WHERE coalesce(s.segment_now, '') <> coalesce(s.segment, '')",
        columns.join(", ")
    )
}

/// The segment by the rules, over the columns of `x_person_fact`.
fn case(rules: &[SegmentRule], units: i64, now_us: i64) -> String {
    let own;
    let rules = if rules.is_empty() {
        own = default_rules();
        &own
    } else {
        rules
    };
    let mut case = String::from("CASE");
    for rule in rules {
        let _ =
            write!(case, " WHEN {} THEN '{}'", rule.condition(units, now_us), rule.name.replace('\'', "''"));
    }
    case.push_str(" END");
    case
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_become_one_case_in_their_order() {
        let rules = [
            SegmentRule {
                name: "l'ami".into(),
                min_spend: Some(1000.5),
                max_sales: Some(3),
                ..SegmentRule::default()
            },
            SegmentRule { name: "rest".into(), ..SegmentRule::default() },
        ];
        let select = select(&rules, 100, 0);
        assert!(
            select.contains(
                "CASE WHEN ltv_minor >= 100050 AND n_sales <= 3 THEN 'l''ami' WHEN 1 = 1 THEN 'rest' END"
            ),
            "{select}"
        );
    }

    #[test]
    fn rules_that_hold_for_nobody_are_said() {
        let rule = SegmentRule {
            name: " ".into(),
            min_sales: Some(3),
            max_sales: Some(2),
            min_spend: Some(f64::NAN),
            consent: Some("maybe".into()),
            ..SegmentRule::default()
        };
        let places: Vec<String> = rule.check().into_iter().map(|(place, _)| place).collect();
        assert_eq!(places, ["/name", "/min_spend", "/max_sales", "/consent"]);
        assert!(default_rules().iter().all(|r| r.check().is_empty()));
    }
}
