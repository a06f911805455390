//! Attribution: canonical tables in, facts, dimensions and daily tables out.
//!
//! The work is a list of SELECTs (`src/steps`), written so that DataFusion, DuckDB and Spark answer
//! them alike, run in order through [`throughline_sql::SqlEngine`]. The host does what SQL should not:
//! joining identifiers into persons ([`identity`]), naming channels ([`channels`]), reading exchange
//! rates ([`money`]). Definitions are in docs/attribution.md.

mod ab;
mod alerts;
mod books;
mod calendar;
mod canon;
pub mod channels;
mod credit;
mod cursor;
mod days;
mod docs;
mod explain;
mod facts;
mod host;
mod hours;
mod identity;
mod incremental;
mod job;
mod journeys;
mod keywords;
mod markov_order;
mod metrics;
pub mod models;
mod money;
mod origins;
mod periods;
mod person;
mod previous;
mod rows;
mod runner;
mod segments;
mod settings;
mod tables;
mod ties;
mod told;
mod transforms;

pub use ab::AbMetric;
pub use alerts::Alerts;
pub use books::BookCheck;
pub use docs::tables_markdown;
pub use explain::{Credit, Explanation, Gap, Line, OtherDeal, explain};
pub use hours::WorkingHours;
pub use incremental::{Before, Scope};
pub use job::{Job, Outcome, OutputTable, Progress, run};
pub use keywords::Language;
pub use markov_order::MarkovOrder;
pub use periods::CohortPeriod;
pub use person::{KnownAs, Person, Shared, person};
pub use previous::Previous;
pub use segments::SegmentRule;
pub use settings::{BroadcastTouches, ConversionType, Identity, Model, MultiConversion, Settings};
pub use tables::{Kind, OutputColumn, OutputSpec, output_table, output_tables};
pub use ties::{Identifier, Tie};
