//! One read of a stream: through as many connections as it takes, each row once.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use throughline_core::{Checkpoint, Context, CountCheck, Error, Notice, ReadEvent, ReadRequest, Result};

use super::columns::Rows;
use super::config::{Settings, StreamConfig};
use super::query::{From, Plan, relation};
use super::server::{Broken, OnTheWay, Server, Taker, without_place};
use crate::flow::Out;

/// Waits between tries: half a minute in all, the time in which a server restarts or fails over.
const WAITS_MS: [u64; 8] = [100, 300, 1_000, 2_000, 4_000, 6_000, 8_000, 10_000];

/// How far a stream was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The largest cursor, as the server writes it, when a read last came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    /// Cursor and key of the last row, while a read has not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    behind: Option<Vec<String>>,
    /// The cursor at which a read was first taken up by another snapshot. Rows before it may have come late; the
    /// next read begins here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    floor: Option<String>,
}

impl State {
    fn read(checkpoint: Option<&Checkpoint>) -> Result<Self> {
        let Some(checkpoint) = checkpoint else { return Ok(Self::default()) };
        serde_json::from_value(checkpoint.0.clone()).map_err(|e| {
            Error::config(format!("the checkpoint is of another connector: {e}"))
                .hint("read the stream anew with --full-refresh")
        })
    }

    fn from(&self) -> From {
        match (&self.behind, &self.cursor) {
            (Some(behind), _) => From::Behind(behind.clone()),
            (None, Some(cursor)) => From::Cursor(cursor.clone()),
            (None, None) => From::Start,
        }
    }
}

pub(super) struct Job {
    pub settings: Settings,
    pub stream: StreamConfig,
    pub request: ReadRequest,
    pub ctx: Context,
}

impl Job {
    pub async fn run(self, out: Out) -> Result<()> {
        let read = self.ctx.cancel.run_until_cancelled(self.read(&out));
        tokio::select! {
            done = read => done.unwrap_or_else(|| Err(Error::cancelled())),
            () = out.dropped() => Err(Error::cancelled()),
        }
        .map_err(|e| e.with("stream", &self.stream.name))
    }

    async fn read(&self, out: &Out) -> Result<()> {
        let state = State::read(self.request.checkpoint.as_ref())?;
        let incremental = self.stream.cursor.is_some();
        // Without a cursor there is nothing to go on from in another run.
        let mut from = if incremental { state.from() } else { From::Start };
        let mut floor =
            state.floor.clone().or_else(|| state.behind.as_ref().and_then(|b| b.first().cloned()));
        let mut tries = 0;
        let mut sent = 0;
        let mut pages_left = self.request.max_pages;
        let mut end: Option<Vec<String>> = None;
        loop {
            let before = sent;
            let on_the_way = |last: &[String]| {
                checkpoint(&State { cursor: None, behind: Some(last.to_vec()), floor: floor.clone() })
            };
            let keeps = incremental && self.request.max_pages.is_none();
            let mut reading =
                Reading { job: self, out, sent: &mut sent, pages_left: &mut pages_left, end: &mut end };
            let done = reading.once(&from, keeps.then_some(&on_the_way)).await;
            let broken = match done {
                Ok(()) => break,
                Err(broken) => broken,
            };
            // A connection that brought rows was a good one.
            tries = if sent > before { 0 } else { tries };
            let wait = WAITS_MS.get(tries).filter(|_| broken.passing);
            let (Some(wait), true) = (wait, sent == 0 || end.is_some()) else {
                // Rows that went on cannot be told from those that would come again.
                return Err(if broken.passing { broken.error.temporary(None) } else { broken.error });
            };
            tries += 1;
            tracing::warn!(source = %self.ctx.name, attempt = tries, error = %broken.error, "reading on");
            if let Some(last) = &end {
                from = From::Behind(last.clone());
                floor = floor.or_else(|| last.first().cloned());
            }
            self.ctx.sleep(Duration::from_millis(*wait)).await?;
        }
        if incremental && self.request.max_pages.is_none() {
            // A read that was broken off right before its end brings nothing more: then the floor counts, too.
            let cursor = floor.or_else(|| end.and_then(|last| last.into_iter().next())).or(state.cursor);
            out.send(checkpoint(&State { cursor, ..State::default() })).await?;
        }
        Ok(())
    }
}

fn checkpoint(state: &State) -> ReadEvent {
    ReadEvent::Checkpoint(Checkpoint(serde_json::to_value(state).unwrap_or_default()))
}

/// What outlives a connection.
struct Reading<'a> {
    job: &'a Job,
    out: &'a Out,
    sent: &'a mut u64,
    pages_left: &'a mut Option<u64>,
    end: &'a mut Option<Vec<String>>,
}

impl Reading<'_> {
    /// Reads to the end by one connection, in one snapshot.
    async fn once(&mut self, from: &From, on_the_way: Option<OnTheWay<'_>>) -> Result<(), Broken> {
        let (settings, stream) = (&self.job.settings, &self.job.stream);
        let mut server = Server::open(settings).await?;
        let columns = server.describe(&relation(settings.server, stream), settings.zone).await?;
        let plan = Plan::new(settings.server, stream, columns.clone())?;
        if let Some(sql) = plan.without_place()
            && server.value(&sql).await?.is_some()
        {
            return Err(without_place().into());
        }
        let before = *self.sent;
        let mut expected = None;
        if settings.count && self.job.request.max_pages.is_none() {
            let counted = server.value(&plan.count(from)?).await?;
            let counted: u64 = counted
                .and_then(|c| c.parse().ok())
                .ok_or_else(|| Error::protocol("the server's count is no number"))?;
            expected = Some(before + counted);
            self.out.send(ReadEvent::Total(before + counted)).await?;
        }
        let mut taker = Taker {
            rows: Rows::new(columns),
            order: &plan.order,
            out: self.out,
            stream: &stream.name,
            sent: before,
            pages_left: *self.pages_left,
            last: self.end.clone(),
            checkpoint: on_the_way,
        };
        let mut done = server.rows(&plan.rows(from)?, &mut taker).await;
        if done.is_ok() {
            done = taker.flush().await.map_err(Broken::from);
        }
        if done.is_err() {
            taker.forget_unsent();
        }
        let enough = taker.has_enough();
        let zero_dates = taker.rows.zero_dates;
        (*self.sent, *self.pages_left, *self.end) = (taker.sent, taker.pages_left, taker.last);
        if !enough {
            done?;
        }
        if zero_dates > 0 {
            let message = format!("{zero_dates} dates are 0000-00-00, which is no day: they are null here");
            self.out.send(ReadEvent::Notice(Notice { code: "zero_dates".into(), message })).await?;
        }
        if let Some(expected) = expected.filter(|_| !enough) {
            let count = CountCheck { what: format!("rows of {}", stream.name), expected, read: *self.sent };
            self.out.send(ReadEvent::Count(count)).await?;
        }
        server.close().await;
        Ok(())
    }
}
