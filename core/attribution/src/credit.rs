//! Credit and money by all models, in one pass over paths and conversions side by side.
//!
//! What goods cost and what open deals may bring is split in the same pass, by the same shares.
//!
//! For the rule models steps/76_shares.sql and steps/77_credits.sql say the same in portable SQL. They rank every
//! model's rows five times over, which took twenty times as long; tests run them and compare.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use throughline_core::{Error, Result};

use crate::cursor::Cursor;
use crate::host::HostTable;
use crate::journeys::Journeys;
use crate::models::give_rest;
use crate::runner::Runner;
use crate::settings::{Model, Settings};

/// What is split: income before and after refunds, what the goods cost, what open deals may bring.
const MONEY: [&str; 4] = ["gross_minor", "net_minor", "goods_minor", "potential_minor"];

/// Rows gathered before they are written.
const ROWS: usize = 64 * 1024;

/// One touch of a path.
#[derive(Clone, Copy, Debug)]
struct Step {
    touch_n: i64,
    ts_us: i64,
    is_direct: bool,
}

/// The share of one touch: whole numbers where the model has them, so that money is split without a rounding
/// error.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Share {
    Ratio { w: i64, of: i64 },
    Real(f64),
}

/// What the models need besides the path.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// First, last and middle weight of `position_based`.
    weights: (i64, i64, i64),
    half_life_us: i64,
}

impl Rules {
    fn of(settings: &Settings) -> Self {
        Self { weights: settings.position_units(), half_life_us: settings.half_life_us() }
    }

    /// The shares of a path of at least one touch, in its order.
    fn shares(&self, model: Model, path: &[Step], shares: &mut Vec<Share>) {
        shares.clear();
        let n = path.len();
        let only = |winner: usize, shares: &mut Vec<Share>| {
            shares.extend((0..n).map(|i| Share::Ratio { w: i64::from(i == winner), of: 1 }));
        };
        match model {
            Model::FirstTouch => only(0, shares),
            Model::LastTouch => only(n - 1, shares),
            Model::LastNonDirect => only(path.iter().rposition(|s| !s.is_direct).unwrap_or(n - 1), shares),
            Model::Linear => shares.extend((0..n).map(|_| Share::Ratio { w: 1, of: n as i64 })),
            Model::PositionBased => {
                let (first, last, between) = self.weights;
                match n as i64 {
                    1 => only(0, shares),
                    2 => shares.extend([first, last].map(|w| Share::Ratio { w, of: first + last })),
                    many => {
                        let of = (first + last + between) * (many - 2);
                        shares.extend((0..n).map(|i| {
                            let w = if i == 0 {
                                first * (many - 2)
                            } else if i == n - 1 {
                                last * (many - 2)
                            } else {
                                between
                            };
                            Share::Ratio { w, of }
                        }));
                    }
                }
            }
            Model::TimeDecay => {
                // Relative to the newest touch, so that old paths do not underflow.
                let newest = path.iter().map(|s| s.ts_us).max().unwrap_or(0);
                let weight =
                    |s: &Step| 2_f64.powf((s.ts_us - newest) as f64 / self.half_life_us as f64);
                let sum: f64 = path.iter().map(weight).sum();
                shares.extend(path.iter().map(|s| Share::Real(weight(s) / sum)));
            }
            Model::Markov
            | Model::Shapley
            | Model::ShapleyOrdered
            | Model::ShapleyRate
            // Not by rule: their shares are asked of what they learned.
            | Model::LeaveOneOut => {}
        }
    }
}

/// Splits minor units by largest remainder: everybody gets the whole units of his share, the units that are
/// left go to the largest fractions, the earlier touch first. A negative sum is split like its amount.
#[derive(Default)]
struct Splitter {
    units: Vec<i128>,
    fractions: Vec<(f64, usize)>,
}

impl Splitter {
    fn split(&mut self, minor: i64, shares: &[Share], parts: &mut Vec<i64>) {
        let amount = i128::from(minor).abs();
        self.units.clear();
        self.fractions.clear();
        for (place, share) in shares.iter().enumerate() {
            let (whole, fraction) = match *share {
                Share::Ratio { w, of } => {
                    let product = amount * i128::from(w);
                    let of = i128::from(of);
                    (product / of, (product % of) as f64 / of as f64)
                }
                Share::Real(share) => {
                    let exact = share * amount as f64;
                    (exact.floor() as i128, exact - exact.floor())
                }
            };
            self.units.push(whole);
            self.fractions.push((fraction, place));
        }
        give_rest(amount, &mut self.units, &mut self.fractions);
        let sign: i128 = if minor < 0 { -1 } else { 1 };
        parts.clear();
        parts.extend(self.units.iter().map(|units| (units * sign) as i64));
    }
}

