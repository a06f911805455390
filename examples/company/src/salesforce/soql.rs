//! As much of SOQL as a reader of changes needs: one object, fields by name, moments and ids in conditions, order, limit.

use super::objects::Kind;

#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub kind: Kind,
    pub fields: Vec<&'static str>,
    /// All of them must hold; of each, one.
    pub conditions: Vec<Vec<Condition>>,
    pub order: Vec<String>,
    pub limit: Option<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub field: &'static str,
    pub operator: String,
    pub literal: Literal,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// Milliseconds since 1970.
    Moment(i64),
    Text(String),
}

/// Salesforce's code and words.
pub type Refusal = (&'static str, String);

fn malformed(why: impl Into<String>) -> Refusal {
    ("MALFORMED_QUERY", why.into())
}

struct Words<'a> {
    all: Vec<&'a str>,
    at: usize,
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Words<'a> {
        let mut all = Vec::new();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let end = match first {
                '\'' => rest[1..].find('\'').map_or(rest.len(), |n| n + 2),
                '(' | ')' | ',' => 1,
                '<' | '>' | '=' | '!' => {
                    rest.find(|c| !matches!(c, '<' | '>' | '=' | '!')).unwrap_or(rest.len())
                }
                _ => rest
                    .find(|c: char| {
                        c.is_whitespace() || matches!(c, '(' | ')' | ',' | '<' | '>' | '=' | '\'')
                    })
                    .unwrap_or(rest.len()),
            };
            all.push(&rest[..end]);
            rest = rest[end..].trim_start();
        }
        Words { all, at: 0 }
    }

    fn next(&mut self) -> &'a str {
        self.at += 1;
        self.all.get(self.at - 1).copied().unwrap_or("")
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.all.get(self.at).is_some_and(|w| w.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }
}

/// # Errors
/// What Salesforce would say to it.
pub fn parse(text: &str, hidden: &[String]) -> Result<Query, Refusal> {
    let mut words = Words::of(text);
    if !words.take("SELECT") {
        return Err(malformed("unexpected token: a query begins with SELECT"));
    }
    let mut names = vec![words.next()];
    while words.take(",") {
        names.push(words.next());
    }
    if !words.take("FROM") {
        return Err(malformed("unexpected token: FROM is expected"));
    }
    let object = words.next();
    let kind = Kind::of(object)
        .ok_or_else(|| ("INVALID_TYPE", format!("sObject type '{object}' is not supported.")))?;
    let field = |name: &str| {
        let known = kind.fields().iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(n, _)| *n);
        let seen = known.filter(|n| !hidden.contains(&format!("{}.{n}", kind.name())));
        seen.ok_or_else(|| ("INVALID_FIELD", format!("No such column '{name}' on entity '{}'.", kind.name())))
    };
    let mut fields = Vec::new();
    for name in names {
        let field = field(name)?;
        if fields.contains(&field) {
            return Err(("MALFORMED_QUERY", format!("duplicate field selected: {name}")));
        }
        fields.push(field);
    }
    let mut query = Query { kind, fields, conditions: Vec::new(), order: Vec::new(), limit: None };
    if words.take("WHERE") {
        loop {
            query.conditions.push(any(&mut words, &field)?);
            if !words.take("AND") {
                break;
            }
        }
    }
    if words.take("ORDER") {
        if !words.take("BY") {
            return Err(malformed("BY is expected"));
        }
        loop {
            query.order.push(field(words.next())?.to_owned());
            if !words.take(",") {
                break;
            }
        }
    }
    if words.take("LIMIT") {
        let text = words.next();
        query.limit = Some(text.parse().map_err(|_| malformed(format!("LIMIT {text} is no number")))?);
    }
    match words.next() {
        "" => Ok(query),
        word => Err(malformed(format!("unexpected token: '{word}'"))),
    }
}

