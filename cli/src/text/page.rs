//! The report as one HTML file: charts drawn as SVG, no script, no request to anywhere.

use std::fmt::Write as _;
use std::path::PathBuf;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use futures::StreamExt;
use throughline_core::{Error, Result};
use throughline_engine::pipeline::Pipeline;
use throughline_engine::run::{Completeness, LastEpoch, RunReport};

use super::channels::{Channels, money, roi};
use super::instant;

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2330;--soft:#66708a;--line:#d9deea;--back:#fff;--cost:#e07a5f;--net:#3d7dca;--bar:#5aa469}
@media(prefers-color-scheme:dark){:root{--ink:#e7ebf3;--soft:#9aa5bd;--line:#323a4d;--back:#151a24}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:1100px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2.2rem 0 .6rem}p,small{color:var(--soft)}
table{border-collapse:collapse;width:100%}th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:end;font-variant-numeric:tabular-nums}
th:first-child,td:first-child{text-align:start}tr.total td{font-weight:600}svg{width:100%;height:auto}svg text{fill:var(--ink);font:12px system-ui,sans-serif}
.key{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-inline:.8em .3em}";

/// Writes the page beside the tables of the first file sink, or into the state folder.
pub async fn write_page(pipeline: &Pipeline, last: &LastEpoch, report: &RunReport) -> Result<PathBuf> {
    let html = page(pipeline, last, report).await?;
    let path = pipeline.base_dir.join(format!("{}-report.html", pipeline.name));
    // Whoever has it open never sees half a page.
    let temporary = path.with_extension("html.tmp");
    std::fs::write(&temporary, html)
        .and_then(|()| std::fs::rename(&temporary, &path))
        .map_err(|e| Error::io("write", path.display(), e))?;
    Ok(path)
}

async fn page(pipeline: &Pipeline, last: &LastEpoch, report: &RunReport) -> Result<String> {
    let channels = Channels::read(last).await?;
    let methods = counts(
        last,
        "SELECT match_method, n FROM (SELECT match_method, CAST(count(*) AS BIGINT) AS n FROM inquiries \
         GROUP BY match_method) ORDER BY n DESC, match_method",
    )
    .await?;
    let days = counts(
        last,
        "SELECT CAST(date AS VARCHAR) AS day, n FROM (SELECT date, CAST(sum(inquiries) AS BIGINT) AS n \
         FROM channel_daily WHERE model = (SELECT min(model) FROM channel_daily) GROUP BY date) ORDER BY day",
    )
    .await?;
    let mut out = String::new();
    let name = escape(&pipeline.name);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{name}</title><style>{STYLE}</style>\n<h1>{name}</h1>\
         <p>Epoch {}, as of {}. Money in the reporting currency.</p>\n",
        last.epoch.epoch_no,
        instant(report.started_at_us)
    );
    out += &channel_chart(&channels);
    out += &channel_table(&channels);
    let _ = write!(out, "<h2>Inquiries by day</h2>\n{}", day_chart(&days));
    let _ = write!(
        out,
        "<h2>How inquiries were tied to their visit</h2>\n\
         <p>token: the visit's ID stood in the first message; identity: the person was known; none: nothing tied them.</p>\n{}",
        share_table(&methods)
    );
    out += &completeness_table(report);
    out.push_str("</html>\n");
    Ok(out)
}

async fn counts(last: &LastEpoch, select: &str) -> Result<Vec<(String, i64)>> {
    let mut rows = Vec::new();
    let mut batches = last.engine.read(select, &[]).await?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let (names, values) =
            (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
        for i in 0..batch.num_rows() {
            let name = if names.is_null(i) { "(none)" } else { names.value(i) };
            rows.push((name.to_owned(), if values.is_null(i) { 0 } else { values.value(i) }));
        }
    }
    Ok(rows)
}

