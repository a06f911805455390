//! Names for what touches and costs carry: channels by the rules, keys for campaigns. Both are decided
//! once per distinct value and joined back in SQL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use throughline_core::Result;

use crate::channels::{Channels, Origin};
use crate::host::{HostTable, memory_table, texts};
use crate::identity::push_hex;
use crate::journeys;
use crate::runner::Runner;
use crate::settings::Settings;

/// Between the fields of an origin or campaign text: a control character no parameter holds.
pub(crate) const SEPARATOR: char = '\u{1f}';

/// Binds `x_origin` (origin, channel_n) and `x_channel`.
pub(crate) async fn bind_channels(runner: &mut Runner<'_>, settings: &Settings) -> Result<Channels> {
    let named = "SELECT DISTINCT channel FROM x_touch_all WHERE channel IS NOT NULL ORDER BY channel";
    let channels = all_channels(runner, settings, named).await?;
    let origins = "SELECT origin FROM x_touch_all UNION SELECT origin FROM x_cost_raw";
    bind_origins(runner, &channels, origins).await?;
    bind_list(runner, &channels, settings).await?;
    Ok(channels)
}

/// The same, and `x_campaign`, over the sums of all touches instead of the touches.
pub(crate) async fn bind_of_sums(runner: &mut Runner<'_>, settings: &Settings) -> Result<()> {
    let named = "SELECT channel FROM state_channels ORDER BY channel";
    let channels = all_channels(runner, settings, named).await?;
    bind_origins(runner, &channels, "SELECT DISTINCT origin FROM x_cost_raw").await?;
    bind_list(runner, &channels, settings).await?;
    let texts = "SELECT campaign_text FROM state_campaigns UNION SELECT campaign_text FROM x_cost_raw";
    bind_campaign_texts(runner, texts).await
}

/// Those of the rules, and those that prepared touches and paths name.
async fn all_channels(runner: &Runner<'_>, settings: &Settings, named: &str) -> Result<Channels> {
    let mut channels = Channels::new(&settings.channels, settings.builtin_channels);
    let mut rows = runner.read(named).await?;
    while let Some(batch) = rows.try_next().await? {
        for channel in texts(&batch, "channel")?.iter().flatten() {
            channels.add(channel, "prepared", false);
        }
    }
    for channel in journeys::channel_names(runner).await? {
        channels.add(&channel, "prepared", false);
    }
    Ok(channels)
}

async fn bind_origins(runner: &mut Runner<'_>, channels: &Channels, select: &str) -> Result<()> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("origin", DataType::Utf8, false),
        Field::new("channel_n", DataType::Int64, false),
    ]));
    let mut table = HostTable::create(&runner.folder("x_origin"), schema)?;
    let mut rows = runner.read(select).await?;
    while let Some(batch) = rows.try_next().await? {
        let origins = texts(&batch, "origin")?;
        let numbers: Int64Array = (0..origins.len())
            .map(|row| channels.classify(&parse_origin(origins.value(row))) as i64)
            .collect();
        table.write(vec![Arc::new(origins.clone()), Arc::new(numbers)])?;
    }
    let written = table.finish()?;
    runner.bind("x_origin", &written.table()).await
}

/// Costs are asked about as the visits they pay for.
fn parse_origin(text: &str) -> Origin<'_> {
    let mut fields = text.split(SEPARATOR);
    let mut next = || fields.next().unwrap_or("");
    let kind = next();
    Origin {
        kind: if kind == "cost" { "visit" } else { kind },
        source: next(),
        medium: next(),
        campaign: next(),
        traffic_type: next(),
        click_ids: next(),
        referrer_host: next(),
    }
}

