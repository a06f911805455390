//! Facts: who is who, what happened, and what brought it. Everything here is decided within one group of records
//! that name each other (a person's browsers, chats and deals), so that it can be computed for some of the groups
//! alone; the sums at the end add up over groups. [`crate::days`] makes the daily tables of them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use throughline_core::{Notice, Param, Result};

use crate::job::step;
use crate::journeys::{self, Journeys};
use crate::money::{self, Reporting};
use crate::runner::Runner;
use crate::settings::Settings;
use crate::{credit, host, identity, metrics, origins};

/// Whether platforms report what they report is asked of all records, not of one group's.
pub(crate) async fn platforms(runner: &mut Runner<'_>) -> Result<()> {
    step!(runner, "x_messenger", "38_messengers.sql");
    step!(runner, "x_delivering", "38_delivering.sql");
    step!(runner, "x_reading", "38_reading.sql");
    Ok(())
}

/// Runs every step of the facts over the canonical tables that are bound, and of the sums over them.
pub(crate) async fn compute(
    runner: &mut Runner<'_>,
    settings: &Settings,
    reporting: &Reporting,
    now_us: i64,
    notices: &mut Vec<Notice>,
) -> Result<Journeys> {
    stitch(runner, settings).await?;
    metrics::identity_changes(runner).await?;
    conversations(runner).await?;
    metrics::conversations(runner, settings, now_us).await?;
    touches(runner, settings).await?;
    matches(runner, settings).await?;
    conversions(runner, reporting).await?;
    let journeys = credits(runner, settings, notices).await?;
    inquiries(runner).await?;
    metrics::sums(runner, settings, 10_i64.pow(reporting.decimals), now_us).await?;
    Ok(journeys)
}

/// Tokens, identity, persons; visits and messages with their person.
async fn stitch(runner: &mut Runner<'_>, settings: &Settings) -> Result<()> {
    step!(runner, "x_token_used", "09_tokens_used.sql");
    step!(runner, "x_token_seen", "10_tokens_seen.sql");
    step!(runner, "x_token_visit", "11_token_visits.sql");
    step!(runner, "x_token_user", "12_token_users.sql");
    step!(runner, "x_deal_contact", "14_deal_contacts.sql");
    step!(runner, "x_token_contact", "15_token_contacts.sql");
    step!(runner, "x_visit_node", "20_visit_nodes.sql");
    step!(runner, "x_edge_text", "21_edges.sql");
    step!(runner, "x_node", "22_nodes.sql");
    step!(runner, "x_edge", "23_edges_numbered.sql");
    identity::join_persons(runner, &settings.identity).await?;
    step!(runner, "x_id", "24_identifiers.sql");
    step!(runner, "x_bound", "25_bounds.sql");
    step!(runner, "x_prepared_person", "26_prepared_persons.sql");
    step!(runner, "x_person", "27_persons.sql");
    step!(runner, "x_visit_bound", "30_visit_bounds.sql");
    step!(runner, "x_visit", "31_visits.sql");
    Ok(())
}

async fn conversations(runner: &mut Runner<'_>) -> Result<()> {
    step!(runner, "x_status", "40_statuses.sql");
    step!(runner, "x_message", "41_messages.sql");
    step!(runner, "x_message_person", "42_message_persons.sql");
    step!(runner, "x_message_order", "43_message_order.sql");
    step!(runner, "x_session", "43_sessions.sql");
    step!(runner, "x_message_inquiry", "44_message_inquiries.sql");
    step!(runner, "x_inquiry_mark", "45_inquiry_marks.sql");
    step!(runner, "x_inquiry", "46_inquiries.sql");
    step!(runner, "x_turn", "47_turns.sql");
    Ok(())
}

