//! MySQL and MariaDB: one transaction that only reads and sees one moment.

use std::time::Duration;

use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Column, Conn, DriverError, OptsBuilder, Row, SslOpts, Value};
use throughline_core::instant::Zone;
use throughline_core::{Error, ErrorKind, Result};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};

use super::columns::{Described, Kind};
use super::config::{ServerKind, Settings};
use super::postgresql::zoneless;
use super::query::quoted;
use super::server::{Broken, Facts, Taker};

/// Between the first packet and the server's readiness.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Silence after which the system asks whether the other side is still there.
const ALIVE: Duration = Duration::from_secs(60);
/// No row that we ask for is nearly as long.
const LONGEST: usize = 64 << 20;
/// For a goodbye.
const GOODBYE: Duration = Duration::from_millis(500);
/// The "collation" of bytes.
const BINARY: u16 = 63;

pub(super) struct Mysql(Conn);

/// Its client takes the process's cryptography, and panics when nobody chose one of the two that are in the tree
/// (object stores' client brings the other).
fn choose_provider() {
    if CryptoProvider::get_default().is_none() {
        // Fails when somebody else was quicker: chosen all the same.
        let _ = aws_lc_rs::default_provider().install_default();
    }
}

impl Mysql {
    pub async fn open(settings: &Settings) -> Result<Self, Broken> {
        choose_provider();
        let tls = settings.encrypted.then(|| match &settings.ca {
            Some(ca) => {
                SslOpts::default().with_root_certs(vec![ca.clone().into()]).with_disable_built_in_roots(true)
            }
            None => SslOpts::default(),
        });
        let options = OptsBuilder::default()
            .ip_or_hostname(settings.host.clone())
            .tcp_port(settings.port)
            .user(Some(settings.user.clone()))
            .pass(settings.password.as_ref().map(|p| p.expose().to_owned()))
            .db_name(Some(settings.database.clone()))
            .ssl_opts(tls)
            // A socket that the server offers would go round what the options say.
            .prefer_socket(false)
            .tcp_keepalive(Some(ALIVE))
            .max_allowed_packet(Some(LONGEST))
            .stmt_cache_size(0);
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, Conn::new(options)).await;
        let mut conn = opened
            .map_err(|_| lost(&format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())))?
            .map_err(broken)?;
        let version: Option<String> = conn.query_first("SELECT version()").await.map_err(broken)?;
        let seconds = settings.statement_timeout_s;
        let limit = if version.unwrap_or_default().contains("MariaDB") {
            format!("max_statement_time = {seconds}")
        } else {
            format!("max_execution_time = {}", u64::from(seconds) * 1000)
        };
        for sql in [
            // All texts in one form, whatever the server's settings say. The one who lands rows may take his time.
            &format!(
                "SET SESSION time_zone = '+00:00', net_write_timeout = 3600, lock_wait_timeout = 20, {limit}"
            ),
            "SET NAMES utf8mb4",
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ] {
            conn.query_drop(sql).await.map_err(broken)?;
        }
        Ok(Self(conn))
    }

    pub async fn facts(&mut self) -> Result<Facts, Broken> {
        let row: Option<(String, String)> =
            self.0.query_first("SELECT version(), current_user()").await.map_err(broken)?;
        let (version, user) = row.unwrap_or_default();
        let product = if version.contains("MariaDB") { "" } else { "MySQL " };
        Ok(Facts { version: format!("{product}{version}"), user, warning: None })
    }

    pub async fn describe(&mut self, relation: &str, zone: Option<Zone>) -> Result<Vec<Described>, Broken> {
        let sql = format!("SELECT * FROM {relation} LIMIT 0");
        let result = self.0.query_iter(sql).await.map_err(broken)?;
        let columns: Result<Vec<_>> = result.columns_ref().iter().map(|c| described(c, zone)).collect();
        result.drop_result().await.map_err(broken)?;
        Ok(columns?)
    }

    /// The one value of a query.
    pub async fn value(&mut self, sql: &str) -> Result<Option<String>, Broken> {
        let row: Option<Row> = self.0.query_first(sql).await.map_err(broken)?;
        Ok(row.as_ref().and_then(|row| row.as_ref(0)).and_then(|value| match value {
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }))
    }

    /// Every row of a query, by the protocol in which all values are texts. The server sends no faster than they
    /// are taken.
    pub async fn rows(&mut self, sql: &str, taker: &mut Taker<'_>) -> Result<(), Broken> {
        let mut result = self.0.query_iter(sql).await.map_err(broken)?;
        while let Some(row) = result.next().await.map_err(broken)? {
            let mut values: Vec<Option<&[u8]>> = Vec::with_capacity(row.len());
            for i in 0..row.len() {
                values.push(match row.as_ref(i) {
                    Some(Value::Bytes(bytes)) => Some(bytes.as_slice()),
                    Some(Value::NULL) => None,
                    _ => return Err(Error::protocol("MySQL: a value that is no text").into()),
                });
            }
            taker.row(values.into_iter()).await?;
        }
        Ok(())
    }

    pub async fn close(self) {
        let _ = tokio::time::timeout(GOODBYE, self.0.disconnect()).await;
    }
}

