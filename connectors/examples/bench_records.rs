//! Rows per CPU-second from REST JSON to Arrow columns: `make bench` prints it.
//!
//! Leads of about 1 kB in pages of 250, as a CRM sends them, made with a fixed seed.

#![allow(clippy::print_stdout)]

use std::fmt::Write as _;

use throughline_connectors::records::{Limits, RecordsBuilder, Selector};
use throughline_core::ReadEvent;

const PAGE_ROWS: u64 = 250;
const ROWS: u64 = 1_000_000;

fn page(first: u64) -> Vec<u8> {
    let mut out = String::from(
        r#"{"_page":1,"_links":{"next":{"href":"https://x.example/next"}},"_embedded":{"leads":["#,
    );
    for id in first..first + PAGE_ROWS {
        let comma = if id == first { "" } else { "," };
        let at = 1_756_000_000 + id * 7;
        let closed = if id % 3 == 0 { at.to_string() } else { "null".into() };
        let _ = write!(
            out,
            r#"{comma}{{"id":{id},"name":"Сделка №{id} \"срочная\"","price":{price},"responsible_user_id":{user},"group_id":0,"status_id":{status},"pipeline_id":3177727,"loss_reason_id":null,"created_by":{user},"updated_by":0,"created_at":{at},"updated_at":{updated},"closed_at":{closed},"closest_task_at":null,"is_deleted":false,"custom_fields_values":[{{"field_id":70133,"field_name":"utm_source","field_code":"UTM_SOURCE","field_type":"tracking_data","values":[{{"value":"yandex"}}]}},{{"field_id":70135,"field_name":"Визит","field_code":null,"field_type":"text","values":[{{"value":"visit-{id}-abcdefghijk"}}]}}],"score":null,"account_id":28805383,"labor_cost":null,"_links":{{"self":{{"href":"https://x.example/api/v4/leads/{id}?page=1&limit=250"}}}},"_embedded":{{"tags":[{{"id":1,"name":"WhatsApp","color":null}}],"companies":[],"contacts":[{{"id":{contact},"is_main":true,"_links":{{"self":{{"href":"https://x.example/api/v4/contacts/{contact}"}}}}}}]}}}}"#,
            price = id * 37 % 100_000,
            user = 500_000 + id % 20,
            status = if id % 3 == 0 { 142 } else { 32_392_156 },
            updated = at + 3600,
            contact = 9_000_000 + id,
        );
    }
    out.push_str("]}}");
    out.into_bytes()
}

/// CPU time of this process, in seconds, as the system counts it.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // After the name in brackets: field 14 and 15 of the line are user and system ticks, 100 a second.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pages: Vec<Vec<u8>> = (0..40).map(|i| page(i * PAGE_ROWS)).collect();
    let bytes: usize = pages.iter().map(Vec::len).sum();
    let per_row = bytes as u64 / (40 * PAGE_ROWS);
    let selector = Selector::list("_embedded.leads")?;
    let mut records = RecordsBuilder::new(Limits::default());
    let wall = std::time::Instant::now();
    let before = cpu_seconds();
    let mut rows = 0_u64;
    for number in 0..ROWS / PAGE_ROWS {
        let page = &pages[usize::try_from(number % 40)?];
        records.begin_page("page", None);
        records.push_page(page, &selector)?;
        records.finish_page();
        for event in records.take_events() {
            if let ReadEvent::Batch(batch) = event {
                rows += batch.rows.num_rows() as u64;
            }
        }
    }
    assert_eq!(rows, ROWS);
    let wall = wall.elapsed().as_secs_f64();
    let spent = before.and_then(|b| Some(cpu_seconds()? - b)).unwrap_or(wall);
    println!(
        "REST JSON to columns: {:.0} rows per CPU-second ({rows} rows of {per_row} bytes, {:.0} MB/s, {spent:.2} s)",
        rows as f64 / spent,
        rows as f64 * per_row as f64 / spent / 1e6
    );
    Ok(())
}
