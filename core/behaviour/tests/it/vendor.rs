//! A vendor without a network: orders by id, lines by offset, figures by days.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};
use throughline_behaviour::{MemoryNotes, MemoryTokens};
use throughline_core::http::{HttpClient, HttpRequest, HttpResponse, HttpResponseHead};
use throughline_core::{Context, Error, FixedClock, Result};

pub const DAY_US: i64 = 86_400_000_000;
/// 2026-08-01, in days since 1970.
pub const FIRST_DAY: i64 = 20_666;
/// 2026-09-01 00:00 UTC.
pub const NOW_US: i64 = 20_697 * DAY_US;
pub const ORDERS: i64 = 35;

pub struct Vendor;

/// When an order was made: five a day, the first of them at midnight.
pub fn made_at_us(id: i64) -> i64 {
    FIRST_DAY * DAY_US + (id - 1) * DAY_US / 5
}

pub fn day(number: i64) -> String {
    chrono::DateTime::from_timestamp(number * 86_400, 0).unwrap().format("%Y-%m-%d").to_string()
}

impl Vendor {
    fn answer(url: &str) -> Value {
        let (path, query) = url.split_once('?').unwrap();
        let number = |name: &str| -> Option<i64> {
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
        };
        let (from, to) = (number("from").unwrap_or(i64::MIN), number("to").unwrap_or(i64::MAX));
        match path {
            "https://vendor.example/orders" => {
                let within = |id: &i64| (from..to).contains(&made_at_us(*id));
                let all: Vec<i64> = (1..=ORDERS).filter(within).collect();
                let after = number("after").unwrap();
                let page = all.iter().filter(|id| **id > after).take(10);
                let page: Vec<Value> = page.map(|id| json!({"id": id, "total": id * 10})).collect();
                json!({"items": page, "total": all.len()})
            }
            "https://vendor.example/lines" => {
                let skip = number("skip").unwrap();
                let page: Vec<Value> =
                    (skip..25).take(10).map(|n| json!({"text": format!("строка {}", n / 2)})).collect();
                json!({"items": page})
            }
            "https://vendor.example/days" => {
                let rows = (from..to).flat_map(|d| [1, 2].map(|n| json!({"day": day(d), "visits": d * n})));
                json!({"items": rows.collect::<Vec<_>>()})
            }
            other => panic!("{other}"),
        }
    }
}

#[async_trait]
impl HttpClient for Vendor {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        // As over a wire, others run meanwhile.
        tokio::task::yield_now().await;
        let body = Bytes::from(Self::answer(&request.url).to_string());
        let head = HttpResponseHead { status: 200, headers: Vec::new(), exchange: 1 };
        Ok(HttpResponse { head, body: futures::stream::iter([Ok(body)]).boxed() })
    }
    async fn stream(&self, _: HttpRequest) -> Result<HttpResponse> {
        Err(Error::bug("nobody streams here"))
    }
}

pub fn context() -> Result<Context> {
    Ok(Context {
        name: "shop".into(),
        clock: Arc::new(FixedClock::at_us(NOW_US)),
        http: Arc::new(Vendor),
        tokens: Arc::new(MemoryTokens::default()),
        notes: Arc::new(MemoryNotes::default()),
        cancel: Default::default(),
        scratch: std::env::temp_dir(),
    })
}
