//! The steps of the metrics: consents, response times, tests, cohorts, operators, quality.

use std::sync::Arc;

use arrow::array::StringArray;
use arrow::datatypes::{DataType, Field, Schema};
use throughline_core::Result;

use crate::job::step;
use crate::runner::Runner;
use crate::settings::Settings;
use crate::{ab, host, hours, keywords, periods, segments};

/// Binds `p_consent_word` (word, action).
pub(crate) async fn bind_words(runner: &Runner<'_>, settings: &Settings) -> Result<()> {
    let words = keywords::words(
        &settings.unsubscribe_languages,
        &settings.unsubscribe_keywords,
        &settings.subscribe_keywords,
    );
    let schema = Arc::new(Schema::new(vec![
        Field::new("word", DataType::Utf8, false),
        Field::new("action", DataType::Utf8, false),
    ]));
    let keys: StringArray = words.keys().map(|w| Some(w.as_str())).collect();
    let actions: StringArray = words.values().map(|a| Some(*a)).collect();
    runner.bind("p_consent_word", &host::memory_table(schema, vec![Arc::new(keys), Arc::new(actions)])?).await
}

/// Whose identifiers changed hands since the epoch before, and why.
pub(crate) async fn identity_changes(runner: &mut Runner<'_>) -> Result<()> {
    step!(runner, "x_identity_change", "28_identity_changes.sql");
    step!(runner, "x_identity_reason", "29_identity_reasons.sql");
    Ok(())
}

/// Response times, walks through scenarios, consents.
pub(crate) async fn conversations(runner: &mut Runner<'_>, settings: &Settings, now_us: i64) -> Result<()> {
    hours::bind(runner, settings.working_hours.as_ref(), now_us).await?;
    step!(runner, "x_response", "48_responses.sql");
    step!(runner, "x_walk", "48_walks.sql");
    step!(runner, "x_consent", "56_consents.sql");
    step!(runner, "x_broadcast_consent", "57_broadcast_consents.sql");
    Ok(())
}

/// Costs by the campaigns whose touches they paid for.
pub(crate) async fn campaign_costs(runner: &mut Runner<'_>) -> Result<()> {
    step!(runner, "x_cost_group", "86_cost_groups.sql");
    step!(runner, "x_cost_target", "86_cost_targets.sql");
    runner.view("x_cost_amount", include_str!("steps/86_cost_amounts.sql")).await?;
    step!(runner, "x_campaign_cost", "86_campaign_costs.sql");
    Ok(())
}

/// Everything that is counted of facts by day, person, test or cohort.
pub(crate) async fn sums(
    runner: &mut Runner<'_>,
    settings: &Settings,
    units_per_one: i64,
    now_us: i64,
) -> Result<()> {
    // Read once each: written nowhere.
    runner.view("x_person_fact", include_str!("steps/89_person_facts.sql")).await?;
    runner.view("x_person_segment", &segments::select(&settings.segments, units_per_one, now_us)).await?;
    runner.view("x_target", include_str!("steps/92_targets.sql")).await?;
    step!(runner, "x_reply", "92_replies.sql");
    step!(runner, "x_message_day", "92_message_days.sql");
    step!(runner, "x_inquiry_day", "92_inquiry_days.sql");
    step!(runner, "x_response_day", "92_response_days.sql");
    step!(runner, "x_answer_time", "92_answer_times.sql");
    step!(runner, "x_optout_day", "92_optout_days.sql");
    runner.view("x_person_day", include_str!("steps/92_person_days.sql")).await?;
    step!(runner, "x_person_sum", "92_person_sums.sql");
    step!(runner, "x_visit_slice", "93_visit_slices.sql");
    step!(runner, "x_page_seen", "93_pages_seen.sql");
    step!(runner, "x_walk_cell", "93_walk_cells.sql");
    step!(runner, "x_operator_cell", "94_operator_cells.sql");
    step!(runner, "x_operator_hour", "94_operator_hours.sql");
    step!(runner, "x_operator_seen", "94_operators_seen.sql");
    step!(runner, "x_ab_count", "95_ab_counts.sql");
    step!(runner, "x_day_seen", "95_days_seen.sql");
    periods::bind(runner, settings.cohort_period, now_us).await?;
    step!(runner, "x_person_period", "96_person_periods.sql");
    runner.view("x_person_buy", include_str!("steps/96_person_buys.sql")).await?;
    step!(runner, "x_cohort_cell", "96_cohort_cells.sql");
    step!(runner, "x_buy_cell", "96_buy_cells.sql");
    step!(runner, "x_quality_cell", "97_quality_cells.sql");
    Ok(())
}

/// What daily tables need beyond the sums of facts.
pub(crate) async fn days(runner: &mut Runner<'_>, settings: &Settings, now_us: i64) -> Result<()> {
    step!(runner, "x_messenger_key", "92_messenger_keys.sql");
    step!(runner, "x_percentile", "92_percentiles.sql");
    step!(runner, "x_operator_fact", "94_operator_facts.sql");
    ab::bind(runner, settings.ab_metric).await?;
    periods::bind(runner, settings.cohort_period, now_us).await?;
    step!(runner, "x_quality", "97_quality.sql");
    Ok(())
}

/// The last step of an output table of metrics.
pub(crate) fn output_select(name: &str) -> Option<&'static str> {
    Some(match name {
        "campaign_daily" => include_str!("steps/out_campaign_daily.sql"),
        "page_daily" => include_str!("steps/out_page_daily.sql"),
        "device_daily" => include_str!("steps/out_device_daily.sql"),
        "region_daily" => include_str!("steps/out_region_daily.sql"),
        "operator_daily" => include_str!("steps/out_operator_daily.sql"),
        "consents" => include_str!("steps/out_consents.sql"),
        "ab_results" => include_str!("steps/out_ab_results.sql"),
        "cohort_retention" => include_str!("steps/out_cohort_retention.sql"),
        "funnel_steps" => include_str!("steps/out_funnel_steps.sql"),
        "data_quality_daily" => include_str!("steps/out_data_quality_daily.sql"),
        "identity_merges" => include_str!("steps/out_identity_merges.sql"),
        _ => return None,
    })
}