/// Writes `x_credit`: every touch's share and money in its conversion by every model.
pub(crate) async fn write(runner: &mut Runner<'_>, settings: &Settings, journeys: &Journeys) -> Result<()> {
    runner.begin("x_credit")?;
    let mut table = HostTable::create(&runner.folder("x_credit"), schema())?;
    let rules = Rules::of(settings);
    let is_direct = direct_channels(runner).await?;
    let mut paths = Cursor::open(
        runner,
        "SELECT conv_n, touch_n, ts_us, channel_n FROM x_path ORDER BY conv_n, pos",
        ["conv_n", "touch_n", "ts_us", "channel_n"],
    )
    .await?;
    let (type_n, types) = if journeys.have_learned() {
        ("t.type_n", "JOIN p_conversion_type AS t ON t.type = c.type")
    } else {
        ("CAST(-1 AS BIGINT)", "")
    };
    let select = format!(
        "SELECT c.conv_n, {type_n} AS type_n, c.gross_minor, c.net_minor, \
         coalesce(e.goods_minor, 0) AS goods_minor, coalesce(e.potential_minor, 0) AS potential_minor \
         FROM x_reported AS c LEFT JOIN x_extra AS e ON e.conv_n = c.conv_n {types} ORDER BY c.conv_n"
    );
    let [gross, net, goods, potential] = MONEY;
    let mut conversions =
        Cursor::open(runner, &select, ["conv_n", "type_n", gross, net, goods, potential]).await?;
    let mut sheet = Sheet::default();
    let (mut path, mut channels) = (Vec::new(), Vec::new());
    let (mut learned, mut shares) = (Vec::new(), Vec::new());
    let mut parts: [Vec<i64>; MONEY.len()] = Default::default();
    let mut splitter = Splitter::default();
    while let Some([conv_n, type_n, sums @ ..]) = conversions.next().await? {
        path.clear();
        channels.clear();
        while let Some([of, touch_n, ts_us, channel_n]) = paths.peek().await?
            && of <= conv_n
        {
            if of < conv_n {
                return Err(Error::bug(format!("x_path names conversion {of}, which is not reported")));
            }
            let is_direct = is_direct.get(channel_n as usize).copied().unwrap_or(false);
            path.push(Step { touch_n, ts_us, is_direct });
            channels.push(channel_n as u32);
            paths.skip();
        }
        for (model_n, model) in (0..).zip(&settings.models) {
            if path.is_empty() {
                sheet.add_nowhere([conv_n, model_n], sums);
                continue;
            }
            if model.is_rule() {
                rules.shares(*model, &path, &mut shares);
            } else if journeys.shares(type_n, *model, &channels, &mut learned) {
                shares.clear();
                shares.extend(learned.iter().map(|s| Share::Real(*s)));
            } else {
                return Err(Error::bug(format!("{} learned nothing of type {type_n}", model.as_str())));
            }
            for (sum, parts) in sums.into_iter().zip(&mut parts) {
                splitter.split(sum, &shares, parts);
            }
            sheet.add([conv_n, model_n], &path, &shares, &parts)?;
        }
        if sheet.conv_n.len() >= ROWS {
            table.write(sheet.take())?;
        }
    }
    if let Some([of, ..]) = paths.peek().await? {
        return Err(Error::bug(format!("x_path names conversion {of}, which is not reported")));
    }
    table.write(sheet.take())?;
    let written = table.finish()?;
    runner.bind("x_credit", &written.table()).await
}

/// Whether last_non_direct passes a channel over, by its number.
async fn direct_channels(runner: &Runner<'_>) -> Result<Vec<bool>> {
    let select = "SELECT channel_n, CAST(CASE WHEN is_direct THEN 1 ELSE 0 END AS BIGINT) AS is_direct \
                  FROM x_channel ORDER BY channel_n";
    let mut rows = Cursor::open(runner, select, ["channel_n", "is_direct"]).await?;
    let mut direct = Vec::new();
    while let Some([channel_n, is_direct]) = rows.next().await? {
        direct.resize(channel_n as usize, false);
        direct.push(is_direct == 1);
    }
    Ok(direct)
}

