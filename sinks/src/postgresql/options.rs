//! What a user writes under `[[sink]]`.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_core::connector::{option_error, parse_options};
use throughline_core::{ConfigErrors, Options, PointerAt, Secret};
use throughline_postgresql::{Target, Tls, is_loopback};

use super::names::shortened;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PostgresqlOptions {
    /// The server's name or address, or the folder of its Unix socket, e.g. "/var/run/postgresql".
    #[serde(default = "default_host")]
    host: String,
    #[serde(default = "default_port")]
    port: u16,
    /// The database; it must be there.
    database: String,
    /// The role that owns the tables.
    user: String,
    /// Left out where the server asks for none (peer, trust).
    password: Option<Secret>,
    /// Schema for the tables, of this sink alone. It is made when the user may do that.
    #[serde(default = "default_schema")]
    schema: String,
    /// Schema for what is on its way and for the ledger; readers need no rights there. `<schema>_staging` when
    /// left out.
    staging_schema: Option<String>,
    /// "verify": TLS with the server's certificate and name checked; "off". Left out: "off" for a Unix socket
    /// and this machine, "verify" for others.
    tls: Option<TlsMode>,
    /// PEM file with the authority that signed the server's certificate, in place of the machine's own list.
    ca: Option<String>,
    /// Roles that may read the tables and views; they must be there.
    #[serde(default)]
    readers: Vec<String>,
    /// Make a view `<table>_wide` of every table that refers to dimensions, with their columns.
    #[serde(default = "default_views")]
    views: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum TlsMode {
    Verify,
    Off,
}

fn default_host() -> String {
    "127.0.0.1".into()
}
fn default_port() -> u16 {
    5432
}
fn default_schema() -> String {
    "throughline".into()
}
fn default_views() -> bool {
    true
}

/// The options, understood.
#[derive(Debug)]
pub(super) struct Settings {
    pub target: Target,
    /// The sink's name in the pipeline: a schema belongs to one.
    pub sink: String,
    pub schema: String,
    pub staging: String,
    pub readers: Vec<String>,
    pub views: bool,
}

impl Settings {
    pub(super) fn read(options: &Options) -> Result<Self, ConfigErrors> {
        let given: PostgresqlOptions = parse_options(&options.value)?;
        let mut errors = ConfigErrors::new();
        let mut wrong = |message: String, key: &str| {
            errors.push(option_error(message, format!("/{key}"), PointerAt::Value));
        };
        for (key, value) in [("host", &given.host), ("database", &given.database), ("user", &given.user)] {
            if value.trim().is_empty() || value.contains('\0') {
                wrong(format!("{key} = {value:?} names nothing"), key);
            }
        }
        if given.port == 0 {
            wrong("port = 0 is no port".into(), "port");
        }
        let staging = given.staging_schema.unwrap_or_else(|| shortened(&format!("{}_staging", given.schema)));
        for (key, value) in [("schema", &given.schema), ("staging_schema", &staging)] {
            let reserved = value.starts_with("pg_") || value == "information_schema";
            if value.trim().is_empty() || value.contains('\0') || value.len() > 63 || reserved {
                wrong(
                    format!(
                        "{key} = {value:?} is no name for a schema: 1 to 63 bytes, not pg_..., not information_schema"
                    ),
                    key,
                );
            }
        }
        if staging == given.schema {
            wrong(
                "staging_schema must differ from schema: readers see all of schema".into(),
                "staging_schema",
            );
        }
        for (i, reader) in given.readers.iter().enumerate() {
            if reader.is_empty() || reader.contains('\0') || reader.eq_ignore_ascii_case("public") {
                wrong(format!("{reader:?} is no role to give rights to"), &format!("readers/{i}"));
            }
        }
        let near = given.host.starts_with('/') || is_loopback(&given.host);
        let mode = given.tls.unwrap_or(if near { TlsMode::Off } else { TlsMode::Verify });
        let tls = match mode {
            TlsMode::Verify if given.host.starts_with('/') => {
                wrong("tls = \"verify\" goes with a server's name, not with a Unix socket".into(), "tls");
                None
            }
            TlsMode::Verify => {
                let ca = given.ca.as_ref().map(|ca| options.base_dir.join(ca));
                match Tls::new(ca.as_deref()) {
                    Ok(tls) => Some(tls),
                    Err(e) => {
                        wrong(e.to_string(), if ca.is_some() { "ca" } else { "host" });
                        None
                    }
                }
            }
            TlsMode::Off => {
                if given.ca.is_some() {
                    wrong("ca is read with tls = \"verify\" only".into(), "ca");
                }
                None
            }
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        // A relative folder of a socket would be taken for a name.
        let host =
            if Path::new(&given.host).is_absolute() { given.host } else { given.host.trim().to_owned() };
        Ok(Self {
            target: Target {
                host,
                port: given.port,
                database: given.database,
                user: given.user,
                password: given.password,
                tls,
            },
            sink: options.name.clone(),
            schema: given.schema,
            staging,
            readers: given.readers,
            views: given.views,
        })
    }
}
