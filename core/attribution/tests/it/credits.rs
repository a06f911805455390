//! The one pass over paths gives what the portable SELECTs say.

use serde_json::json;
use throughline_core::Param;
use throughline_sql::SqlEngine;

const SHARES: &str = include_str!("../../src/steps/76_shares.sql");
const CREDITS: &str = include_str!("../../src/steps/77_credits.sql");

#[tokio::test(flavor = "multi_thread")]
async fn credits_are_those_of_the_portable_steps() {
    let mut world = crate::properties::tangle(11, 400);
    world.settings =
        serde_json::from_value(json!({"position_weights": [0.3, 0.5], "half_life_days": 3.5})).unwrap();
    let done = world.run().await;
    let params =
        [("first_weight", 3), ("last_weight", 5), ("between_weight", 2), ("half_life_us", 302_400_000_000)]
            .map(|(name, value)| (name.to_string(), Param::Int(value)));
    done.engine.bind_view("x_share", SHARES, &params).await.unwrap();
    done.engine.bind_view("portable_credit", CREDITS, &params).await.unwrap();
    let of = |table: &str| {
        format!(
            "SELECT conv_n, model_n, touch_n, pos, n, CAST(share AS VARCHAR) AS share, gross_minor, net_minor \
             FROM {table} ORDER BY conv_n, model_n, pos"
        )
    };
    let (ours, portable) = (done.rows(&of("x_credit")).await, done.rows(&of("portable_credit")).await);
    assert!(ours.len() > 1_000, "{} rows tell too little", ours.len());
    assert!(ours.iter().any(|row| row.ends_with("| 0 | 0")), "a lead carries no money");
    for (ours, portable) in ours.iter().zip(&portable) {
        assert_eq!(ours, portable);
    }
    assert_eq!(ours.len(), portable.len());
}
