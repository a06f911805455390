//! Reads the chats, each file a slice of the stream. What two exports of a chat have in common is known by ids made of
//! what a message is, so that it counts once.

use std::collections::{HashMap, VecDeque};
use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};
use throughline_core::{Checkpoint, Error, Notice, ReadEvent, Reject, Result};
use tokio_util::sync::CancellationToken;

use super::config::Settings;
use super::head::{Frame, Head, speaker};
use super::survey::{Chat, phone_of, survey};
use super::text::Source;
use super::words::{Said, said};
use crate::flow::Out;
use crate::local;
use crate::records::{Limits, RecordsBuilder};
use crate::slices::{self, Slices};
use crate::whatsapp::read::rejected;

/// A longer message is none of WhatsApp's.
const MESSAGE_MAX: usize = 1 << 20;
/// Of so many messages it is remembered whether an equal one was there.
const REMEMBERED: usize = 100_000;

pub(super) struct Job {
    pub settings: Settings,
    pub checkpoint: Option<Checkpoint>,
    /// Set for a preview: so many batches, and no word about what they replace.
    pub max_pages: Option<u64>,
    pub cancel: CancellationToken,
}

impl Job {
    pub fn run(self, out: &Out) -> Result<()> {
        let files = local::find_named(&self.settings.base_dir, &self.settings.path)?;
        let mut pages_left = self.max_pages.unwrap_or(u64::MAX);
        if self.max_pages.is_some() {
            for (name, path) in &files {
                self.send(name, path, &mut pages_left, out)?;
                if pages_left == 0 {
                    break;
                }
            }
            return Ok(());
        }
        let slices: Slices = slices::state(self.checkpoint.as_ref(), "exported chats")?;
        slices.each_changed(&files, "messages", out, |name, path| self.send(name, path, &mut pages_left, out))
    }

    fn send(&self, name: &str, path: &Path, pages_left: &mut u64, out: &Out) -> Result<()> {
        let Some(chat) = survey(path, name, &self.settings)? else { return Ok(()) };
        self.tell(name, &chat, out)?;
        self.send_file(name, path, &chat, pages_left, out)
    }

    /// A name that is spelt otherwise in the options would turn all of ours into customers.
    fn tell(&self, name: &str, chat: &Chat, out: &Out) -> Result<()> {
        if chat.ours_spoke {
            return Ok(());
        }
        out.send_blocking(ReadEvent::Notice(Notice {
            code: "no_operator_in_chat".into(),
            message: format!(
                "in {name} none of `operators` wrote, so that every message came in; there write: {}",
                chat.customers.join(", ")
            ),
        }))
    }

    fn send_file(&self, name: &str, path: &Path, chat: &Chat, pages_left: &mut u64, out: &Out) -> Result<()> {
        let mut source = Source::open(path)?;
        let mut lines = source.lines()?;
        let mut messages = Messages {
            settings: &self.settings,
            chat,
            file: name,
            seen: Seen::default(),
            records: RecordsBuilder::new(Limits::default()),
            rejects: Vec::new(),
            open: None,
        };
        messages.records.begin_page(name, None);
        loop {
            let more = match lines.next()? {
                Some(line) => {
                    messages.line(line.bytes, line.number, line.too_long);
                    true
                }
                None => {
                    messages.close();
                    messages.records.finish_page();
                    false
                }
            };
            for reject in messages.rejects.drain(..) {
                out.send_blocking(ReadEvent::Rejected(reject))?;
            }
            for event in messages.records.take_events() {
                let is_batch = matches!(event, ReadEvent::Batch(_));
                out.send_blocking(event)?;
                *pages_left = pages_left.saturating_sub(u64::from(is_batch));
                if is_batch && self.cancel.is_cancelled() {
                    return Err(Error::cancelled());
                }
                if *pages_left == 0 {
                    return Ok(());
                }
            }
            if !more {
                return Ok(());
            }
        }
    }
}

/// A message whose further lines may come.
struct Open {
    line: u64,
    /// As it stands in the file, for the dead letters.
    raw: String,
    /// Where in `raw` the text behind the frame begins.
    rest: usize,
    local: Option<chrono::NaiveDateTime>,
    too_long: bool,
}

struct Messages<'a> {
    settings: &'a Settings,
    chat: &'a Chat,
    file: &'a str,
    seen: Seen,
    records: RecordsBuilder,
    rejects: Vec<Reject>,
    open: Option<Open>,
}

