//! Records in, batches out.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use bytes::Bytes;
use throughline_core::{Batch, Notice, ReadEvent, Reject};

use super::column::{Column, Kind};
use super::number::{self, NumberKind};
use super::scan::{Malformed, Scan, Shape, Span};
use super::text::{unescape, write_json_string};

/// The column that takes what has no column of its own, as one JSON object: keys beyond
/// [`Limits::columns`], empty or overlong keys, and keys that begin with `_tl_`.
pub const MORE: &str = "_tl_more";

/// Raw bytes of a rejected record that are kept.
const RAW_KEPT: usize = 1 << 20;
const KEY_BYTES: usize = 512;
/// Cells of one batch: bounds the memory of many columns with few values.
const CELLS: usize = 4 << 20;

/// Bounds on what comes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A longer record is rejected.
    pub record_bytes: usize,
    /// Further keys go into [`MORE`].
    pub columns: usize,
    pub batch_rows: usize,
    pub batch_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { record_bytes: 16 << 20, columns: 2000, batch_rows: 8192, batch_bytes: 8 << 20 }
    }
}

/// A member of a record, as ranges of the scanned bytes.
pub(super) struct Member {
    pub key: Span,
    pub value: Span,
}

/// A value on its way into a column.
struct Cell {
    column: usize,
    kind: Kind,
    from: From,
}

enum From {
    Null,
    Record(Range<usize>),
    Scratch(Range<usize>),
    Extra(usize),
}

/// Grows columns from records and cuts them into batches. See the [module](super).
pub struct RecordsBuilder {
    limits: Limits,
    columns: Vec<Column>,
    by_name: HashMap<Arc<str>, usize>,
    rows: usize,
    bytes: usize,
    /// Records so far, for [`Column::last_seen`].
    serial: u64,
    batches: u64,
    schema: SchemaRef,
    events: Vec<ReadEvent>,
    page: String,
    /// In front of notices about columns; the page when empty.
    name: String,
    exchange: Option<u64>,
    told: HashSet<String>,
    // Reused from record to record.
    members: Vec<Member>,
    cells: Vec<Cell>,
    scratch: String,
    more: String,
}

