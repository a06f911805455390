//! What a right pipeline file becomes.

use std::path::Path;

use throughline_core::Place;
use throughline_engine::diagnostic::Diagnostics;
use throughline_engine::pipeline::{
    LoadOptions, OnIncomplete, Pipeline, Stage, check_sql, load, load_text, schema,
};
use throughline_engine::schedule::{Missed, Overlap};

use crate::fakes::{env, registry};

fn read(text: &str) -> Result<Pipeline, Diagnostics> {
    load_text(
        "shop.toml",
        text,
        Path::new("/nowhere"),
        &registry(),
        &LoadOptions { env: &env, state_dir: None },
    )
}

fn read_good(text: &str) -> Pipeline {
    read(text).unwrap_or_else(|d| panic!("{}", d.render(false)))
}

pub const CRM: &str = "[[source]]\nconnector = \"crm\"\nsubdomain = \"shop\"\nclient_id = \"1\"\nclient_secret = { env = \"CRM_SECRET\" }\n";

pub const WHOLE: &str = r#"
[pipeline]
name = "shop"
state = "state"

[schedule]
cron = "0 6 * * *"
time_zone = "Europe/Moscow"
overlap = "queue"
missed = "skip"
retry = { attempts = 3, wait = "30s", max_wait = "10m" }

[engine]
memory = "1GB"
parallel_streams = 2
threads = 3

[[source]]
name = "sales"
connector = "crm"
subdomain = "магазин"
client_id = "1"
client_secret = { env = "CRM_SECRET" }
streams = ["contacts", "leads"]
on_incomplete = "publish"
filters = [{ field = "a", value = "b" }]

[[source]]
name = "costs"
connector = "file"
path = "costs.csv"
into = "costs"
mapping = "SELECT * FROM file"

[attribution]
lookback_days = 60

[[transform]]
name = "costs"
sql = "SELECT * FROM costs WHERE cost_minor > 0"

[[sink]]
connector = "parquet"
path = "out"

[[sink]]
name = "bi"
connector = "csv"
path = "bi"
tables = ["channel_daily"]

[[test]]
name = "nothing in, nothing out"
now = 2026-01-31T12:00:00+03:00

[[test.input.deals]]
deal_id = "1"
created_at = 2026-01-30T12:00:00Z
state = "won"
value_minor = 100
tags = ["a"]

[[test.expect.conversions]]
crm_deal_id = "1"
value_net = "1.00"
"#;

#[test]
fn every_section_is_read() {
    let p = read_good(WHOLE);
    assert_eq!(p.name, "shop");
    assert_eq!(p.state_dir, Path::new("/nowhere/state"));
    let schedule = p.schedule.unwrap();
    assert_eq!((schedule.overlap, schedule.missed), (Overlap::Queue, Missed::Skip));
    assert_eq!(
        (schedule.retry.attempts, schedule.retry.wait.as_secs(), schedule.retry.max_wait.as_secs()),
        (3, 30, 600)
    );
    assert_eq!((p.engine.memory_bytes, p.engine.parallel_streams, p.engine.threads), (1_000_000_000, 2, 3));
    assert_eq!(p.sources[0].name, "sales");
    assert_eq!(p.sources[0].streams, ["leads", "contacts"], "in the catalog's order");
    assert_eq!(p.sources[0].on_incomplete, OnIncomplete::Publish);
    assert_eq!(p.sources[0].place, Place::File { path: "shop.toml".into(), line: 18, column: 1 });
    assert_eq!(p.sources[1].streams, ["file"]);
    assert_eq!(p.attribution.lookback_days, 60);
    assert_eq!(p.sinks[0].name, "parquet");
    assert_eq!(p.sinks[0].tables, None);
    assert_eq!(p.sinks[1].tables.as_deref(), Some(&["channel_daily".to_owned()][..]));
    let test = &p.tests[0];
    assert_eq!(test.now_us, 1_769_850_000_000_000);
    assert_eq!(test.input["deals"][0]["created_at"], "2026-01-30T12:00:00Z");
    assert_eq!(test.expect["conversions"][0]["value_net"], "1.00");
    assert_eq!(p.redactor.redact("a s3cr3t-value b"), "a *** b");
}

