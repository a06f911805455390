//! The reading end, of which there may be many, in other processes too. It blocks: call it where that is
//! allowed.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, params};
use throughline_core::Result;
use throughline_core::time::InstantUs;

use super::db::{self, told};
use super::fold::Reading;
use super::writer::{ADVANCE, source_id};

/// Something that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub seq: i64,
    pub received_at_us: InstantUs,
    /// A JSON object: name to text, or to a list of texts.
    pub headers: String,
    pub body: Vec<u8>,
}

/// How a source stands in the inbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceState {
    /// The last number given out, to whatever source.
    pub last_seq: i64,
    pub stored: u64,
    /// What retention has dropped, and the last of it.
    pub dropped: u64,
    pub dropped_through: i64,
    pub newest_at_us: Option<InstantUs>,
}

/// How far a reader is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderState {
    pub source: String,
    pub reader: String,
    pub seq: i64,
    /// Deliveries behind `seq`; counted up to 100,000.
    pub unread: u64,
    pub oldest_unread_at_us: Option<InstantUs>,
}

pub struct InboxReader {
    conn: Connection,
    path: PathBuf,
    id: String,
    // Let go of last, when the file is closed.
    _reading: Option<Reading>,
}

impl InboxReader {
    /// From another process than the one that receives; there, [`super::Inbox::reader`].
    ///
    /// # Errors
    /// `NotFound` when nobody has received anything yet.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_as(path.as_ref(), None)
    }

    pub(super) fn open_as(path: &Path, reading: Option<Reading>) -> Result<Self> {
        let conn = db::open_reader(path)?;
        let id = conn.query_row("SELECT id FROM inbox", [], |r| r.get(0)).map_err(|e| told(e, path))?;
        Ok(Self { conn, path: path.to_owned(), id, _reading: reading })
    }

    /// Tells this inbox from another at the same place.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Deliveries behind `after`, in order: at most `limit`, and no more once they hold `limit_bytes`.
    pub fn read(&self, source: &str, after: i64, limit: usize, limit_bytes: usize) -> Result<Vec<Delivery>> {
        let work = || {
            let mut find = self.conn.prepare_cached(
                "SELECT seq, received_at_us, headers, body FROM deliveries
                 WHERE source = (SELECT id FROM sources WHERE name = ?1) AND seq > ?2 ORDER BY seq LIMIT ?3",
            )?;
            let mut rows = find.query(params![source, after, i64::try_from(limit).unwrap_or(i64::MAX)])?;
            let (mut all, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let found = Delivery {
                    seq: row.get(0)?,
                    received_at_us: row.get(1)?,
                    headers: row.get(2)?,
                    body: row.get(3)?,
                };
                bytes += found.body.len() + found.headers.len();
                all.push(found);
                if bytes >= limit_bytes {
                    break;
                }
            }
            Ok(all)
        };
        work().map_err(|e| told(e, &self.path))
    }

    pub fn state(&self, source: &str) -> Result<SourceState> {
        let work = || {
            let last_seq = self
                .conn
                .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'deliveries'", [], |r| r.get(0))
                .optional()?
                .unwrap_or(0);
            let known = self
                .conn
                .query_row(
                    "SELECT id, dropped, dropped_through FROM sources WHERE name = ?1",
                    [source],
                    |r| Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?, r.get::<_, i64>(2)?)),
                )
                .optional()?;
            let Some((id, dropped, dropped_through)) = known else {
                return Ok(SourceState { last_seq, ..SourceState::default() });
            };
            let stored: i64 =
                self.conn
                    .query_row("SELECT count(*) FROM deliveries WHERE source = ?1", [id], |r| r.get(0))?;
            let newest_at_us = self
                .conn
                .query_row(
                    "SELECT received_at_us FROM deliveries WHERE source = ?1 ORDER BY seq DESC LIMIT 1",
                    [id],
                    |r| r.get(0),
                )
                .optional()?;
            let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
            Ok(SourceState {
                last_seq,
                stored: unsigned(stored),
                dropped: unsigned(dropped),
                dropped_through,
                newest_at_us,
            })
        };
        work().map_err(|e| told(e, &self.path))
    }

    /// Makes a reader known: from now on nothing that it has not read is dropped. Nothing changes for one
    /// that is known.
    pub fn register(&self, source: &str, reader: &str) -> Result<()> {
        self.advance(source, reader, 0)
    }

    /// The next delivery gets a number behind `seq`: an older inbox that was restored from a backup must not give
    /// again the numbers of deliveries that were read from the newer one. Before receiving begins.
    pub fn skip_to(&self, seq: i64) -> Result<()> {
        let work = || {
            let done = self
                .conn
                .execute("UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'deliveries'", [seq])?;
            if done == 0 {
                self.conn
                    .execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('deliveries', ?1)", [seq])?;
            }
            Ok(())
        };
        work().map_err(|e| told(e, &self.path))
    }

    /// As [`InboxReader::register`], and writes nothing for a reader that is known.
    pub fn register_once(&self, source: &str, reader: &str) -> Result<()> {
        match self.cursor(source, reader)? {
            Some(_) => Ok(()),
            None => self.register(source, reader),
        }
    }

    /// How far a reader is; 0 for one that is not known.
    pub fn position(&self, source: &str, reader: &str) -> Result<i64> {
        Ok(self.cursor(source, reader)?.unwrap_or(0))
    }

    fn cursor(&self, source: &str, reader: &str) -> Result<Option<i64>> {
        self.conn
            .query_row(
                "SELECT seq FROM readers JOIN sources ON sources.id = source WHERE name = ?1 AND reader = ?2",
                [source, reader],
                |r| r.get(0),
            )
            .optional()
            .map_err(|e| told(e, &self.path))
    }

    /// What comes up to `seq` is stored elsewhere for good. A reader never goes back.
    pub fn advance(&self, source: &str, reader: &str, seq: i64) -> Result<()> {
        let work = || {
            let id = source_id(&self.conn, source)?;
            self.conn.prepare_cached(ADVANCE)?.execute(params![id, reader, seq]).map(|_| ())
        };
        work().map_err(|e| told(e, &self.path))
    }

    /// Every reader that was ever registered.
    pub fn readers(&self) -> Result<Vec<ReaderState>> {
        let work = || {
            let mut find = self.conn.prepare_cached(
                "SELECT name, reader, seq,
                        (SELECT count(*) FROM (SELECT 1 FROM deliveries d
                         WHERE d.source = readers.source AND d.seq > readers.seq LIMIT 100000)),
                        (SELECT received_at_us FROM deliveries d
                         WHERE d.source = readers.source AND d.seq > readers.seq ORDER BY d.seq LIMIT 1)
                 FROM readers JOIN sources ON sources.id = readers.source ORDER BY name, reader",
            )?;
            let rows = find.query_map([], |r| {
                Ok(ReaderState {
                    source: r.get(0)?,
                    reader: r.get(1)?,
                    seq: r.get(2)?,
                    unread: u64::try_from(r.get::<_, i64>(3)?).unwrap_or(0),
                    oldest_unread_at_us: r.get(4)?,
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        work().map_err(|e| told(e, &self.path))
    }
}
