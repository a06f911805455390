//! Data that is not what it should be: widened, kept aside or refused aloud; never a panic, never lost
//! in silence.

use std::io::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::command;
use crate::studio::{Login, PipelineShape, Studio, Tables, assert_equal, tables};

const DEALS: &str = "\n[[transform]]\nname = \"all_deals\"\nsql = \"SELECT * FROM in_deals\"\n";

fn crm() -> PipelineShape {
    // The vendor allows few requests a second: no more of them than these tests look at.
    let streams = &["leads", "deleted_leads", "pipelines", "account"];
    PipelineShape {
        streams,
        attribution: false,
        extra: DEALS.to_owned(),
        ..PipelineShape::crm(Login::LongLived)
    }
}

fn company() -> Studio {
    Studio::start(400, |config, _| config.history = 700)
}

fn undisturbed(studio: &Studio) -> Tables {
    let folder = studio.folder().join("undisturbed");
    studio.write_pipeline_in(&folder, &crm());
    studio.expect_in(&folder, &["run"], 0);
    studio.tables(&folder)
}

fn notices<'a>(report: &'a Value, stream: &str) -> Vec<&'a Value> {
    report["streams"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|s| s["stream"] == stream)
        .flat_map(|s| s["notices"].as_array().unwrap())
        .collect()
}

/// How many landed rows of the leads have this cell.
fn landed(raw: &Tables, cell: &str) -> usize {
    let cell = format!("|{cell}|");
    raw["crm.leads"].iter().filter(|row| row.contains(&cell)).count()
}

