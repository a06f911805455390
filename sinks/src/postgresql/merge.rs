//! From a staged table to the published one, inside the transaction of the commit.
//!
//! The first time the staged table is moved into the schema. Later only what differs is written: rows by
//! their key, days of tables without one, else all. Statements that only read see the rows of before until
//! the commit, and no lock keeps them waiting; views, rights and indexes of others stay.

use throughline_core::{Error, Result};
use throughline_postgresql::Failure;

use super::catalog::{self, Relation};
use super::evolve::{self, Evolution};
use super::names::{literal, quoted, shortened};
use super::options::Settings;
use super::plan::Staged;
use super::session::Session;
use super::views;

/// A published table, for the ledger and the views.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub relation: String,
    pub key: Vec<String>,
    pub unique: bool,
    /// Names and types.
    pub columns: Vec<(String, String)>,
}

pub(super) async fn publish(
    session: &mut Session,
    settings: &Settings,
    table: &str,
    staged: &Staged,
    rows: u64,
    txn: &str,
) -> Result<Published, Failure> {
    let from = catalog::describe(session, &settings.staging, &staged.staged)
        .await?
        .ok_or_else(|| Failure::from(Error::data(format!("{} is gone", settings.own(&staged.staged)))))?;
    let columns: Vec<(String, String)> =
        from.columns.iter().map(|c| (c.name.clone(), c.kind.clone())).collect();
    let known = session
        .rows(&format!(
            "SELECT relation, key, columns FROM {} WHERE name = {}",
            settings.own("tables"),
            literal(table)
        ))
        .await?;
    let known: Vec<String> = known.into_iter().flatten().flatten().collect();
    match catalog::describe(session, &settings.schema, &staged.relation).await? {
        None => move_in(session, settings, staged, from.primary.as_ref().map(|(name, _)| name)).await?,
        Some(_) if known.first() != Some(&staged.relation) => {
            return Err(Error::data(format!(
                "{} has come into the database, and this sink has not made it",
                settings.shown(&staged.relation)
            ))
            .hint("rename or drop it, or give the sink another `schema`")
            .into());
        }
        Some(found) => {
            let list = |at: usize| -> Vec<String> {
                known.get(at).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
            };
            let evolution = evolve::plan(&staged.relation, &found, &columns, &list(2))
                // At this point only a change since the staging: the next epoch tells it in time.
                .map_err(|e| Failure::from(Error::data(e.to_string())))?;
            evolve(session, settings, staged, &found, &evolution).await?;
            let same_key = list(1) == staged.key;
            replace(session, settings, staged, &from, &found, same_key).await?;
            let place = settings.shown(&staged.relation);
            let count = session.value(&format!("SELECT count(*) FROM {place}")).await?;
            if count.as_deref() != Some(&rows.to_string()) {
                return Err(Error::data(format!(
                    "{place} would have {} rows in place of {rows}",
                    count.unwrap_or_default()
                ))
                .hint("somebody writes to the table: drop it, and the next run makes it anew")
                .into());
            }
            comments(session, settings, staged, &from, &found).await?;
            session.run(&format!("DROP TABLE {}", settings.own(&staged.staged))).await?;
        }
    }
    index(session, settings, staged).await?;
    let names: Vec<&String> = columns.iter().map(|(name, _)| name).collect();
    session
        .run(&format!(
            "INSERT INTO {} AS t (name, relation, key, columns, txn) VALUES ({}, {}, {}, {}, {}) \
             ON CONFLICT (name) DO UPDATE SET relation = excluded.relation, key = excluded.key, \
             columns = excluded.columns, txn = excluded.txn",
            settings.own("tables"),
            literal(table),
            literal(&staged.relation),
            json(&staged.key)?,
            json(&names)?,
            literal(txn)
        ))
        .await?;
    Ok(Published {
        relation: staged.relation.clone(),
        key: staged.key.clone(),
        unique: staged.keyed,
        columns,
    })
}

fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value).map_err(|e| Failure::from(Error::bug(e.to_string())))?;
    Ok(format!("{}::jsonb", literal(&text)))
}

