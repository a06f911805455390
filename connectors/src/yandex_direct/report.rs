//! A report in a file: its last line tells how many rows it has, the others are the rows.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Take};
use std::path::{Path, PathBuf};

use throughline_core::{Error, Result};

use super::fields;
use crate::tsv::{Dialect, Part};

/// A dash is no value. Nothing is escaped, as far as Direct's pages say.
const DIRECT: Dialect = Dialect { null: "--", escaped: false, list: |_| None };

/// The last line is short.
const TAIL: u64 = 256;

/// A file that goes when nobody needs it any more.
pub(crate) struct Scratch(pub PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Gone at the end of the run at the latest.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What the last line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Rows, as Direct counted them.
    pub rows: u64,
    /// Where the last line begins.
    pub at: u64,
}

/// Looks for the last line, `Total rows: 42`. A report without it was cut.
pub(crate) fn summary(path: &Path) -> Result<Option<Summary>> {
    let failed = |e| Error::io("read", path.display(), e);
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let from = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from)).map_err(failed)?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail).map_err(failed)?;
    Ok(last_line(&tail).map(|(at, rows)| Summary { rows, at: from + at }))
}

/// Where the summary begins, and its number.
fn last_line(tail: &[u8]) -> Option<(u64, u64)> {
    let text = tail.trim_ascii_end();
    // It is a whole line: half a number must not pass for it.
    if text.len() == tail.len() {
        return None;
    }
    // The header stands before it, so that there is a line break.
    let at = text.iter().rposition(|b| *b == b'\n')? + 1;
    let line = std::str::from_utf8(&text[at..]).ok()?;
    // Rows have tabs, and this line has none.
    let (words, number) = line.split_once(": ").filter(|_| !line.contains('\t'))?;
    if words != "Total rows" || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((u64::try_from(at).ok()?, number.parse().ok()?))
}

/// What every row of one report has in common.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    pub account: &'a str,
    pub currency: &'a str,
    /// `with` or `without`.
    pub vat: &'a str,
    /// Stands for the list of fields.
    pub fields: &'a str,
}

/// Reads the rows of a report (without its last line), header first.
///
/// # Errors
/// `Protocol` when there is no usable header, `Io`.
pub fn rows<R: Read>(reader: R, name: impl Into<String>, common: &Common<'_>) -> Result<Part<R>> {
    let constants = [
        (fields::ACCOUNT, common.account),
        (fields::CURRENCY, common.currency),
        (fields::VAT, common.vat),
        (fields::FIELDS, common.fields),
    ];
    Part::open(reader, name, DIRECT, &constants)
}

/// The same of a file whose summary was found.
pub(crate) fn of_file(
    path: &Path,
    summary: Summary,
    name: &str,
    common: &Common<'_>,
) -> Result<Part<Take<File>>> {
    let file = File::open(path).map_err(|e| Error::io("open", path.display(), e))?;
    rows(file.take(summary.at), name, common)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_last_line_counts() {
        assert_eq!(last_line(b"a\tb\n1\t2\nTotal rows: 1\n"), Some((8, 1)));
        assert_eq!(last_line(b"a\tb\r\nTotal rows: 0\r\n\n"), Some((5, 0)));
        for cut in [
            &b""[..],
            b"\n",
            b"Total rows: 1\n",
            b"a\tb\n1\t2\n",
            b"a\tb\n1\t2\nTotal rows: 1",
            b"a\tb\n1\t2\nTotal rows: \n",
            b"a\tb\n1\tTotal rows: 1\n",
            b"a\tb\n1\t2\nTotal rows: 1x\n",
            b"a\tb\n1\t2\nTotal rows: 99999999999999999999999\n",
        ] {
            assert_eq!(last_line(cut), None, "{:?}", String::from_utf8_lossy(cut));
        }
    }

    #[test]
    fn a_long_report_is_read_at_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.tsv");
        let body = "Date\tCost\n".to_owned() + &"2026-09-01\t1000000\n".repeat(500);
        std::fs::write(&path, body.clone() + "Total rows: 500\n").unwrap();
        let found = summary(&path).unwrap().unwrap();
        assert_eq!(found, Summary { rows: 500, at: body.len() as u64 });
        let common = Common { account: "a", currency: "RUB", vat: "with", fields: "f" };
        let mut part = of_file(&path, found, "r", &common).unwrap();
        assert_eq!(part.next_batch().unwrap().unwrap().num_rows(), 500);
        assert!(part.next_batch().unwrap().is_none() && part.take_rejects().is_empty());
    }
}
