//! The simulated company's Google Analytics through whole runs: reports and the export.

use std::fmt::Write as _;

use company::ga4::{PROPERTY, auth, bigquery};

use crate::studio::{PipelineShape, Studio};

fn shape(studio: &Studio) -> PipelineShape {
    let (mut extra, start, url) = (String::new(), studio.server().company.cfg.start, studio.url());
    write!(
        extra,
        "\n[[source]]\nname = \"analytics\"\nconnector = \"ga4\"\nproperty = {PROPERTY}\nbase_url = \"{url}\"\n\
         service_account = {{ file = \"key.json\" }}\nstart_on = \"{start}\"\npage_rows = 3\nstreams = [\"ad_costs\"]\n\
         \n[[source]]\nname = \"export\"\nconnector = \"ga4_bigquery\"\nproject = \"{}\"\ndataset = \"{}\"\n\
         base_url = \"{url}\"\nservice_account = {{ file = \"key.json\" }}\nstart_on = \"{start}\"\npage_rows = 30\n",
        bigquery::PROJECT,
        bigquery::DATASET
    )
    .unwrap();
    PipelineShape {
        metrica: false,
        whatsapp: false,
        amocrm: None,
        costs: false,
        // Costs in dollars would need rates.
        attribution: false,
        extra,
        ..PipelineShape::default()
    }
}

fn run(studio: &Studio, failpoint: Option<&str>) -> Option<i32> {
    let mut command = studio.command(&["run"]);
    if let Some(failpoint) = failpoint {
        command.env("THROUGHLINE_FAILPOINT", failpoint);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked") && !said.contains("PRIVATE KEY") && !said.contains("ya29."), "{said}");
    if failpoint.is_none() {
        assert_eq!(output.status.code(), Some(0), "{}{said}", String::from_utf8_lossy(&output.stdout));
    }
    output.status.code()
}

#[test]
fn visits_and_costs_are_the_companys_through_crashes() {
    let studio = Studio::start(50, |config, options| {
        config.days = 5;
        // The run's clock stands twelve hours after the company's.
        options.ga4.skew_s = 86_400;
    });
    std::fs::write(studio.folder().join("key.json"), auth::key_file(&studio.url())).unwrap();
    studio.write_pipeline(&shape(&studio));
    studio.faults(&[
        "503:at=5,path=/queries/",
        "cut:at=9,path=/queries/",
        "expire_token:at=20",
        "429:at=7,path=:runReport",
    ]);
    for failpoint in ["land.segment_written:1", "land.committed:1"] {
        assert_ne!(run(&studio, Some(failpoint)), Some(0), "{failpoint} was not passed");
    }
    run(&studio, None);
    let server = studio.server();
    let (company, now) = (&server.company, server.now());
    let people = company.visits_between(0, now, now).filter(|v| !v.robot).count() as i64;
    let visits = "SELECT count(*) AS n FROM in_visits WHERE visit_id LIKE 'ga4:412000777:%' AND token IS NOT NULL \
                  AND ga_client_id IS NOT NULL";
    assert_eq!(studio.number(visits), people);
    let books: u64 = company::costs::costs(company, now)
        .filter(|c| c.leaf.system == "google_ads")
        .map(|c| c.cost_minor)
        .sum();
    let costs = "SELECT CAST(coalesce(sum(cost_minor), 0) AS BIGINT) AS n FROM in_costs WHERE system = 'google_ads' \
                 AND currency = 'USD'";
    assert!(books > 0);
    assert_eq!(studio.number(costs), books as i64);
    // Nothing was changed: the second run asks for no table again.
    let queries = server.google.queries();
    assert_eq!(queries, 5);
    run(&studio, None);
    assert_eq!(server.google.queries(), queries);
    assert_eq!((studio.number(visits), studio.number(costs)), (people, books as i64));
    for kind in ["status", "cut", "expire_token"] {
        assert!(studio.fired(kind) > 0, "{kind}");
    }
    studio.stop();
}
