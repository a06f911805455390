//! One transaction shows an epoch: rows, columns, views, rights, and the row of the ledger that says so.

use throughline_core::{Committable, Context, Error, Receipt, Result, TxnId};
use throughline_postgresql::Failure;

use super::ledger;
use super::merge::{self, Published};
use super::names::{literal, quoted};
use super::options::Settings;
use super::plan::Staged;
use super::session::{Backoff, Session, unless_stopped};
use super::views;

pub(super) async fn commit(
    settings: &Settings,
    ctx: &Context,
    txn: &TxnId,
    staged: &[Committable],
) -> Result<Receipt> {
    let mut tables = Vec::with_capacity(staged.len());
    for committable in staged {
        tables.push((committable, Staged::from_committable(committable)?));
    }
    let mut backoff = Backoff::default();
    loop {
        // When the answer to COMMIT is lost, the next try finds the row of the ledger, or does it all again.
        match unless_stopped(ctx, commit_once(settings, ctx, txn, &tables)).await {
            Ok(()) => break,
            Err(failure) => backoff.wait(ctx, failure).await?,
        }
    }
    Ok(Receipt {
        rows: staged.iter().map(|c| c.rows).sum(),
        location: format!("postgresql://{} schema {:?}", settings.target.place(), settings.schema),
    })
}

async fn commit_once(
    settings: &Settings,
    ctx: &Context,
    txn: &TxnId,
    tables: &[(&Committable, Staged)],
) -> Result<(), Failure> {
    let mut session = Session::open(settings).await?;
    let gone = |what: String| -> Failure {
        Error::data(format!("epoch {} cannot be committed: {what}", txn.0))
            .hint("somebody has changed the sink's schemas; the next run publishes all of it again")
            .into()
    };
    if tables.is_empty() {
        ledger::set_up(&mut session, settings).await?;
    }
    session.begin().await?;
    if !ledger::is_there(&mut session, settings).await? {
        return Err(gone(format!("schema {:?} has no ledger", settings.staging)));
    }
    ledger::check_owner(&mut session, settings).await?;
    session.run(&settings.lock()).await?;
    let done = session
        .value(&format!("SELECT 1 FROM {} WHERE txn = {}", settings.own("epochs"), literal(&txn.0)))
        .await?;
    if done.is_some() {
        for (committable, staged) in tables {
            let place = settings.shown(&staged.relation);
            let found = session.value(&format!("SELECT to_regclass({})", literal(&place))).await?;
            if found.is_none() {
                return Err(gone(format!("{place}, with the table {:?}, is gone", committable.table)));
            }
        }
        session.commit().await?;
        session.close().await;
        return Ok(());
    }
    let mut published = Vec::with_capacity(tables.len());
    for (committable, staged) in tables {
        let complete = session
            .value(&format!(
                "SELECT rows FROM {} WHERE txn = {} AND name = {} AND attempt = {} AND complete",
                settings.own("staged"),
                literal(&txn.0),
                literal(&committable.table),
                literal(&staged.attempt)
            ))
            .await?;
        if complete != Some(committable.rows.to_string()) {
            return Err(gone(format!("what was staged of table {:?} is gone", committable.table)));
        }
        let table = &committable.table;
        let done = merge::publish(&mut session, settings, table, staged, committable.rows, &txn.0).await;
        published.push(done.map_err(|f| f.map(|e| e.with("table", table)))?);
    }
    let wanted = views::wide(settings, &published);
    retire(&mut session, settings, tables, &wanted).await?;
    views::publish(&mut session, settings, &wanted).await?;
    grant(&mut session, settings).await?;
    record(&mut session, settings, ctx, txn, tables, &published).await?;
    session.commit().await?;
    session.close().await;
    Ok(())
}

/// Takes away what the epoch does not hold: nobody may see tables of two epochs.
async fn retire(
    session: &mut Session,
    settings: &Settings,
    tables: &[(&Committable, Staged)],
    wanted: &[views::Wide],
) -> Result<(), Failure> {
    let known = session.rows(&format!("SELECT name, relation FROM {}", settings.own("tables"))).await?;
    let mut old = Vec::new();
    for row in known {
        if let [Some(name), Some(relation)] = row.as_slice()
            && !tables.iter().any(|(c, _)| c.table == *name)
        {
            old.push((name.clone(), relation.clone()));
        }
    }
    if old.is_empty() {
        return Ok(());
    }
    // Views over them first; those that stay are made from the rest.
    views::publish(session, settings, wanted).await?;
    for (name, relation) in old {
        let place = settings.shown(&relation);
        let sql = format!(
            "DROP TABLE IF EXISTS {place}; DELETE FROM {} WHERE name = {}",
            settings.own("tables"),
            literal(&name)
        );
        if session.attempt(&sql, &["2BP01"]).await?.is_some() {
            tracing::warn!(table = %place, "no longer published; views stand on it, so it stays, without rows");
            session
                .run(&format!(
                    "DELETE FROM {place}; COMMENT ON TABLE {place} IS 'no longer published: drop it when nothing needs it'"
                ))
                .await?;
        }
    }
    Ok(())
}

