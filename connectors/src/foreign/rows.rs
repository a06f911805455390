//! Records of one stream on their way from lines to batches.

use throughline_core::{Checkpoint, CountCheck, Error, Notice, ReadEvent, Result};
use throughline_foreign::{LINE_MAX, Program};

use crate::flow::Out;
use crate::records::{Limits, RecordsBuilder};

/// For places of records: `the output, line 17`.
const PAGE: &str = "the output";

pub(crate) struct Rows<'a> {
    pub out: &'a Out,
    records: RecordsBuilder,
    /// Lines that are no messages.
    noise: u64,
    /// Records of streams that were not selected.
    others: u64,
    pub batches: u64,
    /// Records of the stream since the last checkpoint, rejected ones included.
    pub since_checkpoint: u64,
}

impl<'a> Rows<'a> {
    pub fn new(out: &'a Out) -> Self {
        let mut records = RecordsBuilder::new(Limits { record_bytes: LINE_MAX, ..Limits::default() });
        records.begin_page(PAGE, None);
        Self { out, records, noise: 0, others: 0, batches: 0, since_checkpoint: 0 }
    }

    pub async fn push(&mut self, record: &str, line: u64) -> Result<()> {
        self.since_checkpoint += 1;
        self.records.push(record.as_bytes(), format_args!("{PAGE}, line {line}"));
        self.pass_on().await
    }

    /// All records so far are passed on, and then this.
    pub async fn checkpoint(&mut self, state: serde_json::Value) -> Result<()> {
        self.flush().await?;
        self.since_checkpoint = 0;
        self.out.send(ReadEvent::Checkpoint(Checkpoint(state))).await
    }

    /// All records so far are passed on, and then the number that the program told of them.
    pub async fn count(&mut self, what: String, expected: u64) -> Result<()> {
        self.flush().await?;
        let count = CountCheck { what, expected, read: self.since_checkpoint };
        self.out.send(ReadEvent::Count(count)).await
    }

    async fn flush(&mut self) -> Result<()> {
        self.records.finish_page();
        self.pass_on().await?;
        self.records.begin_page(PAGE, None);
        Ok(())
    }

    pub async fn notice(&self, code: &str, message: String) -> Result<()> {
        self.out.send(ReadEvent::Notice(Notice { code: code.into(), message })).await
    }

    /// A line that is no message: programs print what they should log.
    pub fn noise(&mut self, line: &[u8], program: &Program) {
        if !line.trim_ascii().is_empty() {
            self.noise += 1;
            tracing::debug!(said = %program.shown(line, usize::MAX), "a line that is no message");
        }
    }

    pub fn of_another_stream(&mut self) {
        self.others += 1;
    }

    /// The program has ended well.
    pub async fn finish(mut self) -> Result<()> {
        self.records.finish_page();
        self.pass_on().await?;
        let remarks = [
            (self.noise, "noise", "lines of the output are no messages; they are in the log (-vv)"),
            (
                self.others,
                "other_streams",
                "records are of streams that were not asked for; they were left out",
            ),
        ];
        for (count, code, what) in remarks {
            if count > 0 {
                self.notice(code, format!("{count} {what}")).await?;
            }
        }
        Ok(())
    }

    async fn pass_on(&mut self) -> Result<()> {
        for event in self.records.take_events() {
            self.batches += u64::from(matches!(event, ReadEvent::Batch(_)));
            self.out.send(event).await?;
        }
        Ok(())
    }
}

/// Why a line is no message.
pub(crate) fn wrong(program: &Program, line: &[u8], number: u64, why: &str) -> Error {
    let head = program.shown(line, 120);
    Error::protocol(format!("line {number} of the output of {} is no message: {why}: {head}", program.name))
}
