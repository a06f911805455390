//! Attribution: canonical tables in, facts, dimensions and daily tables out.
//!
//! The work is a list of SELECTs (`src/steps`), written so that DataFusion, DuckDB and Spark answer
//! them alike, run in order through [`throughline_sql::SqlEngine`]. The host does what SQL should not:
//! joining identifiers into persons ([`identity`]), naming channels ([`channels`]), reading exchange
//! rates ([`money`]). Definitions are in docs/attribution.md.

mod books;
mod calendar;
mod canon;
pub mod channels;
mod docs;
mod explain;
mod host;
mod identity;
mod job;
pub mod models;
mod money;
mod origins;
mod runner;
mod settings;
mod tables;
mod transforms;

pub use books::BookCheck;
pub use docs::tables_markdown;
pub use explain::{Credit, Explanation, Gap, Line, explain};
pub use job::{Job, Outcome, OutputTable, Progress, run};
pub use settings::{BroadcastTouches, ConversionType, Identity, Model, MultiConversion, Settings};
pub use tables::{Kind, OutputColumn, OutputSpec, output_table, output_tables};
