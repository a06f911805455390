//! `throughline link`, and the pipeline that reads its list.

use crate::command::{expect, repository, run};

const WHATSAPP: &[&str] = &[
    "--json",
    "link",
    "--messenger",
    "whatsapp",
    "--account",
    "8 999 000-11-22",
    "--campaign",
    "Плакат, метро",
];

#[test]
fn a_printed_link_is_listed_once_and_read_by_its_pipeline() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let first =
        expect(at, &[WHATSAPP, &["--text", "Здравствуйте!", "--qr", "poster.svg", "--qr", "-"]].concat(), 0);
    let made: serde_json::Value = serde_json::from_str(&first).unwrap();
    let token = made["token"].as_str().unwrap();
    assert!(made["link"].as_str().unwrap().ends_with(&format!("!%20%5BID%3A{token}%5D")), "{first}");
    assert_eq!(made["added"], true);
    assert!(std::fs::read_to_string(at.join("poster.svg")).unwrap().contains("<title>Плакат, метро</title>"));
    // The same again: the same token, no second row.
    let again: serde_json::Value = serde_json::from_str(&expect(at, WHATSAPP, 0)).unwrap();
    assert_eq!((&again["token"], &again["added"]), (&made["token"], &serde_json::json!(false)));
    let telegram = ["link", "--messenger", "telegram", "--account", "@shop_bot", "--campaign", "metro"];
    let text = expect(at, &telegram, 0);
    assert!(text.starts_with("https://t.me/shop_bot?start=metro\n"), "{text}");

    std::fs::copy(repository().join("pipelines/printed-links.toml"), at.join("pipeline.toml")).unwrap();
    expect(at, &["run", "pipeline.toml"], 0);
    let sql = "SELECT source, campaign, ad_id, cost_minor FROM in_costs ORDER BY source";
    let costs = expect(at, &["query", "--format", "csv", sql], 0);
    assert_eq!(
        costs,
        format!(
            "source,campaign,ad_id,cost_minor\ntelegram,metro,,0\nwhatsapp,\"Плакат, метро\",{token},0\n"
        )
    );
}

#[test]
fn a_link_that_cannot_be_made_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let telegram =
        ["link", "--messenger", "telegram", "--account", "shop_bot", "--qr", "a.svg", "--campaign"];
    for campaign in ["весна", "HHR3D1196WD", ""] {
        let output = run(folder.path(), &[&telegram[..], &[campaign]].concat());
        assert_eq!(output.status.code(), Some(2), "{campaign}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