fn schema() -> SchemaRef {
    let int = |name: &str, nullable| Field::new(name, DataType::Int64, nullable);
    let mut fields = vec![
        int("conv_n", false),
        int("model_n", false),
        int("touch_n", true),
        int("pos", false),
        int("n", false),
        Field::new("share", DataType::Float64, false),
    ];
    fields.extend(MONEY.map(|name| int(name, false)));
    Arc::new(Schema::new(fields))
}

#[derive(Default)]
struct Sheet {
    conv_n: Vec<i64>,
    model_n: Vec<i64>,
    touch_n: Vec<Option<i64>>,
    pos: Vec<i64>,
    n: Vec<i64>,
    share: Vec<f64>,
    money: [Vec<i64>; MONEY.len()],
}

impl Sheet {
    /// Who came from nowhere: one row, so that the books close.
    fn add_nowhere(&mut self, [conv_n, model_n]: [i64; 2], sums: [i64; MONEY.len()]) {
        self.conv_n.push(conv_n);
        self.model_n.push(model_n);
        self.touch_n.push(None);
        self.pos.push(0);
        self.n.push(0);
        self.share.push(1.0);
        for (column, sum) in self.money.iter_mut().zip(sums) {
            column.push(sum);
        }
    }

    fn add(
        &mut self,
        [conv_n, model_n]: [i64; 2],
        path: &[Step],
        shares: &[Share],
        parts: &[Vec<i64>; MONEY.len()],
    ) -> Result<()> {
        if shares.len() != path.len() {
            return Err(Error::bug(format!("{} shares for {} touches", shares.len(), path.len())));
        }
        for (place, step) in path.iter().enumerate() {
            self.conv_n.push(conv_n);
            self.model_n.push(model_n);
            self.touch_n.push(Some(step.touch_n));
            self.pos.push(place as i64 + 1);
            self.n.push(path.len() as i64);
            self.share.push(match shares[place] {
                Share::Ratio { w, of } => w as f64 / of as f64,
                Share::Real(share) => share,
            });
        }
        for (column, parts) in self.money.iter_mut().zip(parts) {
            column.extend_from_slice(parts);
        }
        Ok(())
    }

    fn take(&mut self) -> Vec<ArrayRef> {
        let ints = |values: &mut Vec<i64>| Arc::new(Int64Array::from(std::mem::take(values))) as ArrayRef;
        let mut columns = vec![
            ints(&mut self.conv_n),
            ints(&mut self.model_n),
            Arc::new(Int64Array::from(std::mem::take(&mut self.touch_n))),
            ints(&mut self.pos),
            ints(&mut self.n),
            Arc::new(Float64Array::from(std::mem::take(&mut self.share))),
        ];
        columns.extend(self.money.iter_mut().map(ints));
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(minor: i64, shares: &[Share]) -> Vec<i64> {
        let mut parts = Vec::new();
        Splitter::default().split(minor, shares, &mut parts);
        parts
    }

    #[test]
    fn units_left_over_go_to_the_largest_fraction_and_then_to_the_earlier_touch() {
        let third = Share::Ratio { w: 1, of: 3 };
        assert_eq!(split(1000, &[third; 3]), [334, 333, 333]);
        assert_eq!(split(-1000, &[third; 3]), [-334, -333, -333]);
        assert_eq!(split(2, &[third; 3]), [1, 1, 0]);
        let uneven = [Share::Ratio { w: 1, of: 6 }, Share::Ratio { w: 5, of: 6 }];
        assert_eq!(split(10, &uneven), [2, 8]);
    }

    #[test]
    fn amounts_near_the_largest_number_are_split_exactly() {
        let share = Share::Ratio { w: 1, of: 7 };
        let parts = split(i64::MAX, &[share; 7]);
        assert_eq!(parts.iter().map(|p| i128::from(*p)).sum::<i128>(), i128::from(i64::MAX));
    }

    #[test]
    fn a_very_old_path_still_has_shares() {
        let rules = Rules { weights: (2, 2, 1), half_life_us: 1 };
        let path = [0, 9_000_000_000_000_000].map(|ts_us| Step { touch_n: 1, ts_us, is_direct: false });
        let mut shares = Vec::new();
        rules.shares(Model::TimeDecay, &path, &mut shares);
        assert_eq!(shares, [Share::Real(0.0), Share::Real(1.0)]);
    }
}
