//! Staging: rows go by COPY into a table of the staging schema, which readers have no rights in.
//!
//! They go in chunks of some megabytes, each in a transaction of its own that also counts it. So when
//! a connection breaks, a new one tells whether the last chunk arrived, and loading goes on from there;
//! a load of hours does not begin again, and no row is there twice. A staged table is complete only when its
//! ledger row says so, with the number of rows.
//!
//! Two connections load at once where there is more than one chunk: the server parses rows on one core for
//! each. Which chunk goes where does not matter; each connection, a lane, counts its own.

use arrow::datatypes::Field;
use futures::StreamExt as _;
use throughline_core::{BatchStream, Committable, Context, Error, Result, Table, TxnId};
use throughline_postgresql::Failure;
use tokio::sync::{Mutex, mpsc};

use super::names::{literal, quoted};
use super::options::Settings;
use super::plan::Plan;
use super::send::{Sender, encode, place_of, taken};
use super::session::{Backoff, Session, unless_stopped};
use super::{catalog, evolve, ledger};
use crate::staging::conform;

const LANES: usize = 2;
/// Batches between the one who computes them and the one who encodes them.
const QUEUE: usize = 2;

pub(super) async fn stage(
    settings: &Settings,
    ctx: &Context,
    table: &Table,
    rows: BatchStream,
    txn: &TxnId,
) -> Result<Committable> {
    let mut plan = Plan::new(table, txn)?;
    let done = load(settings, ctx, &mut plan, rows, txn).await;
    let rows = done.map_err(|e| e.with("table", &table.name))?;
    let detail = serde_json::to_value(&plan.out).map_err(|e| Error::bug(format!("committable: {e}")))?;
    Ok(Committable { table: table.name.clone(), rows, detail })
}

async fn load(
    settings: &Settings,
    ctx: &Context,
    plan: &mut Plan,
    rows: BatchStream,
    txn: &TxnId,
) -> Result<u64> {
    let mut backoff = Backoff::default();
    let session = loop {
        match unless_stopped(ctx, begin(settings, plan, txn)).await {
            Ok(session) => break session,
            Err(failure) => backoff.wait(ctx, failure).await?,
        }
    };
    let (batches, encoder_in) = mpsc::channel(QUEUE);
    let (encoder_out, chunks) = mpsc::channel(1);
    let encoding = tokio::task::spawn_blocking({
        let (table, key) = (plan.table.name.clone(), plan.table.key.clone());
        move || encode(&table, &key, encoder_in, &encoder_out)
    });
    let conformed = Table { schema: plan.written.clone(), ..plan.table.clone() };
    let feeding = async move {
        let mut rows = rows;
        while let Some(batch) = rows.next().await {
            ctx.check_cancelled()?;
            if batches.send(conform(batch?, &conformed)?).await.is_err() {
                // The encoder or the sender has failed and says why itself.
                return Ok(());
            }
        }
        Ok::<(), Error>(())
    };
    let chunks = Mutex::new(chunks);
    let mut sessions = [Some(session), None];
    let mut senders: [Sender; LANES] = std::array::from_fn(|lane| {
        let session = sessions.get_mut(lane).and_then(Option::take);
        Sender { settings, ctx, plan, txn, lane, session, chunks: 0, rows: 0 }
    });
    let [first, second] = &mut senders;
    // A sender that fails must not wait for rows that never come, nor the other way round.
    let moved = tokio::try_join!(feeding, first.drain(&chunks), second.drain(&chunks));
    drop(chunks);
    let encoded = encoding
        .await
        .map_err(|e| Error::bug(format!("encoding table {} broke off: {e}", plan.table.name)))?;
    let session = senders.iter_mut().find_map(|sender| sender.session.take());
    let sent = Sent {
        lanes: senders.iter().map(|s| format!("{} {}", s.chunks, s.rows)).collect::<Vec<_>>().join(", "),
        rows: senders.iter().map(|s| s.rows).sum(),
    };
    // With what they were at when another failed: the server undoes that, and gives its locks back.
    drop(senders);
    let done = match moved.and(encoded) {
        Ok(replaced) => {
            if replaced > 0 {
                tracing::warn!(
                    sink = %ctx.name, table = %plan.table.name, values = replaced,
                    "texts held the character NUL, which PostgreSQL cannot store: it is U+FFFD there"
                );
            }
            finish(settings, ctx, plan, txn, session, &sent).await
        }
        Err(error) => {
            drop(session);
            Err(error)
        }
    };
    if let Err(error) = done {
        // What cannot be dropped now is dropped by the next try or the abort.
        let dropping = async {
            let mut session = Session::open(settings).await?;
            drop_staged(&mut session, settings, &txn.0, Some(&plan.out.attempt)).await
        };
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), dropping).await;
        return Err(error);
    }
    Ok(sent.rows)
}

