//! Files that go into a bucket while they are written: a few parts in memory, whatever a file's size.
//!
//! The writer runs on a thread that may block and hands parts over; [`Uploads`] sends them. A file of less than a
//! part is one plain put.

use std::collections::HashMap;
use std::io::{self, Write};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};
use throughline_core::{Context, Error, Result};
use tokio::sync::mpsc;

use super::place::Place;
use crate::files::{FileEntry, TableFile, TableFiles, Tally};

/// The least that S3 takes for a part that is not the last
/// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html); all parts of a file are equal, as
/// Cloudflare R2 asks. 10,000 of them, the most there may be, are 52 GB, and a file is ended at 1 GiB.
const PART: usize = 5 << 20;
/// Parts on their way at once.
const AT_ONCE: usize = 4;
/// Parts between the writer and the sender.
const QUEUE: usize = 1;

struct Piece {
    name: String,
    bytes: Bytes,
    last: bool,
}

/// Makes the files of one staged table below `base`.
pub(super) struct BucketFiles {
    base: String,
    send: mpsc::Sender<Piece>,
    part: usize,
}

impl TableFiles for BucketFiles {
    fn create(&self, path: &str) -> Result<Box<dyn TableFile>> {
        let name = if path.is_empty() { self.base.clone() } else { format!("{}/{path}", self.base) };
        let (send, part) = (self.send.clone(), self.part);
        Ok(Box::new(BucketFile { name, send, part, buffer: Vec::new(), tally: Tally::default() }))
    }
}

struct BucketFile {
    name: String,
    send: mpsc::Sender<Piece>,
    part: usize,
    buffer: Vec<u8>,
    tally: Tally,
}

impl BucketFile {
    fn hand_over(&mut self, last: bool) -> io::Result<()> {
        let piece = Piece { name: self.name.clone(), bytes: std::mem::take(&mut self.buffer).into(), last };
        // The sender has failed, and says why itself.
        self.send.blocking_send(piece).map_err(|_| io::Error::other("the upload broke off"))
    }
}

impl Write for BucketFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() == self.part {
            // More is to come, so this part is not the last.
            self.hand_over(false)?;
        }
        let taken = bytes.len().min(self.part - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        self.tally.add(&bytes[..taken]);
        Ok(taken)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TableFile for BucketFile {
    fn held(&self) -> usize {
        self.buffer.capacity()
    }
    fn finish(mut self: Box<Self>, path: String, rows: u64) -> Result<FileEntry> {
        self.hand_over(true).map_err(|e| Error::io("write", &self.name, e))?;
        Ok(self.tally.into_entry(path, rows))
    }
}

/// The sending half of [`BucketFiles`].
pub(super) struct Uploads {
    pieces: mpsc::Receiver<Piece>,
    open: HashMap<String, Box<dyn MultipartUpload>>,
}

/// Both halves; files go below `base`.
pub(super) fn uploads(base: String) -> (BucketFiles, Uploads) {
    with_parts(base, PART)
}

pub(super) fn with_parts(base: String, part: usize) -> (BucketFiles, Uploads) {
    let (send, pieces) = mpsc::channel(QUEUE);
    (BucketFiles { base, send, part }, Uploads { pieces, open: HashMap::new() })
}

type Flying = FuturesUnordered<BoxFuture<'static, (String, object_store::Result<()>)>>;

impl Uploads {
    /// Sends all that is written, to the end of the last file. What was begun and not ended is given up.
    pub(super) async fn run(mut self, ctx: &Context, place: &Place) -> Result<()> {
        let done = match ctx.cancel.run_until_cancelled(self.send(place)).await {
            Some(done) => done,
            None => Err(Error::cancelled()),
        };
        for (name, mut upload) in self.open.drain() {
            // The store keeps the parts of an upload that is neither ended nor given up, and bills them.
            if let Err(e) = upload.abort().await {
                let error = place.failed("give up the upload of", &name, &e);
                tracing::warn!(sink = %ctx.name, error = %error, "parts of an upload were left");
            }
        }
        done
    }

    async fn send(&mut self, place: &Place) -> Result<()> {
        let mut flying = Flying::new();
        loop {
            tokio::select! {
                Some((name, done)) = flying.next(), if !flying.is_empty() => {
                    done.map_err(|e| place.failed("write", &name, &e))?;
                }
                piece = self.pieces.recv(), if flying.len() < AT_ONCE => match piece {
                    Some(piece) => self.take(place, piece, &mut flying).await?,
                    None => break,
                },
            }
        }
        land(place, &mut flying).await
    }

    async fn take(&mut self, place: &Place, piece: Piece, flying: &mut Flying) -> Result<()> {
        let Piece { name, bytes, last } = piece;
        let key = place.key(&name)?;
        if last && !self.open.contains_key(&name) {
            let store = place.store().clone();
            flying.push(Box::pin(async move {
                let put = store.put(&key, PutPayload::from_bytes(bytes)).await;
                (name, put.map(drop))
            }));
            return Ok(());
        }
        if !self.open.contains_key(&name) {
            let begun = begin(place, &key).await.map_err(|e| place.failed("write", &name, &e))?;
            self.open.insert(name.clone(), begun);
        }
        let Some(upload) = self.open.get_mut(&name) else { return Err(Error::bug("an upload vanished")) };
        let part = upload.put_part(PutPayload::from_bytes(bytes));
        let of = name.clone();
        flying.push(Box::pin(async move { (of, part.await) }));
        if last {
            land(place, flying).await?;
            upload.complete().await.map_err(|e| place.failed("write", &name, &e))?;
            self.open.remove(&name);
        }
        Ok(())
    }
}

async fn begin(place: &Place, key: &Path) -> object_store::Result<Box<dyn MultipartUpload>> {
    place.store().put_multipart(key).await
}

/// Waits for all parts on their way.
async fn land(place: &Place, flying: &mut Flying) -> Result<()> {
    while let Some((name, done)) = flying.next().await {
        done.map_err(|e| place.failed("write", &name, &e))?;
    }
    Ok(())
}
