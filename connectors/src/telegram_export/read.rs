//! Reads the exports, each a slice of the stream. A message that several exports hold has one key: that of the last
//! file stands.

use std::collections::BTreeSet;
use std::path::Path;

use throughline_core::{Checkpoint, Error, Notice, ReadEvent, Reject, Result};
use tokio_util::sync::CancellationToken;

use super::config::Settings;
use super::export::{Chat, MESSAGE_MAX, Take, walk};
use super::json::{Json, Stop};
use super::message::Message;
use crate::flow::Out;
use crate::local::{self, Compression, Opened};
use crate::records::{Limits, RecordsBuilder, json_string};
use crate::slices::{self, Slices};
use crate::whatsapp::read::rejected;

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
                self.send_file(name, path, &mut pages_left, out)?;
            }
            return Ok(());
        }
        let slices: Slices = slices::state(self.checkpoint.as_ref(), "exported chats")?;
        slices.each_changed(&files, "messages", out, |name, path| {
            self.send_file(name, path, &mut pages_left, out)
        })
    }

    fn send_file(&self, name: &str, path: &Path, pages_left: &mut u64, out: &Out) -> Result<()> {
        if *pages_left == 0 {
            return Ok(());
        }
        let mut json = Json::new(Opened::open(path, Compression::of(path))?);
        let mut rows = Rows {
            settings: &self.settings,
            cancel: &self.cancel,
            file: name,
            file_json: json_string(name),
            records: RecordsBuilder::new(Limits::default()),
            rejects: Vec::new(),
            passed: BTreeSet::new(),
            pages_left,
            out,
        };
        rows.records.begin_page(name, None);
        let walked = walk(&mut json, &mut rows);
        let enough = *rows.pages_left == 0;
        match walked {
            Ok(()) => {}
            Err(Stop::Taken(_)) if enough => return Ok(()),
            Err(Stop::Taken(error)) => return Err(error),
            Err(Stop::Io(error)) => return Err(json.reader().error(error)),
            Err(Stop::Wrong { offset, what }) => {
                return Err(Error::data(format!(
                    "{name} is no export of Telegram: {what}, at byte {offset}"
                ))
                .hint(
                    "in Telegram Desktop: Export chat history, format JSON; nothing of the file was used",
                ));
            }
        }
        rows.records.finish_page();
        match rows.send() {
            Err(_) if *rows.pages_left == 0 => return Ok(()),
            sent => sent?,
        }
        if !rows.passed.is_empty() {
            let kinds = Vec::from_iter(rows.passed).join(", ");
            let message =
                format!("{name} has chats in which no customers write, which were passed over: {kinds}");
            out.send_blocking(ReadEvent::Notice(Notice { code: "chats_passed_over".into(), message }))?;
        }
        Ok(())
    }
}

struct Rows<'a> {
    settings: &'a Settings,
    cancel: &'a CancellationToken,
    file: &'a str,
    file_json: String,
    records: RecordsBuilder,
    rejects: Vec<Reject>,
    /// Kinds of chats.
    passed: BTreeSet<String>,
    pages_left: &'a mut u64,
    out: &'a Out,
}

impl Take for Rows<'_> {
    fn message(&mut self, chat: &Chat, raw: &[u8], length: u64, number: u64) -> Result<()> {
        let place = format!("{}: chat {}, message {number}", self.file, chat.id);
        if let Err(reason) = self.push(chat, raw, length, &place) {
            self.rejects.push(rejected(reason, raw, &place));
        }
        self.send()
    }

    fn passed(&mut self, chat: &Chat) {
        // Whatever the file has there, a few words of it will do.
        if self.passed.len() < 20 {
            self.passed.insert(chat.kind.chars().take(40).collect());
        }
    }
}

impl Rows<'_> {
    fn push(&mut self, chat: &Chat, raw: &[u8], length: u64, place: &str) -> Result<(), String> {
        if length > MESSAGE_MAX as u64 {
            return Err(format!("the message has {length} bytes; at most {MESSAGE_MAX} are taken"));
        }
        let message: Message<'_> =
            serde_json::from_slice(raw).map_err(|e| format!("the message is none of an export: {e}"))?;
        let sent = message.sent_unix();
        if sent.is_none() && (!message.has_date() || self.settings.time_zone.is_none()) {
            return Err("the message has no `date_unixtime`: set `time_zone`, for its local time".into());
        }
        let chat_id = chat.bot_api_id().unwrap_or_default();
        let person = message.person();
        let ours = person.is_some_and(|person| {
            chat.own == Some(person)
                || self.settings.operators.contains(&person)
                || (chat.is_personal() && person != chat.id)
        });
        let or_null = |value: Option<String>| value.unwrap_or_else(|| "null".to_owned());
        let key = json_string(&format!("{chat_id}:{}", message.id));
        let chat_id = json_string(&chat_id);
        let person = or_null(person.map(|p| json_string(&p.to_string())));
        let words = or_null(message.words().map(|w| json_string(&w)));
        let sent = or_null(sent.map(|s| s.to_string()));
        let (kind, name) = (json_string(&chat.kind), or_null(chat.name.as_deref().map(json_string)));
        let extra = [
            ("message_key", key.as_str()),
            ("chat_id", &chat_id),
            ("chat_type", &kind),
            ("chat_name", &name),
            ("export_file", &self.file_json),
            ("person", &person),
            ("is_ours", if ours { "true" } else { "false" }),
            ("words", &words),
            ("sent_unix", &sent),
        ];
        self.records.push_with(raw, &extra, place);
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        for reject in self.rejects.drain(..) {
            self.out.send_blocking(ReadEvent::Rejected(reject))?;
        }
        for event in self.records.take_events() {
            let is_batch = matches!(event, ReadEvent::Batch(_));
            self.out.send_blocking(event)?;
            *self.pages_left = self.pages_left.saturating_sub(u64::from(is_batch));
            if *self.pages_left == 0 || is_batch && self.cancel.is_cancelled() {
                return Err(Error::cancelled());
            }
        }
        Ok(())
    }
}
