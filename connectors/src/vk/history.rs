//! Messages of all conversations, each read from its latest message back to what was read before.
//!
//! A pass lists the conversations with something new and remembers the latest message of all, its top. Backwards, new
//! messages move nothing: they come in front. What a conversation has up to the top is read, what came later is the
//! next pass's.
//!
//! While the list is being paged, a message may bring a conversation that was not seen yet to the front, which is
//! behind us: so the list is looked at again until nobody new is there.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;
use throughline_core::{Context, CountCheck, Notice, ReadEvent, Reject, Result};

use super::client::{Answer, Api, List, PAGE, response};
use super::conversations::Pages;
use super::state::{Inside, Mark, Pass, State};
use crate::flow::Out;
use crate::records::{Limits, RecordsBuilder, json_string};
use crate::whatsapp::read::rejected;

/// Rows between two checkpoints, and questions.
const CHECKPOINT_ROWS: u64 = 4000;
const CHECKPOINT_CALLS: u64 = 100;

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    id: i64,
    #[serde(default)]
    date: i64,
    #[serde(default)]
    conversation_message_id: i64,
}

pub(super) struct History {
    pub ctx: Context,
    pub api: Api,
    pub out: Out,
    pub max_pages: Option<u64>,
    pub state: State,
    records: RecordsBuilder,
    rejects: Vec<Reject>,
    rows: u64,
    calls: u64,
    pages: u64,
}

impl History {
    pub fn new(ctx: Context, api: Api, out: Out, max_pages: Option<u64>, state: State) -> Self {
        let records = RecordsBuilder::new(Limits::default());
        Self { ctx, api, out, max_pages, state, records, rejects: Vec::new(), rows: 0, calls: 0, pages: 0 }
    }

    pub async fn run(mut self) -> Result<()> {
        let (peers, top) = self.changed().await?;
        let mut pass = self.state.pass.take().unwrap_or(Pass { top, ..Pass::default() });
        for peer in peers {
            if pass.done.is_some_and(|done| peer <= done) {
                continue;
            }
            self.conversation(peer, &mut pass).await?;
            if self.is_enough() {
                return self.flush(None).await;
            }
            (pass.done, pass.inside) = (Some(peer), None);
            self.checkpoint_when_due(&pass).await?;
        }
        let (expected, read) = (pass.expected, pass.read);
        let upto =
            Mark { id: pass.top.id.max(self.state.upto.id), date: pass.top.date.max(self.state.upto.date) };
        self.state = State { upto, pass: None };
        self.flush(None).await?;
        if expected > 0 {
            let what = "messages of conversations read from their beginning".to_owned();
            self.out.send(ReadEvent::Count(CountCheck { what, expected, read })).await?;
        }
        self.flush(Some(self.state.clone())).await
    }

    /// For a preview.
    fn is_enough(&self) -> bool {
        self.max_pages.is_some_and(|max| self.pages >= max)
    }

    /// Conversations with messages that were not read, and the latest message of all.
    async fn changed(&self) -> Result<(BTreeSet<i64>, Mark)> {
        let (mut peers, mut top, mut floor) = (BTreeSet::new(), None, self.state.upto);
        loop {
            let (mut latest, mut over, mut calls) = (floor, false, 0);
            let mut pages = Pages::new(&self.ctx, &self.api);
            while !over {
                calls += 1;
                let more = pages.next(|talk, _, _| {
                    latest.id = latest.id.max(talk.last_id);
                    latest.date = latest.date.max(talk.last_date);
                    if floor.covers(talk.last_id, talk.last_date) {
                        over = true;
                    } else {
                        peers.insert(talk.peer);
                    }
                });
                let more = more.await?;
                over |= !more || pages.is_over();
            }
            top.get_or_insert(latest);
            // One answer is one moment: nobody moved while it was made.
            if calls == 1 {
                return Ok((peers, top.unwrap_or_default()));
            }
            floor = latest;
        }
    }

