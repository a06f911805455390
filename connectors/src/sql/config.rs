//! Options of a `sql` source.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_core::canonical;
use throughline_core::connector::{option_error, parse_options};
use throughline_core::instant::Zone;
use throughline_core::{ColumnSpec, ColumnType, ConfigErrors, Options, PointerAt, Secret};

use crate::records::nearest;

/// What a user writes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What answers: "postgresql" or "mysql" (MariaDB too).
    pub server: ServerKind,
    /// The server's name or address; for PostgreSQL also the folder of its Unix socket.
    #[serde(default = "loopback")]
    pub host: String,
    /// Default 5432 for PostgreSQL, 3306 for MySQL.
    pub port: Option<u16>,
    pub database: String,
    /// A user who may only read.
    pub user: String,
    /// Left out where the server asks for none.
    pub password: Option<Secret>,
    /// "verify": TLS with the server's certificate and name checked; "off". Left out: "off" for a Unix socket
    /// and this machine, "verify" for others.
    pub tls: Option<TlsMode>,
    /// PEM file with the authority that signed the server's certificate, in place of the usual ones.
    pub ca: Option<String>,
    /// Zone of times that the database keeps without one, e.g. `Europe/Moscow` or `UTC`. Needed where there are
    /// such columns.
    pub time_zone: Option<String>,
    /// Longest time for one query, in seconds. Default 3600.
    #[serde(default = "an_hour")]
    pub statement_timeout_s: u32,
    /// Whether the server counts the rows, too, to compare with what came. Default true.
    #[serde(default = "yes")]
    pub count: bool,
    /// What is read, a stream each: tables, views or queries.
    pub tables: Vec<StreamConfig>,
    /// SELECTs from the streams into canonical tables.
    #[serde(default)]
    pub mappings: Vec<MappingConfig>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamConfig {
    /// The name that mappings use: small Latin letters, digits and `_`.
    pub name: String,
    /// A table or view: `orders` or `shop.orders`.
    pub table: Option<String>,
    /// A SELECT in the server's SQL, in place of `table`.
    pub query: Option<String>,
    /// Columns that identify a row.
    #[serde(default)]
    pub key: Vec<String>,
    /// A column that grows whenever a row is made or changed, e.g. `updated_at`: later runs read only what is
    /// new. Needs a `key`. Without it every run reads everything.
    pub cursor: Option<String>,
    /// For cursors that are times or days: how far before the last one a run begins, in seconds, for rows whose
    /// transaction ended late. Default 600.
    #[serde(default = "ten_minutes")]
    pub overlap_s: u32,
    /// The same for cursors that are numbers. Default 0.
    #[serde(default)]
    pub overlap_n: u32,
    /// Columns that the mappings rely on, with their types: they exist then even where no row came.
    #[serde(default)]
    pub columns: Vec<Column>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: ColumnType,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MappingConfig {
    /// The canonical table, e.g. `deals`.
    pub into: String,
    /// The streams that the SELECT reads.
    pub from: Vec<String>,
    /// The SELECT.
    pub sql: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerKind {
    Postgresql,
    Mysql,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    Verify,
    Off,
}

fn loopback() -> String {
    "127.0.0.1".into()
}
fn an_hour() -> u32 {
    3600
}
fn ten_minutes() -> u32 {
    600
}
fn yes() -> bool {
    true
}

/// Options that were found good.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub server: ServerKind,
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
    pub password: Option<Secret>,
    pub encrypted: bool,
    pub ca: Option<PathBuf>,
    /// PostgreSQL's; read once, with the options.
    pub tls: Option<throughline_postgresql::Tls>,
    pub zone: Option<Zone>,
    pub statement_timeout_s: u32,
    pub count: bool,
    pub streams: Vec<StreamConfig>,
    pub mappings: Vec<MappingConfig>,
}

impl Settings {
    pub fn new(options: &Options) -> Result<Self, ConfigErrors> {
        let config: Config = parse_options(&options.value)?;
        let mut errors = ConfigErrors::new();
        let mut wrong =
            |message: String, key: &str| errors.push(option_error(message, key, PointerAt::Value));
        for (key, value) in [("host", &config.host), ("database", &config.database), ("user", &config.user)] {
            if value.trim().is_empty() || value.contains('\0') {
                wrong(format!("{key} = {value:?} names nothing"), &format!("/{key}"));
            }
        }
        if config.port == Some(0) {
            wrong("port = 0 is no port".into(), "/port");
        }
        if config.statement_timeout_s == 0 || config.statement_timeout_s > 86_400 {
            wrong("statement_timeout_s is 1 to 86400".into(), "/statement_timeout_s");
        }
        let zone = config.time_zone.as_deref().and_then(Zone::parse);
        if let Some(given) = config.time_zone.as_ref().filter(|_| zone.is_none()) {
            wrong(format!("{given:?} is no time zone; write one like Europe/Moscow"), "/time_zone");
        }
        let socket = config.host.starts_with('/');
        let near = socket || throughline_postgresql::is_loopback(&config.host);
        let encrypted = config.tls.map_or(!near, |mode| mode == TlsMode::Verify);
        if socket && config.tls == Some(TlsMode::Verify) {
            wrong("tls = \"verify\" goes with a server's name, not with a Unix socket".into(), "/tls");
        }
        if config.ca.is_some() && !encrypted {
            wrong("ca is read with tls = \"verify\" only".into(), "/ca");
        }
        let ca = config.ca.as_ref().map(|ca| options.base_dir.join(ca));
        let mut tls = None;
        if encrypted && !socket {
            // The file is looked at for both servers.
            match throughline_postgresql::Tls::new(ca.as_deref()) {
                Ok(read) => tls = Some(read),
                Err(e) => wrong(e.to_string(), if ca.is_some() { "/ca" } else { "/host" }),
            }
        }
        streams(&config.tables, &mut wrong);
        mappings(&config, &mut wrong);
        if !errors.is_empty() {
            return Err(errors);
        }
        let usual = if config.server == ServerKind::Postgresql { 5432 } else { 3306 };
        Ok(Self {
            server: config.server,
            host: config.host,
            port: config.port.unwrap_or(usual),
            database: config.database,
            user: config.user,
            password: config.password,
            encrypted: encrypted && !socket,
            ca,
            tls,
            zone,
            statement_timeout_s: config.statement_timeout_s,
            count: config.count,
            streams: config.tables,
            mappings: config.mappings,
        })
    }

    /// For messages: `db.example.com:5432/shop`.
    pub fn place(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.database)
    }
}