fn described(column: &Column, zone: Option<Zone>) -> Result<Described> {
    use ColumnType as T;
    let name = column.name_str().into_owned();
    let plain = format!("q.{}", quoted(ServerKind::Mysql, &name));
    let unsigned = column.flags().contains(ColumnFlags::UNSIGNED_FLAG);
    let kind = column.column_type();
    let (landed, text) = match kind {
        T::MYSQL_TYPE_LONGLONG if unsigned => (Kind::Uint, plain),
        T::MYSQL_TYPE_TINY
        | T::MYSQL_TYPE_SHORT
        | T::MYSQL_TYPE_INT24
        | T::MYSQL_TYPE_LONG
        | T::MYSQL_TYPE_LONGLONG
        | T::MYSQL_TYPE_YEAR => (Kind::Int, plain),
        T::MYSQL_TYPE_DECIMAL | T::MYSQL_TYPE_NEWDECIMAL => (Kind::Decimal, plain),
        // Its own text has six digits.
        T::MYSQL_TYPE_FLOAT => (Kind::Float, format!("({plain} + 0e0)")),
        T::MYSQL_TYPE_DOUBLE => (Kind::Float, plain),
        T::MYSQL_TYPE_BIT => (Kind::Uint, format!("CAST({plain} AS UNSIGNED)")),
        // In the session's zone.
        T::MYSQL_TYPE_TIMESTAMP | T::MYSQL_TYPE_TIMESTAMP2 => (Kind::Instant(Zone::UTC), plain),
        T::MYSQL_TYPE_DATETIME | T::MYSQL_TYPE_DATETIME2 => {
            (Kind::Instant(zone.ok_or_else(|| zoneless(&name))?), plain)
        }
        T::MYSQL_TYPE_DATE | T::MYSQL_TYPE_NEWDATE => (Kind::Date, plain),
        T::MYSQL_TYPE_JSON => (Kind::Text, format!("CAST({plain} AS CHAR)")),
        T::MYSQL_TYPE_GEOMETRY => (Kind::Text, format!("lower(hex({plain}))")),
        T::MYSQL_TYPE_STRING
        | T::MYSQL_TYPE_VAR_STRING
        | T::MYSQL_TYPE_VARCHAR
        | T::MYSQL_TYPE_TINY_BLOB
        | T::MYSQL_TYPE_BLOB
        | T::MYSQL_TYPE_MEDIUM_BLOB
        | T::MYSQL_TYPE_LONG_BLOB
            if column.character_set() == BINARY =>
        {
            (Kind::Text, format!("lower(hex({plain}))"))
        }
        _ => (Kind::Text, plain),
    };
    let word = format!("{kind:?}").trim_start_matches("MYSQL_TYPE_").to_lowercase();
    let type_name = if unsigned { format!("{word} unsigned") } else { word };
    Ok(Described { name, kind: landed, text, type_name })
}

fn lost(why: &str) -> Broken {
    Broken { passing: true, error: Error::new(ErrorKind::Io, format!("no connection to MySQL: {why}")) }
}

fn broken(error: mysql_async::Error) -> Broken {
    use mysql_async::Error as E;
    match error {
        E::Server(said) => server_said(said.code, &said.state, &said.message),
        // An untrusted certificate stays one; a broken connection may not.
        E::Io(mysql_async::IoError::Io(e)) if e.kind() != std::io::ErrorKind::InvalidData => {
            lost(&e.to_string())
        }
        E::Io(e) => Broken::from(
            Error::config(format!("TLS with MySQL: {e}"))
                .hint("name the authority that signed the server's certificate by `ca`"),
        ),
        E::Driver(DriverError::ConnectionClosed) => lost("the server closed the connection"),
        E::Driver(DriverError::NoClientSslFlagFromServer) => Broken::from(
            Error::config("the server does not speak TLS")
                .hint("turn TLS on in the server; tls = \"off\" sends data and rights in clear"),
        ),
        other => Broken::from(Error::protocol(format!("MySQL: {other}"))),
    }
}

/// By the numbers of MySQL's and MariaDB's manuals ("Server Error Message Reference", "MariaDB Error Codes").
fn server_said(code: u16, state: &str, message: &str) -> Broken {
    // Too many connections, shutdown, network; lock wait, deadlock; killed, by either product.
    let passing = matches!(code, 1040 | 1053 | 1158..=1161 | 1203 | 1205 | 1213 | 1317 | 1927 | 3169 | 4031)
        || state.starts_with("08")
        || state == "40001";
    let kind = match code {
        1044 | 1045 | 1142 | 1143 | 1227 | 1698 => ErrorKind::Auth,
        1049 | 1046 | 1054 | 1064 | 1146 | 1060 => ErrorKind::Config,
        _ => ErrorKind::Io,
    };
    let error = Error::new(kind, format!("MySQL: {message} (error {code}, SQLSTATE {state})"));
    let hint = match code {
        1142 | 1143 | 1044 => "give the user the rights that the README names",
        1969 | 3024 => "give the cursor an index, or a longer statement_timeout_s",
        _ => "",
    };
    Broken { passing, error: if hint.is_empty() { error } else { error.hint(hint) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        for (code, state, passing, kind) in [
            (1213, "40001", true, ErrorKind::Io),
            (1927, "70100", true, ErrorKind::Io),
            (1045, "28000", false, ErrorKind::Auth),
            (1146, "42S02", false, ErrorKind::Config),
            (1969, "70100", false, ErrorKind::Io),
        ] {
            let broken = server_said(code, state, "word");
            assert_eq!((broken.passing, broken.error.kind()), (passing, kind), "{code}");
            assert!(broken.error.to_string().contains(&format!("word (error {code}")), "{}", broken.error);
        }
    }
}
