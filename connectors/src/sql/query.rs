//! The statements of one stream.
//!
//! Rows come in the order of the cursor and the key, so that the last row is a place to go on from.

use throughline_core::{Error, Result};

use super::columns::{Described, Kind, plain_number};
use super::config::{ServerKind, StreamConfig};

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// At the first row.
    Start,
    /// At rows whose cursor is this or more, less the overlap.
    Cursor(String),
    /// Behind this row: the texts of [`Plan::order`].
    Behind(Vec<String>),
}

/// A stream, its columns known.
#[derive(Debug)]
pub(super) struct Plan {
    server: ServerKind,
    /// What stands behind FROM.
    relation: String,
    pub columns: Vec<Described>,
    /// Places in `columns` that rows are ordered by: the cursor, then the key.
    pub order: Vec<usize>,
    has_cursor: bool,
    overlap_s: u32,
    overlap_n: u32,
}

impl Plan {
    /// # Errors
    /// The server's columns are not those that the options name.
    pub fn new(server: ServerKind, stream: &StreamConfig, columns: Vec<Described>) -> Result<Self> {
        for (i, column) in columns.iter().enumerate() {
            if columns.iter().take(i).any(|c| c.name == column.name) {
                return Err(Error::config(format!("two columns are named {:?}", column.name))
                    .hint("give one another name by AS in a `query`"));
            }
            if column.name.starts_with("_tl_") {
                return Err(Error::config(format!("column {:?}: _tl_ names are the engine's", column.name))
                    .hint("give it another name by AS in a `query`"));
            }
        }
        let mut order = Vec::new();
        for (what, name) in
            stream.cursor.iter().map(|c| ("cursor", c)).chain(stream.key.iter().map(|k| ("key", k)))
        {
            let Some(at) = columns.iter().position(|c| c.name == *name) else {
                let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
                return Err(Error::config(format!("{what}: there is no column {name:?}"))
                    .hint(format!("there are {}", names.join(", "))));
            };
            if !order.contains(&at) {
                order.push(at);
            }
        }
        if let (Some(name), Some(at)) = (&stream.cursor, order.first())
            && columns.get(*at).is_some_and(|c| matches!(c.kind, Kind::Bool | Kind::Float))
        {
            return Err(Error::config(format!(
                "cursor {name:?} holds no times, days, whole numbers or texts"
            )));
        }
        Ok(Self {
            server,
            relation: relation(server, stream),
            columns,
            order,
            has_cursor: stream.cursor.is_some(),
            overlap_s: stream.overlap_s,
            overlap_n: stream.overlap_n,
        })
    }

    /// The rows from there on.
    pub fn rows(&self, from: &From) -> Result<String> {
        let texts: Vec<&str> = self.columns.iter().map(|c| c.text.as_str()).collect();
        let order: Vec<String> = self.order.iter().map(|i| self.name(*i)).collect();
        let order = if order.is_empty() { String::new() } else { format!(" ORDER BY {}", order.join(", ")) };
        Ok(format!("SELECT {} FROM {}{}{order}", texts.join(", "), self.relation, self.condition(from)?))
    }

    /// How many they are.
    pub fn count(&self, from: &From) -> Result<String> {
        Ok(format!("SELECT count(*) FROM {}{}", self.relation, self.condition(from)?))
    }

    /// A row that would never be read again: it has no place in the order. `None` where there is no order.
    pub fn without_place(&self) -> Option<String> {
        let nulls: Vec<String> = self.order.iter().map(|i| format!("{} IS NULL", self.name(*i))).collect();
        (!nulls.is_empty())
            .then(|| format!("SELECT 1 FROM {} WHERE {} LIMIT 1", self.relation, nulls.join(" OR ")))
    }

    fn condition(&self, from: &From) -> Result<String> {
        match from {
            From::Start => Ok(String::new()),
            From::Cursor(text) => {
                let Some(at) = self.order.first().filter(|_| self.has_cursor) else {
                    return Ok(String::new());
                };
                Ok(format!(" WHERE {} >= {}", self.name(*at), self.less_overlap(*at, text)?))
            }
            From::Behind(texts) => {
                if texts.len() != self.order.len() {
                    return Err(Error::config("the checkpoint is of another key or cursor")
                        .hint("read the stream anew with --full-refresh"));
                }
                // Written out, since not every server uses an index for a comparison of rows.
                let mut condition = String::new();
                for (at, text) in self.order.iter().zip(texts).rev() {
                    let (name, value) = (self.name(*at), self.literal(*at, text)?);
                    condition = if condition.is_empty() {
                        format!("{name} > {value}")
                    } else {
                        format!("{name} >= {value} AND ({name} > {value} OR ({condition}))")
                    };
                }
                Ok(format!(" WHERE {condition}"))
            }
        }
    }

    fn name(&self, at: usize) -> String {
        let name = self.columns.get(at).map_or("", |c| c.name.as_str());
        format!("q.{}", quoted(self.server, name))
    }

    fn kind(&self, at: usize) -> Kind {
        self.columns.get(at).map_or(Kind::Text, |c| c.kind)
    }

    /// A value as the server wrote it, for the server.
    fn literal(&self, at: usize, text: &str) -> Result<String> {
        match self.kind(at) {
            // A text beside a number would be compared as a rounded one.
            Kind::Int | Kind::Uint | Kind::Decimal if self.server == ServerKind::Mysql => {
                plain_number(text).map(str::to_owned).ok_or_else(|| other_kind(text))
            }
            _ => Ok(literal(self.server, text)),
        }
    }

