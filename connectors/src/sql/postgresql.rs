//! PostgreSQL: one transaction that only reads and sees one moment.

use std::pin::pin;

use futures::TryStreamExt as _;
use throughline_core::instant::Zone;
use throughline_core::{Error, Result};
use throughline_postgresql::{Connection, Failure, Target};
use tokio_postgres::types::{Kind as PgKind, Type};

use super::columns::{Described, Kind};
use super::config::{ServerKind, Settings};
use super::query::quoted;
use super::server::{Broken, Facts, Taker};

pub(super) struct Postgresql(Connection);

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self { passing: failure.passing, error: failure.into_error() }
    }
}

impl Postgresql {
    pub async fn open(settings: &Settings) -> Result<Self, Broken> {
        let target = Target {
            host: settings.host.clone(),
            port: settings.port,
            database: settings.database.clone(),
            user: settings.user.clone(),
            password: settings.password.clone(),
            tls: settings.tls.clone(),
        };
        let mut connection = Connection::open(&target).await?;
        // All texts in one form, whatever the role's settings say.
        let sql = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
             SET LOCAL DateStyle = ISO; SET LOCAL TimeZone = 'UTC'; SET LOCAL standard_conforming_strings = on; \
             SET LOCAL extra_float_digits = 1; SET LOCAL IntervalStyle = iso_8601; SET LOCAL lock_timeout = '20s'; \
             SET LOCAL statement_timeout = '{}s'; SET LOCAL idle_in_transaction_session_timeout = '1h'",
            settings.statement_timeout_s
        );
        connection.query(&sql).await?;
        Ok(Self(connection))
    }

    pub async fn facts(&mut self) -> Result<Facts, Broken> {
        let rows = self
            .0
            .query(
                "SELECT current_user, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), \
                 pg_is_in_recovery()",
            )
            .await?
            .rows;
        let mut values = rows.into_iter().flatten().map(Option::unwrap_or_default);
        let user = values.next().unwrap_or_default();
        let superuser = values.next().is_some_and(|v| v == "t");
        Ok(Facts {
            version: format!("PostgreSQL {}", self.0.server_version),
            user,
            warning: superuser
                .then(|| "the user may do anything; one who may only SELECT is enough".to_owned()),
        })
    }

    pub async fn describe(&mut self, relation: &str, zone: Option<Zone>) -> Result<Vec<Described>, Broken> {
        let sql = format!("SELECT * FROM {relation} LIMIT 0");
        let prepared = match self.0.client().prepare(&sql).await {
            Ok(prepared) => prepared,
            Err(e) => return Err(self.0.failed(&e).await.into()),
        };
        if !prepared.params().is_empty() {
            return Err(Error::config("the query has parameters like $1, which nobody sets").into());
        }
        let columns = prepared.columns().iter().map(|c| described(c.name(), c.type_(), zone));
        Ok(columns.collect::<Result<_>>()?)
    }

    /// The one value of a query.
    pub async fn value(&mut self, sql: &str) -> Result<Option<String>, Broken> {
        Ok(self.0.query(sql).await?.rows.into_iter().flatten().next().flatten())
    }

    /// Every row of a query whose columns are all texts. The server sends no faster than they are taken.
    pub async fn rows(&mut self, sql: &str, taker: &mut Taker<'_>) -> Result<(), Broken> {
        let done = async {
            let statement = self.0.client().prepare(sql).await?;
            let none: [&str; 0] = [];
            let mut rows = pin!(self.0.client().query_raw(&statement, none).await?);
            while let Some(row) = rows.try_next().await? {
                let mut values: Vec<Option<&[u8]>> = Vec::with_capacity(row.len());
                for i in 0..row.len() {
                    values.push(row.try_get::<_, Option<&str>>(i)?.map(str::as_bytes));
                }
                if let Err(e) = taker.row(values.into_iter()).await {
                    return Ok(Err(e));
                }
            }
            Ok::<_, tokio_postgres::Error>(Ok(()))
        };
        match done.await {
            Ok(taken) => Ok(taken?),
            Err(e) => Err(self.0.failed(&e).await.into()),
        }
    }

    pub async fn close(self) {
        self.0.close().await;
    }
}

fn described(name: &str, kind: &Type, zone: Option<Zone>) -> Result<Described> {
    let column = format!("q.{}", quoted(ServerKind::Postgresql, name));
    let base = match kind.kind() {
        PgKind::Domain(base) => base,
        _ => kind,
    };
    let as_text = format!("{column}::text");
    let (kind, text) = match *base {
        Type::BOOL => (Kind::Bool, as_text),
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => (Kind::Int, as_text),
        Type::NUMERIC => (Kind::Decimal, as_text),
        // Its text is the server's locale's.
        Type::MONEY => (Kind::Decimal, format!("{column}::numeric::text")),
        Type::FLOAT4 | Type::FLOAT8 => (Kind::Float, as_text),
        Type::TIMESTAMPTZ => (Kind::Instant(Zone::UTC), as_text),
        Type::TIMESTAMP => (Kind::Instant(zone.ok_or_else(|| zoneless(name))?), as_text),
        Type::DATE => (Kind::Date, as_text),
        Type::BYTEA => (Kind::Text, format!("encode({column}, 'hex')")),
        _ => match base.kind() {
            PgKind::Array(_) | PgKind::Composite(_) => (Kind::Text, format!("to_json({column})::text")),
            _ => (Kind::Text, as_text),
        },
    };
    Ok(Described { name: name.to_owned(), kind, text, type_name: base.name().to_owned() })
}

/// A guess would be green and wrong.
pub(super) fn zoneless(name: &str) -> Error {
    Error::config(format!("column {name:?} holds times without a zone"))
        .hint("say which it is, e.g. time_zone = \"Europe/Moscow\" or \"UTC\"")
}
