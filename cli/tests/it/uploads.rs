//! Whole runs of the binary that upload what came of visits into the company's Metrica.

use std::collections::{BTreeMap, BTreeSet};

use crate::studio::{PipelineShape, Studio};
use company::uploads::metrika::File;

fn pipeline(studio: &Studio) {
    let (url, counter) = (studio.url(), studio.server().company.cfg.counter_id);
    let mut extra = String::new();
    for upload in ["chats", "offline_conversions", "simple_orders", "expenses"] {
        extra += &format!(
            "\n[[sink]]\nname = \"{upload}\"\nconnector = \"yandex_metrica\"\nbase_url = \"{url}\"\n\
             counter_id = {counter}\ntoken = {{ env = \"METRICA_TOKEN\" }}\nupload = \"{upload}\"\n"
        );
    }
    extra += &format!(
        "\n[[sink]]\nname = \"ga4\"\nconnector = \"ga4_measurement\"\nbase_url = \"{url}\"\n\
         measurement_id = \"G-STUDIO0001\"\napi_secret = {{ env = \"METRICA_TOKEN\" }}\n"
    );
    studio.write_pipeline(&PipelineShape { extra, ..PipelineShape::default() });
}

fn rows(files: &[File], kind: &str) -> Vec<BTreeMap<String, String>> {
    files.iter().filter(|f| f.kind == kind).flat_map(|f| f.rows.clone()).collect()
}

#[test]
fn what_came_of_visits_goes_back_once() {
    let studio = Studio::start(120, |config, _| {
        config.days = 9;
        config.history = 20;
    });
    pipeline(&studio);
    studio.expect(&["run", "--yes"], 0);
    let first = studio.server().uploads.files();

    let number = |sql: &str| usize::try_from(studio.number(sql)).unwrap();
    let visited = "FROM conversions c JOIN visits v ON v.person_id = c.person_id AND v.ts <= c.ts AND v.ym_client_id IS NOT NULL";
    let won = format!("SELECT count(DISTINCT c.conversion_id) {visited} WHERE c.type = 'won'");
    assert_eq!(rows(&first, "BASIC").len(), number(&won));
    assert!(!rows(&first, "BASIC").is_empty());
    let chats = "SELECT count(DISTINCT i.inquiry_id) FROM inquiries i \
                 JOIN visits v ON v.person_id = i.person_id AND v.ts <= i.ts AND v.ym_client_id IS NOT NULL";
    assert_eq!(rows(&first, "CHATS").len(), number(chats));
    let orders: BTreeSet<String> = rows(&first, "ORDERS").iter().map(|r| r["id"].clone()).collect();
    assert_eq!(orders.len(), rows(&first, "ORDERS").len());
    assert!(rows(&first, "ORDERS").iter().any(|r| r["order_status"] == "PAID" && !r["revenue"].is_empty()));
    let spent = rows(&first, "EXPENSES");
    assert!(!spent.is_empty() && spent.iter().all(|r| !r["UTMSource"].is_empty()), "{spent:?}");
    assert!(first.iter().all(|f| f.lines == f.rows.len()), "Metrica takes every row: {first:#?}");
    // Visits of this company have no client of Google Analytics: that is told, and nothing goes.
    assert!(studio.server().uploads.events().is_empty());
    let letters = studio.expect(&["dead-letters", "list"], 0);
    assert!(letters.contains("ga4"), "{letters}");

    // Two days later what is new goes, and nothing else.
    studio.server().set_now(studio.server().now() + 2 * 86_400).unwrap();
    pipeline(&studio);
    studio.expect(&["run"], 0);
    let all = studio.server().uploads.files();
    assert_eq!(rows(&all, "BASIC").len(), number(&won));
    assert_eq!(rows(&all, "CHATS").len(), number(chats));
    let mut costs: Vec<String> = rows(&all, "EXPENSES")
        .iter()
        .map(|r| {
            format!(
                "{} {} {} {} {} {}",
                r["Date"], r["UTMSource"], r["UTMMedium"], r["UTMCampaign"], r["UTMContent"], r["UTMTerm"]
            ) + &r["Currency"]
        })
        .collect();
    let count = costs.len();
    costs.sort();
    costs.dedup();
    assert_eq!(costs.len(), count, "no cost goes twice");
}