    fn less_overlap(&self, at: usize, text: &str) -> Result<String> {
        let value = self.literal(at, text)?;
        let (s, n) = (self.overlap_s, self.overlap_n);
        let days = s.div_ceil(86_400);
        Ok(match (self.kind(at), self.server) {
            (Kind::Instant(_), _) if s == 0 => value,
            (Kind::Date, _) if s == 0 => value,
            (Kind::Int | Kind::Uint | Kind::Decimal, _) if n == 0 => value,
            (Kind::Instant(_), ServerKind::Postgresql) => {
                let kind = self.columns.get(at).map_or("timestamptz", |c| c.type_name.as_str());
                format!("{value}::{kind} - interval '{s} seconds'")
            }
            (Kind::Date, ServerKind::Postgresql) => format!("{value}::date - {days}"),
            (Kind::Instant(_), ServerKind::Mysql) => {
                format!("CAST({value} AS DATETIME(6)) - INTERVAL {s} SECOND")
            }
            (Kind::Date, ServerKind::Mysql) => format!("CAST({value} AS DATE) - INTERVAL {days} DAY"),
            (Kind::Int | Kind::Uint | Kind::Decimal, _) => {
                let whole: i128 =
                    text.split('.').next().and_then(|t| t.parse().ok()).ok_or_else(|| other_kind(text))?;
                (whole - i128::from(n)).to_string()
            }
            _ => value,
        })
    }
}

fn other_kind(text: &str) -> Error {
    Error::config(format!("the checkpoint {text:?} is no number, and the cursor is one now"))
        .hint("read the stream anew with --full-refresh")
}

/// What to describe, and to read from, by the name `q`.
pub(super) fn relation(server: ServerKind, stream: &StreamConfig) -> String {
    match (&stream.table, &stream.query) {
        (_, Some(query)) => {
            // The line break ends a comment in the last line.
            format!("({}\n) q", query.trim().trim_end_matches(';'))
        }
        (table, None) => {
            let parts: Vec<String> =
                table.iter().flat_map(|t| t.split('.')).map(|part| quoted(server, part)).collect();
            format!("{} q", parts.join("."))
        }
    }
}

pub(super) fn quoted(server: ServerKind, name: &str) -> String {
    match server {
        ServerKind::Postgresql => format!("\"{}\"", name.replace('"', "\"\"")),
        ServerKind::Mysql => format!("`{}`", name.replace('`', "``")),
    }
}

/// A text for the server, whatever its settings.
fn literal(server: ServerKind, text: &str) -> String {
    match server {
        ServerKind::Postgresql => format!("'{}'", text.replace('\'', "''")),
        // Whether a backslash escapes is a setting; digits say the same in either.
        ServerKind::Mysql if text.contains('\\') => {
            let hex: String = text.bytes().map(|b| format!("{b:02x}")).collect();
            format!("CONVERT(X'{hex}' USING utf8mb4)")
        }
        ServerKind::Mysql => format!("'{}'", text.replace('\'', "''")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use throughline_core::instant::Zone;

    use super::*;

    fn plan(server: ServerKind, kind: Kind) -> Plan {
        let stream: StreamConfig = serde_json::from_value(serde_json::json!({
            "name": "s", "table": "shop.orders", "key": ["id"], "cursor": "at", "overlap_n": 5
        }))
        .unwrap();
        let column = |name: &str, kind| Described {
            name: name.into(),
            kind,
            text: format!("q.{name}"),
            type_name: "timestamp".into(),
        };
        Plan::new(server, &stream, vec![column("id", Kind::Int), column("at", kind)]).unwrap()
    }

    #[test]
    fn conditions_go_on_behind_the_last_row() {
        let utc = Kind::Instant(Zone::UTC);
        let pg = plan(ServerKind::Postgresql, utc);
        assert_eq!(
            pg.rows(&From::Start).unwrap(),
            "SELECT q.id, q.at FROM \"shop\".\"orders\" q ORDER BY q.\"at\", q.\"id\""
        );
        assert_eq!(
            pg.count(&From::Behind(vec!["2026".into(), "7".into()])).unwrap(),
            "SELECT count(*) FROM \"shop\".\"orders\" q WHERE q.\"at\" >= '2026' AND (q.\"at\" > '2026' OR \
             (q.\"id\" > '7'))"
        );
        let from = From::Cursor("o'clock".into());
        assert!(pg.rows(&from).unwrap().contains(">= 'o''clock'::timestamp - interval '600 seconds' ORDER"));
        let mysql = plan(ServerKind::Mysql, Kind::Int);
        assert!(
            mysql.rows(&From::Cursor("12".into())).unwrap().contains("q.`at` >= 7 ORDER BY q.`at`, q.`id`")
        );
        for bad in ["12; DROP TABLE x", "", "1e9999999"] {
            assert!(mysql.rows(&From::Cursor(bad.into())).is_err(), "{bad}");
        }
        assert!(pg.rows(&From::Behind(vec!["2026".into()])).is_err(), "another key");
        assert_eq!(literal(ServerKind::Mysql, "\\"), "CONVERT(X'5c' USING utf8mb4)");
    }

    #[test]
    fn columns_that_are_not_there_are_named() {
        let stream: StreamConfig =
            serde_json::from_value(serde_json::json!({"name": "s", "query": "SELECT 1 -- x", "key": ["id"]}))
                .unwrap();
        let error = Plan::new(ServerKind::Mysql, &stream, Vec::new()).unwrap_err();
        assert!(error.to_string().contains("no column \"id\""), "{error}");
        assert_eq!(relation(ServerKind::Mysql, &stream), "(SELECT 1 -- x\n) q");
    }
}
