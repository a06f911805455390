//! The books of whole journeys: every conversion goes one path, and every model gives all of them away.

use throughline_core::Result;

use super::{BookCheck, by_model, compare};
use crate::runner::Runner;
use crate::settings::{Model, Settings};

/// What there is to give: reported conversions and aggregated paths.
const GIVEN: &str = "SELECT 'given' AS model, CAST(sum(conversions) AS BIGINT) AS conversions, \
     CAST(sum(gross) AS BIGINT) AS gross, CAST(sum(net) AS BIGINT) AS net FROM (\
     SELECT count(*) AS conversions, coalesce(sum(gross_minor), 0) AS gross, coalesce(sum(net_minor), 0) AS net \
     FROM x_reported UNION ALL \
     SELECT coalesce(sum(conversions), 0) AS conversions, coalesce(sum(value_minor), 0) AS gross, \
     coalesce(sum(value_minor), 0) AS net FROM c_aggregated_paths) AS g";

const PATHS: &str = "SELECT 'paths' AS model, CAST(sum(conversions) AS BIGINT) AS conversions, \
     CAST(round(sum(value) * $unit) AS BIGINT) AS gross, CAST(round(sum(value_net) * $unit) AS BIGINT) AS net FROM paths";

/// Credit is summed in thousandths of a conversion.
const CHANNELS: &str = "SELECT model, CAST(round(sum(conversions) * 1000) AS BIGINT) AS conversions, \
     CAST(round(sum(gross) * $unit) AS BIGINT) AS gross, CAST(round(sum(net) * $unit) AS BIGINT) AS net \
     FROM attribution_channel WHERE level = '$level' GROUP BY model";

pub(super) async fn check(runner: &Runner<'_>, settings: &Settings, unit: &str) -> Result<Vec<BookCheck>> {
    let models: Vec<Model> = settings.models.iter().copied().filter(|m| !m.is_rule()).collect();
    if models.is_empty() && !settings.paths {
        return Ok(Vec::new());
    }
    let given = by_model(runner, GIVEN).await?;
    let mut checks = Vec::new();
    let mut pairs =
        |found: &std::collections::HashMap<(String, String), i64>, of: &str, what: &str, thousandths: i64| {
            for (column, factor) in [("conversions", thousandths), ("gross", 1), ("net", 1)] {
                let get = |sums: &std::collections::HashMap<(String, String), i64>, name: &str| {
                    sums.get(&(name.to_string(), column.to_string())).copied().unwrap_or(0)
                };
                checks.push(compare(
                    &format!("{column} of {what} ({of})"),
                    get(&given, "given").saturating_mul(factor),
                    get(found, of),
                    &format!("{column} of conversions and aggregated paths, and over all {what}"),
                ));
            }
        };
    let paths = by_model(runner, &PATHS.replace("$unit", unit)).await?;
    pairs(&paths, "paths", "paths", 1);
    for (level, what) in [("channel", "channels"), ("position", "places in paths")] {
        let found = by_model(runner, &CHANNELS.replace("$unit", unit).replace("$level", level)).await?;
        for model in models.iter().filter(|m| level == "channel" || **m == Model::ShapleyOrdered) {
            pairs(&found, model.as_str(), what, 1000);
        }
    }
    Ok(checks)
}