/// What arrived.
struct Sent {
    /// Chunks and rows of each lane, as the ledger is asked for them.
    lanes: String,
    rows: u64,
}

/// Makes the staged table, empty, in place of an earlier try's.
async fn begin(settings: &Settings, plan: &Plan, txn: &TxnId) -> Result<Session, Failure> {
    let mut session = Session::open(settings).await?;
    ledger::set_up(&mut session, settings).await?;
    session.begin().await?;
    check_target(&mut session, settings, plan).await?;
    check_readers(&mut session, settings).await?;
    let (out, staged, lanes) = (&plan.out, settings.own("staged"), settings.own("lanes"));
    let place = settings.own(&out.staged);
    let columns: Vec<String> = plan.columns.iter().map(|(n, k)| format!("{} {k}", quoted(n))).collect();
    let (txn, name) = (literal(&txn.0), literal(&plan.table.name));
    let mut sql = format!(
        "DELETE FROM {staged} WHERE txn = {txn} AND name = {name}; \
         DELETE FROM {lanes} WHERE txn = {txn} AND name = {name}; \
         DROP TABLE IF EXISTS {place}; CREATE TABLE {place} ({columns}); \
         INSERT INTO {staged} (txn, name, relation, attempt) VALUES ({txn}, {name}, {relation}, {attempt}); \
         INSERT INTO {lanes} (txn, name, attempt, lane) SELECT {txn}, {name}, {attempt}, generate_series(0, {});",
        LANES - 1,
        columns = columns.join(", "),
        relation = literal(&out.staged),
        attempt = literal(&out.attempt),
    );
    if !plan.table.doc.is_empty() {
        sql.push_str(&format!("COMMENT ON TABLE {place} IS {};", literal(&plan.table.doc)));
    }
    for (field, (column, _)) in plan.written.fields().iter().zip(&plan.columns) {
        if let Some(doc) = doc(field) {
            sql.push_str(&format!("COMMENT ON COLUMN {place}.{} IS {};", quoted(column), literal(doc)));
        }
    }
    session.run(&sql).await?;
    session.commit().await?;
    Ok(session)
}

fn doc(field: &Field) -> Option<&str> {
    field.metadata().get("doc").map(String::as_str).filter(|doc| !doc.is_empty())
}

/// Whether the commit will be able to show these columns: better to fail now than after the point of no return.
async fn check_target(session: &mut Session, settings: &Settings, plan: &Plan) -> Result<(), Failure> {
    let table = &plan.table.name;
    let Some(found) = catalog::describe(session, &settings.schema, &plan.out.relation).await? else {
        return Ok(());
    };
    // After the look at the catalog: whoever's commit made the table meanwhile has named it here too.
    let known = session
        .rows(&format!(
            "SELECT name, columns FROM {} WHERE relation = {}",
            settings.own("tables"),
            literal(&plan.out.relation)
        ))
        .await?;
    let mut known = known.into_iter().flatten().flatten();
    let (owner, ours) = (known.next(), known.next());
    if owner.as_deref() != Some(table) {
        return Err(Error::config(format!(
            "{} is in the database already, and this sink has not made it",
            settings.shown(&plan.out.relation)
        ))
        .hint("rename or drop it, or give the sink another `schema`")
        .into());
    }
    let ours: Vec<String> = serde_json::from_str(&ours.unwrap_or_default()).unwrap_or_default();
    let evolution = evolve::plan(&plan.out.relation, &found, &plan.columns, &ours)?;
    if let Some((column, _)) = evolution.widen.first() {
        let mut own = session.rows(&format!("SELECT name FROM {}", settings.own("views"))).await?;
        let own: Vec<String> = own.drain(..).flatten().flatten().map(|v| settings.shown(&v)).collect();
        let mut below = own.clone();
        below.push(settings.shown(&plan.out.relation));
        let views = catalog::dependents(session, &below, &own).await?;
        if !views.is_empty() {
            return Err(Error::config(format!(
                "table {table:?}, column {column:?}: its type has to widen, and these views stand on it: {}",
                views.join(", ")
            ))
            .hint("drop them, run again, and make them again. Nothing was published")
            .into());
        }
    }
    Ok(())
}

/// Every role that is to read is there.
pub(super) async fn check_readers(session: &mut Session, settings: &Settings) -> Result<(), Failure> {
    for reader in &settings.readers {
        let found =
            session.value(&format!("SELECT 1 FROM pg_roles WHERE rolname = {}", literal(reader))).await?;
        if found.is_none() {
            return Err(Error::config(format!("readers: the server has no role {reader:?}"))
                .hint(format!("CREATE ROLE {} LOGIN, or take it out of `readers`", quoted(reader)))
                .into());
        }
    }
    Ok(())
}

