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
    let rules: Vec<String> =
        variants.iter().map(|v| format!("drift:variant={v},page=3,path=/api/v4/leads")).collect();
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
    studio.faults(&["drift:variant=price_text,page=3,path=/api/v4/leads"]);
    let report = studio.json(&["run"], 0);
    assert_eq!(report["dead_letters"], 0, "{report:#}");
    assert!(notices(&report, "leads").iter().any(|n| n["code"] == "schema_widened"), "{report:#}");
    assert_equal(&studio.tables(studio.folder()), &expected, "with prices as text");
    studio.stop();
}

#[test]
fn one_bad_record_goes_alone_and_comes_back_when_mended() {
    let studio = company();
    let expected = undisturbed(&studio);
    // `stage` says where it was found out, and so whether its stream must be read again.
    for (variant, stage) in
        [("text_for_time", "map"), ("text_for_price", "map"), ("no_id", "map"), ("not_an_object", "read")]
    {
        let folder = studio.folder().join(variant);
        studio.write_pipeline_in(&folder, &crm());
        // One of every page: rows without a key must not hide one another.
        studio.faults(&[&format!("malformed:variant={variant},rows=5,path=/api/v4/leads")]);
        let out = studio.expect_in(&folder, &["run", "--json"], 0);
        let report: Value = serde_json::from_str(&out).unwrap();
        let letters: Value =
            serde_json::from_str(&studio.expect_in(&folder, &["dead-letters", "list", "--json"], 0)).unwrap();
        let letters = letters.as_array().unwrap();
        let all = studio.tables(&folder)["all_deals"].len();
        assert_eq!(all + letters.len(), expected["all_deals"].len(), "{variant}: {report:#} {letters:#?}");
        assert!(letters.len() > 1, "{variant}: {report:#}");
        assert_eq!(report["dead_letters"], letters.len(), "{variant}");
        for letter in letters {
            assert!(letter["stream"].as_str().unwrap().ends_with("leads"), "{variant}: {letter:#}");
            assert_eq!(letter["stage"], stage, "{variant}: {letter:#}");
            let id = letter["id"].to_string();
            let shown = studio.expect_in(&folder, &["dead-letters", "show", &id], 0);
            assert!(shown.contains(letter["reason"].as_str().unwrap()), "{variant}: {shown}");
        }

        studio.faults(&[]);
        let out = studio.expect_in(&folder, &["dead-letters", "replay", "--json"], 0);
        let replay: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(replay["replayed"], letters.len(), "{variant}: {replay:#}");
        assert_eq!(replay["still_open"], 0, "{variant}: {replay:#}");
        assert_equal(&studio.tables(&folder), &expected, variant);
    }
    studio.stop();
}

