//! The `sql` connector on real servers, which are private and gone with the tests.

#[path = "../../../../sinks/tests/it/postgresql/cluster.rs"]
#[allow(dead_code)]
mod cluster;
mod mariadb;
mod reading;
mod values;

use std::sync::atomic::{AtomicUsize, Ordering};

use cluster::Cluster;
use mariadb::Mariadb;
use serde_json::{Value, json};
use throughline_connectors::sql::SqlConnector;
use throughline_core::DynSource;

use super::support::World;

const NOW: &str = "2026-09-10T09:00:00Z";

/// A server, and how it is asked by a program of others.
#[derive(Clone, Copy)]
enum Db {
    Postgresql(&'static Cluster),
    Mysql(&'static Mariadb),
}

/// Every server that is installed here.
fn all() -> Vec<Db> {
    let postgresql = Cluster::shared().map(Db::Postgresql);
    postgresql.into_iter().chain(Mariadb::shared().map(Db::Mysql)).collect()
}

impl Db {
    fn query(self, sql: &str) -> Vec<Vec<String>> {
        match self {
            Self::Postgresql(cluster) => cluster.query(sql),
            Self::Mysql(server) => server.query(&format!("USE shop; {sql}")),
        }
    }

    /// A name that no other test uses.
    fn fresh(self, name: &str) -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        format!("{name}_{}_t", NEXT.fetch_add(1, Ordering::SeqCst))
    }

    /// A table with rows 1 to `n`, each a second later than the one before; the cursor is `at`.
    fn table(self, n: usize) -> String {
        let table = self.fresh("orders");
        match self {
            Self::Postgresql(_) => self.query(&format!(
                "CREATE TABLE {table} (id bigint PRIMARY KEY, at timestamptz, word text); \
                 INSERT INTO {table} SELECT i, timestamptz '2026-09-01 00:00:00Z' + i * interval '1 second', \
                 repeat('x', 20) FROM generate_series(1, {n}) i"
            )),
            Self::Mysql(_) => {
                self.query(&format!(
                    "CREATE TABLE {table} (id bigint PRIMARY KEY, at datetime(6), word text)"
                ));
                let insert = format!(
                    "INSERT INTO {table} SELECT seq, '2026-09-01 00:00:00' + INTERVAL seq SECOND, \
                     repeat('x', 20) FROM seq_1_to_{n}"
                );
                if n > 0 { self.query(&insert) } else { Vec::new() }
            }
        };
        table
    }

    fn options(self, streams: Value) -> Value {
        let mut options = match self {
            Self::Postgresql(cluster) => json!({
                "server": "postgresql", "host": "127.0.0.1", "port": cluster.port, "database": "postgres",
                "user": "postgres", "password": {"$secret": cluster::PASSWORD},
            }),
            Self::Mysql(server) => json!({
                "server": "mysql", "host": "127.0.0.1", "port": server.port, "database": "shop",
                "user": "reader", "password": {"$secret": mariadb::PASSWORD},
            }),
        };
        options["time_zone"] = json!("UTC");
        options["tables"] = streams;
        options
    }

    fn source(self, world: &World, streams: Value) -> DynSource {
        world.build(&SqlConnector, self.options(streams))
    }
}

/// Numbers, sorted.
fn numbers(texts: &[String]) -> Vec<i64> {
    let mut numbers: Vec<i64> = texts.iter().map(|t| t.parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn options_are_refused_with_their_places() {
    use throughline_core::{Options, SourceConnector as _};
    let fails = |value: Value| -> String {
        let options = Options { name: "s".into(), value, base_dir: "/".into() };
        let Err(errors) = SqlConnector.build(&options) else { panic!("taken") };
        errors.iter().map(|e| format!("{e} {:?}\n", e.place())).collect()
    };
    let good = json!({
        "server": "mysql", "database": "d", "user": "u",
        "tables": [{"name": "a", "table": "t", "key": ["id"], "cursor": "at"}],
        "mappings": [{"into": "deals", "from": ["a"], "sql": "SELECT 1"}],
    });
    for (pointer, value, word) in [
        ("/time_zone", json!("Mars"), "no time zone"),
        ("/port", json!(0), "no port"),
        ("/password", json!("in clear"), "never in clear"),
        ("/ca", json!("x.pem"), "ca is read with"),
        ("/statement_timeout_s", json!(0), "1 to 86400"),
        ("/tables", json!([]), "at least one"),
        ("/tables/0/name", json!("Заказы"), "no name for a stream"),
        ("/tables/0/query", json!("SELECT 1"), "not both"),
        ("/tables/0/key", json!([]), "needs a `key`"),
        ("/tables/0/kye", json!([]), "unknown field"),
        ("/mappings/0/into", json!("deal"), "did you mean \"deals\""),
        ("/mappings/0/from", json!(["b"]), "no stream"),
    ] {
        let mut value_of = good.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        value_of.pointer_mut(parent).unwrap()[key] = value;
        let errors = fails(value_of);
        assert!(errors.contains(word), "{pointer}: {errors}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_behaviour_suite_passes() {
    use throughline_behaviour::{Bounds, Suite};
    use throughline_core::Options;
    for db in all() {
        let world = World::at(NOW);
        let table = db.table(9_000);
        let value = db.options(json!([
            {"name": "orders", "table": table, "key": ["id"], "cursor": "at"},
            {"name": "whole", "query": format!("SELECT id, word FROM {table} WHERE id < 100")},
        ]));
        let options = Options { name: "s".into(), value, base_dir: world.dir.path().into() };
        let ctx = world.ctx.clone();
        let suite = Suite::of_connector(&SqlConnector, &options, move || Ok(ctx.clone()));
        let report = suite.bounds(Bounds { checkpoints: 3, ..Bounds::default() }).run().await;
        println!("{}", report.text());
        assert!(report.passed());
    }
}