/// Makes the staged table complete: its key, its statistics, its number of rows.
async fn finish(
    settings: &Settings,
    ctx: &Context,
    plan: &mut Plan,
    txn: &TxnId,
    mut session: Option<Session>,
    sent: &Sent,
) -> Result<()> {
    let mut backoff = Backoff::default();
    loop {
        let done = unless_stopped(ctx, finish_once(settings, plan, txn, session.take(), sent)).await;
        match done {
            Ok(keyed) => {
                plan.out.keyed = keyed;
                return Ok(());
            }
            Err(failure) => backoff.wait(ctx, failure).await?,
        }
    }
}

async fn finish_once(
    settings: &Settings,
    plan: &Plan,
    txn: &TxnId,
    session: Option<Session>,
    sent: &Sent,
) -> Result<bool, Failure> {
    let mut session = match session {
        Some(session) => session,
        None => Session::open(settings).await?,
    };
    let (out, staged) = (&plan.out, settings.own("staged"));
    let place = place_of(plan, txn);
    session.begin().await?;
    let held = session.value(&format!("SELECT attempt FROM {staged} WHERE {place} FOR UPDATE")).await?;
    let lanes = session
        .value(&format!(
            "SELECT string_agg(chunks || ' ' || rows, ', ' ORDER BY lane) FROM {} WHERE {place}",
            settings.own("lanes")
        ))
        .await?;
    if held.is_none() || lanes.as_deref() != Some(&sent.lanes) {
        return Err(taken());
    }
    let relation = catalog::describe(&mut session, &settings.staging, &out.staged).await?;
    let mut keyed = relation.is_some_and(|r| r.primary.is_some());
    if !keyed && !out.key.is_empty() {
        keyed = add_key(&mut session, settings, plan).await?;
    }
    session
        .run(&format!(
            "ANALYZE {}; UPDATE {staged} SET complete = true, rows = {} WHERE {place}",
            settings.own(&out.staged),
            sent.rows
        ))
        .await?;
    session.commit().await?;
    session.close().await;
    Ok(keyed)
}

/// Makes the primary key where the rows allow one: a key may hold nulls or texts too long for an index.
async fn add_key(session: &mut Session, settings: &Settings, plan: &Plan) -> Result<bool, Failure> {
    let key: Vec<String> = plan.out.key.iter().map(|k| quoted(k)).collect();
    let (key, place) = (key.join(", "), settings.own(&plan.out.staged));
    let twice = |detail: String| -> Failure {
        Error::data(format!(
            "table {:?}: two rows have the same key ({})",
            plan.table.name,
            plan.table.key.join(", ")
        ))
        .with("row", detail)
        .hint("nothing was published: the statement that makes the table has to give each key once")
        .into()
    };
    let sql = format!("ALTER TABLE {place} ADD PRIMARY KEY ({key})");
    // Not null, unique, index row too long.
    match session.attempt(&sql, &["23502", "23505", "54000"]).await? {
        None => return Ok(true),
        Some(failure) if failure.is("23505") => {
            return Err(twice(failure.into_error().to_string()));
        }
        Some(_) => {}
    }
    let texts: Vec<String> = plan.out.key.iter().map(|k| format!("{}::text", quoted(k))).collect();
    let row = format!("concat_ws(', ', {})", texts.join(", "));
    let double = session
        .value(&format!("SELECT {row} FROM {place} GROUP BY {key} HAVING count(*) > 1 LIMIT 1"))
        .await?;
    match double {
        Some(row) => Err(twice(row)),
        None => Ok(false),
    }
}

/// Drops what is staged under a transaction, of one attempt or of all.
pub(super) async fn drop_staged(
    session: &mut Session,
    settings: &Settings,
    txn: &str,
    attempt: Option<&str>,
) -> Result<(), Failure> {
    session.begin().await?;
    if ledger::is_there(session, settings).await? {
        ledger::check_owner(session, settings).await?;
        let only = attempt.map_or(String::new(), |a| format!(" AND attempt = {}", literal(a)));
        let found = session
            .rows(&format!(
                "DELETE FROM {lanes} WHERE txn = {txn}{only}; \
                 DELETE FROM {staged} WHERE txn = {txn}{only} RETURNING relation",
                lanes = settings.own("lanes"),
                staged = settings.own("staged"),
                txn = literal(txn)
            ))
            .await?;
        for relation in found.into_iter().flatten().flatten() {
            session.run(&format!("DROP TABLE IF EXISTS {}", settings.own(&relation))).await?;
        }
    }
    session.commit().await
}
