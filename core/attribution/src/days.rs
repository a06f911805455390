//! Days: what ads cost, by the touches they paid for, and the daily tables over the sums of [`crate::facts`].

use throughline_core::{Error, Result};
use throughline_sql::Written;

use crate::job::{OutputTable, params_hash, step};
use crate::journeys::Journeys;
use crate::money::Reporting;
use crate::runner::Runner;
use crate::settings::Settings;
use crate::tables::OutputSpec;
use crate::{calendar, canon, metrics};

/// Costs by the campaigns whose touches they paid for, and every sum by day.
pub(crate) async fn compute(runner: &mut Runner<'_>, settings: &Settings, now_us: i64) -> Result<()> {
    step!(runner, "x_campaign_channel", "80_campaign_channels.sql");
    step!(runner, "x_named_campaign", "81_named_campaigns.sql");
    step!(runner, "x_numbered_campaign", "82_numbered_campaigns.sql");
    runner.view("x_cost_named", include_str!("steps/83_costs_named.sql")).await?;
    step!(runner, "x_campaign_day", "84_campaign_days.sql");
    step!(runner, "x_touch_day", "84_touch_days.sql");
    step!(runner, "x_cost", "85_costs.sql");
    metrics::campaign_costs(runner).await?;
    step!(runner, "x_channel_day", "90_channel_days.sql");
    step!(runner, "x_credit_day", "91_credit_days.sql");
    metrics::days(runner, settings, now_us).await
}

/// Writes an output table over what the steps left, as promised: sinks and readers rely on its columns.
pub(crate) async fn output(
    runner: &mut Runner<'_>,
    spec: &OutputSpec,
    reporting: &Reporting,
    journeys: &Journeys,
    settings: &Settings,
) -> Result<OutputTable> {
    let money_scale = reporting.decimals.max(2) as i8;
    let written = if spec.name == "dim_date" {
        calendar::write(runner, spec, money_scale).await?
    } else if matches!(spec.name, "paths" | "attribution_channel") {
        journeys.write(runner, spec, settings, reporting, &params_hash(settings)).await?
    } else {
        runner.publish(spec.name, &select(spec, reporting)?).await?
    };
    check_schema(spec, &written, money_scale)?;
    Ok(described(spec, written))
}

/// The last step of an output table, with its exact types.
pub(crate) fn select(spec: &OutputSpec, reporting: &Reporting) -> Result<String> {
    Ok(canon::publish_select(spec, output_select(spec)?, reporting.decimals))
}

pub(crate) fn described(spec: &OutputSpec, written: Written) -> OutputTable {
    OutputTable { name: spec.name, written, key: spec.key, partition_by: spec.partition_by, doc: spec.doc }
}

fn output_select(spec: &OutputSpec) -> Result<&'static str> {
    Ok(match spec.name {
        "visits" => include_str!("steps/out_visits.sql"),
        "touches" => include_str!("steps/out_touches.sql"),
        "inquiries" => include_str!("steps/out_inquiries.sql"),
        "messages" => include_str!("steps/out_messages.sql"),
        "conversions" => include_str!("steps/out_conversions.sql"),
        "attribution" => include_str!("steps/out_attribution.sql"),
        "costs" => include_str!("steps/out_costs.sql"),
        "channel_daily" => include_str!("steps/out_channel_daily.sql"),
        "messenger_daily" => include_str!("steps/out_messenger_daily.sql"),
        "dim_channel" => include_str!("steps/out_dim_channel.sql"),
        "dim_campaign" => include_str!("steps/out_dim_campaign.sql"),
        "dim_person" => include_str!("steps/out_dim_person.sql"),
        "dim_operator" => include_str!("steps/out_dim_operator.sql"),
        "dim_page" => include_str!("steps/out_dim_page.sql"),
        "identity_map" => include_str!("steps/out_identity_map.sql"),
        other => {
            return metrics::output_select(other)
                .ok_or_else(|| Error::bug(format!("output table {other} has no step")));
        }
    })
}

fn check_schema(spec: &OutputSpec, written: &Written, money_scale: i8) -> Result<()> {
    for (promised, found) in spec.schema(money_scale).fields().iter().zip(written.schema.fields()) {
        if promised.name() != found.name() || promised.data_type() != found.data_type() {
            return Err(Error::bug(format!(
                "{}: column {} {} was promised, {} {} was made",
                spec.name,
                promised.name(),
                promised.data_type(),
                found.name(),
                found.data_type()
            )));
        }
    }
    Ok(())
}