async fn bind_list(runner: &Runner<'_>, channels: &Channels, settings: &Settings) -> Result<()> {
    let list = channels.list();
    let schema = Arc::new(Schema::new(vec![
        Field::new("channel_n", DataType::Int64, false),
        Field::new("channel_id", DataType::Utf8, false),
        Field::new("channel_group", DataType::Utf8, false),
        Field::new("is_paid", DataType::Boolean, false),
        Field::new("is_direct", DataType::Boolean, false),
    ]));
    let direct = |id: &str| settings.direct_channels.iter().any(|d| d == id);
    let columns: Vec<ArrayRef> = vec![
        Arc::new((0..list.len() as i64).collect::<Int64Array>()),
        Arc::new(list.iter().map(|c| Some(c.id.as_str())).collect::<StringArray>()),
        Arc::new(list.iter().map(|c| Some(c.group.as_str())).collect::<StringArray>()),
        Arc::new(list.iter().map(|c| Some(c.is_paid)).collect::<BooleanArray>()),
        Arc::new(list.iter().map(|c| Some(direct(&c.id))).collect::<BooleanArray>()),
    ];
    runner.bind("x_channel", &memory_table(schema, columns)?).await
}

const CAMPAIGN_FIELDS: [&str; 10] = [
    "system",
    "account",
    "campaign_id",
    "campaign",
    "adgroup_id",
    "ad_id",
    "ad",
    "keyword",
    "medium",
    "source",
];

/// Binds `x_campaign`: every combination of campaign words with a number and a key that stays the same
/// from run to run.
pub(crate) async fn bind_campaigns(runner: &mut Runner<'_>) -> Result<()> {
    bind_campaign_texts(
        runner,
        "SELECT campaign_text FROM x_touch_all UNION SELECT campaign_text FROM x_cost_raw",
    )
    .await
}

async fn bind_campaign_texts(runner: &mut Runner<'_>, select: &str) -> Result<()> {
    let mut fields = vec![
        Field::new("campaign_n", DataType::Int64, false),
        Field::new("campaign_key", DataType::Utf8, false),
        Field::new("campaign_text", DataType::Utf8, false),
    ];
    fields.extend(CAMPAIGN_FIELDS.map(|name| Field::new(name, DataType::Utf8, true)));
    let mut table = HostTable::create(&runner.folder("x_campaign"), Arc::new(Schema::new(fields)))?;
    let mut rows = runner.read(select).await?;
    let mut number = 0_i64;
    while let Some(batch) = rows.try_next().await? {
        let texts = texts(&batch, "campaign_text")?;
        let named: Vec<&str> = texts.iter().flatten().filter(|t| names_something(t)).collect();
        let numbers: Int64Array = (number + 1..=number + named.len() as i64).collect();
        number += named.len() as i64;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(numbers),
            Arc::new(named.iter().map(|t| Some(campaign_key(t))).collect::<StringArray>()),
            Arc::new(named.iter().map(|t| Some(*t)).collect::<StringArray>()),
        ];
        for field in 0..CAMPAIGN_FIELDS.len() {
            let values: StringArray =
                named.iter().map(|t| t.split(SEPARATOR).nth(field).filter(|v| !v.is_empty())).collect();
            columns.push(Arc::new(values));
        }
        table.write(columns)?;
    }
    let written = table.finish()?;
    runner.bind("x_campaign", &written.table()).await
}

/// The ad system alone is no campaign.
fn names_something(text: &str) -> bool {
    text.split(SEPARATOR).skip(2).any(|field| !field.is_empty())
}

fn campaign_key(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let mut key = String::with_capacity(18);
    key.push_str("c_");
    push_hex(&mut key, &digest[..8]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_back_field_by_field() {
        let text = "visit\u{1f}google\u{1f}cpc\u{1f}весна\u{1f}ad\u{1f}gclid,\u{1f}ya.ru";
        let origin = parse_origin(text);
        assert_eq!((origin.source, origin.medium, origin.campaign), ("google", "cpc", "весна"));
        assert_eq!((origin.traffic_type, origin.click_ids, origin.referrer_host), ("ad", "gclid,", "ya.ru"));
        assert_eq!(parse_origin("").kind, "");
    }

    #[test]
    fn a_system_alone_is_no_campaign() {
        assert!(!names_something("yandex_direct\u{1f}acc\u{1f}\u{1f}\u{1f}"));
        assert!(names_something("\u{1f}\u{1f}\u{1f}spring\u{1f}"));
    }
}