impl StreamConfig {
    pub fn contract(&self) -> Vec<ColumnSpec> {
        let column = |c: &Column| ColumnSpec { name: c.name.clone(), kind: c.kind, doc: String::new() };
        self.columns.iter().map(column).collect()
    }
}

fn streams(streams: &[StreamConfig], wrong: &mut impl FnMut(String, &str)) {
    if streams.is_empty() {
        wrong("name at least one table or query".into(), "/tables");
    }
    for (i, stream) in streams.iter().enumerate() {
        let at = |key: &str| format!("/tables/{i}/{key}");
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let name = &stream.name;
        if name.is_empty() || name.len() > 60 || !name.chars().all(letters) || name.starts_with("_tl_") {
            wrong(format!("{name:?} is no name for a stream: small Latin letters, digits, _"), &at("name"));
        }
        if streams.iter().take(i).any(|s| s.name == *name) {
            wrong(format!("two streams are named {name:?}"), &at("name"));
        }
        match (&stream.table, &stream.query) {
            (Some(one), None) | (None, Some(one)) if !one.trim().is_empty() && !one.contains('\0') => {}
            (Some(_), Some(_)) => wrong("a stream has a `table` or a `query`, not both".into(), &at("query")),
            _ => wrong("a stream needs a `table` or a `query`".into(), &format!("/tables/{i}")),
        }
        if stream.cursor.is_some() && stream.key.is_empty() {
            wrong(
                "a `cursor` needs a `key`: rows are read again where two runs meet, and a key tells them apart"
                    .into(),
                &at("cursor"),
            );
        }
        for (k, column) in stream.key.iter().enumerate() {
            if column.is_empty() || stream.key.iter().take(k).any(|c| c == column) {
                wrong(format!("{column:?} is twice in the key, or no name"), &at(&format!("key/{k}")));
            }
        }
        for (k, column) in stream.columns.iter().enumerate() {
            let twice = stream.columns.iter().take(k).any(|c| c.name == column.name);
            if twice || column.name.is_empty() || column.name.starts_with("_tl_") {
                wrong(
                    format!("{:?} is named twice, or can be no column name", column.name),
                    &at(&format!("columns/{k}/name")),
                );
            }
        }
    }
}

fn mappings(config: &Config, wrong: &mut impl FnMut(String, &str)) {
    let tables: Vec<&str> = canonical::TABLES.iter().map(|t| t.name).collect();
    let names: Vec<&str> = config.tables.iter().map(|s| s.name.as_str()).collect();
    let mut known = |what: &str, name: &str, all: &[&str], at: String| {
        if !all.contains(&name) {
            let near = nearest(name, all).map(|n| format!("; did you mean {n:?}?"));
            let other = || format!("; there are {}", all.join(", "));
            wrong(format!("{name:?} is no {what}{}", near.unwrap_or_else(other)), &at);
        }
    };
    for (i, mapping) in config.mappings.iter().enumerate() {
        known("canonical table", &mapping.into, &tables, format!("/mappings/{i}/into"));
        for (k, from) in mapping.from.iter().enumerate() {
            known("stream", from, &names, format!("/mappings/{i}/from/{k}"));
        }
    }
    for (i, mapping) in config.mappings.iter().enumerate() {
        if mapping.from.is_empty() {
            wrong("name the streams that the SELECT reads".into(), &format!("/mappings/{i}/from"));
        }
        if mapping.sql.trim().is_empty() {
            wrong("the SELECT is empty".into(), &format!("/mappings/{i}/sql"));
        }
    }
}
