//! The simulated company's Yandex Direct through whole runs.

use std::fmt::Write as _;

use crate::studio::{PipelineShape, Studio};

/// A pipeline of Direct's costs alone, in reports of so many days.
fn shape(studio: &Studio, request_days: u32) -> PipelineShape {
    let mut extra = String::new();
    write!(
        extra,
        "\n[[source]]\nname = \"direct\"\nconnector = \"yandex_direct\"\nbase_url = \"{}\"\n\
         token = {{ env = \"DIRECT_TOKEN\" }}\nstart_on = \"{}\"\nrequest_days = {request_days}\n",
        studio.url(),
        studio.server().company.cfg.start
    )
    .unwrap();
    PipelineShape {
        metrica: false,
        whatsapp: false,
        amocrm: None,
        costs: false,
        extra,
        ..PipelineShape::default()
    }
}

/// What the company's own books say: day, campaign, ad, keyword, impressions, clicks, minor units.
fn spent(studio: &Studio) -> Vec<String> {
    let server = studio.server();
    let mut rows: Vec<String> = company::costs::costs(&server.company, server.now())
        .filter(|c| c.leaf.system == "yandex_direct")
        .map(|c| {
            let day = chrono::NaiveDate::from_epoch_days(c.day as i32).unwrap();
            let (leaf, keyword) = (c.leaf, c.leaf.keyword.unwrap_or_default());
            let numbers = format!("{} {} {}", c.impressions, c.clicks, c.cost_minor);
            format!("{day}|{}|{}|{keyword}|{numbers}", leaf.campaign_id, leaf.ad_id)
        })
        .collect();
    rows.sort();
    rows
}

/// The same from the pipeline's canonical table.
fn read(studio: &Studio) -> Vec<String> {
    let sql = "SELECT CAST(day AS VARCHAR) || '|' || campaign_id || '|' || ad_id || '|' || keyword || '|' \
               || CAST(impressions AS VARCHAR) || ' ' || CAST(clicks AS VARCHAR) || ' ' \
               || CAST(cost_minor AS VARCHAR) AS row FROM in_costs WHERE system = 'yandex_direct' \
               AND account = 'studio-svet' AND currency = 'RUB'";
    let rows = studio.query(sql);
    let mut rows: Vec<String> = rows.iter().map(|r| r["row"].as_str().unwrap().to_owned()).collect();
    rows.sort();
    rows
}

fn run(studio: &Studio, failpoint: Option<&str>) -> Option<i32> {
    let mut command = studio.command(&["run"]);
    if let Some(failpoint) = failpoint {
        command.env("THROUGHLINE_FAILPOINT", failpoint);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked") && !said.contains(company::direct::TOKEN), "{said}");
    if failpoint.is_none() {
        assert_eq!(output.status.code(), Some(0), "{}{said}", String::from_utf8_lossy(&output.stdout));
    }
    output.status.code()
}

#[test]
fn costs_are_the_companys_through_crashes_and_corrections() {
    let studio = Studio::start(200, |config, options| {
        config.days = 16;
        options.direct = company::direct::Options { polls: 1, robots_days: 4, ..Default::default() };
    });
    let end = studio.server().now();
    // The run's clock stands twelve hours after the company's.
    studio.server().set_now(end - 6 * 86_400).unwrap();
    studio.write_pipeline(&shape(&studio, 8));
    for failpoint in ["land.segment_written:1", "land.committed:1"] {
        assert_ne!(run(&studio, Some(failpoint)), Some(0), "{failpoint} was not passed");
    }
    run(&studio, None);
    let young = read(&studio);
    assert_eq!(young.len(), spent(&studio).len());
    assert_ne!(young, spent(&studio), "no click of a robot was seen");
    // Five days later those days stand as they are in the books; the last days are young again.
    studio.server().set_now(end).unwrap();
    studio.write_pipeline(&shape(&studio, 8));
    studio.faults(&["502:at=1,path=/reports", "cut:at=3,path=/reports", "truncate:at=4,path=/reports"]);
    run(&studio, None);
    let (found, books) = (read(&studio), spent(&studio));
    assert_eq!(found.len(), books.len());
    let today = studio.server().company.cfg.day_of(end);
    let old = chrono::NaiveDate::from_epoch_days((today - 4) as i32).unwrap().to_string();
    let settled = |rows: &[String]| rows.iter().filter(|r| r[..10] < old[..]).cloned().collect::<Vec<_>>();
    assert!(settled(&books).len() > 20);
    assert_eq!(settled(&found), settled(&books));
    for kind in ["status", "cut", "truncate"] {
        assert!(studio.fired(kind) > 0, "{kind}");
    }
    studio.stop();
}
