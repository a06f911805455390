//! What `throughline check` tells of a server: who we are there, what we may, which names are free.

use throughline_core::{CheckReport, Error, ErrorKind, Result};
use throughline_postgresql::Failure;

use super::ledger;
use super::names::{literal, quoted};
use super::options::Settings;
use super::session::Session;
use super::stage::check_readers;

/// The oldest version that this sink was written for.
const OLDEST: u32 = 12;

pub(super) async fn check(settings: &Settings) -> Result<CheckReport> {
    look(settings).await.map_err(Failure::into_error)
}

async fn look(settings: &Settings) -> Result<CheckReport, Failure> {
    let mut session = Session::open(settings).await?;
    let mut report = CheckReport::default();
    let version = session.connection.server_version.clone();
    if session.connection.major() < OLDEST {
        return Err(Error::unsupported(format!(
            "the server is PostgreSQL {version}; this sink needs {OLDEST} or newer"
        ))
        .into());
    }
    let encrypted = session.connection.encrypted;
    let mut fact = |name: &str, value: String| report.facts.push((name.to_owned(), value));
    fact("server", format!("PostgreSQL {version} at {}", settings.target.place()));
    let near = settings.target.is_socket() || throughline_postgresql::is_loopback(&settings.target.host);
    fact("connection", if encrypted { "TLS, verified".into() } else { "without TLS".to_owned() });
    session.begin().await?;
    let state = session
        .rows(
            "SELECT current_user, pg_encoding_to_char(encoding), pg_is_in_recovery(), \
             (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), \
             has_database_privilege(current_database(), 'CREATE'), \
             has_database_privilege(current_database(), 'TEMPORARY') \
             FROM pg_database WHERE datname = current_database()",
        )
        .await?;
    let state: Vec<String> = state.into_iter().flatten().map(Option::unwrap_or_default).collect();
    let get = |at: usize| state.get(at).map_or("", String::as_str);
    fact("user", get(0).to_owned());
    if get(1) != "UTF8" {
        return Err(Error::config(format!("the database holds texts as {}, not as UTF8", get(1)))
            .hint("CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0")
            .into());
    }
    if get(2) == "t" {
        return Err(Error::config("the server is a standby, which takes no writes")
            .hint("name the primary as `host`")
            .into());
    }
    let (superuser, creates, temporary) = (get(3) == "t", get(4) == "t", get(5) == "t");
    if superuser {
        report.warnings.push(format!(
            "{:?} is a superuser; a role that may create schemas in this database is enough",
            get(0)
        ));
    }
    if !near && !encrypted {
        report
            .warnings
            .push("rows and the sign-in go over the network without TLS: set tls = \"verify\"".into());
    }
    if !temporary {
        report.warnings.push(
            "the user may make no temporary tables, which tables without a key need: GRANT TEMPORARY ON DATABASE".into(),
        );
    }
    for schema in [&settings.schema, &settings.staging] {
        let rights = session
            .value(&format!(
                "SELECT has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE') \
                 FROM pg_namespace WHERE nspname = {}",
                literal(schema)
            ))
            .await?;
        match rights.as_deref() {
            Some("t") => {}
            None if creates => {
                report.facts.push((format!("schema {schema}"), "will be made by the first run".into()));
            }
            None => return Err(lacks(&format!("make the schema {schema:?}"), settings)),
            Some(_) => return Err(lacks(&format!("make tables in the schema {schema:?}"), settings)),
        }
    }
    check_readers(&mut session, settings).await?;
    let ours = if ledger::is_there(&mut session, settings).await? {
        ledger::check_owner(&mut session, settings).await?;
        let epoch = session
            .value(&format!("SELECT txn FROM {} ORDER BY number DESC LIMIT 1", settings.own("epochs")))
            .await?;
        let epoch = epoch.unwrap_or_else(|| "none yet".into());
        report.facts.push(("current epoch".into(), epoch));
        format!(
            "SELECT relation FROM {} UNION SELECT name FROM {}",
            settings.own("tables"),
            settings.own("views")
        )
    } else {
        "SELECT NULL::text".to_owned()
    };
    let others = session
        .rows(&format!(
            "SELECT relname FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = {}) \
             AND relkind IN ('r', 'v', 'm', 'p', 'f') AND relname NOT IN (SELECT n FROM ({ours}) AS o(n) WHERE n IS NOT NULL) \
             ORDER BY 1 LIMIT 20",
            literal(&settings.schema)
        ))
        .await?;
    let others: Vec<String> = others.into_iter().flatten().flatten().collect();
    if !others.is_empty() {
        report.facts.push(("names taken by others".into(), others.join(", ")));
    }
    session.run("ROLLBACK").await?;
    session.close().await;
    Ok(report)
}

fn lacks(what: &str, settings: &Settings) -> Failure {
    let user = quoted(&settings.target.user);
    Error::new(ErrorKind::Auth, format!("{user} may not {what}"))
        .hint(format!(
            "GRANT CREATE ON DATABASE {} TO {user}, or CREATE SCHEMA ... AUTHORIZATION {user} for both schemas",
            quoted(&settings.target.database)
        ))
        .into()
}