    async fn conversation(&mut self, peer: i64, pass: &mut Pass) -> Result<()> {
        const METHOD: &str = "messages.getHistory";
        let fresh = Inside { peer, lowest: 0, offset: 0, got: 0, count: 0 };
        let mut inside = pass.inside.filter(|i| i.peer == peer).unwrap_or(fresh);
        loop {
            self.ctx.check_cancelled()?;
            let mut params =
                vec![self.api.group(), ("peer_id", peer.to_string()), ("count", PAGE.to_string())];
            if inside.lowest > 0 {
                params.push(("start_message_id", inside.lowest.to_string()));
            } else if inside.offset > 0 {
                params.push(("offset", inside.offset.to_string()));
            }
            let (body, exchange) = match self.api.call(&self.ctx, METHOD, &params).await? {
                Answer::Good { body, exchange } => (body, exchange),
                Answer::Unreachable(failure) => {
                    let message = format!("VK does not give the conversation {peer} ({})", failure.words());
                    let notice = Notice { code: "conversation_not_readable".into(), message };
                    return self.out.send(ReadEvent::Notice(notice)).await;
                }
            };
            self.calls += 1;
            self.pages += 1;
            let list: List<'_> = response(METHOD, &body)?;
            if inside.lowest == 0 && inside.offset == 0 {
                inside.count = list.count;
            }
            if self.rows == 0 {
                self.records.begin_page(format!("messages from conversation {peer} on"), Some(exchange));
            }
            let (mut reached, mut new) = (false, 0);
            let below = inside.lowest;
            for raw in &list.items {
                let message = serde_json::from_str::<Message>(raw.get());
                let (id, date) = message.as_ref().map_or((0, 0), |m| (m.id, m.date));
                if id > 0 && below > 0 && id >= below {
                    continue;
                }
                new += 1;
                if id > pass.top.id && inside.got == 0 {
                    // Came meanwhile: the next pass reads it.
                    inside.lowest = if inside.lowest > 0 { inside.lowest.min(id) } else { id };
                    inside.count = inside.count.saturating_sub(1);
                    continue;
                }
                if message.is_ok() && self.state.upto.covers(id, date) {
                    reached = true;
                    continue;
                }
                if id > 0 {
                    inside.lowest = if inside.lowest > 0 { inside.lowest.min(id) } else { id };
                }
                inside.got += 1;
                match message {
                    Ok(message) => self.push(peer, &message, raw),
                    Err(e) => {
                        let place = format!("conversation {peer}");
                        self.rejects.push(rejected(
                            format!("the message is none: {e}"),
                            raw.get().as_bytes(),
                            &place,
                        ));
                    }
                }
            }
            inside.offset += list.items.len() as u64;
            if reached || new == 0 || inside.got >= inside.count {
                break;
            }
            if self.is_enough() {
                return Ok(());
            }
            pass.inside = Some(inside);
            self.checkpoint_when_due(pass).await?;
        }
        if self.state.upto == Mark::default() {
            pass.expected += inside.count;
            pass.read += inside.got;
        }
        Ok(())
    }

    fn push(&mut self, peer: i64, message: &Message, raw: &RawValue) {
        // A message of a group chat may have no id of its own.
        let number = match message.id {
            1.. => message.id.to_string(),
            _ => format!("{peer}_{}", message.conversation_message_id),
        };
        let (peer, number) = (peer.to_string(), json_string(&number));
        let group = json_string(&self.api.group_id.to_string());
        let extra: [(&str, &str); 4] =
            [("peer_id", &peer), ("number", &number), ("group_id", &group), ("object", raw.get())];
        self.records.push_with(b"{}", &extra, "");
        self.rows += 1;
    }

    async fn checkpoint_when_due(&mut self, pass: &Pass) -> Result<()> {
        if self.rows < CHECKPOINT_ROWS && self.calls < CHECKPOINT_CALLS {
            return Ok(());
        }
        let state = State { upto: self.state.upto, pass: Some(pass.clone()) };
        self.flush(Some(state)).await
    }

    async fn flush(&mut self, state: Option<State>) -> Result<()> {
        self.records.finish_page();
        for reject in self.rejects.drain(..) {
            self.out.send(ReadEvent::Rejected(reject)).await?;
        }
        for event in self.records.take_events() {
            self.out.send(event).await?;
        }
        (self.rows, self.calls) = (0, 0);
        match state {
            // A preview is not gone on from.
            Some(state) if self.max_pages.is_none() => {
                self.out.send(ReadEvent::Checkpoint(state.checkpoint()?)).await
            }
            _ => Ok(()),
        }
    }
}
