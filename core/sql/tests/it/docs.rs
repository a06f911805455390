//! The examples of docs/sql-functions.md are true.

use crate::lab;

#[tokio::test]
async fn every_function_in_the_manual_does_what_it_says() {
    let manual =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sql-functions.md")).unwrap();
    let lab = lab();
    let mut run = 0;
    for row in manual.lines().filter(|l| l.starts_with("| `")) {
        // A `|` inside code is written `\|` in a Markdown table.
        let row = row.replace("\\|", "\u{1}");
        let cells: Vec<String> =
            row.trim_matches('|').split('|').map(|c| c.trim().replace('\u{1}', "|")).collect();
        let [call, result, ..] = cells.as_slice() else { continue };
        let (call, want) = (call.trim_matches('`'), result.trim_matches('`'));
        let got = lab.lines(&format!("SELECT {call}")).await;
        let want = if want == "null" { "-" } else { want };
        assert_eq!(got, [want], "{call}");
        run += 1;
    }
    assert!(run > 40, "only {run} examples were found");
    for name in [
        "json_text",
        "json_int",
        "json_list",
        "json_by_time",
        "held_since",
        "url_param",
        "url_host",
        "url_path",
        "phone_e164",
        "visit_token",
        "token_state",
        "bare_token",
        "carried_token",
        "unix_ms_to_instant",
        "minor_units",
        "unix_to_instant",
        "parse_instant",
        "instant_us",
        "decimal_text",
    ] {
        assert!(manual.contains(&format!("## `{name}(")), "{name} is not in the manual");
    }
}