#[test]
fn defaults_need_nothing_but_a_source() {
    let p = read_good(CRM);
    assert_eq!((p.name.as_str(), p.sources[0].name.as_str()), ("shop", "crm"));
    assert_eq!(p.sources[0].streams, ["leads", "contacts", "events"]);
    assert_eq!(p.engine.memory_bytes, 512_000_000);
    assert!(p.schedule.is_none() && p.transforms.is_empty() && p.sinks.is_empty() && p.tests.is_empty());
    assert_eq!(p.state_dir, Path::new("/nowhere/.throughline"));
}

#[test]
fn a_file_named_pipeline_is_called_by_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    for (folder, name) in [("магазин № 1", "магазин---1"), ("shop", "shop"), ("--", "pipeline")]
    {
        let folder = dir.path().join(folder);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("pipeline.toml"), CRM).unwrap();
        let options = LoadOptions { env: &env, state_dir: None };
        let p = load(&folder.join("pipeline.toml"), &registry(), &options).unwrap();
        assert_eq!(p.name, name);
    }
}

#[test]
fn a_secret_file_loses_its_line_end_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let text = CRM.replace("{ env = \"CRM_SECRET\" }", "{ file = \"key\" }");
    for (content, expected) in
        [("abcdef\n", "abcdef"), ("abcdef\r\n", "abcdef"), ("two\nlines\n", "two\nlines")]
    {
        std::fs::write(dir.path().join("key"), content).unwrap();
        let options = LoadOptions { env: &env, state_dir: None };
        let p = load_text("p.toml", &text, dir.path(), &registry(), &options).unwrap();
        assert_eq!(p.redactor.redact(&format!("[{expected}]")), "[***]");
        assert_eq!(p.files, [dir.path().join("key")]);
    }
}

#[test]
fn a_replay_misses_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tape.jsonl"), "").unwrap();
    let text = format!("[http]\nreplay = \"tape.jsonl\"\n{}", CRM.replace("CRM_SECRET", "NOT_SET"));
    let options = LoadOptions { env: &env, state_dir: None };
    let p = load_text("p.toml", &text, dir.path(), &registry(), &options);
    assert_eq!(p.unwrap_or_else(|d| panic!("{d}")).http.replay, Some(dir.path().join("tape.jsonl")));
}

fn transforms(text: &str) -> Vec<(String, Stage)> {
    read_good(&format!("{CRM}{text}")).transforms.into_iter().map(|t| (t.name, t.stage)).collect()
}

#[test]
fn transforms_run_behind_what_they_read() {
    let sql = |name: &str, sql: &str| format!("[[transform]]\nname = \"{name}\"\nsql = \"{sql}\"\n");
    use Stage::{AfterAttribution as After, BeforeAttribution as Before};
    let order =
        |text: &str| transforms(text).into_iter().map(|(n, s)| format!("{n} {s:?}")).collect::<Vec<_>>();
    // Written backwards; `deals` reads what it replaces, which is no circle.
    let text = [
        sql("report", "SELECT * FROM channel_daily JOIN big ON true"),
        sql("big", "SELECT * FROM paid"),
        sql("paid", "SELECT * FROM deals WHERE state = 'won'"),
        sql("deals", "SELECT * FROM deals WHERE value_minor < 10"),
    ];
    assert_eq!(
        transforms(&text.concat()),
        [("deals".into(), Before), ("paid".into(), Before), ("big".into(), Before), ("report".into(), After)]
    );
    // A name of both sides means what people see exported, unless somebody who runs before needs it.
    assert_eq!(order(&sql("own", "SELECT * FROM visits")), ["own AfterAttribution"]);
    let text = [sql("own", "SELECT * FROM messages"), sql("visits", "SELECT * FROM own")];
    assert_eq!(order(&text.concat()), ["own BeforeAttribution", "visits BeforeAttribution"]);
    let text = sql("own", "SELECT * FROM visits").replace("sql", "stage = \"before\"\nsql");
    assert_eq!(order(&text), ["own BeforeAttribution"]);
    assert_eq!(order(&sql("own", "SELECT * FROM in_deals")), ["own AfterAttribution"]);
    // Behind attribution a replaced canonical table is `in_deals`; `visits` is what attribution made.
    let text =
        [sql("visits", "SELECT * FROM visits"), sql("own", "SELECT * FROM visits JOIN attribution ON true")];
    assert_eq!(order(&text.concat()), ["visits BeforeAttribution", "own AfterAttribution"]);
    assert_eq!(
        order(&sql("channel_daily", "SELECT * FROM channel_daily")),
        ["channel_daily AfterAttribution"]
    );
    assert_eq!(
        order(&sql("one", "WITH deal AS (SELECT 1 AS x) SELECT x FROM deal")),
        ["one BeforeAttribution"]
    );
}

