//! Bulk API 2.0: a job that puts a query's records into pieces of CSV.
//!
//! <https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/queries.htm>

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use throughline_core::{Error, ErrorKind, ReadEvent, Result};

use super::answer::{Job, JobState};
use super::client::Piece;
use super::plan::Plan;
use super::read::Reader;
use super::rows::{Csv, Rows, count};
use super::state::{Open, OpenJob, State};

/// A piece is asked for so many times before its number of records is believed to be wrong.
const DOWNLOADS: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Jobs over many millions of records take hours; after this long something is stuck.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);

/// Numbers scratch files.
static SCRATCH: AtomicU64 = AtomicU64::new(0);

pub(crate) struct Bulk<'a> {
    pub reader: &'a Reader,
    pub plan: &'a Plan,
}

pub(crate) enum Outcome {
    /// All records came.
    Done { job: String },
    /// It failed, or there are no results of it any more: the span must be asked for anew.
    Gone { why: String },
    /// Somebody stopped it.
    Aborted { why: String },
}

impl Bulk<'_> {
    /// Starts a job over a span; in Salesforce's words why there is none for this object.
    pub async fn start(&self, open: &Open) -> Result<Result<OpenJob, String>> {
        match self.reader.client.start(&self.plan.span(open)).await {
            Ok(job) => Ok(Ok(OpenJob { id: job.id, locator: String::new(), shape: self.plan.shape.clone() })),
            Err(e) if e.kind() == ErrorKind::Config => Ok(Err(e.message().to_owned())),
            Err(e) => Err(e),
        }
    }

    /// Waits for the job of a span and reads what of it was not read yet.
    pub async fn read(&self, rows: &mut Rows, open: &mut Open, state: &mut State) -> Result<Outcome> {
        let Some(id) = open.job.as_ref().map(|job| job.id.clone()) else {
            return Err(Error::bug("a bulk read without a job"));
        };
        let job = match self.ready(&id).await? {
            Ok(job) => job,
            Err(ended) => return Ok(ended),
        };
        if let Some(all) = job.number_records_processed {
            self.reader.out.send(ReadEvent::Total(all)).await?;
        }
        let mut told = open.rows;
        while let Some(locator) = open.job.as_ref().map(|job| job.locator.clone()) {
            self.reader.ctx.check_cancelled()?;
            let (piece, path) = match self.download(&id, &locator).await {
                Ok(found) => found,
                // Results are kept for seven days.
                Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Config) => {
                    let why = format!("results of the bulk job {id} are gone: {}", e.message());
                    return Ok(Outcome::Gone { why });
                }
                Err(e) => return Err(e),
            };
            let sent = self.send(rows, &path, &piece, &id).await;
            // Gone at the end of the run at the latest.
            let _ = tokio::fs::remove_file(&path).await;
            let sent = sent?;
            open.rows += sent;
            told += piece.records;
            let Some(next) = piece.next else { break };
            if next == locator {
                return Err(Error::protocol(format!("the bulk job {id} gives the same piece for ever")));
            }
            if let Some(job) = &mut open.job {
                job.locator = next;
            }
            state.open = Some(open.clone());
            self.reader.out.send(ReadEvent::Checkpoint(state.checkpoint())).await?;
        }
        self.reader.count(job.number_records_processed.unwrap_or(told), open.rows).await?;
        Ok(Outcome::Done { job: id })
    }

    /// Polls until there are results; or how it ended without.
    async fn ready(&self, id: &str) -> Result<Result<Job, Outcome>> {
        let (mut wait, mut waited) = (FIRST_WAIT, Duration::ZERO);
        loop {
            let job = match self.reader.client.job(id).await {
                Ok(job) => job,
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    return Ok(Err(Outcome::Gone { why: format!("the bulk job {id} is gone") }));
                }
                Err(e) => return Err(e),
            };
            let words = job.error_message.clone().unwrap_or_else(|| "no reason given".into());
            match job.state {
                JobState::JobComplete => return Ok(Ok(job)),
                JobState::Failed => {
                    return Ok(Err(Outcome::Gone { why: format!("the bulk job {id} failed ({words})") }));
                }
                JobState::Aborted => {
                    return Ok(Err(Outcome::Aborted { why: format!("somebody aborted the bulk job {id}") }));
                }
                JobState::UploadComplete | JobState::InProgress | JobState::Unknown => {}
            }
            if waited >= PATIENCE {
                return Err(Error::new(
                    ErrorKind::Io,
                    format!("the bulk job {id} is not done after 6 hours"),
                )
                .hint("the next run goes on with it")
                .temporary(None));
            }
            self.reader.pause(wait).await?;
            waited += wait;
            wait = (wait * 3 / 2).min(LONGEST_WAIT);
        }
    }

    /// A whole piece, in a file.
    async fn download(&self, id: &str, locator: &str) -> Result<(Piece, PathBuf)> {
        // A read that was dropped may still be at the same piece.
        let scratch = SCRATCH.fetch_add(1, Ordering::Relaxed);
        let path = self.reader.ctx.scratch.join(format!("salesforce-{}-{scratch}.csv", std::process::id()));
        let mut attempt = 1;
        loop {
            let wrong = match self.reader.client.piece(id, locator, &path).await {
                Ok(piece) => match (counted(&path)?, piece.records) {
                    (Some(found), told) if found != told => Error::protocol(format!(
                        "a piece of the bulk job {id} has {found} records, {told} were announced"
                    ))
                    .temporary(None),
                    (Some(_), _) => return Ok((piece, path)),
                    (None, _) => {
                        Error::protocol(format!("a piece of the bulk job {id} ends inside of quotes"))
                            .temporary(None)
                    }
                },
                Err(e) if !e.is_temporary() => return Err(e),
                Err(e) => e,
            };
            if attempt == DOWNLOADS {
                let _ = tokio::fs::remove_file(&path).await;
                return Err(wrong);
            }
            attempt += 1;
            self.reader.pause(Duration::from_secs(2 << attempt)).await?;
        }
    }

    /// Sends the records of a piece; gives how many there were.
    async fn send(&self, rows: &mut Rows, path: &PathBuf, piece: &Piece, id: &str) -> Result<u64> {
        let file = std::fs::File::open(path).map_err(|e| Error::io("open", path.display(), e))?;
        let mut csv = Csv::new(rows, file, self.plan, format!("job {id}"), piece.exchange);
        // Some megabytes between two awaits: not worth a thread.
        while let Some(events) = csv.next(self.plan)? {
            for event in events {
                self.reader.out.send(event).await?;
            }
        }
        Ok(csv.read)
    }
}

fn counted(path: &PathBuf) -> Result<Option<u64>> {
    let failed = |e| Error::io("read", path.display(), e);
    count(std::fs::File::open(path).map_err(failed)?).map_err(failed)
}
