//! A/B tests: is the difference between two variants more than chance?

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use futures::TryStreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use throughline_core::Result;

use crate::host::{ints, memory_table, text_or_empty, texts};
use crate::runner::Runner;

/// What variants are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AbMetric {
    Delivered,
    Read,
    Clicked,
    Replied,
    Converted,
}

impl AbMetric {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Clicked => "clicked",
            Self::Replied => "replied",
            Self::Converted => "converted",
        }
    }
    fn column(self) -> &'static str {
        if self == Self::Read { "was_read" } else { self.as_str() }
    }
}

/// z of the difference of two proportions with the pooled variance, and its two-sided p. `None` when
/// there is nobody on a side or when all or none of both sides succeeded: there is no spread to judge by.
pub(crate) fn two_proportions(successes: (i64, i64), control: (i64, i64)) -> Option<(f64, f64)> {
    let ((x1, n1), (x0, n0)) = (successes, control);
    if n1 <= 0 || n0 <= 0 || x1 + x0 <= 0 || x1 + x0 >= n1 + n0 {
        return None;
    }
    let (x1, n1, x0, n0) = (x1 as f64, n1 as f64, x0 as f64, n0 as f64);
    let pooled = (x1 + x0) / (n1 + n0);
    let spread = (pooled * (1.0 - pooled) * (1.0 / n1 + 1.0 / n0)).sqrt();
    let z = (x1 / n1 - x0 / n0) / spread;
    Some((z, libm::erfc(z.abs() / std::f64::consts::SQRT_2)))
}

/// Binds `p_ab_score` (test, variant, metric, is_control, rate, z, p_value) over `x_ab_count`. The control
/// is the variant whose name comes first.
pub(crate) async fn bind(runner: &Runner<'_>, metric: AbMetric) -> Result<()> {
    let mut tests: BTreeMap<String, BTreeMap<String, (i64, i64)>> = BTreeMap::new();
    let select =
        format!("SELECT test, variant, recipients, {} AS successes FROM x_ab_count", metric.column());
    let mut rows = runner.read(&select).await?;
    while let Some(batch) = rows.try_next().await? {
        let (names, variants) = (texts(&batch, "test")?, texts(&batch, "variant")?);
        let (n, x) = (ints(&batch, "recipients")?, ints(&batch, "successes")?);
        for row in 0..batch.num_rows() {
            tests
                .entry(text_or_empty(names, row).to_string())
                .or_default()
                .insert(text_or_empty(variants, row).to_string(), (x.value(row), n.value(row)));
        }
    }
    let mut names = Vec::new();
    let mut variants = Vec::new();
    let (mut controls, mut rates, mut zs, mut ps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (test, members) in &tests {
        let control = members.values().next().copied().unwrap_or_default();
        for (i, (variant, (x, n))) in members.iter().enumerate() {
            let score = if i == 0 { None } else { two_proportions((*x, *n), control) };
            names.push(test.as_str());
            variants.push(variant.as_str());
            controls.push(i == 0);
            rates.push((*n > 0).then(|| *x as f64 / *n as f64));
            zs.push(score.map(|s| s.0));
            ps.push(score.map(|s| s.1));
        }
    }
    let schema = Arc::new(Schema::new(vec![
        Field::new("test", DataType::Utf8, false),
        Field::new("variant", DataType::Utf8, false),
        Field::new("metric", DataType::Utf8, false),
        Field::new("is_control", DataType::Boolean, false),
        Field::new("rate", DataType::Float64, true),
        Field::new("z", DataType::Float64, true),
        Field::new("p_value", DataType::Float64, true),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(names)),
        Arc::new(StringArray::from(variants.clone())),
        Arc::new(StringArray::from(vec![metric.as_str(); variants.len()])),
        Arc::new(BooleanArray::from(controls)),
        Arc::new(Float64Array::from(rates)),
        Arc::new(Float64Array::from(zs)),
        Arc::new(Float64Array::from(ps)),
    ];
    runner.bind("p_ab_score", &memory_table(schema, columns)?).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn z_and_p_are_those_of_the_tables() {
        // By hand: 30 of 100 and 45 of 100, pooled 0.375: z = 0.15 / sqrt(0.375 * 0.625 * 0.02).
        let (z, p) = two_proportions((45, 100), (30, 100)).unwrap();
        assert!((z - 0.15 / (0.375_f64 * 0.625 * 0.02).sqrt()).abs() < 1e-12);
        // The normal distribution's own landmarks: two-sided 5% at 1.959964, 1% at 2.575829.
        assert!((libm::erfc(1.959963984540054 / std::f64::consts::SQRT_2) - 0.05).abs() < 1e-12);
        assert!((libm::erfc(2.575829303548901 / std::f64::consts::SQRT_2) - 0.01).abs() < 1e-12);
        assert!(p > 0.01 && p < 0.05, "{p}");
        // The sign tells the direction, p does not.
        let (back, same) = two_proportions((30, 100), (45, 100)).unwrap();
        assert!((back + z).abs() < 1e-12 && (same - p).abs() < 1e-15);
    }

    #[test]
    fn without_spread_there_is_no_score() {
        for (a, b) in [((0, 10), (0, 10)), ((10, 10), (10, 10)), ((0, 0), (1, 10)), ((1, 10), (0, 0))] {
            assert_eq!(two_proportions(a, b), None, "{a:?} {b:?}");
        }
    }
}
