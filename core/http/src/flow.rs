//! Bodies: read whole within a limit, or handed on piece by piece with what is owed at their end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use throughline_core::Result;
use throughline_core::http::Method;

use crate::cassette::{Draft, Recorder};
use crate::fault::Fault;
use crate::log::{Exchange, RequestLog};

/// Decompressed pieces; an `Err` says in words, without secrets, why the rest does not come.
pub type Body = BoxStream<'static, Result<Bytes, String>>;

/// The whole body. `read` counts also what came before a fault.
pub async fn whole(body: &mut Body, limit: u64, title: &str, read: &mut u64) -> Result<Bytes, Fault> {
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|why| Fault::broken(title, *read, &why))?;
        *read += chunk.len() as u64;
        if *read > limit {
            return Err(Fault::too_large(title, limit));
        }
        // Most bodies are one piece and need no copy.
        match first.take() {
            None if rest.is_empty() => first = Some(chunk),
            None => rest.extend_from_slice(&chunk),
            Some(earlier) => {
                rest.reserve(earlier.len() + chunk.len());
                rest.extend_from_slice(&earlier);
                rest.extend_from_slice(&chunk);
            }
        }
    }
    Ok(first.unwrap_or_else(|| rest.freeze()))
}

/// As much of a bad answer's body as there is: the status has said the main thing already.
pub async fn beginning(body: &mut Body, limit: u64, read: &mut u64) -> Bytes {
    let mut out = BytesMut::new();
    while let Some(Ok(chunk)) = body.next().await {
        *read += chunk.len() as u64;
        let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(out.len());
        out.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() >= room {
            break;
        }
    }
    out.freeze()
}

/// Told at the end of an exchange, however it ends.
pub struct Tail {
    pub number: u64,
    pub method: Method,
    pub shown: String,
    pub account: Arc<str>,
    pub status: Option<u16>,
    pub bytes: u64,
    pub since: Instant,
    pub log: Arc<dyn RequestLog>,
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.log.exchange(&Exchange {
            number: self.number,
            method: self.method,
            url: &self.shown,
            account: &self.account,
            status: self.status,
            bytes: self.bytes,
            ms: u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
    }
}

/// A streamed body on its way to the cassette. Held whole, since a secret may lie across two pieces.
pub struct Tee {
    recorder: Arc<Recorder>,
    draft: Option<Draft>,
    body: BytesMut,
    complete: bool,
}

impl Tee {
    pub fn new(recorder: Arc<Recorder>, draft: Draft) -> Self {
        Self { recorder, draft: Some(draft), body: BytesMut::new(), complete: false }
    }
}

/// A reader who had enough, or a line that broke: what came is recorded, and that it is not all.
impl Drop for Tee {
    fn drop(&mut self) {
        if let Some(draft) = self.draft.take() {
            self.recorder.write(&draft, &self.body, !self.complete);
        }
    }
}

/// A streamed body: within its limit, never silent for longer than `idle`.
pub struct Flow {
    /// How errors name the request.
    pub title: String,
    pub body: Body,
    pub limit: u64,
    pub idle: Option<Duration>,
    pub tail: Tail,
    pub tee: Option<Tee>,
}

impl Flow {
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes>> {
        futures::stream::unfold(Some(self), |flow| async move {
            let mut flow = flow?;
            match flow.next().await? {
                Ok(chunk) => Some((Ok(chunk), Some(flow))),
                Err(fault) => Some((Err(fault.into_error()), None)),
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Result<Bytes, Fault>> {
        let next = match self.idle {
            None => self.body.next().await,
            Some(idle) => match tokio::time::timeout(idle, self.body.next()).await {
                Ok(next) => next,
                Err(_) => {
                    let why = format!("nothing came for {} ms", idle.as_millis());
                    return Some(Err(Fault::broken(&self.title, self.tail.bytes, &why)));
                }
            },
        };
        let Some(chunk) = next else {
            if let Some(tee) = &mut self.tee {
                tee.complete = true;
            }
            return None;
        };
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(why) => return Some(Err(Fault::broken(&self.title, self.tail.bytes, &why))),
        };
        self.tail.bytes += chunk.len() as u64;
        if self.tail.bytes > self.limit {
            return Some(Err(Fault::too_large(&self.title, self.limit)));
        }
        if let Some(tee) = &mut self.tee {
            tee.body.extend_from_slice(&chunk);
        }
        Some(Ok(chunk))
    }
}
