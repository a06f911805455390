//! Rows of one stream without the people who are to be forgotten.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::{cast, filter_record_batch, nullif};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use throughline_core::{Result, StreamSpec};

use super::leaves::{leaves, may_be_json, replaced};
use super::marks::{Class, Judged, Marks, Place, Scope, words};
use crate::pipeline::SourceEntry;

/// What becomes of a row that belongs to the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It goes.
    Person,
    /// It stays for the money in it, without the person.
    Money,
    /// It is of the business (employees, pipelines, costs): it stays as it is.
    Business,
}

/// How rows of one stream are taken.
#[derive(Clone, Debug)]
pub struct StreamScope {
    pub role: Role,
    pub scope: Scope,
    pub key: Vec<String>,
}

/// Canonical tables whose rows are money or business, not people.
const MONEY: &[&str] = &["deals", "conversions", "refunds"];
const BUSINESS: &[&str] = &["operators", "costs", "exchange_rates", "aggregated_paths", "deal_events"];

impl StreamScope {
    pub fn of(entry: &SourceEntry, spec: &StreamSpec) -> Self {
        let mappings = entry.source.mappings();
        let first =
            |into: &str| mappings.iter().any(|m| m.into == into && m.from.first() == Some(&spec.name));
        let reads = |into: &str| mappings.iter().any(|m| m.into == into && m.from.contains(&spec.name));
        let of_people = |m: &&throughline_core::Mapping| {
            !MONEY.contains(&m.into.as_str())
                && !BUSINESS.contains(&m.into.as_str())
                && m.into != "deal_contacts"
        };
        let money =
            MONEY.iter().any(|t| first(t) || (reads(t) && spec.capabilities.deletes && !spec.key.is_empty()));
        let business = BUSINESS.iter().chain(MONEY).any(|t| reads(t))
            && !mappings.iter().filter(of_people).any(|m| m.from.contains(&spec.name));
        let role = if money {
            Role::Money
        } else if business {
            Role::Business
        } else {
            Role::Person
        };
        let class = match () {
            () if first("contacts") => Some(Class::Contact),
            () if first("visits") => Some(Class::Visit),
            () if money && reads("deals") => Some(Class::Deal),
            () => None,
        };
        let key = match (spec.key.as_slice(), class) {
            ([column], Some(class)) => Some((column.clone(), class)),
            _ => None,
        };
        Self { role, scope: Scope { source: entry.name.clone(), key }, key: spec.key.clone() }
    }

    /// For what has no stream: a letter, a table of an epoch.
    pub fn anywhere(source: &str) -> Self {
        Self { role: Role::Person, scope: Scope { source: source.to_owned(), key: None }, key: Vec::new() }
    }
}

/// A batch after it was gone over.
pub struct Filtered {
    /// `None` when nothing changed.
    pub rows: Option<RecordBatch>,
    pub removed: u64,
    pub changed: u64,
}

impl Marks {
    /// Drops the person's rows, or what names the person in them. Columns of the engine (`_tl_..`) stay.
    pub fn filter(&self, batch: &RecordBatch, stream: &StreamScope) -> Result<Filtered> {
        let count = batch.num_rows();
        let untouched = Filtered { rows: None, removed: 0, changed: 0 };
        if self.is_empty() || count == 0 || stream.role == Role::Business {
            return Ok(untouched);
        }
        let money = stream.role == Role::Money;
        let mut owner = vec![false; count];
        let mut edits: Vec<Vec<(usize, Option<String>)>> = vec![Vec::new(); batch.num_columns()];
        let schema = batch.schema();
        for (at, (field, column)) in schema.fields().iter().zip(batch.columns()).enumerate() {
            if field.name().starts_with("_tl_") {
                continue;
            }
            let path = [field.name().clone()];
            let place = Place::of(&stream.scope, &path);
            let is_key = stream.key.contains(field.name());
            each_value(column, |row, text| {
                let judged = match column.data_type().is_nested() {
                    true => self.judge_parts(stream, &path, &place, text),
                    false => self.judge_at(&stream.scope, &path, &place, text),
                };
                owner[row] |= judged.owner || (money && judged.deal);
                if let Some(masked) = judged.masked
                    && !(money && is_key)
                {
                    edits[at].push((row, masked));
                }
            })?;
        }
        if money {
            self.blank(batch, stream, &owner, &mut edits)?;
        }
        // Rows that go need no edits.
        let goes: Vec<bool> = owner.iter().map(|o| *o && !money).collect();
        let mut changed = vec![false; count];
        for (row, _) in edits.iter().flatten() {
            changed[*row] |= !goes[*row];
        }
        let removed = goes.iter().filter(|g| **g).count() as u64;
        let changed = changed.iter().filter(|c| **c).count() as u64;
        if removed + changed == 0 {
            return Ok(untouched);
        }
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (column, edits) in batch.columns().iter().zip(edits) {
            columns.push(if edits.is_empty() { column.clone() } else { edited(column, &edits)? });
        }
        let mut rows = RecordBatch::try_new(schema, columns)?;
        if removed > 0 {
            let keep: BooleanArray = goes.iter().map(|g| Some(!g)).collect();
            rows = filter_record_batch(&rows, &keep)?;
        }
        Ok(Filtered { rows: Some(rows), removed, changed })
    }

