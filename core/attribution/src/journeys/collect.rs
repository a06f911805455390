//! Journeys counted per path.
//!
//! A converting journey is what a reported conversion sees: its eligible touches after the transforms. A null
//! journey of a conversion type is that of a person who has touches and has not converted so before the end of
//! the report window: the touches that a conversion at the instant of his last one would see. It counts when
//! that last touch lies in the report window.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use rustc_hash::FxHashMap;
use throughline_core::{Notice, Result};

use super::{Journeys, PREPARED_TYPE, aggregated};
use crate::cursor::Cursor;
use crate::host::HostTable;
use crate::models::Names;
use crate::runner::Runner;
use crate::settings::Settings;
use crate::transforms::Transform;

/// Counts kept before they are written out: entries, and channels over all of them.
const MOST_ENTRIES: usize = 1 << 17;
const MOST_CHANNELS: usize = 1 << 22;
/// Instead of a type: every type there is.
const EVERY_TYPE: u32 = u32::MAX;

/// What came of the people who went a path. Money in minor units.
#[derive(Clone, Copy, Default)]
pub(super) struct Outcome {
    pub conversions: i64,
    pub nulls: i64,
    pub gross: i64,
    pub net: i64,
}

/// Adds up equal paths as far as memory allows; SQL adds up the rest.
pub(super) struct Collector<'a> {
    table: HostTable,
    types: u32,
    transforms: &'a [(Transform, Option<u32>)],
    /// By type and channels.
    counts: FxHashMap<Box<[u32]>, Outcome>,
    channels: usize,
    key: Vec<u32>,
}

