//! JSON lines into columns.

use throughline_core::{ReadEvent, Result};

use super::columns::Shape;
use super::config::Settings;
use super::decode::Decoded;
use super::sending::Sending;
use crate::lines::Lines;
use crate::local::Opened;
use crate::records::{Limits, RecordsBuilder};

/// A field may have 20 MB, escapes included.
const LINE_MAX: usize = 32 << 20;

pub(crate) fn send(
    file: &str,
    opened: Opened,
    settings: &Settings,
    shape: &Shape,
    to: &mut Sending<'_>,
) -> Result<()> {
    let mut lines = Lines::new(Decoded::new(opened, settings.encoding), LINE_MAX);
    let mut records = RecordsBuilder::new(Limits { record_bytes: LINE_MAX, ..Limits::default() });
    records.begin_page(file, None);
    loop {
        let line = match lines.next() {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(e) => return Err(lines.reader().reader().error(e)),
        };
        if line.bytes.trim_ascii().is_empty() && line.too_long.is_none() {
            continue;
        }
        if to.skips() {
            continue;
        }
        if let Some(length) = line.too_long {
            let reason = format!("the line is {length} bytes long; at most {LINE_MAX} are taken");
            to.reject(reason, format!("{file}:{}", line.number), line.bytes)?;
            continue;
        }
        if records.push(line.bytes, format_args!("{file}:{}", line.number)) {
            to.took_record();
        }
        if !pass_on(&mut records, shape, to)? {
            return Ok(());
        }
    }
    records.finish_page();
    pass_on(&mut records, shape, to)?;
    Ok(())
}

fn pass_on(records: &mut RecordsBuilder, shape: &Shape, to: &mut Sending<'_>) -> Result<bool> {
    for event in records.take_events() {
        match event {
            ReadEvent::Batch(batch) => {
                shape.check_batch(&batch.rows, &batch.page)?;
                // Records are cut into a batch right behind the one that fills it: the checkpoint
                // that may follow covers them all.
                if !to.batch(batch.rows, batch.page)? {
                    return Ok(false);
                }
            }
            ReadEvent::Rejected(reject) => to.reject(reject.reason, reject.place, &reject.raw)?,
            other => to.out.send_blocking(other)?,
        }
    }
    Ok(true)
}