async fn move_in(
    session: &mut Session,
    settings: &Settings,
    staged: &Staged,
    primary: Option<&String>,
) -> Result<(), Failure> {
    let (schema, relation) = (quoted(&settings.schema), quoted(&staged.relation));
    session
        .run(&format!(
            "ALTER TABLE {} SET SCHEMA {schema}; ALTER TABLE {schema}.{} RENAME TO {relation}",
            settings.own(&staged.staged),
            quoted(&staged.staged)
        ))
        .await?;
    if let Some(primary) = primary {
        // A name that people know from elsewhere, where nobody has it.
        let wanted = shortened(&format!("{}_pkey", staged.relation));
        let taken =
            session.value(&format!("SELECT to_regclass({})", literal(&settings.shown(&wanted)))).await?;
        if taken.is_none() {
            session
                .run(&format!(
                    "ALTER TABLE {schema}.{relation} RENAME CONSTRAINT {} TO {}",
                    quoted(primary),
                    quoted(&wanted)
                ))
                .await?;
        }
    }
    Ok(())
}

async fn evolve(
    session: &mut Session,
    settings: &Settings,
    staged: &Staged,
    found: &Relation,
    evolution: &Evolution,
) -> Result<(), Failure> {
    let place = settings.shown(&staged.relation);
    if !evolution.widen.is_empty() {
        // No column of a view can change its type. They are made again at the end.
        views::drop_all(session, settings).await?;
    }
    for (name, kind) in &evolution.add {
        session.run(&format!("ALTER TABLE {place} ADD COLUMN {} {kind}", quoted(name))).await?;
    }
    for (name, kind) in &evolution.widen {
        session.run(&format!("ALTER TABLE {place} ALTER COLUMN {} TYPE {kind}", quoted(name))).await?;
    }
    // Rows with nulls or long texts in the key, or another key: the index that was there cannot hold them.
    if let Some((primary, columns)) = &found.primary
        && (!staged.keyed || *columns != staged.key)
    {
        let mut sql = format!("ALTER TABLE {place} DROP CONSTRAINT {};", quoted(primary));
        for column in columns {
            sql.push_str(&format!("ALTER TABLE {place} ALTER COLUMN {} DROP NOT NULL;", quoted(column)));
        }
        session.run(&sql).await?;
    }
    for name in &evolution.empty {
        let name = quoted(name);
        session.run(&format!("UPDATE {place} SET {name} = NULL WHERE {name} IS NOT NULL")).await?;
    }
    Ok(())
}

