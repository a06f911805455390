//! The models of one conversion type, learned from its counted paths.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use throughline_core::Result;

use super::collect::read_path;
use crate::host::{ints, text_or_empty, texts};
use crate::markov_order::MarkovOrder;
use crate::models::{
    ChainBuilder, Counts, Effects, HIGHEST_ORDER, LeaveOneOut, OrderTrial, RateModel, RateSets, choose_order,
    effects, equal_shares, path_shares, round_to, shares, split,
};
use crate::runner::Runner;
use crate::settings::{Model, Settings};

/// What a model gives a channel, at all its touches or at one place in the path.
pub(super) struct Member {
    pub model: Model,
    pub channel: u32,
    /// From 1; `None`: over all places.
    pub position: Option<u32>,
    pub conversions: f64,
    pub gross: i64,
    pub net: i64,
    /// Of conversions and of value, where the model has such.
    pub removal: Option<(f64, f64)>,
}

/// One conversion type.
#[derive(Default)]
pub(super) struct Learned {
    pub order: Option<usize>,
    effects: Option<Effects>,
    rates: Option<RateModel>,
    without: Option<LeaveOneOut>,
    pub members: Vec<Member>,
    /// Over all paths, and of those without a touch.
    pub all: Totals,
    pub outside: Totals,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Totals {
    pub conversions: i64,
    pub nulls: i64,
    pub gross: i64,
    pub net: i64,
}

impl Totals {
    fn add(&mut self, of: &Totals) {
        self.conversions = self.conversions.saturating_add(of.conversions);
        self.nulls = self.nulls.saturating_add(of.nulls);
        self.gross = self.gross.saturating_add(of.gross);
        self.net = self.net.saturating_add(of.net);
    }