/// Cost and revenue side by side, a pair of bars per channel.
fn channel_chart(channels: &Channels) -> String {
    let Some(model) = channels.models.first() else { return String::new() };
    let rows: Vec<_> = channels
        .rows
        .iter()
        .filter(|c| c.cost != 0 || c.by_model.iter().any(|m| m.1 != 0))
        .take(14)
        .collect();
    let net = |c: &super::channels::Channel| c.by_model.first().map_or(0, |m| m.1);
    let most = rows.iter().map(|c| c.cost.max(net(c))).max().unwrap_or(0).max(1) as f64;
    let (height, left, wide) = (rows.len() * 44 + 8, 200.0, 640.0);
    let mut svg = format!(
        "<h2>Revenue and cost by channel</h2><p><span class=\"key\" style=\"background:var(--net)\"></span>revenue, {}\
         <span class=\"key\" style=\"background:var(--cost)\"></span>cost</p>\n\
         <svg viewBox=\"0 0 1000 {height}\" role=\"img\" aria-label=\"Revenue and cost by channel\">",
        escape(model)
    );
    for (i, channel) in rows.iter().enumerate() {
        let y = i * 44 + 6;
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            left - 10.0,
            y + 20,
            escape(&channel.name)
        );
        for (offset, value, colour) in [(0, net(channel), "--net"), (17, channel.cost, "--cost")] {
            let width = (value.max(0) as f64 / most * wide).max(0.0);
            let _ = write!(
                svg,
                "<rect x=\"{left}\" y=\"{}\" width=\"{width:.1}\" height=\"14\" rx=\"2\" style=\"fill:var({colour})\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{}</text>",
                y + offset,
                left + width + 6.0,
                y + offset + 11,
                money(value)
            );
        }
    }
    svg + "</svg>\n"
}

fn channel_table(channels: &Channels) -> String {
    let mut html =
        "<h2>Channels</h2>\n<table><thead><tr><th>channel<th>visits<th>inquiries<th>cost".to_owned();
    for model in &channels.models {
        for what in ["deals", "revenue", "ROI"] {
            let _ = write!(html, "<th>{what}<br><small>{}</small>", escape(model));
        }
    }
    html += "</thead><tbody>\n";
    let total = channels.total();
    for (channel, class) in
        channels.rows.iter().map(|c| (c, "")).chain(std::iter::once((&total, " class=\"total\"")))
    {
        let _ = write!(
            html,
            "<tr{class}><td dir=\"auto\">{}<td>{}<td>{}<td>{}",
            escape(&channel.name),
            channel.visits,
            channel.inquiries,
            money(channel.cost)
        );
        for (sales, net) in &channel.by_model {
            let _ = write!(html, "<td>{sales:.1}<td>{}<td>{}", money(*net), roi(*net, channel.cost));
        }
        html.push('\n');
    }
    html + "</tbody></table>\n"
}

fn day_chart(days: &[(String, i64)]) -> String {
    let most = days.iter().map(|d| d.1).max().unwrap_or(0).max(1) as f64;
    let step = 1000.0 / days.len().max(1) as f64;
    let mut svg = "<svg viewBox=\"0 0 1000 190\" role=\"img\" aria-label=\"Inquiries by day\">".to_owned();
    for (i, (day, count)) in days.iter().enumerate() {
        let height = *count as f64 / most * 150.0;
        let _ = write!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" style=\"fill:var(--bar)\"><title>{}: {count}</title></rect>",
            i as f64 * step,
            160.0 - height,
            (step - 1.0).max(0.5),
            escape(day)
        );
    }
    if let (Some(first), Some(last)) = (days.first(), days.last()) {
        let _ = write!(
            svg,
            "<text x=\"0\" y=\"182\">{}</text><text x=\"1000\" y=\"182\" text-anchor=\"end\">{}</text>",
            escape(&first.0),
            escape(&last.0)
        );
    }
    svg + "</svg>\n"
}

fn share_table(rows: &[(String, i64)]) -> String {
    let all = rows.iter().map(|r| r.1).sum::<i64>().max(1) as f64;
    let mut html = "<table><thead><tr><th>method<th>inquiries<th>share</thead><tbody>\n".to_owned();
    for (name, count) in rows {
        let _ = writeln!(html, "<tr><td>{}<td>{count}<td>{:.1}%", escape(name), *count as f64 / all * 100.0);
    }
    html + "</tbody></table>\n"
}

fn completeness_table(report: &RunReport) -> String {
    let mut html =
        "<h2>What was read</h2>\n<table><thead><tr><th>stream<th>new rows<th>rejected<th>complete</thead><tbody>\n".to_owned();
    for stream in &report.streams {
        let complete = match stream.completeness {
            Completeness::Complete => "complete",
            Completeness::Incomplete => "INCOMPLETE",
            Completeness::Unknown => "unknown",
        };
        let _ = writeln!(
            html,
            "<tr><td>{}.{}<td>{}<td>{}<td>{complete}",
            escape(&stream.source),
            escape(&stream.stream),
            stream.rows,
            stream.rejected
        );
    }
    html + "</tbody></table>\n"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
