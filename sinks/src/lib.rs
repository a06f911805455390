//! Where finished tables go: one folder per destination, and one line in [`all`].
//!
//! The file sinks publish by [`epoch_folder`] and [`bucket`]: a reader sees all tables of one epoch or of the one
//! before it, never a mixture.

mod alert;
mod bucket;
mod crm;
mod csv;
mod destination;
mod epoch_folder;
mod files;
mod ga4_measurement;
mod instants;
mod notes;
mod parquet;
mod postgresql;
mod singer;
mod staging;
mod upload;
mod yandex_metrica;

use throughline_core::{AlertConnector, SinkConnector};

/// Every sink of this program.
pub fn all() -> Vec<Box<dyn SinkConnector>> {
    vec![
        Box::new(parquet::ParquetConnector),
        Box::new(csv::CsvConnector),
        Box::new(postgresql::PostgresqlConnector),
        Box::new(singer::SingerConnector),
        Box::new(yandex_metrica::MetricaConnector),
        Box::new(ga4_measurement::Ga4Connector),
    ]
}

/// Every way to tell people what is wrong.
pub fn alerters() -> Vec<Box<dyn AlertConnector>> {
    alert::all()
}

/// Sinks that write attribution back into CRMs. They ask through accounts that are lent to them: a CRM without
/// one is left out.
pub fn write_back(accounts: Vec<Box<dyn throughline_core::ConnectionKind>>) -> Vec<Box<dyn SinkConnector>> {
    crm::all(accounts)
}