    /// Nested columns (of Parquet files) are judged by their parts and go as a whole.
    fn judge_parts(&self, stream: &StreamScope, path: &[String], place: &Place, text: &str) -> Judged {
        let mut judged = Judged::default();
        for part in text.split(|c: char| "[]{}, \"'=".contains(c)).filter(|p| !p.is_empty()) {
            let one = self.judge_at(&stream.scope, path, place, part.trim_matches(':'));
            judged.owner |= one.owner;
            judged.deal |= one.deal;
            if one.masked.is_some() {
                judged.masked = Some(None);
            }
        }
        judged
    }

    /// What else of a person's deal goes: texts that people wrote into it and its tracking, all but what
    /// its money needs.
    fn blank(
        &self,
        batch: &RecordBatch,
        stream: &StreamScope,
        owner: &[bool],
        edits: &mut [Vec<(usize, Option<String>)>],
    ) -> Result<()> {
        for (at, (field, column)) in batch.schema().fields().iter().zip(batch.columns()).enumerate() {
            let name = field.name();
            if name.starts_with("_tl_") || stream.key.contains(name) {
                continue;
            }
            let personal = is_personal(name);
            // Conversions prepared elsewhere need one, and stay together by it.
            let is_person = words(name).iter().any(|w| w == "person");
            each_value(column, |row, text| {
                if !owner[row] {
                    return;
                }
                let before = edits[at].iter().position(|(r, _)| *r == row);
                let masked = match before.map(|b| edits[at][b].1.clone()) {
                    Some(masked) => masked,
                    None => Some(text.to_owned()),
                };
                let blanked = match masked {
                    Some(text) if may_be_json(&text) && column.data_type() == &DataType::Utf8 => {
                        Some(without_texts(&text))
                    }
                    _ if is_person => Some(self.pseudonym(text)),
                    Some(_) if personal => None,
                    other => other,
                };
                if blanked.as_deref() != Some(text) {
                    match before {
                        Some(b) => edits[at][b].1 = blanked,
                        None => edits[at].push((row, blanked)),
                    }
                }
            })?;
        }
        Ok(())
    }

    /// Holds conversions of one forgotten person together, and names nobody.
    fn pseudonym(&self, person: &str) -> String {
        self.hash("pseudonym", person)[..8].iter().fold("forgotten:".to_owned(), |mut out, b| {
            use std::fmt::Write as _;
            let _ = write!(out, "{b:02x}");
            out
        })
    }
}

/// Every string of a JSON text as null, all else as it is.
fn without_texts(json: &str) -> String {
    let mut edits = Vec::new();
    let whole = leaves(json, &mut |leaf| {
        if leaf.is_string {
            edits.push((leaf.span.clone(), "null".to_owned()));
        }
    });
    if whole { replaced(json, &edits) } else { "null".to_owned() }
}

/// Columns of a deal that speak of its customer, by their names.
fn is_personal(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "name",
        "title",
        "comment",
        "comments",
        "note",
        "notes",
        "description",
        "phone",
        "email",
        "mail",
        "address",
        "contact",
        "contacts",
        "client",
        "customer",
        "buyer",
        "person",
        "token",
        "tags",
        "source",
        "medium",
        "campaign",
        "utm",
    ];
    words(name).iter().any(|w| NAMES.contains(&w.as_str()))
}

/// Texts and whole numbers as text, everything nested as arrow shows it. Instants, amounts with fractions
/// and flags are nobody's name.
fn each_value(column: &ArrayRef, mut each: impl FnMut(usize, &str)) -> Result<()> {
    match column.data_type() {
        DataType::Utf8 => {
            for (row, value) in column.as_string::<i32>().iter().enumerate() {
                if let Some(value) = value {
                    each(row, value);
                }
            }
        }
        DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = cast(column, &DataType::Utf8)?;
            return each_value(&texts, each);
        }
        kind if kind.is_integer() || matches!(kind, DataType::Decimal128(..)) || kind.is_nested() => {
            let options = FormatOptions::default();
            let format = ArrayFormatter::try_new(column.as_ref(), &options)?;
            let decimal = matches!(column.data_type(), DataType::Decimal128(..));
            for row in (0..column.len()).filter(|row| column.is_valid(*row)) {
                let text = format.value(row).to_string();
                match text.split_once('.') {
                    Some((whole, zeros)) if decimal && zeros.bytes().all(|b| b == b'0') => each(row, whole),
                    Some(_) if decimal => {}
                    _ => each(row, &text),
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn edited(column: &ArrayRef, edits: &[(usize, Option<String>)]) -> Result<ArrayRef> {
    if matches!(column.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
        let texts = cast(column, &DataType::Utf8)?;
        let mut values: Vec<Option<&str>> = texts.as_string::<i32>().iter().collect();
        for (row, value) in edits {
            values[*row] = value.as_deref();
        }
        let changed: ArrayRef = Arc::new(StringArray::from(values));
        return Ok(cast(&changed, column.data_type())?);
    }
    let mut nulled = vec![false; column.len()];
    for (row, _) in edits {
        nulled[*row] = true;
    }
    Ok(nullif(column.as_ref(), &BooleanArray::from(nulled))?)
}
