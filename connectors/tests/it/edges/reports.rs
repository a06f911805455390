//! Parts of Metrica's logs, reports of Direct, tables of the BigQuery export.

use serde_json::json;

use crate::support::{Break, Landing, World};
use crate::{direct, ga4, ga4_bigquery, metrica};

/// Visits of three days, so many in all.
fn days(count: u64) -> [Vec<u64>; 3] {
    [0, 1, 2].map(|day| (1..=count).filter(|n| n % 3 == day).map(|n| 100 * (day + 1) + n).collect())
}

/// None, one, and each number of rows around one, two and three parts of three; broken off behind any checkpoint.
#[tokio::test]
async fn parts_of_logs() {
    for count in 0..=10 {
        let [first, second, third] = days(count);
        let of_days: [(&str, &[u64]); 3] =
            [("2026-09-01", &first), ("2026-09-02", &second), ("2026-09-03", &third)];
        let mut wanted: Vec<String> = of_days
            .iter()
            .flat_map(|(day, visits)| visits.iter().map(|v| format!("{} {v}", &day[8..])))
            .collect();
        wanted.sort();
        let parts = count.div_ceil(3) as usize;
        // Checkpoints: behind each part, and behind the last day.
        for stops in 0..=parts {
            let (counter, base) = metrica::server(&of_days).await;
            counter.lock().unwrap().rows_per_part = 3;
            // Nobody says whether logs of nothing are a part of nothing or none.
            counter.lock().unwrap().header_alone = stops == 0;
            let world = World::at(metrica::NOW);
            let source = metrica::source(&world, &base);
            let mut landing = Landing::default();
            if stops > 0 {
                let breaks = Break { after_checkpoints: Some(stops), never_committed: true };
                landing.run_until(&source, &world.ctx, "visits", breaks).await.unwrap();
            }
            landing.run(&source, &world.ctx, "visits").await.unwrap();
            assert_eq!(metrica::visits(&source, &landing), wanted, "{count} visits, {stops} stops");
            assert!(landing.counts.iter().all(|c| c.expected == c.read), "{:?}", landing.counts);
            let counter = counter.lock().unwrap();
            assert_eq!(counter.requests(), 1, "{count} visits, {stops} stops");
            let downloads = counter.count("/download");
            // A read that was stopped may have asked for the next part already.
            let most = if stops == 0 { parts.max(usize::from(count == 0)) } else { parts + 1 };
            assert!((parts..=most).contains(&downloads), "{count} visits, {stops} stops: {downloads}");
        }
    }
}

/// No row and one; around the largest report they are asked for in `direct`.
#[tokio::test]
async fn reports_of_next_to_nothing() {
    for clicks in [&[][..], &[7]] {
        let (_, base) = direct::server(&[("own", "2026-09-02", clicks)]).await;
        let world = World::at(direct::NOW);
        let source = direct::source(&world, &base, json!({}));
        let mut landing = Landing::default();
        landing.run(&source, &world.ctx, "ads").await.unwrap();
        let wanted: Vec<String> = clicks.iter().map(|c| format!("02 own {c}")).collect();
        assert_eq!(direct::clicks(&source, &landing), wanted);
        let count = &landing.counts[0];
        assert_eq!((count.expected, count.read), (clicks.len() as u64, clicks.len() as u64));
    }
}

/// A table a day, their list on pages of every size around their number.
#[tokio::test]
async fn tables_of_the_export() {
    for rows in [1, 19, 20, 21] {
        let export = company::ga4::bigquery::Options { list_rows: rows, ..Default::default() };
        let running = ga4::company(company::ga4::Options { export, ..Default::default() }, 1, &[]).await;
        let world = ga4::world(&running);
        let source = ga4_bigquery::source(&world, &running, json!({}));
        let mut landing = Landing::default();
        landing.run(&source, &world.ctx, "events").await.unwrap();
        assert_eq!(landing.counts.len(), 20, "pages of {rows} tables");
        assert!(landing.counts.iter().all(|c| c.expected == c.read), "{:?}", landing.counts);
    }
}
