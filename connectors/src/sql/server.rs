//! What both servers are to a reader.

use throughline_core::instant::Zone;
use throughline_core::{Batch, Error, ReadEvent, Result};

use super::columns::{Described, Rows};
use super::config::{ServerKind, Settings};
use super::mysql::Mysql;
use super::postgresql::Postgresql;
use crate::flow::Out;

/// Rows of one batch.
pub(super) const BATCH_ROWS: usize = 8_192;
/// Or so many bytes, whichever comes first.
const BATCH_BYTES: usize = 4 << 20;

/// An operation that failed.
#[derive(Debug)]
pub(super) struct Broken {
    /// A new connection may well succeed.
    pub passing: bool,
    pub error: Error,
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self { passing: false, error }
    }
}

/// What `check` tells.
pub(super) struct Facts {
    pub version: String,
    pub user: String,
    pub warning: Option<String>,
}

/// A connection in a transaction that sees one moment and changes nothing.
pub(super) enum Server {
    Postgresql(Postgresql),
    Mysql(Box<Mysql>),
}

impl Server {
    pub async fn open(settings: &Settings) -> Result<Self, Broken> {
        let opened = match settings.server {
            ServerKind::Postgresql => Postgresql::open(settings).await.map(Self::Postgresql),
            ServerKind::Mysql => Mysql::open(settings).await.map(|m| Self::Mysql(Box::new(m))),
        };
        opened.map_err(|b| Broken { error: b.error.with("server", settings.place()), ..b })
    }

    pub async fn facts(&mut self) -> Result<Facts, Broken> {
        match self {
            Self::Postgresql(server) => server.facts().await,
            Self::Mysql(server) => server.facts().await,
        }
    }

    pub async fn describe(&mut self, relation: &str, zone: Option<Zone>) -> Result<Vec<Described>, Broken> {
        match self {
            Self::Postgresql(server) => server.describe(relation, zone).await,
            Self::Mysql(server) => server.describe(relation, zone).await,
        }
    }

    pub async fn value(&mut self, sql: &str) -> Result<Option<String>, Broken> {
        match self {
            Self::Postgresql(server) => server.value(sql).await,
            Self::Mysql(server) => server.value(sql).await,
        }
    }

    pub async fn rows(&mut self, sql: &str, taker: &mut Taker<'_>) -> Result<(), Broken> {
        match self {
            Self::Postgresql(server) => server.rows(sql, taker).await,
            Self::Mysql(server) => server.rows(sql, taker).await,
        }
    }

    pub async fn close(self) {
        match self {
            Self::Postgresql(server) => server.close().await,
            Self::Mysql(server) => server.close().await,
        }
    }
}

/// The checkpoint behind a row.
pub(super) type OnTheWay<'a> = &'a (dyn Fn(&[String]) -> ReadEvent + Send + Sync);

/// Takes rows and sends them on in batches, each with the place it ends at.
pub(super) struct Taker<'a> {
    pub rows: Rows,
    pub order: &'a [usize],
    pub out: &'a Out,
    pub stream: &'a str,
    /// Sent so far, over all connections.
    pub sent: u64,
    /// Batches still wanted; `None`: all.
    pub pages_left: Option<u64>,
    /// Texts of `order` in the last row that was sent.
    pub last: Option<Vec<String>>,
    /// The checkpoint of such a place; `None`: this read gives none on its way.
    pub checkpoint: Option<OnTheWay<'a>>,
}

impl Taker<'_> {
    pub async fn row<'v>(&mut self, values: impl Iterator<Item = Option<&'v [u8]>>) -> Result<()> {
        self.rows.push(values).map_err(|e| e.with("row", self.sent + self.rows.rows as u64 + 1))?;
        if self.rows.rows >= BATCH_ROWS || self.rows.bytes >= BATCH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    pub async fn flush(&mut self) -> Result<()> {
        let count = self.rows.rows as u64;
        if count == 0 {
            return Ok(());
        }
        let (batch, last) = self.rows.take(self.order)?;
        let page = format!("{} rows {} to {}", self.stream, self.sent + 1, self.sent + count);
        if !self.order.is_empty() {
            // Asked for before the first row; another transaction of a reconnect may have brought one.
            let last: Option<Vec<String>> = last.into_iter().collect();
            self.last = Some(last.ok_or_else(without_place)?);
        }
        self.out.send(ReadEvent::Batch(Batch { rows: batch, exchange: None, page })).await?;
        self.sent += count;
        if let (Some(checkpoint), Some(last)) = (self.checkpoint, &self.last) {
            self.out.send(checkpoint(last)).await?;
        }
        if let Some(left) = &mut self.pages_left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                // Ends the query; the reader knows why.
                return Err(Error::cancelled());
            }
        }
        Ok(())
    }

    /// Rows that were not sent are read again.
    pub fn forget_unsent(&mut self) {
        let _ = self.rows.take(&[]);
    }

    pub fn has_enough(&self) -> bool {
        self.pages_left == Some(0)
    }
}

pub(super) fn without_place() -> Error {
    Error::data("a row has no value in the cursor or the key, so that later runs would never see it change")
        .hint("leave such rows out by a `query` with WHERE ... IS NOT NULL, or fill them there with coalesce(...)")
}
