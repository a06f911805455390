//! gzip undone piece by piece.
//!
//! Our own and not reqwest's, which reads only the first of several members (a file that a server put
//! together from parts) and drops the rest without a word.

use std::io::Write;

use bytes::{Buf, Bytes};
use flate2::write::MultiGzDecoder;
use futures::StreamExt;

use crate::flow::Body;

/// Packed bytes undone at a time: at most some 4 MB come out, so that a limit on the size of the
/// result is noticed soon.
const STEP: usize = 4096;

struct State {
    packed: Body,
    piece: Bytes,
    decoder: MultiGzDecoder<Vec<u8>>,
    /// Nothing came yet: an empty body needs no gzip around it.
    empty: bool,
    ended: bool,
}

pub fn gunzip(packed: Body) -> Body {
    let decoder = MultiGzDecoder::new(Vec::new());
    let state = State { packed, piece: Bytes::new(), decoder, empty: true, ended: false };
    futures::stream::unfold(state, |mut state| async move { Some((state.next().await?, state)) }).boxed()
}

impl State {
    async fn next(&mut self) -> Option<Result<Bytes, String>> {
        while !self.ended {
            let done = if self.piece.is_empty() {
                match self.packed.next().await {
                    Some(Ok(piece)) => {
                        self.empty &= piece.is_empty();
                        self.piece = piece;
                        continue;
                    }
                    Some(Err(why)) => {
                        self.ended = true;
                        return Some(Err(why));
                    }
                    None => {
                        self.ended = true;
                        if self.empty { Ok(()) } else { self.decoder.try_finish() }
                    }
                }
            } else {
                let step = self.piece.len().min(STEP);
                let done = self.decoder.write_all(&self.piece[..step]);
                self.piece.advance(step);
                done
            };
            if let Err(e) = done {
                self.ended = true;
                return Some(Err(format!("bad gzip: {e}")));
            }
            let out = std::mem::take(self.decoder.get_mut());
            if !out.is_empty() {
                return Some(Ok(out.into()));
            }
        }
        None
    }
}