#[test]
fn bad_rows_of_a_metrica_part_go_alone() {
    let studio = Studio::start(200, |_, _| {});
    studio.write_pipeline(&PipelineShape {
        amocrm: None,
        whatsapp: false,
        costs: false,
        attribution: false,
        extra: "\n[[transform]]\nname = \"all_visits\"\nsql = \"SELECT * FROM in_visits\"\n".to_owned(),
        ..PipelineShape::default()
    });
    // A row more or less changes the size of a part; that Metrica's own counts differ is another test.
    let path = studio.folder().join("pipeline.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("poll_after_s = 0", "poll_after_s = 0\nverify_size = false")).unwrap();
    for variant in ["extra_cell", "bad_utf8", "zero_dates"] {
        studio.faults(&[&format!("malformed:variant={variant},rows=5,path=/download")]);
        let output = studio.run(&["run", "--full-refresh", "--json"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{variant}: {said}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(studio.fired("malformed") > 0, "{variant}");
        assert_eq!(report["status"], "succeeded", "{variant}: {report:#}");
        let visits = studio.tables(studio.folder())["all_visits"].len() as u64;
        let streams = report["streams"].as_array().unwrap();
        let of_visits = streams.iter().find(|s| s["stream"] == "visits").unwrap();
        let rejected = of_visits["rejected"].as_u64().unwrap();
        assert_eq!(visits + rejected, studio.truth().metrica_visits, "{variant}: {report:#}");
        assert!(report["dead_letters"].as_u64().unwrap() > 0, "{variant}: {report:#}");
    }
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

/// All lines but one are rows; that one is a dead letter which says why.
fn assert_one_aside(what: &str, ended: &Ended, lines: usize, reason: &str) {
    assert_eq!(ended.code, 0, "{what}: {}", ended.said);
    assert_eq!(
        ended.rows.len() + ended.letters.len(),
        lines,
        "{what}: {:#?} {:#?}",
        ended.rows,
        ended.letters
    );
    assert_eq!(ended.letters.len(), 1, "{what}: {:#?}", ended.letters);
    let told = ended.letters[0]["reason"].as_str().unwrap();
    assert!(told.contains(reason), "{what}: {told}");
}

#[test]
fn one_bad_line_of_a_file_goes_aside() {
    let good = "day,source,clicks,cost\n2026-08-01,vk,10,12.50\n2026-08-02,vk,11,13.50\n";
    let cases: [(&str, &[u8], &str); 6] = [
        ("no UTF-8", b"2026-08-03,\xff\xfe,1,1.00\n", "UTF-8"),
        ("text where a number is", "2026-08-03,vk,много,1.00\n".as_bytes(), "много"),
        ("no price", "2026-08-03,vk,1,дорого\n".as_bytes(), "дорого"),
        ("too many fields", b"2026-08-03,vk,1,1.00,5,6\n", "fields"),
        ("too few fields", b"2026-08-03,vk\n", "fields"),
        ("no day", b"yesterday,vk,1,1.00\n", "yesterday"),
    ];
    for (what, line, reason) in cases {
        let ended = run_file("costs.csv", &[good.as_bytes(), line, b"2026-08-04,vk,12,14.50\n"].concat());
        assert_one_aside(what, &ended, 4, reason);
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
fn a_date_of_year_0_is_no_reason_to_stop() {
    for day in ["0000-00-00", "0000-01-01", "99999-01-01", "2026-02-30"] {
        let text = format!("day,source,clicks,cost\n2026-08-01,vk,10,12.50\n{day},vk,1,1.00\n");
        let ended = run_file("costs.csv", text.as_bytes());
        assert_eq!(ended.code, 0, "{day}: {}", ended.said);
        assert_eq!(
            ended.rows.len() + ended.letters.len(),
            2,
            "{day}: {:#?} {:#?}",
            ended.rows,
            ended.letters
        );
        if day == "2026-02-30" {
            assert_eq!(ended.letters.len(), 1, "{:#?}", ended.rows);
        }
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
    for (mb, rows) in [(20, 3), (21, 2)] {
        let line = |source: &str| format!("2026-08-02,{source},1,1.00\n");
        let csv = format!("day,source,clicks,cost\n{}{}{}", line("a"), line(&long(mb)), line("b"));
        let ended = run("costs.csv", csv);
        assert_eq!(ended.code, 0, "{}", ended.said);
        assert_eq!((ended.rows.len(), ended.letters.len()), (rows, 3 - rows), "{mb} MB of CSV");
    }
    for (mb, rows) in [(20, 3), (40, 2)] {
        let line = |source: &str| {
            format!("{{\"day\":\"2026-08-02\",\"source\":\"{source}\",\"clicks\":1,\"cost\":1.5}}\n")
        };
        let ended = run("costs.jsonl", format!("{}{}{}", line("a"), line(&long(mb)), line("b")));
        assert_eq!(ended.code, 0, "{}", ended.said);
        assert_eq!((ended.rows.len(), ended.letters.len()), (rows, 3 - rows), "{mb} MB of JSON");
    }
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
