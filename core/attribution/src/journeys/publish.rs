//! `paths` and `attribution_channel`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int64Array, ListBuilder, StringArray, StringBuilder,
};
use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use throughline_core::{Error, Result};
use throughline_sql::Written;

use super::Journeys;
use super::collect::read_path;
use super::learn::{Learned, Member};
use crate::channels::NONE;
use crate::host::{HostTable, ints, text_or_empty, texts};
use crate::identity::push_hex;
use crate::money::Reporting;
use crate::origins::SEPARATOR;
use crate::runner::Runner;
use crate::settings::{Model, Settings};
use crate::tables::OutputSpec;

pub(super) async fn write(
    journeys: &Journeys,
    runner: &mut Runner<'_>,
    spec: &OutputSpec,
    settings: &Settings,
    reporting: &Reporting,
    params_hash: &str,
) -> Result<Written> {
    let money = Money::of(reporting);
    let mut table = HostTable::create(&runner.folder(spec.name), spec.schema(money.scale as i8))?;
    if journeys.counted {
        let window = window(settings);
        match spec.name {
            "paths" => paths(journeys, runner, &mut table, &window, &money).await?,
            "attribution_channel" => channels(journeys, settings, &mut table, &window, &money, params_hash)?,
            other => return Err(Error::bug(format!("output table {other} does not come from journeys"))),
        }
    }
    let written = table.finish()?;
    runner.bind(spec.name, &written.table()).await?;
    Ok(written)
}

/// Minor units of the reporting currency as decimals of a table.
struct Money {
    scale: u32,
    factor: i128,
}

impl Money {
    fn of(reporting: &Reporting) -> Self {
        let scale = reporting.decimals.max(2);
        Self { scale, factor: 10_i128.pow(scale - reporting.decimals) }
    }

    fn column(&self, minor: impl Iterator<Item = i64>) -> Result<ArrayRef> {
        let values: Vec<i128> = minor.map(|m| i128::from(m) * self.factor).collect();
        if values.iter().any(|v| v.abs() >= 10_i128.pow(18)) {
            return Err(Error::data("a sum of money over all journeys has more than 18 digits")
                .hint("look for values that are no money in deals and conversions"));
        }
        Ok(Arc::new(Decimal128Array::from(values).with_precision_and_scale(18, self.scale as i8)?))
    }
}

/// The report window as it stands in the settings, open ends as `..`.
fn window(settings: &Settings) -> String {
    match (&settings.from, &settings.to) {
        (None, None) => "all".into(),
        (from, to) => format!("{}/{}", from.as_deref().unwrap_or(".."), to.as_deref().unwrap_or("..")),
    }
}

fn short_hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let mut hash = String::with_capacity(16);
    push_hex(&mut hash, &digest[..8]);
    hash
}

fn same(text: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)))
}

async fn paths(
    journeys: &Journeys,
    runner: &Runner<'_>,
    table: &mut HostTable,
    window: &str,
    money: &Money,
) -> Result<()> {
    let mut rows = runner
        .read(
            "SELECT type_n, path, conversions, nulls, gross_minor, net_minor FROM x_path_count \
             ORDER BY type_n, path",
        )
        .await?;
    let (mut path, mut joined) = (Vec::new(), String::new());
    while let Some(batch) = rows.try_next().await? {
        let (types, found) = (ints(&batch, "type_n")?, texts(&batch, "path")?);
        let (mut hashes, mut lists) = (StringBuilder::new(), ListBuilder::new(StringBuilder::new()));
        for row in 0..batch.num_rows() {
            read_path(text_or_empty(found, row), &mut path);
            joined.clear();
            for channel in &path {
                let name = journeys.names.name(*channel);
                joined.push_str(name);
                joined.push(SEPARATOR);
                lists.values().append_value(name);
            }
            lists.append(true);
            hashes.append_value(short_hash(&joined));
        }
        let type_name = |n: &i64| journeys.types.get(*n as usize).map_or("", String::as_str);
        table.write(vec![
            same(window, batch.num_rows()),
            Arc::new(StringArray::from_iter_values(types.values().iter().map(type_name))),
            Arc::new(hashes.finish()),
            Arc::new(lists.finish()),
            Arc::new(ints(&batch, "conversions")?),
            Arc::new(ints(&batch, "nulls")?),
            money.column(ints(&batch, "gross_minor")?.values().iter().copied())?,
            money.column(ints(&batch, "net_minor")?.values().iter().copied())?,
        ])?;
    }
    Ok(())
}

fn channels(
    journeys: &Journeys,
    settings: &Settings,
    table: &mut HostTable,
    window: &str,
    money: &Money,
    params_hash: &str,
) -> Result<()> {
    let none = journeys.names.get(NONE).unwrap_or(0);
    for (type_name, learned) in journeys.types.iter().zip(&journeys.learned) {
        for model in settings.models.iter().copied().filter(|m| !m.is_rule()) {
            let members = with_outside(learned, model, none);
            let order = learned.order.filter(|_| model == Model::Markov).map(|o| o as i64);
            let run = short_hash(&format!(
                "{params_hash} {window} {type_name} {} {order:?} {} {} {} {}",
                model.as_str(),
                learned.all.conversions,
                learned.all.nulls,
                learned.all.gross,
                learned.all.net,
            ));
            let rows = members.len();
            table.write(vec![
                same(window, rows),
                same(type_name, rows),
                same(model.as_str(), rows),
                Arc::new(StringArray::from_iter_values(
                    members.iter().map(|m| if m.position.is_none() { "channel" } else { "position" }),
                )),
                Arc::new(StringArray::from_iter_values(
                    members.iter().map(|m| journeys.names.name(m.channel)),
                )),
                Arc::new(
                    members.iter().map(|m| Some(i64::from(m.position.unwrap_or(0)))).collect::<Int64Array>(),
                ),
                Arc::new(members.iter().map(|m| Some(m.conversions)).collect::<Float64Array>()),
                money.column(members.iter().map(|m| m.gross))?,
                money.column(members.iter().map(|m| m.net))?,
                Arc::new(members.iter().map(|m| m.removal.map(|r| r.0)).collect::<Float64Array>()),
                Arc::new(members.iter().map(|m| m.removal.map(|r| r.1)).collect::<Float64Array>()),
                Arc::new(members.iter().map(|_| order).collect::<Int64Array>()),
                same(&run, rows),
            ])?;
        }
    }
    Ok(())
}

/// The members of a model, and `(none)` for what no touch brought. A channel of the same name (prepared touches
/// may carry it) takes it in.
fn with_outside(learned: &Learned, model: Model, none: u32) -> Vec<Member> {
    let mut members: Vec<Member> = learned
        .members
        .iter()
        .filter(|m| m.model == model)
        .map(|m| Member { removal: m.removal, ..*m })
        .collect();
    let outside = &learned.outside;
    if outside.conversions == 0 {
        return members;
    }
    let levels: &[Option<u32>] = if model == Model::ShapleyOrdered { &[None, Some(0)] } else { &[None] };
    for position in levels {
        match members.iter_mut().find(|m| m.channel == none && m.position == *position) {
            Some(member) => {
                member.conversions += outside.conversions as f64;
                member.gross = member.gross.saturating_add(outside.gross);
                member.net = member.net.saturating_add(outside.net);
            }
            None => members.push(Member {
                model,
                channel: none,
                position: *position,
                conversions: outside.conversions as f64,
                gross: outside.gross,
                net: outside.net,
                removal: None,
            }),
        }
    }
    members
}