impl Messages<'_> {
    fn line(&mut self, bytes: &[u8], number: u64, too_long: Option<u64>) {
        let place = || format!("{}:{number}", self.file);
        let Ok(text) = std::str::from_utf8(bytes).or_else(|e| match too_long {
            // Cut in the middle of a letter.
            Some(_) if e.error_len().is_none() => std::str::from_utf8(&bytes[..e.valid_up_to()]),
            _ => Err(e),
        }) else {
            self.rejects.push(rejected("the line is no UTF-8".into(), bytes, &place()));
            return;
        };
        if let Some(head) = Head::read(text).filter(|h| h.style == self.chat.style) {
            self.close();
            let local = self.chat.order.moment(&head);
            let rest = text.len() - head.rest.len();
            self.open =
                Some(Open { line: number, raw: text.to_owned(), rest, local, too_long: too_long.is_some() });
            return;
        }
        let Some(open) = &mut self.open else {
            if !text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}').is_empty() {
                let reason = "the line stands before the first message of the chat";
                self.rejects.push(rejected(reason.into(), bytes, &place()));
            }
            return;
        };
        open.too_long |= too_long.is_some() || open.raw.len() + text.len() >= MESSAGE_MAX;
        if !open.too_long {
            open.raw.push('\n');
            open.raw.push_str(text);
        }
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let place = format!("{}:{}", self.file, open.line);
        let mut reject = |reason: &str| {
            self.rejects.push(rejected(reason.into(), open.raw.as_bytes(), &place));
        };
        if open.too_long {
            return reject("the message is longer than a mebibyte, which no message of WhatsApp is");
        }
        let Some(local) = open.local else {
            return reject(&format!("the date is none in the order {}", self.chat.order.word()));
        };
        let rest = open.raw.get(open.rest..).unwrap_or_default();
        let ios = self.chat.style.frame == Frame::Bracket;
        let (who, said) = match speaker(rest) {
            Some((who, words)) => (Some(who), said(words, ios)),
            None => (None, notice(rest)),
        };
        let who = who.filter(|_| said.kind != "system");
        let ours = who.as_ref().is_some_and(|who| self.settings.operators.contains(who));
        let minute = local.format("%Y-%m-%dT%H:%M").to_string();
        let id = self.seen.id(&[
            &self.settings.account,
            &self.chat.with,
            &minute,
            who.as_deref().unwrap_or_default(),
            said.kind,
            said.text.as_deref().unwrap_or_default(),
            said.attachment.as_deref().unwrap_or_default(),
        ]);
        let own_phone = who.as_ref().filter(|_| !ours).and_then(|who| phone_of(who, self.settings));
        let name = who.as_ref().filter(|_| !ours && own_phone.is_none());
        let phone = if self.chat.is_group { own_phone.clone() } else { self.chat.phone.clone() };
        let person = match (&phone, &who) {
            (Some(phone), _) => Some(phone.trim_start_matches('+').to_owned()),
            (None, Some(who)) if self.chat.is_group && !ours => Some(who.clone()),
            _ => None,
        };
        let record = json!({
            "id": id,
            "file": self.file,
            "line": open.line,
            "chat": self.chat.with,
            "is_group": self.chat.is_group,
            "person": person,
            "phone": phone,
            "sender": who,
            "name": name,
            "is_ours": ours,
            "local_time": local.format("%Y-%m-%dT%H:%M:%S").to_string(),
            "kind": said.kind,
            "is_event": said.is_event,
            "is_edited": said.is_edited,
            "text": said.text,
            "attachment": said.attachment,
        });
        self.records.push(record.to_string().as_bytes(), &place);
    }
}

/// What nobody said.
fn notice(text: &str) -> Said {
    Said {
        kind: "system",
        is_event: true,
        is_edited: false,
        text: Some(super::head::clean(text)).filter(|t| !t.is_empty()),
        attachment: None,
    }
}

/// Makes ids of what messages are, and tells equal ones of a minute apart by their order.
#[derive(Default)]
struct Seen {
    counts: HashMap<[u8; 16], u32>,
    order: VecDeque<[u8; 16]>,
}

impl Seen {
    fn id(&mut self, parts: &[&str]) -> String {
        let mut whole = Sha256::new();
        for part in parts {
            whole.update((part.len() as u64).to_le_bytes());
            whole.update(part.as_bytes());
        }
        let digest = whole.finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        let count = self.counts.entry(key).or_insert(0);
        *count += 1;
        let nth = *count;
        if nth == 1 {
            self.order.push_back(key);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.counts.remove(&oldest);
            }
        }
        let hex: String = key.iter().map(|b| format!("{b:02x}")).collect();
        if nth == 1 { hex } else { format!("{hex}-{nth}") }
    }
}
