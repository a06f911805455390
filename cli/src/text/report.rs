//! The run report: rows per stream, complete or not, guarantee per sink, time.

use throughline_attribution::Scope;
use throughline_engine::run::{Completeness, RunReport, RunStatus, StreamReport};

use super::{grid, instant};
use crate::output::{BAD, BOLD, DIM, GOOD, WARN, paint};

pub fn run_report(report: &RunReport) -> String {
    let mut text = String::new();
    if !report.streams.is_empty() {
        let head = ["stream", "rows", "rejected", "read", "complete", "time"];
        text += &grid(&head, report.streams.iter().map(stream_row).collect());
    }
    if !report.sinks.is_empty() {
        let head = ["sink", "tables", "rows", "guarantee", "where"];
        let rows = report.sinks.iter().map(|s| {
            vec![
                format!("{} ({})", s.sink, s.connector),
                s.tables.to_string(),
                s.rows.to_string(),
                s.guarantee.as_str().to_owned(),
                s.location.clone(),
            ]
        });
        text += &grid(&head, rows.collect());
    }
    for stream in &report.streams {
        for notice in &stream.notices {
            text += &format!("{} {}\n", paint(WARN, "note"), notice.message);
        }
        for count in stream.counts.iter().filter(|c| c.expected != c.read) {
            text += &format!(
                "{} {}.{}: {}: the vendor counts {}, {} came\n",
                paint(BAD, "incomplete"),
                stream.source,
                stream.stream,
                count.what,
                count.expected,
                count.read
            );
        }
    }
    for notice in &report.notices {
        text += &format!("{} {}\n", paint(WARN, "note"), notice.message);
    }
    if report.dead_letters > 0 {
        text += &format!(
            "{} {} records could not be used: throughline dead-letters list\n",
            paint(WARN, "note"),
            report.dead_letters
        );
    }
    if !report.books.is_empty() {
        let balanced = report.books.iter().filter(|b| b.ok).count();
        let word =
            if balanced == report.books.len() { paint(GOOD, "balanced") } else { paint(BAD, "NOT balanced") };
        text += &format!("Books {word}: {balanced} of {} checks hold\n", report.books.len());
    }
    text += &report.attributed.as_ref().map(attributed).unwrap_or_default();
    for error in &report.errors {
        text += &format!("{} {}\n", paint(BAD, "error"), error.message);
    }
    text + &last_line(report)
}

fn attributed(scope: &Scope) -> String {
    match scope {
        Scope::All { because } => format!("Attributed everything: {because}\n"),
        Scope::Part { differing, records } => {
            format!(
                "Attributed {records} records that {differing} new or changed ones touch; the rest stands\n"
            )
        }
    }
}

fn last_line(report: &RunReport) -> String {
    let status = match report.status {
        RunStatus::Succeeded => paint(GOOD, "succeeded"),
        RunStatus::Incomplete => paint(WARN, "incomplete"),
        RunStatus::Failed => paint(BAD, "failed"),
        RunStatus::Cancelled => paint(WARN, "stopped"),
    };
    let epoch = match report.epoch {
        Some(epoch) if report.published => format!("epoch {epoch} published"),
        Some(epoch) => format!("readers see epoch {epoch}"),
        None => "nothing published yet".to_owned(),
    };
    format!(
        "{} run {} {status}: {} new rows, {epoch}, {:.1} s {}\n",
        paint(BOLD, &report.pipeline),
        report.run,
        report.rows,
        report.elapsed_ms as f64 / 1000.0,
        paint(DIM, format!("(as of {})", instant(report.started_at_us)))
    )
}

fn stream_row(stream: &StreamReport) -> Vec<String> {
    let complete = match (&stream.error, stream.completeness) {
        (Some(_), _) => "FAILED",
        (None, Completeness::Complete) => "complete",
        (None, Completeness::Incomplete) => "INCOMPLETE",
        (None, Completeness::Unknown) => "unknown",
    };
    vec![
        format!("{}.{}", stream.source, stream.stream),
        stream.rows.to_string(),
        if stream.rejected == 0 { String::new() } else { stream.rejected.to_string() },
        stream.mode.clone(),
        complete.to_owned(),
        format!("{:.1} s", stream.elapsed_ms as f64 / 1000.0),
    ]
}
