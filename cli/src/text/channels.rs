//! The table that answers the question: per channel, what it brought and what it cost, by two models.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Decimal128Type, Float64Type, Int64Type};
use futures::StreamExt;
use throughline_core::{Error, Result};
use throughline_engine::run::LastEpoch;

use super::grid;

/// Shown first where the pipeline computes them.
const FAVOURITES: [&str; 2] = ["last_non_direct", "first_touch"];

#[derive(Clone, Debug, Default)]
pub struct Channel {
    pub name: String,
    pub visits: i64,
    pub inquiries: i64,
    /// Hundredths of the reporting currency.
    pub cost: i128,
    /// Per model: sales (credit) and net revenue in hundredths.
    pub by_model: Vec<(f64, i128)>,
}

pub struct Channels {
    pub models: Vec<String>,
    /// The dearest first, then the largest.
    pub rows: Vec<Channel>,
}

impl Channels {
    pub async fn read(last: &LastEpoch) -> Result<Self> {
        let mut models = Vec::new();
        let mut batches =
            last.engine.read("SELECT DISTINCT model FROM channel_daily ORDER BY model", &[]).await?;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let column = batch.column(0).as_string::<i32>();
            models.extend((0..column.len()).map(|i| column.value(i).to_owned()));
        }
        models.sort_by_key(|m| FAVOURITES.iter().position(|f| f == m).unwrap_or(FAVOURITES.len()));
        models.truncate(2);
        let mut rows: BTreeMap<String, Channel> = BTreeMap::new();
        for (at, model) in models.iter().enumerate() {
            let select = format!(
                "SELECT c.channel AS channel, CAST(sum(d.visits) AS BIGINT) AS visits, \
                 CAST(sum(d.inquiries) AS BIGINT) AS inquiries, CAST(sum(d.sales) AS DOUBLE) AS sales, \
                 CAST(sum(d.net) AS DECIMAL(38, 2)) AS net, CAST(sum(d.cost) AS DECIMAL(38, 2)) AS cost \
                 FROM channel_daily d JOIN dim_channel c ON c.channel_id = d.channel_id \
                 WHERE d.model = '{}' GROUP BY c.channel",
                model.replace('\'', "''")
            );
            let mut batches = last.engine.read(&select, &[]).await?;
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                let column = |name: &str| {
                    batch.column_by_name(name).ok_or_else(|| Error::bug(format!("no column {name}")))
                };
                let names = column("channel")?.as_string::<i32>();
                let whole = |name: &str, i: usize| -> Result<i64> {
                    let values = column(name)?.as_primitive::<Int64Type>();
                    Ok(if values.is_null(i) { 0 } else { values.value(i) })
                };
                let money = |name: &str, i: usize| -> Result<i128> {
                    let values = column(name)?.as_primitive::<Decimal128Type>();
                    Ok(if values.is_null(i) { 0 } else { values.value(i) })
                };
                for i in 0..batch.num_rows() {
                    let channel = rows.entry(names.value(i).to_owned()).or_insert_with(|| Channel {
                        name: names.value(i).to_owned(),
                        by_model: vec![(0.0, 0); models.len()],
                        ..Channel::default()
                    });
                    channel.visits = whole("visits", i)?;
                    channel.inquiries = whole("inquiries", i)?;
                    channel.cost = money("cost", i)?;
                    let sales = column("sales")?.as_primitive::<Float64Type>();
                    let sales = if sales.is_null(i) { 0.0 } else { sales.value(i) };
                    if let Some(cell) = channel.by_model.get_mut(at) {
                        *cell = (sales, money("net", i)?);
                    }
                }
            }
        }
        let mut rows: Vec<Channel> = rows.into_values().collect();
        rows.sort_by_key(|c| std::cmp::Reverse((c.cost, c.by_model.first().map_or(0, |m| m.1), c.visits)));
        Ok(Self { models, rows })
    }

    pub fn total(&self) -> Channel {
        let mut total = Channel {
            name: "total".to_owned(),
            by_model: vec![(0.0, 0); self.models.len()],
            ..Channel::default()
        };
        for row in &self.rows {
            total.visits += row.visits;
            total.inquiries += row.inquiries;
            total.cost += row.cost;
            for (sum, part) in total.by_model.iter_mut().zip(&row.by_model) {
                sum.0 += part.0;
                sum.1 += part.1;
            }
        }
        total
    }
}

/// Hundredths as `1 234 567.89`: thin groups, so that figures of any size can be compared by eye.
pub fn money(hundredths: i128) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    let whole = (hundredths.unsigned_abs() / 100).to_string();
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            grouped.push('\u{a0}');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}.{:02}", hundredths.unsigned_abs() % 100)
}

/// Return on investment in percent; nothing without cost.
pub fn roi(net: i128, cost: i128) -> String {
    if cost == 0 { "–".to_owned() } else { format!("{:.0}%", (net - cost) as f64 / cost as f64 * 100.0) }
}

/// The table for the terminal.
pub async fn channels(last: &LastEpoch) -> Result<String> {
    let channels = Channels::read(last).await?;
    let mut head = vec!["channel".to_owned(), "visits".into(), "inquiries".into(), "cost".into()];
    for model in &channels.models {
        head.extend(["deals", "revenue", "ROI"].map(|what| format!("{what}\n{model}")));
    }
    let rows = channels.rows.iter().chain(std::iter::once(&channels.total())).map(row_text).collect();
    Ok(grid(&head.iter().map(String::as_str).collect::<Vec<_>>(), rows))
}

fn row_text(channel: &Channel) -> Vec<String> {
    let mut cells = vec![
        channel.name.clone(),
        channel.visits.to_string(),
        channel.inquiries.to_string(),
        money(channel.cost),
    ];
    for (sales, net) in &channel.by_model {
        cells.extend([format!("{sales:.1}"), money(*net), roi(*net, channel.cost)]);
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_grouped_and_exact() {
        assert_eq!(money(123_456_789), "1\u{a0}234\u{a0}567.89");
        assert_eq!(money(-5), "-0.05");
        assert_eq!(money(100_000), "1\u{a0}000.00");
    }

    #[test]
    fn roi_needs_a_cost() {
        assert_eq!(roi(300, 100), "200%");
        assert_eq!(roi(300, 0), "–");
    }
}