#[test]
fn schemas_that_drift_fail_nothing_and_lose_nothing() {
    let studio = company();
    let expected = undisturbed(&studio);
    studio.write_pipeline(&crm());
    let variants = [
        "nested_grows",
        "item_grows",
        "array_for_object",
        "null_then_text",
        "int_then_decimal",
        "beyond_64_bits",
        "changed_type",
        "price_decimal",
        "empty_list_for_null",
    ];
    let rules: Vec<String> = variants
        .iter()
        .map(|v| format!("drift:variant={v},page=3,path=/api/v4/leads?with=contacts"))
        .collect();
    studio.faults(&rules.iter().map(String::as_str).collect::<Vec<_>>());
    let report = studio.json(&["run"], 0);
    assert_eq!(report["status"], "succeeded", "{report:#}");
    assert_eq!(report["dead_letters"], 0, "{report:#}");
    let said: Vec<String> =
        notices(&report, "leads").iter().map(|n| n["message"].as_str().unwrap().to_owned()).collect();
    for column in ["x_text", "x_number", "x_big", "x_type"] {
        assert!(said.iter().any(|n| n.contains(&format!("{column:?}"))), "nothing of {column}: {said:#?}");
    }
    // A price of 3500.00 is 3500, and [] where null was means nothing either way.
    assert_equal(&studio.tables(studio.folder()), &expected, "with drift");

    // Every value landed as it came, on either side of the drift.
    let raw = tables(&studio.folder().join(".throughline/shop/raw"));
    let all = raw["crm.leads"].len();
    for [early, late] in [
        [r#"x_nested={"a":1}"#, r#"x_nested={"a":2,"b":{"c":"ещё"}}"#],
        [r#"x_items=[{"n":1}]"#, r#"x_items=[{"n":1,"m":[2]},{"k":null}]"#],
        [r#"x_object={"a":1}"#, "x_object=[]"],
        ["x_number=12", "x_number=12.345678901"],
        ["x_big=9223372036854775807", "x_big=340282366920938463463374607431768211455"],
        ["x_type=7", "x_type=seven"],
    ] {
        // A landed decimal has all its places.
        let padded = format!("{early}.000000000");
        let (before, after) = (landed(&raw, early) + landed(&raw, &padded), landed(&raw, late));
        assert!(before > 0 && after > 0, "{early}: {before}, {late}: {after}");
        assert_eq!(before + after, all, "{early}: {before}, {late}: {after} of {all}");
    }
    assert!(landed(&raw, "x_text=появилось") > 0);
    studio.stop();
}

#[test]
fn a_price_that_becomes_text_is_the_same_price() {
    let studio = company();
    let expected = undisturbed(&studio);
    studio.write_pipeline(&crm());
    studio.faults(&["drift:variant=price_text,page=3,path=/api/v4/leads?with=contacts"]);
    let report = studio.json(&["run"], 0);
    assert_eq!(report["dead_letters"], 0, "{report:#}");
    assert!(notices(&report, "leads").iter().any(|n| n["code"] == "schema_widened"), "{report:#}");
    assert_equal(&studio.tables(studio.folder()), &expected, "with prices as text");
    studio.stop();
}

#[test]
fn bad_records_go_alone_and_come_back_when_mended() {
    let studio = company();
    let expected = undisturbed(&studio);
    studio.write_pipeline(&crm());
    // One of each kind on every page: rows without a key must not hide one another, either.
    let kinds = [
        ("text_for_time", "map", "yesterday"),
        ("text_for_price", "map", "много"),
        ("no_id", "map", "key (id) is missing"),
        ("not_an_object", "read", "no JSON object"),
    ];
    let rules: Vec<String> = kinds
        .iter()
        .enumerate()
        .map(|(i, (variant, ..))| {
            format!("malformed:variant={variant},rows={},path=/api/v4/leads", 2 * i + 3)
        })
        .collect();
    studio.faults(&rules.iter().map(String::as_str).collect::<Vec<_>>());
    let report = studio.json(&["run"], 0);
    let list = studio.json(&["dead-letters", "list"], 0);
    let letters = list.as_array().unwrap();
    // Records that are equal byte for byte are one letter, and counted each.
    let aside = report["dead_letters"].as_u64().unwrap() as usize;
    let deals = studio.tables(studio.folder())["all_deals"].len();
    assert_eq!(deals + aside, expected["all_deals"].len(), "{report:#} {letters:#?}");
    for (variant, stage, reason) in kinds {
        let of_kind: Vec<&Value> =
            letters.iter().filter(|l| l["reason"].as_str().unwrap().contains(reason)).collect();
        assert!(of_kind.len() > usize::from(stage == "map"), "{variant}: {letters:#?}");
        for letter in of_kind {
            assert!(letter["stream"].as_str().unwrap().ends_with("leads"), "{variant}: {letter:#}");
            assert_eq!(letter["stage"], stage, "{variant}: {letter:#}");
        }
    }
    let id = letters[0]["id"].to_string();
    let shown = studio.expect(&["dead-letters", "show", &id], 0);
    assert!(shown.contains(letters[0]["reason"].as_str().unwrap()), "{shown}");

    studio.faults(&[]);
    let replay = studio.json(&["dead-letters", "replay"], 0);
    assert_eq!(replay["replayed"], letters.len(), "{replay:#}");
    assert_eq!(replay["still_open"], 0, "{replay:#}");
    assert_equal(&studio.tables(studio.folder()), &expected, "mended");
    studio.stop();
}

#[test]
fn bad_rows_of_a_metrica_part_go_alone() {
    let studio = Studio::start(200, |_, _| {});
    let path = studio.write_pipeline(&PipelineShape {
        amocrm: None,
        whatsapp: false,
        costs: false,
        attribution: false,
        extra: "\n[[transform]]\nname = \"all_visits\"\nsql = \"SELECT * FROM in_visits\"\n".to_owned(),
        ..PipelineShape::default()
    });
    // The fault changes the size of the part.
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("poll_after_s = 0", "poll_after_s = 0\nverify_size = false")).unwrap();
    studio.faults(&[
        "malformed:variant=extra_cell,rows=3,path=/download",
        "malformed:variant=bad_utf8,rows=5,path=/download",
        "malformed:variant=zero_dates,rows=7,path=/download",
    ]);
    let report = studio.json(&["run"], 0);
    let visits = studio.tables(studio.folder())["all_visits"].len() as u64;
    let streams = report["streams"].as_array().unwrap();
    let rejected = streams.iter().find(|s| s["stream"] == "visits").unwrap()["rejected"].as_u64().unwrap();
    assert_eq!(visits + rejected, studio.truth().metrica_visits, "{report:#}");
    let parts = studio.fired("malformed") / 3 / 2; // of visits; the other half is hits
    assert_eq!(rejected, 3 * parts, "{report:#}");
    studio.stop();
}

const MANIFEST: &str = r#"
name = "shop_api"
summary = "The CRM, as a stranger describes it"
base_url = "http://127.0.0.1"

[options.token]
type = "secret"
doc = "A token."

[[auth]]
kind = "bearer"
when = "token"
token = "{token}"

[[streams]]
name = "leads"
doc = "Deals."
records = "RECORDS"
key = ["id"]

[streams.request]
path = "/api/v4/leads"

[streams.paging]
kind = "none"
"#;

#[test]
fn a_selector_that_finds_no_list_is_an_error() {
    let studio = Studio::start(200, |_, _| {});
    for (records, said) in [
        ("_embedded.deals", "leads"),
        ("_embedded", "whole page for one record"),
        ("", "whole page for one record"),
        ("_page", "list of records"),
    ] {
        let folder = studio.folder().join(format!("records-{}", records.len()));
        std::fs::create_dir_all(&folder).unwrap();
        let records = if records.is_empty() { "." } else { records };
        std::fs::write(folder.join("shop.toml"), MANIFEST.replace("RECORDS", records)).unwrap();
        let pipeline = format!(
            "[[source]]\nname = \"crm\"\nconnector = \"rest\"\nmanifest = \"shop.toml\"\nbase_url = {:?}\n\
             token = {{ env = \"AMOCRM_TOKEN\" }}\n\n[[sink]]\nname = \"lake\"\nconnector = \"parquet\"\npath = \"out\"\n",
            studio.url()
        );
        std::fs::write(folder.join("pipeline.toml"), pipeline).unwrap();
        let output = studio.run_in(&folder, &["run"]);
        let all =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{records}: {all}");
        assert!(all.contains(said) && all.contains("no records at"), "{records}: {all}");
        assert!(!folder.join("out/current").exists(), "{records}");
    }
    studio.stop();
}

// ---------------------------------------------------------------------------------------------- files

const COSTS: &str = r#"
[[source]]
name = "costs"
connector = "file"
path = "FILE"
into = "costs"
columns = [{ name = "day", type = "date" }, { name = "clicks", type = "int" }, { name = "cost", type = "decimal" }]
mapping = """
SELECT 'hand' AS system, day, source, clicks, minor_units(cost, 'RUB') AS cost_minor, 'RUB' AS currency
FROM file
"""

[[transform]]
name = "all_costs"
sql = "SELECT day, source, clicks, cost_minor FROM in_costs"

[[sink]]
name = "lake"
connector = "parquet"
path = "out"
"#;

struct Ended {
    code: i32,
    said: String,
    /// Rows of the costs that readers see.
    rows: Vec<String>,
    letters: Vec<Value>,
}

fn run_file(name: &str, content: &[u8]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), content).unwrap();
    std::fs::write(folder.path().join("pipeline.toml"), COSTS.replace("FILE", name)).unwrap();
    run_folder(folder.path())
}