/// A condition, or several in brackets of which one must hold.
fn any(
    words: &mut Words,
    field: &impl Fn(&str) -> Result<&'static str, Refusal>,
) -> Result<Vec<Condition>, Refusal> {
    if !words.take("(") {
        return Ok(vec![condition(words, field)?]);
    }
    let mut all = vec![condition(words, field)?];
    while words.take("OR") {
        all.push(condition(words, field)?);
    }
    if words.take(")") { Ok(all) } else { Err(malformed("')' is expected")) }
}

fn condition(
    words: &mut Words,
    field: &impl Fn(&str) -> Result<&'static str, Refusal>,
) -> Result<Condition, Refusal> {
    let field = field(words.next())?;
    let operator = words.next().to_owned();
    if !["<", "<=", ">", ">=", "=", "!="].contains(&operator.as_str()) {
        return Err(malformed(format!("unknown operator '{operator}'")));
    }
    let word = words.next();
    let literal = match word.strip_prefix('\'').and_then(|w| w.strip_suffix('\'')) {
        Some(text) => Literal::Text(text.to_owned()),
        None => {
            let at = chrono::DateTime::parse_from_rfc3339(word);
            Literal::Moment(
                at.map_err(|_| malformed(format!("unexpected token: '{word}'")))?.timestamp_millis(),
            )
        }
    };
    let fits = match field {
        "Id" => matches!(literal, Literal::Text(_)),
        "SystemModstamp" | "CreatedDate" | "LastModifiedDate" => matches!(literal, Literal::Moment(_)),
        _ => return Err(malformed(format!("the company filters by moments and ids, not by {field}"))),
    };
    if !fits {
        return Err((
            "INVALID_QUERY_FILTER_OPERATOR",
            format!("value of filter criterion for field '{field}'"),
        ));
    }
    Ok(Condition { field, operator, literal })
}

impl Condition {
    pub fn holds(&self, id: &str, created_ms: i64, changed_ms: i64) -> bool {
        let order = match &self.literal {
            Literal::Text(text) => id.cmp(text),
            Literal::Moment(at) if self.field == "CreatedDate" => created_ms.cmp(at),
            Literal::Moment(at) => changed_ms.cmp(at),
        };
        match self.operator.as_str() {
            "<" => order.is_lt(),
            "<=" => order.is_le(),
            ">" => order.is_gt(),
            ">=" => order.is_ge(),
            "=" => order.is_eq(),
            _ => order.is_ne(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn queries_are_read() {
        let text = "SELECT Id, name FROM Lead WHERE SystemModstamp >= 2026-09-01T00:00:00.125Z AND \
                    (SystemModstamp>2026-09-01T00:00:00.125Z OR Id > '00Q') ORDER BY SystemModstamp, Id LIMIT 20";
        let query = parse(text, &[]).unwrap();
        assert_eq!((query.fields, query.limit, query.order.len()), (vec!["Id", "Name"], Some(20), 2));
        assert!(query.conditions[1][1].holds("00Qa", 0, 0) && !query.conditions[1][1].holds("00Q", 0, 0));
        for (bad, code) in [
            ("SELECT Id FROM Nobody", "INVALID_TYPE"),
            ("SELECT Id, Nothing FROM Lead", "INVALID_FIELD"),
            ("SELECT Id FROM Lead WHERE SystemModstamp > '2026-09-01'", "INVALID_QUERY_FILTER_OPERATOR"),
            ("SELECT Id FROM Lead WHERE SystemModstamp > 2026-09-01", "MALFORMED_QUERY"),
            ("SELECT Id FROM Lead LIMIT many", "MALFORMED_QUERY"),
            ("SELECT Id FROM Lead GROUP BY Id", "MALFORMED_QUERY"),
            ("SELECT Id, Id FROM Lead", "MALFORMED_QUERY"),
            ("DELETE FROM Lead", "MALFORMED_QUERY"),
        ] {
            assert_eq!(parse(bad, &[]).unwrap_err().0, code, "{bad}");
        }
        assert_eq!(parse("SELECT Name FROM Lead", &["Lead.Name".into()]).unwrap_err().0, "INVALID_FIELD");
    }
}
