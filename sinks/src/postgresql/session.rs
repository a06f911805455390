//! A connection for one piece of work, and what is done when it breaks.

use std::time::Duration;

use throughline_core::{Context, Error, Result};
use throughline_postgresql::{Answer, Connection, Failure, Rows};

use super::options::Settings;

/// Waits between tries: half a minute in all, the time in which a server restarts or fails over.
const WAITS_MS: [u64; 8] = [100, 300, 1_000, 2_000, 4_000, 6_000, 8_000, 10_000];

/// Tries left for one piece of work.
#[derive(Default)]
pub(super) struct Backoff {
    tries: usize,
}

impl Backoff {
    /// Waits before the next try.
    ///
    /// # Errors
    /// The failure itself, when it does not pass or there were enough tries; the run was stopped.
    pub(super) async fn wait(&mut self, ctx: &Context, failure: Failure) -> Result<()> {
        let Some(wait) = WAITS_MS.get(self.tries).filter(|_| failure.passing) else {
            return Err(failure.into_error());
        };
        self.tries += 1;
        let error = failure.into_error();
        tracing::warn!(sink = %ctx.name, attempt = self.tries, error = %error, "PostgreSQL: trying again");
        ctx.sleep(Duration::from_millis(*wait)).await
    }
}

/// Ends the work when the run is stopped: the connection is dropped, and the server undoes what it had not
/// committed.
pub(super) async fn unless_stopped<T>(
    ctx: &Context,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match ctx.cancel.run_until_cancelled(work).await {
        Some(done) => done,
        None => Err(Failure::permanent(Error::cancelled())),
    }
}

pub(super) struct Session {
    pub connection: Connection,
}

impl Session {
    pub(super) async fn open(settings: &Settings) -> Result<Self, Failure> {
        let opened = Connection::open(&settings.target).await;
        let place = settings.target.place();
        Ok(Self { connection: opened.map_err(|f| f.map(|e| e.with("server", place)))? })
    }

    /// Begins a transaction in which nothing depends on the settings of the role or the database, and the server
    /// soon learns when we are gone.
    pub(super) async fn begin(&mut self) -> Result<(), Failure> {
        // Everything is named in full: nobody's function or table comes in between.
        let mut sql = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
            SET LOCAL search_path = pg_catalog; SET LOCAL standard_conforming_strings = on; \
            SET LOCAL DateStyle = ISO; SET LOCAL TimeZone = 'UTC'; SET LOCAL jit = off; \
            SET LOCAL lock_timeout = '20s'; SET LOCAL statement_timeout = 0; \
            SET LOCAL idle_in_transaction_session_timeout = '15min'; \
            SET LOCAL tcp_keepalives_idle = 60; SET LOCAL tcp_keepalives_interval = 15; \
            SET LOCAL tcp_keepalives_count = 4; "
            .to_owned();
        if self.connection.major() >= 14 {
            // A server that works for a process that is gone holds its locks.
            sql.push_str("SET LOCAL client_connection_check_interval = '2s'; ");
        }
        // What is staged or committed is on disk when the server says so.
        sql.push_str(
            "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'; \
             SELECT set_config('work_mem', '64MB', true) WHERE pg_size_bytes(current_setting('work_mem')) < 64 << 20; \
             SELECT set_config('maintenance_work_mem', '256MB', true) \
             WHERE pg_size_bytes(current_setting('maintenance_work_mem')) < 256 << 20",
        );
        self.connection.query(&sql).await.map(|_| ())
    }

    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        self.connection.query("COMMIT").await.map(|_| ())
    }

    pub(super) async fn run(&mut self, sql: &str) -> Result<Answer, Failure> {
        self.connection.query(sql).await
    }

    pub(super) async fn rows(&mut self, sql: &str) -> Result<Rows, Failure> {
        Ok(self.connection.query(sql).await?.rows)
    }

    /// The one value of a query, `None` for null or no row.
    pub(super) async fn value(&mut self, sql: &str) -> Result<Option<String>, Failure> {
        let mut rows = self.rows(sql).await?;
        Ok(if rows.is_empty() { None } else { rows.swap_remove(0).into_iter().next().flatten() })
    }

    /// Runs statements that may fail in one of these states; gives the state then, and the transaction goes on.
    pub(super) async fn attempt(&mut self, sql: &str, states: &[&str]) -> Result<Option<Failure>, Failure> {
        self.run("SAVEPOINT throughline").await?;
        match self.run(sql).await {
            Ok(_) => {
                self.run("RELEASE SAVEPOINT throughline").await?;
                Ok(None)
            }
            Err(failure) if states.iter().any(|state| failure.is(state)) => {
                self.run("ROLLBACK TO SAVEPOINT throughline; RELEASE SAVEPOINT throughline").await?;
                Ok(Some(failure))
            }
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn close(self) {
        self.connection.close().await;
    }
}
