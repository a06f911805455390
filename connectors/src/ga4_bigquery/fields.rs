//! Which columns of the export are asked for, and what lands of them.
//!
//! <https://support.google.com/analytics/answer/7029846>

use throughline_core::{Capabilities, ColumnSpec, ColumnType, Restates, StreamSpec};

pub(crate) const EVENTS: &str = "events";

/// Added to every row: the day of its table, and whether that was the daily or the intraday one.
pub(crate) const DAY: &str = "export_day";
pub(crate) const TABLE: &str = "export_table";
/// What the option `token_param` names, as event parameter and as user property.
pub(crate) const TOKEN: &str = "event_token";
pub(crate) const USER_TOKEN: &str = "user_token";

/// Columns with what the mappings take them for. Tables of earlier years lack the younger of them.
const COLUMNS: &[(&str, ColumnType)] = &[
    ("event_date", ColumnType::Text),
    ("event_timestamp", ColumnType::Int),
    ("event_name", ColumnType::Text),
    ("event_params", ColumnType::Json),
    ("event_bundle_sequence_id", ColumnType::Int),
    ("user_id", ColumnType::Text),
    ("user_pseudo_id", ColumnType::Text),
    ("user_properties", ColumnType::Json),
    ("device", ColumnType::Json),
    ("geo", ColumnType::Json),
    ("traffic_source", ColumnType::Json),
    ("collected_traffic_source", ColumnType::Json),
    ("session_traffic_source_last_click", ColumnType::Json),
    ("stream_id", ColumnType::Text),
    ("platform", ColumnType::Text),
    ("is_active_user", ColumnType::Bool),
    ("batch_event_index", ColumnType::Int),
    ("batch_page_id", ColumnType::Int),
    ("batch_ordering_id", ColumnType::Int),
];

/// Event parameters that the mappings need.
const PARAMS: &[&str] =
    &["ga_session_id", "ga_session_number", "page_location", "page_referrer", "page_title", "link_url"];

fn with(usual: impl Iterator<Item = &'static str>, more: &[String]) -> Vec<String> {
    let mut all: Vec<String> = usual.map(str::to_owned).collect();
    for name in more {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    all
}

pub(crate) fn columns(more: &[String]) -> Vec<String> {
    with(COLUMNS.iter().map(|(name, _)| *name), more)
}

pub(crate) fn params(more: &[String]) -> Vec<String> {
    with(PARAMS.iter().copied(), more)
}

/// The column of an event parameter.
pub(crate) fn param_column(name: &str) -> String {
    format!("param_{name}")
}

pub(crate) fn stream() -> StreamSpec {
    let column = |name: &str, kind, doc: &str| ColumnSpec { name: name.into(), kind, doc: doc.into() };
    let mut columns = vec![
        column(DAY, ColumnType::Date, "day of the table the event stands in, in the property's time zone"),
        column(TABLE, ColumnType::Text, "`daily`, or `intraday`: not complete yet"),
        column(TOKEN, ColumnType::Text, "the event parameter that `token_param` names"),
        column(USER_TOKEN, ColumnType::Text, "the user property that `token_param` names"),
    ];
    for (name, kind) in COLUMNS {
        let doc = if *name == "event_timestamp" { "microseconds since 1970, UTC" } else { "" };
        columns.push(column(name, *kind, doc));
    }
    for name in PARAMS {
        columns.push(column(&param_column(name), ColumnType::Text, "the event parameter of that name"));
    }
    StreamSpec {
        name: EVENTS.into(),
        doc: "One row per event that the property exported.".into(),
        // Older tables have nothing that tells two events of one microsecond apart: each row stands for itself,
        // and days are replaced whole.
        key: Vec::new(),
        columns,
        restates: Some(Restates { day_column: DAY.into() }),
        capabilities: Capabilities {
            incremental: true,
            deletes: true,
            count: true,
            resumable: true,
            windowed: true,
            ..Default::default()
        },
    }
}
