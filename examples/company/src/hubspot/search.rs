//! `POST /crm/v3/objects/{type}/search`: filters, one sort, 200 at a time, 10,000 in all.

use serde_json::{Value, json};

use super::index::{Entry, Index, Kind};
use super::objects::{Asked, record};
use super::{Call, body, refuse};
use crate::faults::Fault;
use crate::reply::Reply;
use crate::written::Written;

const MOST: usize = 10_000;

pub fn answer(call: &Call, written: &Written, kind: Kind, index: &Index) -> Reply {
    match found(call, written, kind, index) {
        Ok(answer) => Reply::json(200, answer.to_string()),
        Err(reply) => reply,
    }
}

fn found(call: &Call, written: &Written, kind: Kind, index: &Index) -> Result<Value, Reply> {
    let wrong = |why: String| refuse(400, "VALIDATION_ERROR", &why);
    let body = body(call)?;
    for key in body.as_object().ok_or_else(|| wrong("an object is needed".into()))?.keys() {
        if !["filterGroups", "sorts", "properties", "query", "limit", "after"].contains(&key.as_str()) {
            return Err(wrong(format!("unknown field {key:?}")));
        }
    }
    let limit = match &body["limit"] {
        Value::Null => 10,
        n => n
            .as_u64()
            .filter(|n| (1..=200).contains(n))
            .ok_or_else(|| wrong(format!("limit {n}: 1 to 200")))? as usize,
    };
    let after: usize = match &body["after"] {
        Value::Null => 0,
        Value::String(text) => text.parse().map_err(|_| wrong(format!("after {text:?} is no number")))?,
        n => n.as_u64().ok_or_else(|| wrong(format!("after {n} is no number")))? as usize,
    };
    if after + limit > MOST {
        return Err(wrong(format!(
            "after {after} and limit {limit}: search goes no further than {MOST} results"
        )));
    }
    let groups: Vec<Vec<Filter>> = list(&body["filterGroups"])
        .map(|g| list(&g["filters"]).map(|f| Filter::read(f, kind)).collect())
        .collect::<Result<_, _>>()
        .map_err(wrong)?;
    if groups.len() > 5 || groups.iter().any(|g| g.len() > 6) {
        return Err(wrong("at most 5 groups of 6 filters".into()));
    }
    let fits = |e: &Entry| groups.is_empty() || groups.iter().any(|g| g.iter().all(|f| f.holds(e)));
    let mut hits: Vec<&Entry> = index.entries().iter().filter(|e| !e.archived && fits(e)).collect();
    let sorts: Vec<&Value> = list(&body["sorts"]).collect();
    match sorts.as_slice() {
        [] => {}
        [sort] => {
            let property = Property::read(sort, kind).map_err(wrong)?;
            hits.sort_by_key(|e| (property.of(e), e.id));
            match sort["direction"].as_str() {
                Some("DESCENDING") => hits.reverse(),
                Some("ASCENDING") | None => {}
                Some(other) => return Err(wrong(format!("direction {other:?}"))),
            }
        }
        _ => return Err(wrong("only one sort is allowed".into())),
    }
    let total = hits.len();
    let asked = Asked::read(&body, kind).map_err(wrong)?;
    let mut results: Vec<Value> =
        hits.iter().skip(after).take(limit).map(|e| record(call, written, kind, e, &asked)).collect();
    for fault in call.faults {
        if let Fault::LeaveOut { rows } = fault {
            let left = results.len().saturating_sub(*rows);
            results.drain(..results.len() - left);
        }
    }
    let mut answer = json!({ "total": total, "results": results });
    if after + limit < total {
        answer["paging"] = json!({ "next": { "after": (after + limit).to_string() } });
    }
    Ok(answer)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A property that can be searched by.
#[derive(Clone, Copy)]
enum Property {
    Id,
    Created,
    Modified,
    Closed,
}

impl Property {
    /// Of a filter or a sort.
    fn read(of: &Value, kind: Kind) -> Result<Self, String> {
        match of["propertyName"].as_str().unwrap_or_default() {
            "hs_object_id" => Ok(Self::Id),
            "createdate" => Ok(Self::Created),
            "hs_is_closed" if kind == Kind::Deals => Ok(Self::Closed),
            name if name == kind.modified() => Ok(Self::Modified),
            name => Err(format!("There was a problem with the request: property {name:?} does not exist")),
        }
    }

    /// Its value as a number.
    fn of(self, entry: &Entry) -> i64 {
        match self {
            Self::Id => i64::try_from(entry.id).unwrap_or(i64::MAX),
            Self::Created => entry.created_ms,
            Self::Modified => entry.modified_ms,
            Self::Closed => i64::from(entry.closed),
        }
    }
}

/// Values from one to another, or all but those.
struct Filter {
    property: Property,
    from: i64,
    to: i64,
    but: bool,
}

impl Filter {
    fn read(filter: &Value, kind: Kind) -> Result<Self, String> {
        let property = Property::read(filter, kind)?;
        let number = |key: &str| -> Result<i64, String> {
            match filter[key].as_str() {
                None => Err(format!("{key} of a filter must be a text")),
                Some("true") => Ok(1),
                Some("false") => Ok(0),
                Some(text) => text.parse().map_err(|_| format!("{key} {text:?} is no number")),
            }
        };
        let (from, to, but) = match filter["operator"].as_str().unwrap_or_default() {
            "EQ" => (number("value")?, number("value")?, false),
            "NEQ" => (number("value")?, number("value")?, true),
            "LT" => (i64::MIN, number("value")?.saturating_sub(1), false),
            "LTE" => (i64::MIN, number("value")?, false),
            "GT" => (number("value")?.saturating_add(1), i64::MAX, false),
            "GTE" => (number("value")?, i64::MAX, false),
            "BETWEEN" => (number("value")?, number("highValue")?, false),
            "HAS_PROPERTY" => (i64::MIN, i64::MAX, false),
            "NOT_HAS_PROPERTY" => (i64::MIN, i64::MAX, true),
            other => return Err(format!("unknown operator {other:?}")),
        };
        Ok(Self { property, from, to, but })
    }

    fn holds(&self, entry: &Entry) -> bool {
        (self.from..=self.to).contains(&self.property.of(entry)) != self.but
    }
}
