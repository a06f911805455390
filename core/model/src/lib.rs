//! Floor 0 of Throughline: the words and promises that everything else is built on.
//!
//! A connector author needs [`Source`], [`Context`] and [`Error`]; a sink author [`Sink`]. The
//! canonical tables are in [`canonical`]. This crate knows no vendor, no SQL engine, no database, and
//! reads neither clock nor network.

pub mod alert;
pub mod canonical;
pub mod catalog;
pub mod connection;
pub mod connector;
pub mod consent;
pub mod context;
pub mod error;
pub mod http;
pub mod instant;
pub mod json_path;
pub mod money;
pub mod phone;
pub mod secret;
pub mod sink;
pub mod source;
pub mod time;
pub mod token;
pub mod url;
pub mod write_back;

pub use alert::{AlertConnector, AlertMessage, Alerter, DynAlerter, Trouble};
pub use catalog::{Capabilities, Catalog, ColumnSpec, ColumnType, Restates, StreamSpec};
pub use connection::{Answered, Call, Connection, ConnectionKind, DynConnection};
pub use connector::{ConfigErrors, Options, SinkConnector, SourceConnector};
pub use consent::{Consent, DynConsent};
pub use context::{Context, NoteStore, TokenLease, TokenPair, TokenStore};
pub use error::{Error, ErrorKind, Place, PointerAt, Result, Retry};
pub use secret::{Redactor, Secret};
pub use sink::{BatchStream, Committable, DynSink, Guarantee, Receipt, Sink, Table, TxnId};
pub use source::{
    Batch, CheckReport, Checkpoint, CountCheck, DynSource, Forgotten, Mapping, Notice, Param, ReadEvent,
    ReadRequest, ReadStream, Reject, Scrubbed, Source,
};
pub use time::{Clock, FixedClock, SystemClock, Window};
pub use write_back::WriteBack;
