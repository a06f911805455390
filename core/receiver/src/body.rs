//! Bodies within their limits: of one request, of time, and of all requests together.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    TooLarge,
    TooSlow,
    /// The bodies under way hold all the memory they may.
    Crowded,
    Broken,
}

/// Memory that bodies under way hold together.
pub struct Room {
    used: AtomicUsize,
    most: usize,
}

impl Room {
    pub fn new(most: usize) -> Self {
        Self { used: AtomicUsize::new(0), most }
    }
}

/// Gives its bytes back when dropped.
struct Held<'r> {
    room: &'r Room,
    bytes: usize,
}

impl Held<'_> {
    fn more(&mut self, bytes: usize) -> Result<(), BodyError> {
        let before = self.room.used.fetch_add(bytes, Ordering::AcqRel);
        self.bytes += bytes;
        if before.saturating_add(bytes) > self.room.most { Err(BodyError::Crowded) } else { Ok(()) }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.room.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// The whole body.
pub async fn read<B: Body<Data = Bytes>>(
    body: B,
    most: usize,
    within: Duration,
    room: &Room,
) -> Result<Vec<u8>, BodyError> {
    if body.size_hint().lower() > most as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut held = Held { room, bytes: 0 };
    let work = async {
        let mut body = pin!(body);
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Err(BodyError::Broken) };
            // Trailers are nothing we need.
            let Ok(data) = frame.into_data() else { continue };
            if whole.len() + data.len() > most {
                return Err(BodyError::TooLarge);
            }
            held.more(data.len())?;
            whole.extend_from_slice(&data);
        }
        Ok(whole)
    };
    tokio::time::timeout(within, work).await.unwrap_or(Err(BodyError::TooSlow))
}