fn run_folder(folder: &Path) -> Ended {
    let output = command::run(folder, &["run"]);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("panicked"), "{said}");
    let letters = command::expect(folder, &["dead-letters", "list", "--limit", "1000", "--json"], 0);
    Ended {
        code: output.status.code().unwrap(),
        said,
        rows: tables(&folder.join("out/current")).remove("all_costs").unwrap_or_default(),
        letters: serde_json::from_str::<Value>(&letters).unwrap().as_array().unwrap().clone(),
    }
}

/// The columns come in their types and lack what the table needs: only the mapping's own rows can tell.
#[test]
fn rows_that_a_mapping_leaves_incomplete_go_aside_each_alone() {
    let file =
        "day,source,clicks,cost\n2026-08-01,vk,10,12.50\n,vk,1,1.00\n2026-08-02,,,0.50\n2026-08-03,vk,1,\n";
    let ended = run_file("costs.csv", file.as_bytes());
    assert_eq!(ended.code, 0, "{}", ended.said);
    let rows = [
        "day=2026-08-01|source=vk|clicks=10|cost_minor=1250|",
        "day=2026-08-02|source=∅|clicks=∅|cost_minor=50|",
    ];
    assert_eq!(ended.rows, rows, "{:#?}", ended.letters);
    let mut reasons: Vec<&str> = ended.letters.iter().map(|l| l["reason"].as_str().unwrap()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["cost_minor of costs is missing", "day of costs is missing"]);
}

#[test]
fn bad_lines_of_a_file_go_aside_each_alone() {
    let bad: [(&[u8], &str); 8] = [
        (b"2026-08-03,\xff\xfe,1,1.00\n", "no UTF-8"),
        ("2026-08-03,vk,много,1.00\n".as_bytes(), "много"),
        ("2026-08-03,vk,1,дорого\n".as_bytes(), "дорого"),
        (b"2026-08-03,vk,1,1.00,5,6\n", "6 fields"),
        (b"2026-08-03,vk\n", "2 fields"),
        (b"yesterday,vk,1,1.00\n", "yesterday"),
        (b"2026-02-30,vk,1,1.00\n", "2026-02-30"),
        (b"0000-00-00,vk,1,1.00\n", "0000-00-00"),
    ];
    let mut file = b"day,source,clicks,cost\n".to_vec();
    for (line, _) in bad {
        file.extend_from_slice(b"2026-08-01,vk,10,12.50\n");
        file.extend_from_slice(line);
    }
    // Dates that are some, if odd ones.
    file.extend_from_slice(b"0000-01-01,vk,1,1.00\n99999-01-01,vk,1,1.00\n");
    let ended = run_file("costs.csv", &file);
    assert_eq!(ended.code, 0, "{}", ended.said);
    assert_eq!(ended.rows.len() + ended.letters.len(), 2 * bad.len() + 2, "{:#?}", ended.letters);
    assert!(ended.rows.len() >= bad.len(), "{:#?}", ended.letters);
    for (_, reason) in bad {
        let told = ended.letters.iter().filter(|l| l["reason"].as_str().unwrap().contains(reason)).count();
        assert_eq!(told, 1, "{reason}: {:#?}", ended.letters);
    }
}