async fn touches(runner: &mut Runner<'_>, settings: &Settings) -> Result<()> {
    step!(runner, "x_ad", "49_ads.sql");
    step!(runner, "x_touch_raw", "50_touches_raw.sql");
    step!(runner, "x_deal", "51_deals.sql");
    step!(runner, "x_deal_touch", "52_deal_touches.sql");
    runner.view("x_touch_all", include_str!("steps/53_touches_all.sql")).await?;
    step!(runner, "x_cost_raw", "54_costs_raw.sql");
    let channels = origins::bind_channels(runner, settings).await?;
    // Transforms name a channel; they get its number.
    let transforms = settings.transforms();
    for (i, transform) in transforms.iter().enumerate() {
        if let Some((_, channel, _)) = transform.step() {
            let number = channels.list().iter().position(|c| c.id == channel).map_or(-1, |n| n as i64);
            runner.set(&format!("channel_of_{i}"), Param::Int(number));
        }
    }
    origins::bind_campaigns(runner).await?;
    step!(runner, "x_touch", "55_touches.sql");
    Ok(())
}

async fn matches(runner: &mut Runner<'_>, settings: &Settings) -> Result<()> {
    step!(runner, "x_direct_match", "60_direct_matches.sql");
    step!(runner, "x_known_before", "61_known_before.sql");
    if settings.time_window_minutes > 0 {
        step!(runner, "x_window_match", "62_window_matches.sql");
        step!(runner, "x_touch", "63_touches_owned.sql");
    } else {
        let schema = Arc::new(Schema::new(vec![
            Field::new("inquiry_id", DataType::Utf8, false),
            Field::new("visit_id", DataType::Utf8, false),
            Field::new("person", DataType::Int64, false),
        ]));
        let none: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(Vec::<String>::new())),
            Arc::new(StringArray::from(Vec::<String>::new())),
            Arc::new(Int64Array::from(Vec::<i64>::new())),
        ];
        runner.bind("x_window_match", &host::memory_table(schema, none)?).await?;
    }
    step!(runner, "x_match", "64_matches.sql");
    Ok(())
}

async fn conversions(runner: &mut Runner<'_>, reporting: &Reporting) -> Result<()> {
    step!(runner, "x_deal_inquiry", "70_deal_inquiries.sql");
    step!(runner, "x_conv_raw", "71_conversions_raw.sql");
    step!(runner, "x_refund", "72_refunds.sql");
    step!(runner, "x_extra_raw", "72_extras_raw.sql");
    money::bind_rates(runner, reporting).await?;
    step!(runner, "x_conv", "73_conversions.sql");
    step!(runner, "x_reported", "74_reported.sql");
    Ok(())
}

async fn credits(
    runner: &mut Runner<'_>,
    settings: &Settings,
    notices: &mut Vec<Notice>,
) -> Result<Journeys> {
    step!(runner, "x_path", "75_paths.sql");
    for (i, transform) in settings.transforms().iter().enumerate() {
        if let Some((select, _, keep)) = transform.step() {
            runner.rename_param(&format!("channel_of_{i}"), "channel_n");
            runner.set("keep", Param::Int(keep));
            runner.step("x_path", select).await?;
        }
    }
    let journeys = journeys::learn(runner, settings, notices).await?;
    step!(runner, "x_extra", "78_extras.sql");
    credit::write(runner, settings, &journeys).await?;
    step!(runner, "x_extra_cell", "79_extra_cells.sql");
    Ok(journeys)
}

/// Inquiries with all that is known of them; touches and credit by day, channel and campaign.
async fn inquiries(runner: &mut Runner<'_>) -> Result<()> {
    step!(runner, "x_person_contact", "86_person_contacts.sql");
    step!(runner, "x_inquiry_deal", "87_inquiry_deals.sql");
    step!(runner, "x_inquiry_n", "88_inquiries_numbered.sql");
    step!(runner, "x_campaign_cell", "80_campaign_cells.sql");
    step!(runner, "x_day_cell", "90_day_cells.sql");
    step!(runner, "x_credit_cell", "91_credit_cells.sql");
    Ok(())
}