/// Gives readers what they lack: the schema, its tables and views, and nothing to write.
async fn grant(session: &mut Session, settings: &Settings) -> Result<(), Failure> {
    for reader in &settings.readers {
        let (schema, role) = (literal(&quoted(&settings.schema)), literal(reader));
        let there = session.value(&format!("SELECT 1 FROM pg_roles WHERE rolname = {role}")).await?;
        if there.is_none() {
            tracing::warn!(role = %reader, "no such role: nothing is granted to it");
            continue;
        }
        let usage = session
            .value(&format!("SELECT has_schema_privilege({role}, to_regnamespace({schema}), 'USAGE')"))
            .await?;
        let mut sql = String::new();
        if usage.as_deref() != Some("t") {
            sql.push_str(&format!(
                "GRANT USAGE ON SCHEMA {} TO {};",
                quoted(&settings.schema),
                quoted(reader)
            ));
        }
        let lacking = session
            .rows(&format!(
                "SELECT c.relname FROM pg_class c WHERE c.relnamespace = to_regnamespace({schema}) \
                 AND c.relname IN (SELECT relation FROM {} UNION SELECT name FROM {}) \
                 AND c.relkind IN ('r', 'v') AND NOT has_table_privilege({role}, c.oid, 'SELECT')",
                settings.own("tables"),
                settings.own("views")
            ))
            .await?;
        for relation in lacking.into_iter().flatten().flatten() {
            sql.push_str(&format!("GRANT SELECT ON {} TO {};", settings.shown(&relation), quoted(reader)));
        }
        if !sql.is_empty() {
            session.run(&sql).await?;
        }
    }
    Ok(())
}

async fn record(
    session: &mut Session,
    settings: &Settings,
    ctx: &Context,
    txn: &TxnId,
    tables: &[(&Committable, Staged)],
    published: &[Published],
) -> Result<(), Failure> {
    let list: serde_json::Map<String, serde_json::Value> = tables
        .iter()
        .zip(published)
        .map(|((c, _), p)| {
            (c.table.clone(), serde_json::json!({"rows": c.rows, "relation": p.relation, "key": p.key}))
        })
        .collect();
    let rows: u64 = tables.iter().map(|(c, _)| c.rows).sum();
    let now = ctx.clock.now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    session
        .run(&format!(
            "INSERT INTO {} (txn, committed_at, rows, tables) VALUES ({txn}, {}, {rows}, {}::jsonb); \
             DELETE FROM {} WHERE txn = {txn}; DELETE FROM {} WHERE txn = {txn}",
            settings.own("epochs"),
            literal(&now),
            literal(&serde_json::Value::Object(list).to_string()),
            settings.own("staged"),
            settings.own("lanes"),
            txn = literal(&txn.0),
        ))
        .await
        .map(|_| ())
}

/// Forgets the epochs before that of `txn`: rows that were replaced leave the disk.
pub(super) async fn drop_older(settings: &Settings, ctx: &Context, txn: &TxnId) -> Result<u64> {
    let mut backoff = Backoff::default();
    loop {
        match unless_stopped(ctx, drop_older_once(settings, txn)).await {
            Ok(dropped) => return Ok(dropped),
            Err(failure) => backoff.wait(ctx, failure).await?,
        }
    }
}

async fn drop_older_once(settings: &Settings, txn: &TxnId) -> Result<u64, Failure> {
    let mut session = Session::open(settings).await?;
    session.begin().await?;
    ledger::check_owner(&mut session, settings).await?;
    session.run(&settings.lock()).await?;
    let tables = session
        .rows(&format!(
            "SELECT relation FROM {} WHERE to_regclass(quote_ident({}) || '.' || quote_ident(relation)) IS NOT NULL",
            settings.own("tables"),
            literal(&settings.schema)
        ))
        .await?;
    let staged = session
        .rows(&format!(
            "DELETE FROM {lanes} WHERE txn <> {txn}; DELETE FROM {staged} WHERE txn <> {txn} RETURNING relation",
            lanes = settings.own("lanes"),
            staged = settings.own("staged"),
            txn = literal(&txn.0)
        ))
        .await?;
    for relation in staged.into_iter().flatten().flatten() {
        session.run(&format!("DROP TABLE IF EXISTS {}", settings.own(&relation))).await?;
    }
    let dropped = session
        .run(&format!(
            "DELETE FROM {epochs} WHERE number < (SELECT number FROM {epochs} WHERE txn = {})",
            literal(&txn.0),
            epochs = settings.own("epochs"),
        ))
        .await?
        .touched;
    session.commit().await?;
    // Deleted rows are in the files until those are written anew. That waits for readers, and they for it.
    session.run("SET lock_timeout = '60s'").await?;
    for relation in tables.into_iter().flatten().flatten() {
        session.run(&format!("VACUUM (FULL, ANALYZE) {}", settings.shown(&relation))).await?;
    }
    session.close().await;
    Ok(dropped)
}