#[test]
fn a_cast_that_fails_says_where_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let own_casts = COSTS.replace("source, clicks,", "source, CAST(source AS BIGINT) AS clicks,");
    std::fs::write(folder.path().join("pipeline.toml"), own_casts.replace("FILE", "costs.csv")).unwrap();
    std::fs::write(folder.path().join("costs.csv"), "day,source,clicks,cost\n2026-08-01,vk,1,1.00\n")
        .unwrap();
    let ended = run_folder(folder.path());
    assert_eq!(ended.code, 1, "{}", ended.said);
    for part in ["vk", "costs", "mapping", "dead letters"] {
        assert!(ended.said.contains(part), "{part}: {}", ended.said);
    }
}

#[test]
fn a_field_of_20_mb_ends_well() {
    let long = |mb: usize| "ы".repeat(mb << 19);
    // It lands and goes through SQL; a table of sources does not need all of it.
    let run = |name: &str, content: String| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), content).unwrap();
        let pipeline = COSTS
            .replace("FILE", name)
            .replace("source, clicks, minor", "left(source, 9) AS source, clicks, minor");
        std::fs::write(folder.path().join("pipeline.toml"), pipeline).unwrap();
        run_folder(folder.path())
    };
    let line = |source: &str| format!("2026-08-02,{source},1,1.00\n");
    let csv = [line("a"), line(&long(20)), line(&long(21)), line("b")].concat();
    let ended = run("costs.csv", format!("day,source,clicks,cost\n{csv}"));
    assert_eq!(ended.code, 0, "{}", ended.said);
    assert_eq!((ended.rows.len(), ended.letters.len()), (3, 1), "CSV");
    let line = |source: &str| {
        format!("{{\"day\":\"2026-08-02\",\"source\":\"{source}\",\"clicks\":1,\"cost\":1.5}}\n")
    };
    let json = [line("a"), line(&long(20)), line(&long(40)), line("b")].concat();
    let ended = run("costs.jsonl", json);
    assert_eq!(ended.code, 0, "{}", ended.said);
    assert_eq!((ended.rows.len(), ended.letters.len()), (3, 1), "JSON");
}

#[test]
fn bad_lines_of_json_go_aside() {
    let text = "{\"day\":\"2026-08-01\",\"source\":\"vk\",\"clicks\":1,\"cost\":\"1.00\"}\n\
                {\"day\":\"2026-08-02\",\"source\":\n\
                [1,2]\n\
                {\"day\":\"2026-08-03\",\"source\":\"vk\",\"clicks\":{\"a\":1},\"cost\":\"1.00\"}\n\
                {\"day\":\"2026-08-04\",\"source\":\"vk\",\"clicks\":1,\"cost\":\"1.00\"}\n";
    let ended = run_file("costs.jsonl", text.as_bytes());
    assert_eq!(ended.code, 0, "{}", ended.said);
    assert_eq!((ended.rows.len(), ended.letters.len()), (2, 3), "{:#?} {:#?}", ended.rows, ended.letters);
}

#[test]
fn a_cut_archive_is_an_error_and_readers_keep_what_they_had() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("costs.csv.gz");
    std::fs::write(folder.path().join("pipeline.toml"), COSTS.replace("FILE", "costs.csv.gz")).unwrap();
    let mut text = String::from("day,source,clicks,cost\n");
    for i in 0..20_000 {
        text.push_str(&format!("2026-08-{:02},source-{},{i},{}.50\n", 1 + i % 28, i * 7919 % 1009, i % 977));
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    let whole = encoder.finish().unwrap();
    std::fs::write(&path, &whole).unwrap();
    let first = run_folder(folder.path());
    assert_eq!((first.code, first.rows.len()), (0, 20_000), "{}", first.said);

    for keep in [whole.len() / 2, whole.len() - 4, 5] {
        std::fs::write(&path, &whole[..keep]).unwrap();
        let ended = run_folder(folder.path());
        assert!(ended.code == 1 || ended.code == 4, "{keep} bytes: {} {}", ended.code, ended.said);
        assert!(ended.said.contains("costs.csv.gz"), "{}", ended.said);
        assert_eq!(ended.rows, first.rows, "{keep} bytes: a broken file shortened what readers saw");
    }
    std::fs::write(&path, [&b"no gzip at all"[..], &whole].concat()).unwrap();
    let ended = run_folder(folder.path());
    assert_eq!(ended.code, 1, "{}", ended.said);
    assert_eq!(ended.rows, first.rows);
}