impl Collector<'_> {
    /// `path` is transformed on the way.
    pub fn add(&mut self, type_n: u32, path: &mut Vec<u32>, outcome: Outcome) -> Result<()> {
        for (transform, channel) in self.transforms {
            transform.apply(*channel, path);
        }
        self.count(type_n, path, outcome)
    }

    fn count(&mut self, type_n: u32, path: &[u32], outcome: Outcome) -> Result<()> {
        self.key.clear();
        self.key.push(type_n);
        self.key.extend_from_slice(path);
        if let Some(sum) = self.counts.get_mut(&self.key[..]) {
            sum.conversions = sum.conversions.saturating_add(outcome.conversions);
            sum.nulls = sum.nulls.saturating_add(outcome.nulls);
            sum.gross = sum.gross.saturating_add(outcome.gross);
            sum.net = sum.net.saturating_add(outcome.net);
            return Ok(());
        }
        self.counts.insert(self.key[..].into(), outcome);
        self.channels += path.len();
        if self.counts.len() >= MOST_ENTRIES || self.channels >= MOST_CHANNELS {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<()> {
        let mut texts = StringBuilder::new();
        let mut numbers: [Int64Builder; 5] = std::array::from_fn(|_| Int64Builder::new());
        let mut text = String::new();
        for (key, outcome) in self.counts.drain() {
            let types = if key[0] == EVERY_TYPE { 0..self.types } else { key[0]..key[0] + 1 };
            text.clear();
            write_path(&key[1..], &mut text);
            for type_n in types {
                texts.append_value(&text);
                let Outcome { conversions, nulls, gross, net } = outcome;
                for (builder, value) in
                    numbers.iter_mut().zip([i64::from(type_n), conversions, nulls, gross, net])
                {
                    builder.append_value(value);
                }
            }
        }
        self.channels = 0;
        let mut columns: Vec<ArrayRef> = vec![Arc::new(texts.finish())];
        columns.extend(numbers.iter_mut().map(|b| Arc::new(b.finish()) as ArrayRef));
        self.table.write(columns)
    }
}

/// Channel numbers joined by commas; the path without a touch is empty.
fn write_path(path: &[u32], text: &mut String) {
    use std::fmt::Write as _;
    for (i, channel) in path.iter().enumerate() {
        let _ = if i == 0 { write!(text, "{channel}") } else { write!(text, ",{channel}") };
    }
}

pub(super) fn read_path(text: &str, path: &mut Vec<u32>) {
    path.clear();
    path.extend(text.split(',').filter_map(|n| n.parse::<u32>().ok()));
}

/// Writes `x_journey` and from it `x_path_count`.
pub(super) async fn count(
    runner: &mut Runner<'_>,
    settings: &Settings,
    journeys: &Journeys,
    notices: &mut Vec<Notice>,
) -> Result<()> {
    let Journeys { names, types, .. } = journeys;
    let number = |name| Field::new(name, DataType::Int64, false);
    let schema = Arc::new(Schema::new(vec![
        Field::new("path", DataType::Utf8, false),
        number("type_n"),
        number("conversions"),
        number("nulls"),
        number("gross_minor"),
        number("net_minor"),
    ]));
    let transforms = numbered(&settings.transforms(), names);
    let mut collector = Collector {
        table: HostTable::create(&runner.folder("x_journey"), schema)?,
        types: types.len() as u32,
        transforms: &transforms,
        counts: FxHashMap::default(),
        channels: 0,
        key: Vec::new(),
    };
    if !types.is_empty() {
        converting(runner, &mut collector).await?;
        nulls(runner, settings, &mut collector).await?;
    }
    if let Some(type_n) = types.iter().position(|t| t == PREPARED_TYPE) {
        aggregated::add(runner, names, type_n as u32, &mut collector, notices).await?;
    }
    collector.flush()?;
    let written = collector.table.finish()?;
    runner.bind("x_journey", &written.table()).await?;
    runner.step("x_path_count", include_str!("../steps/78_path_counts.sql")).await?;
    Ok(())
}

fn numbered(transforms: &[Transform], names: &Names) -> Vec<(Transform, Option<u32>)> {
    transforms
        .iter()
        .map(|t| match t {
            Transform::DropUnlessAll(c) | Transform::DropLastUnlessAll(c) => (t.clone(), names.get(c)),
            _ => (t.clone(), None),
        })
        .collect()
}

/// Reported conversions with their paths, which SQL has transformed already.
async fn converting(runner: &Runner<'_>, into: &mut Collector<'_>) -> Result<()> {
    let mut conversions = Cursor::open(
        runner,
        "SELECT c.conv_n, t.type_n, c.gross_minor, c.net_minor FROM x_reported AS c \
         JOIN p_conversion_type AS t ON t.type = c.type ORDER BY c.conv_n",
        ["conv_n", "type_n", "gross_minor", "net_minor"],
    )
    .await?;
    let mut touches = Cursor::open(
        runner,
        "SELECT conv_n, channel_n FROM x_path ORDER BY conv_n, pos",
        ["conv_n", "channel_n"],
    )
    .await?;
    let mut path = Vec::new();
    while let Some([conv_n, type_n, gross, net]) = conversions.next().await? {
        path.clear();
        while let Some([of, channel]) = touches.peek().await?
            && of <= conv_n
        {
            if of == conv_n {
                path.push(channel as u32);
            }
            touches.skip();
        }
        into.count(type_n as u32, &path, Outcome { conversions: 1, nulls: 0, gross, net })?;
    }
    Ok(())
}

/// Persons with touches, person by person.
async fn nulls(runner: &Runner<'_>, settings: &Settings, into: &mut Collector<'_>) -> Result<()> {
    let mut touches = Cursor::open(
        runner,
        "SELECT person, ts_us, channel_n FROM x_touch WHERE person IS NOT NULL AND ts_us < $to_us \
         ORDER BY person, touch_n",
        ["person", "ts_us", "channel_n"],
    )
    .await?;
    let mut converted = Cursor::open(
        runner,
        "SELECT DISTINCT c.person, t.type_n FROM x_conv AS c JOIN p_conversion_type AS t ON t.type = c.type \
         WHERE c.person IS NOT NULL AND c.ts_us < $to_us ORDER BY c.person, t.type_n",
        ["person", "type_n"],
    )
    .await?;
    let (lookback_us, from_us) = (settings.lookback_us(), settings.begin_us().unwrap_or(i64::MIN));
    let mut seen: Vec<(i64, u32)> = Vec::new();
    let (mut path, mut types) = (Vec::new(), Vec::new());
    while let Some([person, ..]) = touches.peek().await? {
        seen.clear();
        while let Some([of, ts_us, channel]) = touches.peek().await?
            && of == person
        {
            seen.push((ts_us, channel as u32));
            touches.skip();
        }
        types.clear();
        while let Some([of, type_n]) = converted.peek().await?
            && of <= person
        {
            if of == person {
                types.push(type_n as u32);
            }
            converted.skip();
        }
        let last_us = seen.last().map_or(i64::MIN, |t| t.0);
        if last_us < from_us {
            continue;
        }
        path.clear();
        path.extend(seen.iter().filter(|t| last_us.saturating_sub(t.0) <= lookback_us).map(|t| t.1));
        for (transform, channel) in into.transforms {
            transform.apply(*channel, &mut path);
        }
        let one = Outcome { nulls: 1, ..Outcome::default() };
        if types.is_empty() {
            into.count(EVERY_TYPE, &path, one)?;
        } else {
            for type_n in (0..into.types).filter(|t| !types.contains(t)) {
                into.count(type_n, &path, one)?;
            }
        }
    }
    Ok(())
}
