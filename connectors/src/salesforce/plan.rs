//! What is asked of one object: its fields, as they are described today, and the spans of changes.

use std::fmt::Write as _;

use chrono::DateTime;
use sha2::{Digest, Sha256};
use throughline_core::instant;

use super::answer::{Description, Field, cursor};
use super::config::Settings;
use super::objects::{MARKS, Object, Reading};
use super::state::Open;

#[derive(Debug)]
pub(crate) struct Plan {
    object: String,
    /// To be read, the id first.
    pub fields: Vec<Field>,
    /// Columns under other names, and the fields they come from.
    pub marks: Vec<(&'static str, String)>,
    /// By which changes are found; `None` where everything is read every time.
    pub cursor: Option<&'static str>,
    /// Stands for the fields.
    pub shape: String,
}

impl Plan {
    pub fn new(object: &Object, settings: &Settings, description: Description) -> Self {
        let fields = description.plain();
        // Names are not case-sensitive; answers write them as described.
        let find = |name: &String| fields.iter().find(|f| f.name.eq_ignore_ascii_case(name));
        let marks = match object.marked {
            true => (MARKS.into_iter().zip(&settings.marks))
                .filter_map(|(mark, field)| Some((mark, find(field)?.name.clone())))
                .collect(),
            false => Vec::new(),
        };
        let mut hash = Sha256::new();
        for name in fields.iter().map(|f| f.name.as_str()).chain(marks.iter().map(|(_, f)| f.as_str())) {
            hash.update(name);
            hash.update([0]);
        }
        Self {
            object: object.name.clone(),
            cursor: if object.reading == Reading::Whole { None } else { cursor(&fields) },
            shape: hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect(),
            fields,
            marks,
        }
    }

    /// Fields that the mappings use and this user does not see.
    pub fn hidden(&self, object: &Object) -> Vec<&'static str> {
        object.relied_on().filter(|name| !self.fields.iter().any(|f| f.name == *name)).collect()
    }

    /// All records, in no order.
    pub fn everything(&self) -> String {
        let names: Vec<&str> = self.fields.iter().map(|f| f.name.as_str()).collect();
        format!("SELECT {} FROM {}", names.join(", "), self.object)
    }

    /// Records of a span that were not read yet, by moment of change and id.
    pub fn ordered(&self, open: &Open, limit: Option<u64>) -> String {
        let mut soql = self.span(open);
        let cursor = self.cursor.unwrap_or("Id");
        if let Some((at, id)) = &open.behind {
            // The first half lets the index be used.
            let at = literal(*at);
            let _ = write!(soql, " AND {cursor} >= {at} AND ({cursor} > {at} OR Id > '{id}')");
        }
        let _ = write!(soql, " ORDER BY {cursor}, Id");
        if let Some(limit) = limit {
            let _ = write!(soql, " LIMIT {limit}");
        }
        soql
    }

    /// All records of a span.
    pub fn span(&self, open: &Open) -> String {
        let mut soql = self.everything();
        let cursor = self.cursor.unwrap_or("Id");
        let _ = write!(soql, " WHERE {cursor} < {}", literal(open.to_ms));
        if let Some(from) = open.from_ms {
            let _ = write!(soql, " AND {cursor} >= {}", literal(from));
        }
        soql
    }
}

/// A moment as queries write it.
fn literal(ms: i64) -> String {
    let at = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Milliseconds of a moment as answers write it.
pub(crate) fn millis(text: &str) -> Option<i64> {
    instant::parse(text, None).map(|us| us.div_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions() {
        let field = |name: &str| Field { name: name.into(), ..Field::default() };
        let plan = Plan {
            object: "Lead".into(),
            fields: vec![field("Id"), field("Name")],
            marks: Vec::new(),
            cursor: Some("SystemModstamp"),
            shape: String::new(),
        };
        let at = millis("2026-09-01T00:00:00.125+0000");
        let open = Open {
            from_ms: at.map(|at| at - 1000),
            to_ms: at.unwrap_or_default() + 5000,
            behind: at.map(|at| (at, "00Q5g0000000001AAA".into())),
            ..Open::default()
        };
        assert_eq!(
            plan.ordered(&open, Some(3)),
            "SELECT Id, Name FROM Lead WHERE SystemModstamp < 2026-09-01T00:00:05.125Z \
             AND SystemModstamp >= 2026-08-31T23:59:59.125Z AND SystemModstamp >= 2026-09-01T00:00:00.125Z \
             AND (SystemModstamp > 2026-09-01T00:00:00.125Z OR Id > '00Q5g0000000001AAA') \
             ORDER BY SystemModstamp, Id LIMIT 3"
        );
    }
}
