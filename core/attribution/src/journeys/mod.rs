//! Journeys: who went which path of channels and what came of it, and what the models that learn from all of
//! them together say. The models themselves are pure functions in [`crate::models`]; here is what feeds them
//! from tables and what becomes of their answers.
//!
//! Nothing here holds journeys: they stream out of the engine in the order of persons and conversions, are
//! counted per path ([`collect`]), and the engine adds the counts up (`x_path_count`). What stays in memory is a
//! bounded part of the counts, and states, sets and converting paths of the models ([`learn`]).

mod aggregated;
mod collect;
mod learn;
mod publish;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use futures::TryStreamExt;
use throughline_core::{Notice, Result};
use throughline_sql::Written;

pub(crate) use aggregated::channel_names;

use crate::host::{memory_table, texts};
use crate::models::Names;
use crate::money::Reporting;
use crate::runner::Runner;
use crate::settings::{Model, Settings};
use crate::tables::OutputSpec;
use learn::Learned;

/// The type of conversions that aggregated paths and prepared conversions have unless they say otherwise.
const PREPARED_TYPE: &str = "won";

/// What journeys gave; empty when no model needs them.
#[derive(Default)]
pub(crate) struct Journeys {
    /// Channel names by their numbers in all steps.
    names: Names,
    /// Conversion types by their numbers.
    types: Vec<String>,
    learned: Vec<Learned>,
    /// Whether paths were counted at all.
    counted: bool,
}

/// Counts journeys per path and conversion type, and lets the models learn from them.
pub(crate) async fn learn(
    runner: &mut Runner<'_>,
    settings: &Settings,
    notices: &mut Vec<Notice>,
) -> Result<Journeys> {
    let models: Vec<Model> = settings.models.iter().copied().filter(|m| !m.is_rule()).collect();
    if models.is_empty() && !settings.paths {
        if aggregated::is_given(runner).await? {
            notices.push(Notice {
                code: "aggregated_paths_unused".into(),
                message: "aggregated_paths holds paths, but no model of the settings learns from them; name \
                          markov, shapley, shapley_ordered, shapley_rate or leave_one_out, or set paths = true"
                    .into(),
            });
        }
        return Ok(Journeys::default());
    }
    let mut journeys = Journeys { names: channel_list(runner).await?, counted: true, ..Journeys::default() };
    journeys.types = bind_types(runner).await?;
    collect::count(runner, settings, &journeys, notices).await?;
    for number in 0..journeys.types.len() {
        journeys.learned.push(learn::learn(runner, settings, &models, number as i64).await?);
    }
    Ok(journeys)
}

impl Journeys {
    /// Whether `p_conversion_type` is bound and shares can be asked for.
    pub fn have_learned(&self) -> bool {
        !self.learned.is_empty()
    }

    /// What a learned model gives each touch of a path of channels, by the conversions of one type; the shares
    /// sum to 1. False when nothing was learned of that type.
    pub fn shares(&self, type_n: i64, model: Model, path: &[u32], shares: &mut Vec<f64>) -> bool {
        let learned = usize::try_from(type_n).ok().and_then(|n| self.learned.get(n));
        if let Some(learned) = learned {
            learned.shares(model, path, shares);
        }
        learned.is_some()
    }

    /// Writes `paths` or `attribution_channel`.
    pub async fn write(
        &self,
        runner: &mut Runner<'_>,
        spec: &OutputSpec,
        settings: &Settings,
        reporting: &Reporting,
        params_hash: &str,
    ) -> Result<Written> {
        publish::write(self, runner, spec, settings, reporting, params_hash).await
    }
}

async fn channel_list(runner: &Runner<'_>) -> Result<Names> {
    let mut names = Names::default();
    let mut rows = runner.read("SELECT channel_id FROM x_channel ORDER BY channel_n").await?;
    while let Some(batch) = rows.try_next().await? {
        for name in texts(&batch, "channel_id")?.iter().flatten() {
            names.number(name);
        }
    }
    Ok(names)
}

/// Binds `p_conversion_type`: every type that occurs, with a number.
async fn bind_types(runner: &Runner<'_>) -> Result<Vec<String>> {
    let mut types: Vec<String> = Vec::new();
    let mut rows = runner.read("SELECT DISTINCT type FROM x_conv ORDER BY type").await?;
    while let Some(batch) = rows.try_next().await? {
        types.extend(texts(&batch, "type")?.iter().flatten().map(str::to_string));
    }
    if !types.iter().any(|t| t == PREPARED_TYPE) && aggregated::is_given(runner).await? {
        types.push(PREPARED_TYPE.into());
    }
    types.sort();
    let schema = Arc::new(Schema::new(vec![
        Field::new("type_n", DataType::Int64, false),
        Field::new("type", DataType::Utf8, false),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new((0..types.len() as i64).collect::<Int64Array>()),
        Arc::new(types.iter().map(|t| Some(t.as_str())).collect::<StringArray>()),
    ];
    runner.bind("p_conversion_type", &memory_table(schema, columns)?).await?;
    Ok(types)
}
