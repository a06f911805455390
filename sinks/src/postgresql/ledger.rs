//! The sink's own tables, in the staging schema: whose it is, what is staged, what was committed.

use throughline_core::{Error, Result};
use throughline_postgresql::Failure;

use super::names::{literal, lock_key, qualified, quoted};
use super::options::Settings;
use super::session::Session;

const FORMAT: &str = "1";

impl Settings {
    /// A table of the ledger, quoted.
    pub(super) fn own(&self, table: &str) -> String {
        qualified(&self.staging, table)
    }

    /// A published table or view, quoted.
    pub(super) fn shown(&self, relation: &str) -> String {
        qualified(&self.schema, relation)
    }

    /// Waits until nobody else changes this sink's tables, to the end of the transaction.
    pub(super) fn lock(&self) -> String {
        let key = lock_key(&format!("{}/{}", self.schema, self.staging));
        // Another run may merge for minutes; a lock on a table is another matter.
        format!(
            "SET LOCAL lock_timeout = '10min'; SELECT pg_advisory_xact_lock({key}); SET LOCAL lock_timeout = '20s'"
        )
    }
}

/// Makes the schemas and the ledger where they are missing, and checks that they are this sink's.
pub(super) async fn set_up(session: &mut Session, settings: &Settings) -> Result<(), Failure> {
    session.begin().await?;
    if !is_there(session, settings).await? {
        session.run(&settings.lock()).await?;
        for schema in [&settings.schema, &settings.staging] {
            let found =
                session.value(&format!("SELECT to_regnamespace({})", literal(&quoted(schema)))).await?;
            if found.is_none() {
                session.run(&format!("CREATE SCHEMA {}", quoted(schema))).await?;
            }
        }
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {owner} (format integer NOT NULL, sink text NOT NULL, tables_in text NOT NULL); \
             CREATE TABLE IF NOT EXISTS {staged} (txn text, name text, relation text NOT NULL, attempt text NOT NULL, \
               rows bigint NOT NULL DEFAULT 0, complete boolean NOT NULL DEFAULT false, PRIMARY KEY (txn, name)); \
             CREATE TABLE IF NOT EXISTS {lanes} (txn text, name text, attempt text, lane integer, \
               chunks bigint NOT NULL DEFAULT 0, rows bigint NOT NULL DEFAULT 0, PRIMARY KEY (txn, name, attempt, lane)); \
             CREATE TABLE IF NOT EXISTS {epochs} (txn text PRIMARY KEY, \
               number bigint GENERATED ALWAYS AS IDENTITY, committed_at timestamptz NOT NULL, rows bigint NOT NULL, \
               tables jsonb NOT NULL); \
             CREATE TABLE IF NOT EXISTS {tables} (name text PRIMARY KEY, relation text NOT NULL UNIQUE, \
               key jsonb NOT NULL, columns jsonb NOT NULL, txn text NOT NULL); \
             CREATE TABLE IF NOT EXISTS {views} (name text PRIMARY KEY, definition text NOT NULL); \
             COMMENT ON SCHEMA {schema} IS 'Throughline: what is on its way, and the ledger of what was committed'; \
             INSERT INTO {owner} SELECT {FORMAT}, {sink}, {tables_in} WHERE NOT EXISTS (SELECT FROM {owner})",
            owner = settings.own("owner"),
            staged = settings.own("staged"),
            lanes = settings.own("lanes"),
            epochs = settings.own("epochs"),
            tables = settings.own("tables"),
            views = settings.own("views"),
            schema = quoted(&settings.staging),
            sink = literal(&settings.sink),
            tables_in = literal(&settings.schema),
        );
        session.run(&sql).await?;
    }
    check_owner(session, settings).await?;
    session.commit().await
}

/// Whether the ledger was made.
pub(super) async fn is_there(session: &mut Session, settings: &Settings) -> Result<bool, Failure> {
    // The last of them that set_up makes.
    let found = session.value(&format!("SELECT to_regclass({})", literal(&settings.own("views")))).await?;
    Ok(found.is_some())
}

/// The ledger is this sink's and of a form that we know.
pub(super) async fn check_owner(session: &mut Session, settings: &Settings) -> Result<(), Failure> {
    let rows =
        session.rows(&format!("SELECT format, sink, tables_in FROM {}", settings.own("owner"))).await?;
    let mut owner = rows.into_iter().next().unwrap_or_default().into_iter().flatten();
    let (format, sink, tables_in) = (owner.next(), owner.next(), owner.next());
    let staging = &settings.staging;
    if format.as_deref() != Some(FORMAT) {
        return Err(Error::config(format!(
            "the ledger in schema {staging:?} has form {format:?}, and this program knows {FORMAT}"
        ))
        .hint("it was written by another version of Throughline: use that one, or another schema")
        .into());
    }
    if sink.as_deref() != Some(&settings.sink) || tables_in.as_deref() != Some(&settings.schema) {
        return Err(Error::config(format!(
            "schema {staging:?} belongs to the sink {:?} with the tables of schema {:?}, not to {:?} with {:?}",
            sink.unwrap_or_default(),
            tables_in.unwrap_or_default(),
            settings.sink,
            settings.schema
        ))
        .hint(format!(
            "give each sink a `schema` of its own; if the sink was renamed, change the row of {}",
            settings.own("owner")
        ))
        .into());
    }
    Ok(())
}
