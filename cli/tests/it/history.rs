//! What one run tells the next: who became somebody else, and what came late.

use std::path::Path;

use serde_json::Value;

use crate::command::expect;

const PIPELINE: &str = r#"
[pipeline]
name = "shop"

[[source]]
name = "visits"
connector = "file"
path = "visits.csv"
into = "visits"
mapping = """
SELECT visit_id, parse_instant(started_at, 'UTC') AS started_at, nullif(token, '') AS token, client AS ym_client_id
  FROM file
"""

[[source]]
name = "messages"
connector = "file"
path = "messages.csv"
into = "messages"
mapping = """
SELECT 'whatsapp' AS platform, message_id, 'whatsapp:1:' || user_id AS conversation_id,
       parse_instant(ts, 'UTC') AS ts, 'in' AS direction, 'customer' AS sender_kind, user_id, token
  FROM file
"""

[[sink]]
name = "tables"
connector = "parquet"
path = "out"
"#;

fn rows(folder: &Path, sql: &str) -> Vec<Value> {
    let out = expect(folder, &["query", "-p", "shop.toml", sql, "--limit", "0", "--json"], 0);
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_merge_is_told_once_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("shop.toml", PIPELINE);
    write(
        "visits.csv",
        "visit_id,started_at,token,client\nv1,2026-03-01T10:00:00Z,HHR3D1196WD,77\nv2,2026-03-02T10:00:00Z,,88\n",
    );
    write("messages.csv", "message_id,user_id,ts,token\nm0,79160000009,2026-03-01T09:00:00Z,\n");
    expect(folder, &["run", "shop.toml"], 0);
    let merges = "SELECT id_type, id_value, from_person_id, into_person_id, reason FROM identity_merges ORDER BY id_type";
    assert!(rows(folder, merges).is_empty());
    let before = rows(folder, "SELECT person_id FROM identity_map WHERE id_value = '77'");

    // The browser's owner writes, and a visit of the first day is found late.
    write(
        "messages.csv",
        "message_id,user_id,ts,token\nm0,79160000009,2026-03-01T09:00:00Z,\nm1,79161234567,2026-03-02T11:00:00Z,HHR3D1196WD\n",
    );
    write(
        "visits.csv",
        "visit_id,started_at,token,client\nv1,2026-03-01T10:00:00Z,HHR3D1196WD,77\nv2,2026-03-02T10:00:00Z,,88\nv3,2026-03-01T12:00:00Z,,99\n",
    );
    expect(folder, &["run", "shop.toml"], 0);
    let told = rows(folder, merges);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!((&told[0]["id_type"], &told[0]["id_value"]), (&"ym_client".into(), &"77".into()));
    assert_eq!(told[0]["from_person_id"], before[0]["person_id"]);
    let late = "SELECT sum(late_rows) AS n FROM data_quality_daily WHERE source = 'visits'";
    assert_eq!(rows(folder, late)[0]["n"], 1);

    // The same once more, and after another day's message.
    expect(folder, &["run", "shop.toml", "--recompute"], 0);
    assert_eq!(rows(folder, merges), told);
    write(
        "messages.csv",
        "message_id,user_id,ts,token\nm0,79160000009,2026-03-01T09:00:00Z,\nm1,79161234567,2026-03-02T11:00:00Z,HHR3D1196WD\nm2,79160000008,2026-03-05T11:00:00Z,\n",
    );
    expect(folder, &["run", "shop.toml"], 0);
    assert_eq!(rows(folder, merges), told);
    assert_eq!(rows(folder, late)[0]["n"], 1);
}

const VISITS: &str = "visit_id,started_at,token,client\nv1,2026-03-01T10:00:00Z,HHR3D1196WD,77\nv2,2026-03-02T10:00:00Z,,88\n\
     v3,2026-03-02T11:00:00Z,,99\nv4,2026-03-03T10:00:00Z,,99\n";
const MESSAGES: &str = "message_id,user_id,ts,token\nm0,79160000009,2026-03-01T09:00:00Z,\n";

/// Rows of persons, of days, and of what stands beside them.
fn compared(folder: &Path) -> Vec<(&'static str, Vec<String>)> {
    let tables = [
        "visits",
        "touches",
        "inquiries",
        "identity_map",
        "dim_person",
        "channel_daily",
        "data_quality_daily",
    ];
    let sorted = |table| {
        let mut found: Vec<String> =
            rows(folder, &format!("SELECT * FROM {table}")).iter().map(Value::to_string).collect();
        found.sort();
        (table, found)
    };
    tables.map(sorted).to_vec()
}

#[test]
fn a_run_goes_on_from_the_one_before_and_a_rebuild_gives_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let run = |arguments: &[&str]| -> Value {
        let all = [&["run", "shop.toml", "--json"], arguments].concat();
        serde_json::from_str(&expect(folder, &all, 0)).unwrap()
    };
    let going_on_always = format!("{PIPELINE}\n[engine]\nrebuild_below = 0\n");
    write("shop.toml", PIPELINE);
    write("visits.csv", VISITS);
    write("messages.csv", MESSAGES);
    assert_eq!(run(&[])["attributed"]["all"]["because"], "there are few records");
    write("shop.toml", &going_on_always);
    let first = run(&[]);
    assert_eq!(first["attributed"]["all"]["because"], "the epoch before kept nothing to go by");

    // The first visit's browser writes; three visits and a message of others stand as they are.
    write("messages.csv", &format!("{MESSAGES}m1,79161234567,2026-03-02T11:00:00Z,HHR3D1196WD\n"));
    let second = run(&[]);
    assert_eq!(second["attributed"], serde_json::json!({"part": {"differing": 1, "records": 2}}), "{second}");
    assert_eq!(second["published"], true);
    let going_on = compared(folder);

    let rebuilt = run(&["--rebuild"]);
    assert_eq!(rebuilt["attributed"]["all"]["because"], "a rebuild was asked for");
    for ((table, found), (_, expected)) in going_on.iter().zip(&compared(folder)) {
        assert_eq!(found, expected, "{table}");
    }
    assert_eq!(rows(folder, "SELECT person_id FROM visits WHERE visit_id = 'v1'").len(), 1);
    assert!(going_on.iter().any(|(table, rows)| *table == "inquiries" && rows.len() == 2));

    // Another setting than before: nothing can be gone on from.
    write("shop.toml", &format!("{going_on_always}\n[attribution]\nlookback_days = 3\n"));
    let other = run(&[]);
    assert_eq!(other["attributed"]["all"]["because"], "the settings are not those of the epoch before");
}
