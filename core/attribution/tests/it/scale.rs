//! How long steps take.

use std::sync::Mutex;
use std::time::Instant;

/// `cargo test -p throughline-attribution --test it step_times -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints times, checks nothing"]
async fn step_times() {
    let world = crate::properties::tangle(5, std::env::var("SIZE").map_or(10, |s| s.parse().unwrap()));
    let last = std::sync::Arc::new(Mutex::new((Instant::now(), String::from("start"))));
    let seen = last.clone();
    let begun = Instant::now();
    world
        .try_run_with(Some(&move |step: &str| -> throughline_core::Result<()> {
            let mut last = seen.lock().unwrap();
            eprintln!("{:>6} ms {}", last.0.elapsed().as_millis(), last.1);
            *last = (Instant::now(), step.to_string());
            Ok(())
        }))
        .await
        .unwrap();
    let last = last.lock().unwrap();
    eprintln!("{:>6} ms {} and the rest", last.0.elapsed().as_millis(), last.1);
    eprintln!("{:>6} ms in all", begun.elapsed().as_millis());
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_visits_take_seconds() {
    let world = crate::properties::tangle(5, 20_000);
    let begun = Instant::now();
    let done = world.run().await;
    let took = begun.elapsed();
    eprintln!("20,000 visits, as many messages, 10,000 deals: {} ms", took.as_millis());
    assert_eq!(done.one("SELECT count(*) FROM visits").await, "20000");
    assert!(took.as_secs() < 300, "{took:?}: something grows faster than its input");
}
