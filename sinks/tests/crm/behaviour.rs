//! The suite of all sinks. Its tables are none of a CRM's: they are taken, staged, committed and dropped.

use std::sync::Arc;

use throughline_behaviour::{Setting, SinkSuite};

use crate::company_crm::{ALL, World, connector};

#[tokio::test(flavor = "multi_thread")]
async fn every_crm_keeps_the_promises_of_a_sink() {
    for crm in ALL {
        let world = Arc::new(World::new(crm).await);
        let options = world.options(serde_json::json!({}));
        let of = world.clone();
        let connector = Box::leak(connector(crm));
        let suite = SinkSuite::of_connector(connector, &options, move || Ok(Setting::from(of.context())));
        let report = suite.run().await;
        assert!(report.passed(), "{}", report.text());
    }
}