impl RecordsBuilder {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            columns: Vec::new(),
            by_name: HashMap::new(),
            rows: 0,
            bytes: 0,
            serial: 0,
            batches: 0,
            schema: Arc::new(Schema::empty()),
            events: Vec::new(),
            page: String::new(),
            name: String::new(),
            exchange: None,
            told: HashSet::new(),
            members: Vec::new(),
            cells: Vec::new(),
            scratch: String::new(),
            more: String::new(),
        }
    }

    /// Notices about new and widened columns name this (`crm.leads`) in place of the page. The engine,
    /// which sees the same, says it in the same words and shows it once.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Ends the page before and starts another: batches carry its label and exchange number.
    pub fn begin_page(&mut self, page: impl Into<String>, exchange: Option<u64>) {
        self.finish_page();
        self.page = page.into();
        self.exchange = exchange;
    }

    /// Cuts what is left into a batch. After it, [`RecordsBuilder::take_events`] gives all that came.
    pub fn finish_page(&mut self) {
        self.cut();
    }

    /// Forgets the rows and events since the last [`RecordsBuilder::take_events`], of a page that turned
    /// out to be unusable. Column types stay as wide as they have become.
    pub fn discard_page(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        for column in &mut self.columns {
            column.finish(rows);
        }
        self.events.clear();
    }

    /// What is ready: full batches, rejected records, notices, in the order they arose. Rejects and
    /// notices may stand before the batch that holds their neighbours.
    pub fn take_events(&mut self) -> Vec<ReadEvent> {
        std::mem::take(&mut self.events)
    }

    /// One record: a JSON object, alone in its bytes (a line of JSON lines, a webhook's body). What is
    /// no object becomes a [`Reject`] at `place`. True when it became a row.
    pub fn push(&mut self, record: &[u8], place: impl fmt::Display) -> bool {
        self.push_with(record, &[], place)
    }

    /// Like [`RecordsBuilder::push`], with further columns: names and JSON texts ([`json_string`] makes
    /// one of a text). They win over members of the same name.
    ///
    /// [`json_string`]: super::json_string
    pub fn push_with(&mut self, record: &[u8], extra: &[(&str, &str)], place: impl fmt::Display) -> bool {
        if record.len() > self.limits.record_bytes {
            self.reject(self.too_long(record.len()), place, record);
            return false;
        }
        let text = match std::str::from_utf8(record) {
            Ok(text) => text,
            Err(e) => {
                self.reject(format!("is no UTF-8 at byte {}", e.valid_up_to()), place, record);
                return false;
            }
        };
        let mut scan = Scan::new(record);
        match self.scan_object(&mut scan).and_then(|range| scan.end().map(|()| range)) {
            Err(Malformed { offset, what }) => {
                self.reject(format!("is no JSON: {what} at byte {offset}"), place, record);
                false
            }
            Ok(None) => {
                self.reject("is no JSON object".into(), place, record);
                false
            }
            Ok(Some(_)) => {
                self.add(text, 0, extra);
                true
            }
        }
    }

    pub(super) fn too_long(&self, bytes: usize) -> String {
        format!("is {bytes} bytes long; at most {} are taken", self.limits.record_bytes)
    }
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }
    pub(super) fn page(&self) -> &str {
        &self.page
    }

    /// Walks the next value; when it is an object, its members are in `self.members`.
    pub(super) fn scan_object(&mut self, scan: &mut Scan<'_>) -> Result<Option<Range<usize>>, Malformed> {
        self.members.clear();
        if scan.peek() != b'{' {
            scan.value()?;
            return Ok(None);
        }
        let start = scan.at;
        let members = &mut self.members;
        scan.each::<Malformed>(|scan, key| {
            let value = scan.value()?;
            if let Some(key) = key {
                members.push(Member { key, value });
            }
            Ok(())
        })?;
        Ok(Some(start..scan.at))
    }

    pub(super) fn reject(&mut self, reason: String, place: impl fmt::Display, raw: &[u8]) {
        let cut = raw.len() > RAW_KEPT;
        let reason = if cut {
            format!("the record {reason}; only its first {RAW_KEPT} bytes are kept here")
        } else {
            format!("the record {reason}")
        };
        let raw = Bytes::copy_from_slice(&raw[..raw.len().min(RAW_KEPT)]);
        self.events.push(ReadEvent::Rejected(Reject { reason, place: place.to_string(), raw }));
    }

    /// Says something once per read.
    fn tell(&mut self, code: &str, about: &str, message: impl FnOnce() -> String) {
        if self.told.insert(format!("{code}\0{about}")) {
            self.events.push(ReadEvent::Notice(Notice { code: code.into(), message: message() }));
        }
    }

    /// The record whose members were just scanned becomes a row. `text` begins at byte `base` of what
    /// was scanned.
    pub(super) fn add(&mut self, text: &str, base: usize, extra: &[(&str, &str)]) {
        self.serial += 1;
        self.cells.clear();
        self.scratch.clear();
        self.more.clear();
        let members = std::mem::take(&mut self.members);
        let mut expected = 0;
        for member in &members {
            let slice =
                |range: Range<usize>| text.get(range.start - base..range.end - base).unwrap_or_default();
            let key = slice(member.key.inner());
            let column = if member.key.shape == Shape::Escaped {
                let mut name = String::new();
                unescape(key, &mut name);
                self.column(&name, expected)
            } else {
                self.column(key, expected)
            };
            let Some(column) = column else {
                self.keep_more(slice(member.key.range.clone()), slice(member.value.range.clone()));
                continue;
            };
            expected = column + 1;
            let (kind, from) = self.cell(slice, &member.value, column);
            self.place(Cell { column, kind, from });
        }
        self.members = members;
        for (i, (name, json)) in extra.iter().enumerate() {
            let Some(column) = self.column(name, self.columns.len()) else {
                let mut key = String::new();
                write_json_string(&mut key, name);
                self.keep_more(&key, json);
                continue;
            };
            let mut scan = Scan::new(json.as_bytes());
            let (kind, from) = match scan.value().and_then(|span| scan.end().map(|()| span)) {
                Ok(Span { shape: Shape::Escaped | Shape::Plain, range }) => {
                    let start = self.scratch.len();
                    unescape(json.get(range.start + 1..range.end - 1).unwrap_or_default(), &mut self.scratch);
                    (Kind::Text, From::Scratch(start..self.scratch.len()))
                }
                Ok(span) => (kind_of(span.shape, &json.as_bytes()[span.range]), From::Extra(i)),
                Err(_) => (Kind::Text, From::Extra(i)),
            };
            let from = if kind == Kind::Null { From::Null } else { from };
            self.place(Cell { column, kind, from });
        }
        if !self.more.is_empty() {
            self.more.push('}');
            let column = self.by_name.get(MORE).copied().unwrap_or_else(|| self.new_column(MORE));
            let start = self.scratch.len();
            self.scratch.push_str(&self.more);
            self.place(Cell { column, kind: Kind::Json, from: From::Scratch(start..self.scratch.len()) });
        }
        for cell in &self.cells {
            let value = match &cell.from {
                From::Null => continue,
                From::Record(range) => text.get(range.start - base..range.end - base),
                From::Scratch(range) => self.scratch.get(range.clone()),
                From::Extra(i) => extra.get(*i).map(|(_, json)| json.trim()),
            };
            let value = value.unwrap_or_default();
            if let Some(column) = self.columns.get_mut(cell.column) {
                column.pad(self.rows);
                column.push(cell.kind, value);
                self.bytes += value.len();
            }
        }
        self.rows += 1;
        if self.rows >= self.limits.batch_rows
            || self.bytes >= self.limits.batch_bytes
            || self.rows * self.columns.len() >= CELLS
        {
            self.cut();
        }
    }

    fn cell<'t>(
        &mut self,
        slice: impl Fn(Range<usize>) -> &'t str,
        value: &Span,
        column: usize,
    ) -> (Kind, From) {
        match value.shape {
            Shape::Null => (Kind::Null, From::Null),
            Shape::Plain => (Kind::Text, From::Record(value.inner())),
            Shape::Escaped => {
                let start = self.scratch.len();
                if !unescape(slice(value.inner()), &mut self.scratch) {
                    let name = self.columns[column].name.clone();
                    let page = self.page.clone();
                    self.tell("text_repaired", &name, || {
                        format!(
                            "{page}: column {name:?} holds half of a surrogate pair (a text cut inside \
                             an emoji); it became U+FFFD"
                        )
                    });
                }
                (Kind::Text, From::Scratch(start..self.scratch.len()))
            }
            shape => {
                (kind_of(shape, slice(value.range.clone()).as_bytes()), From::Record(value.range.clone()))
            }
        }
    }

    /// The last of equal keys wins.
    fn place(&mut self, cell: Cell) {
        let column = &mut self.columns[cell.column];
        if column.last_seen != self.serial {
            column.last_seen = self.serial;
            self.cells.push(cell);
            return;
        }
        let name = column.name.clone();
        if let Some(earlier) = self.cells.iter_mut().find(|c| c.column == cell.column) {
            *earlier = cell;
        }
        let page = self.page.clone();
        self.tell("duplicate_key", &name, || {
            format!("{page}: key {name:?} comes twice in one record; the last one counts")
        });
    }

    /// The column of `name`; `None` when it gets no column of its own. `expected` is where it is when
    /// this record has the keys of the one before, as nearly all have.
    #[inline]
    fn column(&mut self, name: &str, expected: usize) -> Option<usize> {
        if self.columns.get(expected).is_some_and(|c| &*c.name == name) {
            return Some(expected);
        }
        if let Some(column) = self.by_name.get(name) {
            return (name != MORE).then_some(*column);
        }
        if name.is_empty() || name.len() > KEY_BYTES || name.starts_with("_tl_") {
            let page = self.page.clone();
            let shown: String = name.chars().take(40).collect();
            self.tell("key_without_column", &shown, || {
                format!("{page}: key {shown:?} can be no column of its own; its values are in {MORE}")
            });
            return None;
        }
        if self.columns.len() >= self.limits.columns {
            let (page, limit) = (self.page.clone(), self.limits.columns);
            self.tell("too_many_columns", "", || {
                format!("{page}: more than {limit} different keys; the rest, from {name:?} on, is in {MORE}")
            });
            return None;
        }
        Some(self.new_column(name))
    }

    fn new_column(&mut self, name: &str) -> usize {
        let name: Arc<str> = name.into();
        self.by_name.insert(name.clone(), self.columns.len());
        self.columns.push(Column::new(name));
        self.columns.len() - 1
    }

    fn keep_more(&mut self, key: &str, value: &str) {
        self.more.push(if self.more.is_empty() { '{' } else { ',' });
        self.more.push_str(key);
        self.more.push(':');
        self.more.push_str(value);
    }

    fn cut(&mut self) {
        if self.rows == 0 {
            return;
        }
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let arrays = self.columns.iter_mut().map(|c| c.finish(rows)).collect();
        self.publish();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        match RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options) {
            Ok(rows) => self.events.push(ReadEvent::Batch(Batch {
                rows,
                exchange: self.exchange,
                page: self.page.clone(),
            })),
            // Arrays and schema are made together, above.
            Err(e) => debug_assert!(false, "{e}"),
        }
        self.batches += 1;
    }

    /// Brings the schema up to date and says what a person should know of the change.
    fn publish(&mut self) {
        let mut changed = self.schema.fields().len() != self.columns.len();
        for column in &mut self.columns {
            let before = column.published.replace(column.kind);
            changed |= before != Some(column.kind);
            let place = if self.name.is_empty() { &self.page } else { &self.name };
            let (name, now) = (&column.name, column.kind.word());
            let notice = match before {
                None if self.batches > 0 && column.kind != Kind::Null => Notice {
                    code: "column_added".into(),
                    message: format!("{place}: column {name:?} is new ({now})"),
                },
                // A column of nulls had no type to widen; objects among texts are text all the same.
                Some(was) if was != Kind::Null && was.arrow() != column.kind.arrow() => Notice {
                    code: "schema_widened".into(),
                    message: format!(
                        "{place}: column {name:?} was {}, a value came as {now}; it is kept as {now} from here on",
                        was.word()
                    ),
                },
                _ => continue,
            };
            self.events.push(ReadEvent::Notice(notice));
        }
        if changed {
            let fields = self.columns.iter().map(|c| ArrowField::new(&*c.name, c.kind.arrow(), true));
            self.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        }
    }
}

#[inline]
fn kind_of(shape: Shape, token: &[u8]) -> Kind {
    match shape {
        Shape::Null => Kind::Null,
        Shape::Bool => Kind::Bool,
        Shape::Object | Shape::Array => Kind::Json,
        Shape::Plain | Shape::Escaped => Kind::Text,
        Shape::Number => match number::kind(token) {
            NumberKind::Int => Kind::Int,
            NumberKind::Decimal => Kind::Decimal,
            NumberKind::Text => Kind::Text,
        },
    }
}
