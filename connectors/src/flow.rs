//! A reader written as a plain loop that sends events, and the stream the engine pulls them from.
//!
//! The queue between them is short: a reader never runs far ahead of what is landed.

use std::future::Future;

use futures::StreamExt;
use throughline_core::{Context, Error, Place, ReadEvent, ReadStream, Result};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Events under way. A batch is at most some megabytes.
const QUEUE: usize = 4;

/// The sending end.
pub(crate) struct Out(mpsc::Sender<ReadEvent>);

impl Out {
    /// # Errors
    /// `Cancelled` when nobody listens any more: the run was stopped or failed elsewhere.
    pub async fn send(&self, event: ReadEvent) -> Result<()> {
        self.0.send(event).await.map_err(|_| Error::cancelled())
    }

    /// Like [`Out::send`], outside of async code.
    pub fn send_blocking(&self, event: ReadEvent) -> Result<()> {
        self.0.blocking_send(event).map_err(|_| Error::cancelled())
    }

    /// Waits until nobody listens any more.
    pub async fn dropped(&self) {
        self.0.closed().await;
    }
}

/// A reader of files, on a thread of its own.
pub(crate) fn blocking(read: impl FnOnce(&Out) -> Result<()> + Send + 'static) -> ReadStream {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let out = Out(sender);
    stream(receiver, tokio::task::spawn_blocking(move || read(&out)))
}

/// A reader that waits for others. When the stream is dropped it goes on until it next sends or asks
/// [`Out::dropped`], so that it can tidy up.
pub(crate) fn task<F>(read: impl FnOnce(Out) -> F) -> ReadStream
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(QUEUE);
    stream(receiver, tokio::spawn(read(Out(sender))))
}

/// A stream whose errors name it, and which ends with one as soon as the run is stopped, whatever it waits for.
pub(crate) fn of_stream(ctx: &Context, stream: &str, events: ReadStream) -> ReadStream {
    let (cancel, place) = (ctx.cancel.clone(), place(ctx, stream));
    let events = futures::stream::unfold(Some((events, cancel, place)), |state| async move {
        let (mut events, cancel, place) = state?;
        tokio::select! {
            biased;
            () = cancel.cancelled() => Some((Err(Error::cancelled().at(place)), None)),
            event = events.next() => Some((event?, Some((events, cancel, place)))),
        }
    });
    named(ctx, stream, events.boxed())
}

/// A stream whose errors name it. Its reader sees to stops by itself, because it tidies up behind them.
pub(crate) fn named(ctx: &Context, stream: &str, events: ReadStream) -> ReadStream {
    let place = place(ctx, stream);
    events.map(move |event| event.map_err(|e| e.or_at(|| place.clone()))).boxed()
}

/// What a read asks before its first event, with the promises of [`of_stream`].
///
/// # Errors
/// `Cancelled` when the run is stopped; else those of `ask`.
pub(crate) async fn first<T>(ctx: &Context, stream: &str, ask: impl Future<Output = Result<T>>) -> Result<T> {
    let found = tokio::select! {
        biased;
        () = ctx.cancel.cancelled() => Err(Error::cancelled()),
        found = ask => found,
    };
    found.map_err(|e| e.or_at(|| place(ctx, stream)))
}

fn place(ctx: &Context, stream: &str) -> Place {
    Place::Stream { source: ctx.name.to_string(), stream: stream.to_owned(), page: None }
}

fn stream(receiver: mpsc::Receiver<ReadEvent>, reader: JoinHandle<Result<()>>) -> ReadStream {
    futures::stream::unfold(Some((receiver, reader)), |state| async move {
        let (mut receiver, reader) = state?;
        if let Some(event) = receiver.recv().await {
            return Some((Ok(event), Some((receiver, reader))));
        }
        // The reader is gone: only its own word says whether that was the end of the data.
        match reader.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some((Err(error), None)),
            Err(error) => Some((Err(Error::bug(format!("the reader broke off: {error}"))), None)),
        }
    })
    .boxed()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use throughline_core::{ErrorKind, Notice};

    use super::*;

    fn notice() -> ReadEvent {
        ReadEvent::Notice(Notice { code: "a".into(), message: String::new() })
    }

    #[tokio::test]
    async fn a_reader_that_panics_is_an_error_not_an_end() {
        let mut events = blocking(|out| {
            out.send_blocking(notice())?;
            panic!("broken");
        });
        assert!(events.next().await.unwrap().is_ok());
        assert_eq!(events.next().await.unwrap().unwrap_err().kind(), ErrorKind::Bug);
        assert!(events.next().await.is_none());
    }

    #[tokio::test]
    async fn a_dropped_stream_stops_the_reader() {
        let (done, stopped) = tokio::sync::oneshot::channel();
        let events = task(|out| async move {
            out.dropped().await;
            let _ = done.send(out.send(notice()).await.unwrap_err().kind());
            Ok(())
        });
        drop(events);
        assert_eq!(stopped.await.unwrap(), ErrorKind::Cancelled);
    }
}
