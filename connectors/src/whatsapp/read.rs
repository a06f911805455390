//! Reads one stream out of an inbox.

use bytes::Bytes;
use throughline_core::{Error, ReadEvent, Reject, Result, Secret};
use tokio_util::sync::CancellationToken;

use super::flatten::{Stream, flatten};
use super::inbox::{Delivery, Inbox, Item};
use super::signature;
use crate::flow::Out;
use crate::lines::HEAD;
use crate::records::{Limits, RecordsBuilder};

/// Deliveries without a row of this stream between two checkpoints.
const CHECKPOINT_DELIVERIES: u64 = 50_000;

/// Makes rows of deliveries.
pub(crate) trait Records {
    /// Whether this stream tells what a person should know of the inbox itself: one of a source does.
    fn tells_notices(&self) -> bool;
    /// Puts what a delivery holds for the stream into `records`, what cannot be used into `rejects`.
    fn take(&self, item: &Item<'_>, records: &mut RecordsBuilder, rejects: &mut Vec<Reject>);
}

pub(crate) struct Reader<D> {
    pub deliveries: D,
    /// For a preview: at most so many batches.
    pub max_pages: Option<u64>,
    pub cancel: CancellationToken,
}

impl<D: Records> Reader<D> {
    pub fn run(&self, mut inbox: Box<dyn Inbox>, out: &Out) -> Result<()> {
        let mut records = RecordsBuilder::new(Limits::default());
        let mut rejects = Vec::new();
        let (mut fresh_page, mut pages, mut since) = (true, 0, 0);
        loop {
            if self.deliveries.tells_notices() {
                for notice in inbox.take_notices() {
                    out.send_blocking(ReadEvent::Notice(notice))?;
                }
            }
            let Some(item) = inbox.next()? else { break };
            if std::mem::take(&mut fresh_page) {
                records.begin_page(item.place.clone(), None);
            }
            self.deliveries.take(&item, &mut records, &mut rejects);
            since += 1;
            let mut events = records.take_events();
            let full = events.iter().any(|e| matches!(e, ReadEvent::Batch(_)));
            if full || since >= CHECKPOINT_DELIVERIES {
                // The rest of this delivery: a checkpoint stands behind whole deliveries.
                records.finish_page();
                events.extend(records.take_events());
                (fresh_page, since) = (true, 0);
            }
            self.send(events, &mut rejects, out)?;
            if fresh_page {
                pages += u64::from(full);
                if self.max_pages.is_some_and(|max| pages >= max) {
                    return Ok(());
                }
                self.checkpoint(inbox.as_ref(), out)?;
                if self.cancel.is_cancelled() {
                    return Err(Error::cancelled());
                }
            }
        }
        records.finish_page();
        self.send(records.take_events(), &mut rejects, out)?;
        if self.deliveries.tells_notices() {
            for notice in inbox.take_notices() {
                out.send_blocking(ReadEvent::Notice(notice))?;
            }
        }
        self.checkpoint(inbox.as_ref(), out)
    }

    fn checkpoint(&self, inbox: &dyn Inbox, out: &Out) -> Result<()> {
        if self.max_pages.is_some() {
            Ok(())
        } else {
            out.send_blocking(ReadEvent::Checkpoint(inbox.position()))
        }
    }

    fn send(&self, events: Vec<ReadEvent>, rejects: &mut Vec<Reject>, out: &Out) -> Result<()> {
        for reject in rejects.drain(..) {
            out.send_blocking(ReadEvent::Rejected(reject))?;
        }
        for event in events {
            out.send_blocking(event)?;
        }
        Ok(())
    }
}

pub(crate) fn rejected(reason: String, raw: &[u8], place: &str) -> Reject {
    let cut = raw.len() > HEAD;
    let reason = if cut { format!("{reason}; only its first {HEAD} bytes are kept here") } else { reason };
    Reject { reason, place: place.to_owned(), raw: Bytes::copy_from_slice(&raw[..raw.len().min(HEAD)]) }
}

/// Rows of one of WhatsApp's streams.
pub(crate) struct Rows {
    pub stream: Stream,
    pub app_secret: Option<Secret>,
}

impl Records for Rows {
    fn tells_notices(&self) -> bool {
        self.stream == Stream::Messages
    }

    fn take(&self, item: &Item<'_>, records: &mut RecordsBuilder, rejects: &mut Vec<Reject>) {
        let mut reject = |reason: String, raw: &[u8]| rejects.push(rejected(reason, raw, &item.place));
        let delivery = match (item.broken.clone(), Delivery::read(item.record)) {
            (None, Ok(delivery)) => delivery,
            (Some(reason), _) | (None, Err(reason)) => {
                if Stream::telling(item.record) == self.stream {
                    reject(reason, item.record);
                }
                return;
            }
        };
        let telling = Stream::telling(&delivery.body) == self.stream;
        if !telling && !self.stream.may_be_in(&delivery.body) {
            return;
        }
        if let Some(secret) = &self.app_secret
            && let Err(reason) = signature::verify(secret, delivery.signature.as_deref(), &delivery.body)
        {
            if telling {
                reject(reason.to_owned(), item.record);
            }
            return;
        }
        flatten(self.stream, &delivery, &item.place, records, &mut reject);
    }
}