#[tokio::test]
async fn planning_finds_what_parsing_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "{CRM}{}",
        r#"
[[transform]]
name = "wrong_column"
sql = '''
SELECT deal_id,
       valu_minor
  FROM deals
'''

[[transform]]
name = "wrong_function"
sql = "SELECT lenght(channel_id) AS n FROM channel_daily"

[[transform]]
name = "follows"
sql = "SELECT * FROM wrong_column"

[[transform]]
name = "good"
sql = "SELECT conversion_id, model, sum(net) AS net FROM attribution GROUP BY 1, 2"
"#
    );
    let found = check_sql(&read_good(&text), dir.path()).await.unwrap();
    let places: Vec<(usize, usize)> = found.iter().map(|d| (d.line, d.column)).collect();
    assert_eq!(places, [(11, 8), (17, 15)], "{}", found.render(false));
    assert!(found.render(false).contains("did you mean \"value_minor\""), "{}", found.render(false));
}

#[tokio::test]
async fn planning_reads_mappings_too_where_the_columns_are_known() {
    let dir = tempfile::tempdir().unwrap();
    let with = |columns: &str| {
        format!(
            "[[source]]\nconnector = \"file\"\npath = \"c.csv\"\ninto = \"costs\"\ncolumns = {columns}\n\
             mapping = \"\"\"\nSELECT CAST(day AS DATE) AS day,\n       spent AS cost_minr\n  FROM file\n\"\"\"\n"
        )
    };
    let plan = async |text: String| check_sql(&read_good(&text), dir.path()).await.unwrap();
    assert!(plan(with("[]")).await.is_empty(), "the file is not there yet");
    let found = plan(with("[\"day\", \"spend\"]")).await;
    assert_eq!(
        found.to_string().split(';').next(),
        Some("shop.toml:8:8: source \"file\": column \"spent\" does not exist")
    );
    let found = plan(with("[\"day\", \"spent\"]")).await;
    assert_eq!(
        found.to_string(),
        "shop.toml:8:17: source \"file\": \"costs\" has no column \"cost_minr\"; did you mean \"cost_minor\"?"
    );
}

#[test]
fn no_text_makes_it_panic() {
    // Every prefix of a file, and every file with one character gone: cut and mistyped in all places.
    let whole = format!("{WHOLE}\n[http]\nproxy = \"http://p:1\"\n");
    let ends: Vec<usize> = whole.char_indices().map(|(i, _)| i).collect();
    for (n, end) in ends.iter().enumerate().step_by(3) {
        for text in [
            whole[..*end].to_owned(),
            format!("{}{}", &whole[..*end], &whole[ends.get(n + 1).copied().unwrap_or(whole.len())..]),
        ] {
            if let Err(diagnostics) = read(&text) {
                assert!(!diagnostics.is_empty());
                let shown = diagnostics.render(false);
                assert!(!shown.contains("s3cr3t"), "{shown}");
                for d in &diagnostics {
                    assert!(
                        d.line >= 1 && d.column >= 1 && d.line <= text.lines().count() + 1,
                        "{d}\n{text}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_schema_knows_every_section_and_connector() {
    let schema = schema(&registry());
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for section in
        ["pipeline", "schedule", "http", "engine", "source", "attribution", "transform", "sink", "test"]
    {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
    let arms = schema["properties"]["source"]["items"]["allOf"].as_array().unwrap();
    let crm = &arms.iter().find(|a| a["then"]["properties"]["connector"]["const"] == "crm").unwrap()["then"];
    assert_eq!(crm["additionalProperties"], false);
    for key in ["connector", "name", "streams", "on_incomplete", "subdomain", "client_secret"] {
        assert!(crm["properties"][key].is_object(), "{key}");
    }
    // Every reference leads somewhere.
    let text = schema.to_string();
    for target in text.split("\"$ref\":\"#/$defs/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(schema["$defs"][target].is_object(), "{target}");
    }
    assert!(text.contains("\"$ref\":\"#/$defs/source.crm.Secret\""));
}
