//! Where finished tables go: one folder per destination, and one line in [`all`].
//!
//! The file sinks publish by [`epoch_folder`]: a reader sees all tables of one epoch or of the one
//! before it, never a mixture.

mod alert;
mod csv;
mod epoch_folder;
mod files;
mod instants;
mod parquet;
mod postgresql;
mod singer;
mod staging;

use throughline_core::{AlertConnector, SinkConnector};

/// Every sink of this program.
pub fn all() -> Vec<Box<dyn SinkConnector>> {
    vec![
        Box::new(parquet::ParquetConnector),
        Box::new(csv::CsvConnector),
        Box::new(postgresql::PostgresqlConnector),
        Box::new(singer::SingerConnector),
    ]
}

/// Every way to tell people what is wrong.
pub fn alerters() -> Vec<Box<dyn AlertConnector>> {
    alert::all()
}