/// Makes the rows of the published table those of the staged one.
async fn replace(
    session: &mut Session,
    settings: &Settings,
    staged: &Staged,
    from: &Relation,
    found: &Relation,
    same_key: bool,
) -> Result<(), Failure> {
    let (to, source) = (settings.shown(&staged.relation), settings.own(&staged.staged));
    // Readers go on; whoever else writes waits, so that the statements below see one state.
    session.run(&format!("LOCK TABLE {to} IN SHARE ROW EXCLUSIVE MODE")).await?;
    let all: Vec<String> = from.columns.iter().map(|c| quoted(&c.name)).collect();
    let list = |prefix: &str, names: &[String]| -> String {
        names.iter().map(|n| format!("{prefix}{n}")).collect::<Vec<_>>().join(", ")
    };
    let names = list("", &all);
    let had_key = found.primary.as_ref().is_some_and(|(_, columns)| *columns == staged.key);
    let sql = if same_key && !staged.key.is_empty() {
        let key: Vec<String> = staged.key.iter().map(|k| quoted(k)).collect();
        let same = if staged.keyed && had_key {
            key.iter().map(|k| format!("t.{k} = s.{k}")).collect::<Vec<_>>().join(" AND ")
        } else {
            // Nulls are equal in arrays, and those can be hashed: IS NOT DISTINCT FROM would compare every
            // row with every other.
            let side = |p: &str| key.iter().map(|k| format!("{p}.{k}::text")).collect::<Vec<_>>().join(", ");
            format!("ARRAY[{}] = ARRAY[{}]", side("t"), side("s"))
        };
        let rest: Vec<String> = all.iter().filter(|c| !key.contains(c)).cloned().collect();
        let update = if rest.is_empty() {
            String::new()
        } else {
            let set: Vec<String> = rest.iter().map(|c| format!("{c} = s.{c}")).collect();
            format!(
                "UPDATE {to} AS t SET {} FROM {source} AS s WHERE {same} AND ROW({}) IS DISTINCT FROM ROW({});",
                set.join(", "),
                list("t.", &rest),
                list("s.", &rest)
            )
        };
        format!(
            "DELETE FROM {to} AS t WHERE NOT EXISTS (SELECT FROM {source} AS s WHERE {same}); {update} \
             INSERT INTO {to} ({names}) SELECT {names} FROM {source} AS s \
             WHERE NOT EXISTS (SELECT FROM {to} AS t WHERE {same});"
        )
    } else if let (true, Some(date)) = (staged.key.is_empty(), &staged.date) {
        let date = quoted(date);
        // A day with any row that is not in both, as often in both, is replaced; no day is one of its own.
        format!(
            "CREATE TEMPORARY TABLE throughline_days ON COMMIT DROP AS SELECT DISTINCT {date} AS day FROM (\
               (SELECT {names} FROM {to} EXCEPT ALL SELECT {names} FROM {source}) UNION ALL \
               (SELECT {names} FROM {source} EXCEPT ALL SELECT {names} FROM {to})) AS d; \
             DELETE FROM {to} AS t USING pg_temp.throughline_days AS d WHERE t.{date} = d.day \
               OR (t.{date} IS NULL AND d.day IS NULL); \
             INSERT INTO {to} ({names}) SELECT {names} FROM {source} AS s WHERE EXISTS (\
               SELECT FROM pg_temp.throughline_days AS d WHERE s.{date} = d.day OR (s.{date} IS NULL AND d.day IS NULL)); \
             DROP TABLE pg_temp.throughline_days;"
        )
    } else {
        // TRUNCATE would empty the table for readers of an older snapshot, too.
        format!("DELETE FROM {to}; INSERT INTO {to} ({names}) SELECT {names} FROM {source};")
    };
    session.run(&sql).await?;
    if staged.keyed && !had_key {
        let key: Vec<String> = staged.key.iter().map(|k| quoted(k)).collect();
        // Deleted rows that somebody may still see are indexed too, and their keys may be too long: then a later
        // epoch makes it.
        let sql = format!("ALTER TABLE {to} ADD PRIMARY KEY ({})", key.join(", "));
        session.attempt(&sql, &["54000"]).await?;
    }
    Ok(())
}

async fn comments(
    session: &mut Session,
    settings: &Settings,
    staged: &Staged,
    from: &Relation,
    found: &Relation,
) -> Result<(), Failure> {
    let place = settings.shown(&staged.relation);
    let text = |comment: &Option<String>| comment.as_ref().map_or("NULL".to_owned(), |c| literal(c));
    let mut sql = String::new();
    if from.comment != found.comment {
        sql.push_str(&format!("COMMENT ON TABLE {place} IS {};", text(&from.comment)));
    }
    for column in &from.columns {
        if found.column(&column.name).is_none_or(|c| c.comment != column.comment) {
            sql.push_str(&format!(
                "COMMENT ON COLUMN {place}.{} IS {};",
                quoted(&column.name),
                text(&column.comment)
            ));
        }
    }
    if sql.is_empty() { Ok(()) } else { session.run(&sql).await.map(|_| ()) }
}

/// An index on the days, which nearly every question of a dashboard begins with.
async fn index(session: &mut Session, settings: &Settings, staged: &Staged) -> Result<(), Failure> {
    let Some(date) = &staged.date else { return Ok(()) };
    let place = settings.shown(&staged.relation);
    let there = session
        .value(&format!(
            "SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
             WHERE i.indrelid = to_regclass({}) AND a.attname = {} LIMIT 1",
            literal(&place),
            literal(date)
        ))
        .await?;
    if there.is_none() {
        session.run(&format!("CREATE INDEX ON {place} ({})", quoted(date))).await?;
    }
    Ok(())
}