    fn counts(&self) -> Counts {
        let people = |n: i64| u64::try_from(n).unwrap_or(0);
        Counts { conversions: people(self.conversions), nulls: people(self.nulls), value: self.gross }
    }
}

impl Learned {
    /// Shares by position of a converting path, which has touches.
    pub fn shares(&self, model: Model, path: &[u32], out: &mut Vec<f64>) {
        match (model, &self.effects, &self.rates, &self.without) {
            (Model::Markov, Some(effects), _, _) => path_shares(effects, path, out),
            (Model::ShapleyRate, _, Some(rates), _) => rates.path_shares(path, out),
            (Model::LeaveOneOut, _, _, Some(without)) => without.path_shares(path, out),
            _ => equal_shares(path, out),
        }
    }
}

pub(super) async fn learn(
    runner: &Runner<'_>,
    settings: &Settings,
    models: &[Model],
    type_n: i64,
) -> Result<Learned> {
    let mut learned = Learned::default();
    if models.is_empty() {
        return Ok(learned);
    }
    let wants = |model| models.contains(&model);
    if wants(Model::Markov) {
        learned.order = Some(order(runner, settings.markov_order, type_n).await?);
    }

    let mut chain = learned.order.map(|order| ChainBuilder::new(order, true));
    let mut rates = wants(Model::ShapleyRate).then(RateSets::default);
    let mut without = wants(Model::LeaveOneOut).then(LeaveOneOut::default);
    let mut seen: Vec<bool> = Vec::new();
    let (all, outside) = (&mut learned.all, &mut learned.outside);
    each_path(runner, type_n, "", |path, totals| {
        all.add(totals);
        if path.is_empty() {
            outside.add(totals);
        }
        let counts = totals.counts();
        for channel in path.iter().map(|c| *c as usize) {
            if seen.len() <= channel {
                seen.resize(channel + 1, false);
            }
            seen[channel] = true;
        }
        if let Some(chain) = &mut chain {
            chain.add(path, counts);
            if chain.is_too_large() {
                return false;
            }
        }
        if let Some(rates) = &mut rates {
            rates.add(path, counts);
        }
        if let Some(without) = &mut without {
            without.add(path, counts);
        }
        true
    })
    .await?;
    let inside = Totals {
        conversions: learned.all.conversions - learned.outside.conversions,
        nulls: learned.all.nulls - learned.outside.nulls,
        gross: learned.all.gross.saturating_sub(learned.outside.gross),
        net: learned.all.net.saturating_sub(learned.outside.net),
    };
    if let Some(chain) = chain {
        let found = effects(&chain.finish()?)?;
        learned.members.extend(markov_members(&found, &inside));
        learned.effects = Some(found);
    }
    learned.rates = rates.map(|sets| sets.finish(settings.shapley_max_players as usize)).transpose()?;
    learned.without = without;

    let by_path: Vec<Model> = models.iter().copied().filter(|m| *m != Model::Markov).collect();
    if !by_path.is_empty() {
        let mut sums: Vec<Sums> = by_path.iter().map(|_| Sums::default()).collect();
        let mut parts = Vec::new();
        each_path(runner, type_n, "AND conversions > 0", |path, totals| {
            for (model, sums) in by_path.iter().zip(&mut sums) {
                learned.shares(*model, path, &mut parts);
                sums.add(path, &parts, totals, *model == Model::ShapleyOrdered);
            }
            true
        })
        .await?;
        let channels: Vec<u32> = (0..seen.len() as u32).filter(|c| seen[*c as usize]).collect();
        for (model, sums) in by_path.into_iter().zip(sums) {
            learned.members.extend(sums.members(model, &channels, &inside));
        }
    }
    Ok(learned)
}

async fn order(runner: &Runner<'_>, wanted: MarkovOrder, type_n: i64) -> Result<usize> {
    let order = match wanted {
        MarkovOrder::Fixed(order) => order as usize,
        MarkovOrder::Auto => {
            let mut trials: Vec<OrderTrial> = (1..=HIGHEST_ORDER).map(OrderTrial::new).collect();
            each_path(runner, type_n, "", |path, totals| {
                for trial in &mut trials {
                    trial.add(path, totals.counts());
                }
                true
            })
            .await?;
            choose_order(|order| trials.get(order - 1).and_then(OrderTrial::auc))
        }
    };
    Ok(order)
}

/// Calls `with` for every path of a conversion type, each once and always in the same order, until it says no.
async fn each_path(
    runner: &Runner<'_>,
    type_n: i64,
    condition: &str,
    mut with: impl FnMut(&[u32], &Totals) -> bool,
) -> Result<()> {
    let mut rows = runner
        .read(&format!(
            "SELECT path, conversions, nulls, gross_minor, net_minor FROM x_path_count \
             WHERE type_n = {type_n} {condition} ORDER BY path"
        ))
        .await?;
    let mut path = Vec::new();
    while let Some(batch) = rows.try_next().await? {
        let paths = texts(&batch, "path")?;
        let (conversions, nulls) = (ints(&batch, "conversions")?, ints(&batch, "nulls")?);
        let (gross, net) = (ints(&batch, "gross_minor")?, ints(&batch, "net_minor")?);
        for row in 0..batch.num_rows() {
            read_path(text_or_empty(paths, row), &mut path);
            let totals = Totals {
                conversions: conversions.value(row),
                nulls: nulls.value(row),
                gross: gross.value(row),
                net: net.value(row),
            };
            if !with(&path, &totals) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Conversions by removal effect, money by the removal effect on value; refunds keep the shares. Where no
/// value is above 0 money goes the way of conversions.
fn markov_members(found: &Effects, inside: &Totals) -> Vec<Member> {
    let by_conversions = shares(&found.removal);
    let mut by_value = shares(&found.removal_value);
    if by_value.iter().all(|s| *s == 0.0) {
        by_value.clone_from(&by_conversions);
    }
    let (gross, net) = (split(inside.gross, &by_value), split(inside.net, &by_value));
    (0..found.channels.len())
        .map(|i| Member {
            model: Model::Markov,
            channel: found.channels[i],
            position: None,
            conversions: by_conversions[i] * inside.conversions as f64,
            gross: gross[i],
            net: net[i],
            removal: Some((found.removal[i], found.removal_value[i])),
        })
        .collect()
}

/// Shares of all paths added up: conversions, gross, net.
#[derive(Default)]
struct Sums {
    by_channel: BTreeMap<u32, [f64; 3]>,
    by_position: BTreeMap<(u32, u32), [f64; 3]>,
}

impl Sums {
    fn add(&mut self, path: &[u32], parts: &[f64], totals: &Totals, positions: bool) {
        let whole = [totals.conversions as f64, totals.gross as f64, totals.net as f64];
        for (at, (channel, part)) in path.iter().zip(parts).enumerate() {
            let add = |sum: &mut [f64; 3]| sum.iter_mut().zip(whole).for_each(|(s, w)| *s += part * w);
            add(self.by_channel.entry(*channel).or_default());
            if positions {
                add(self.by_position.entry((*channel, at as u32 + 1)).or_default());
            }
        }
    }

    /// `channels`: all that are met, converting or not.
    fn members(mut self, model: Model, channels: &[u32], inside: &Totals) -> Vec<Member> {
        for channel in channels {
            self.by_channel.entry(*channel).or_default();
        }
        let channels = self.by_channel.into_iter().map(|(c, sums)| (c, None, sums)).collect();
        let positions = self.by_position.into_iter().map(|((c, at), sums)| (c, Some(at), sums)).collect();
        let mut members = rounded(model, channels, inside);
        members.extend(rounded(model, positions, inside));
        members
    }
}

fn rounded(model: Model, sums: Vec<(u32, Option<u32>, [f64; 3])>, inside: &Totals) -> Vec<Member> {
    let column = |i: usize| sums.iter().map(|s| s.2[i]).collect::<Vec<f64>>();
    let (gross, net) = (round_to(inside.gross, &column(1)), round_to(inside.net, &column(2)));
    sums.iter()
        .zip(gross.into_iter().zip(net))
        .map(|((channel, position, sum), (gross, net))| Member {
            model,
            channel: *channel,
            position: *position,
            conversions: sum[0],
            gross,
            net,
            removal: None,
        })
        .collect()
}
