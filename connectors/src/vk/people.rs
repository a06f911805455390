//! Conversations as they stand, and the people in them: read whole each time.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;
use throughline_core::{Context, CountCheck, ReadEvent, Result};

use super::client::{Api, PEOPLE};
use super::conversations::Pages;
use crate::flow::Out;
use crate::records::{Limits, RecordsBuilder, json_string};
use crate::whatsapp::read::rejected;

/// Numbers of people are lower, those of group chats begin here, communities' are negative.
const GROUP_CHATS: i64 = 2_000_000_000;
/// Looks at the list in all, when conversations moved while it was paged.
const LOOKS: u32 = 3;

#[derive(Deserialize)]
struct User {
    id: i64,
}

pub(super) struct Snapshot {
    pub ctx: Context,
    pub api: Api,
    pub out: Out,
    pub max_pages: Option<u64>,
}

impl Snapshot {
    pub async fn conversations(self) -> Result<()> {
        let mut records = RecordsBuilder::new(Limits::default());
        let group = json_string(&self.api.group_id.to_string());
        let (mut pages, mut number, mut rows) = (Pages::new(&self.ctx, &self.api), 0, 0);
        for _ in 0..LOOKS {
            while !self.is_enough(number) {
                number += 1;
                let mut page = Vec::new();
                let more =
                    pages.next(|talk, raw, exchange| page.push((talk.peer, raw.get().to_owned(), exchange)));
                let more = more.await?;
                records.begin_page(format!("page {number}"), page.first().map(|(_, _, exchange)| *exchange));
                for (n, (peer, raw, _)) in page.iter().enumerate() {
                    let extra = [("peer_id", peer.to_string()), ("group_id", group.clone())];
                    let extra = extra.each_ref().map(|(name, value)| (*name, value.as_str()));
                    records.push_with(raw.as_bytes(), &extra, format!("page {number}, record {}", n + 1));
                }
                rows += page.len() as u64;
                for event in records.take_events() {
                    self.out.send(event).await?;
                }
                if !more || pages.is_over() {
                    break;
                }
            }
            if self.is_enough(number) || !pages.again() {
                break;
            }
        }
        records.finish_page();
        for event in records.take_events() {
            self.out.send(event).await?;
        }
        self.count("conversations", pages.count(), rows).await
    }

    pub async fn users(self) -> Result<()> {
        let mut people = BTreeSet::new();
        let (mut pages, mut number) = (Pages::new(&self.ctx, &self.api), 0);
        for _ in 0..LOOKS {
            let mut more = true;
            while more && !pages.is_over() {
                more = pages
                    .next(|talk, _, _| {
                        people.insert(talk.peer);
                    })
                    .await?;
            }
            if !pages.again() {
                break;
            }
        }
        people.retain(|peer| (1..GROUP_CHATS).contains(peer));
        let people: Vec<String> = people.iter().map(ToString::to_string).collect();
        let mut records = RecordsBuilder::new(Limits::default());
        let mut rows = 0;
        for ids in people.chunks(PEOPLE) {
            if self.is_enough(number) {
                break;
            }
            number += 1;
            self.ctx.check_cancelled()?;
            let params = [("user_ids", ids.join(",")), ("fields", "screen_name,city".to_owned())];
            let users: Vec<Box<RawValue>> = self.api.ask(&self.ctx, "users.get", &params).await?;
            records.begin_page(format!("page {number}"), None);
            for (n, user) in users.iter().enumerate() {
                // Under a name that says whose number it is: forgetting a person looks for it.
                let place = format!("page {number}, record {}", n + 1);
                let id = match serde_json::from_str::<User>(user.get()) {
                    Ok(user) => user.id.to_string(),
                    Err(e) => {
                        let reject =
                            rejected(format!("this is no person: {e}"), user.get().as_bytes(), &place);
                        self.out.send(ReadEvent::Rejected(reject)).await?;
                        continue;
                    }
                };
                records.push_with(user.get().as_bytes(), &[("user_id", &id)], place);
            }
            rows += users.len() as u64;
            for event in records.take_events() {
                self.out.send(event).await?;
            }
        }
        records.finish_page();
        for event in records.take_events() {
            self.out.send(event).await?;
        }
        self.count("people of the conversations", people.len() as u64, rows).await
    }

    /// For a preview.
    fn is_enough(&self, pages: u64) -> bool {
        self.max_pages.is_some_and(|max| pages >= max)
    }

    async fn count(&self, what: &str, expected: u64, read: u64) -> Result<()> {
        if self.max_pages.is_some() {
            return Ok(());
        }
        self.out.send(ReadEvent::Count(CountCheck { what: what.to_owned(), expected, read })).await
    }
}
