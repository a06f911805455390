//! What the database says about a relation.

use throughline_postgresql::Failure;

use super::names::{literal, qualified};
use super::session::Session;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Relation {
    /// `r` a table, `v` a view, `p` partitioned, and so on.
    pub kind: String,
    pub comment: Option<String>,
    pub columns: Vec<Column>,
    /// The primary key's name and columns.
    pub primary: Option<(String, Vec<String>)>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Column {
    pub name: String,
    /// As `format_type` says it.
    pub kind: String,
    pub not_null: bool,
    pub comment: Option<String>,
}

impl Relation {
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }
}

/// `None` when there is no such relation.
pub(super) async fn describe(
    session: &mut Session,
    schema: &str,
    name: &str,
) -> Result<Option<Relation>, Failure> {
    let oid = format!("to_regclass({})", literal(&qualified(schema, name)));
    let head = session
        .rows(&format!(
            "SELECT c.relkind, obj_description(c.oid, 'pg_class'), \
             (SELECT conname FROM pg_constraint WHERE conrelid = c.oid AND contype = 'p') \
             FROM pg_class c WHERE c.oid = {oid}"
        ))
        .await?;
    let Some(head) = head.into_iter().next() else { return Ok(None) };
    let mut head = head.into_iter();
    let mut relation = Relation {
        kind: head.next().flatten().unwrap_or_default(),
        comment: head.next().flatten(),
        ..Relation::default()
    };
    let primary = head.next().flatten();
    let columns = session
        .rows(&format!(
            "SELECT attname, format_type(atttypid, atttypmod), attnotnull, col_description(attrelid, attnum) \
             FROM pg_attribute WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        ))
        .await?;
    for row in columns {
        let mut row = row.into_iter();
        relation.columns.push(Column {
            name: row.next().flatten().unwrap_or_default(),
            kind: row.next().flatten().unwrap_or_default(),
            not_null: row.next().flatten().as_deref() == Some("t"),
            comment: row.next().flatten(),
        });
    }
    if let Some(primary) = primary {
        let key = session
            .rows(&format!(
                "SELECT a.attname FROM pg_constraint c, unnest(c.conkey) WITH ORDINALITY AS k(attnum, place), \
                 pg_attribute a WHERE c.conrelid = {oid} AND c.contype = 'p' AND a.attrelid = c.conrelid \
                 AND a.attnum = k.attnum ORDER BY k.place"
            ))
            .await?;
        relation.primary = Some((primary, key.into_iter().flatten().flatten().collect()));
    }
    Ok(Some(relation))
}

/// Views over these relations, direct or through others, as `schema.name`; those in `except` are passed over.
pub(super) async fn dependents(
    session: &mut Session,
    relations: &[String],
    except: &[String],
) -> Result<Vec<String>, Failure> {
    let oids: Vec<String> = relations.iter().map(|r| format!("to_regclass({})", literal(r))).collect();
    let except: Vec<String> = except.iter().map(|r| format!("to_regclass({})", literal(r))).collect();
    let list = |oids: &[String]| format!("ARRAY[{}]::oid[]", oids.join(", "));
    let rows = session
        .rows(&format!(
            "WITH RECURSIVE above(oid) AS (SELECT unnest({}) UNION \
             SELECT r.ev_class FROM above a JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = a.oid \
             AND d.classid = 'pg_rewrite'::regclass JOIN pg_rewrite r ON r.oid = d.objid) \
             SELECT c.oid::regclass::text FROM above JOIN pg_class c USING (oid) \
             WHERE c.relkind IN ('v', 'm') AND c.oid <> ALL ({}) ORDER BY 1",
            list(&oids),
            list(&except)
        ))
        .await?;
    Ok(rows.into_iter().flatten().flatten().collect())
}
