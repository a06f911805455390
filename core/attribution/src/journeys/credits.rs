//! What the learned models give each touch of each conversion.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Builder, Int64Builder};
use arrow::datatypes::{DataType, Field, Schema};
use throughline_core::Result;

use super::Journeys;
use super::cursor::Cursor;
use crate::host::HostTable;
use crate::runner::Runner;
use crate::settings::Settings;

/// Rows written at once.
const ROWS: usize = 1 << 15;

/// All shares, of rule models and of learned ones: `x_share` where there are such.
pub(crate) const SHARES: &str = "SELECT conv_n, model_n, touch_n, pos, n, w, w_sum, share FROM x_rule_share \
     UNION ALL \
     SELECT conv_n, model_n, touch_n, pos, n, CAST(NULL AS BIGINT) AS w, CAST(NULL AS BIGINT) AS w_sum, share \
     FROM x_model_share";

/// Writes `x_model_share`, conversion by conversion.
pub(super) async fn share(runner: &mut Runner<'_>, settings: &Settings, journeys: &Journeys) -> Result<()> {
    let number = |name| Field::new(name, DataType::Int64, false);
    let schema = Arc::new(Schema::new(vec![
        number("conv_n"),
        number("model_n"),
        number("touch_n"),
        number("pos"),
        number("n"),
        Field::new("share", DataType::Float64, false),
    ]));
    let mut table = Rows {
        table: HostTable::create(&runner.folder("x_model_share"), schema)?,
        numbers: std::array::from_fn(|_| Int64Builder::with_capacity(ROWS)),
        shares: Float64Builder::with_capacity(ROWS),
        rows: 0,
    };
    let models: Vec<(i64, _)> =
        (0..).zip(settings.models.iter().copied()).filter(|(_, model)| !model.is_rule()).collect();
    let mut conversions = Cursor::open(
        runner,
        "SELECT c.conv_n, t.type_n FROM x_reported AS c JOIN p_conversion_type AS t ON t.type = c.type \
         ORDER BY c.conv_n",
        ["conv_n", "type_n"],
    )
    .await?;
    let mut touches = Cursor::open(
        runner,
        "SELECT conv_n, touch_n, channel_n FROM x_path ORDER BY conv_n, pos",
        ["conv_n", "touch_n", "channel_n"],
    )
    .await?;
    let (mut path, mut numbers, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    while let Some([conv_n, type_n]) = conversions.next().await? {
        path.clear();
        numbers.clear();
        while let Some([of, touch_n, channel]) = touches.peek().await?
            && of <= conv_n
        {
            if of == conv_n {
                path.push(channel as u32);
                numbers.push(touch_n);
            }
            touches.skip();
        }
        let Some(learned) = journeys.learned.get(type_n as usize).filter(|_| !path.is_empty()) else {
            continue;
        };
        for (model_n, model) in &models {
            learned.shares(*model, &path, &mut shares);
            table.add([conv_n, *model_n], &numbers, &shares)?;
        }
    }
    table.flush()?;
    let written = table.table.finish()?;
    runner.bind("x_model_share", &written.table()).await
}

struct Rows {
    table: HostTable,
    /// conv_n, model_n, touch_n, pos, n
    numbers: [Int64Builder; 5],
    shares: Float64Builder,
    rows: usize,
}

impl Rows {
    fn add(&mut self, [conv_n, model_n]: [i64; 2], touches: &[i64], shares: &[f64]) -> Result<()> {
        for (at, (touch_n, share)) in (1..).zip(touches.iter().zip(shares)) {
            let row = [conv_n, model_n, *touch_n, at, touches.len() as i64];
            self.numbers.iter_mut().zip(row).for_each(|(builder, value)| builder.append_value(value));
            self.shares.append_value(*share);
        }
        self.rows += touches.len();
        if self.rows >= ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let mut columns: Vec<ArrayRef> =
            self.numbers.iter_mut().map(|b| Arc::new(b.finish()) as ArrayRef).collect();
        columns.push(Arc::new(self.shares.finish()));
        self.rows = 0;
        self.table.write(columns)
    }
}
