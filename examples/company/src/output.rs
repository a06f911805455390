//! Files that a company leaves on disk: what its people would hand over (the webhook inbox, the cost sheets),
//! and apart from it the truth.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use crate::company::Company;
use crate::costs::{costs_csv, rates_csv};
use crate::{truth, whatsapp};

#[derive(Serialize, Debug)]
pub struct Written {
    pub inbox_lines: u64,
    pub cost_rows: u64,
}

/// Writes `inbox/*.jsonl`, `costs.csv`, `rates.csv` and `truth/` as they are at `now`.
///
/// # Errors
/// When the folder cannot be written.
pub fn write(company: &Company, now: i64, dir: &Path, with_truth: bool) -> io::Result<Written> {
    fs::create_dir_all(dir)?;
    let inbox_lines =
        whatsapp::write_inbox(company, &whatsapp::deliveries(company), now, &dir.join("inbox"))?;
    let costs = costs_csv(company, now);
    replace(&dir.join("costs.csv"), |f| f.write_all(costs.as_bytes()))?;
    replace(&dir.join("rates.csv"), |f| f.write_all(rates_csv(company, now).as_bytes()))?;
    if with_truth {
        let t = dir.join("truth");
        fs::create_dir_all(&t)?;
        replace(&t.join("deals.csv"), |f| truth::write_deals(company, now, f))?;
        replace(&t.join("visits.csv"), |f| truth::write_visits(company, now, f))?;
        replace(&t.join("inquiries.csv"), |f| truth::write_inquiries(company, now, f))?;
        replace(&t.join("campaigns.csv"), |f| truth::write_campaigns(company, now, f))?;
        replace(&t.join("counts.json"), |f| {
            serde_json::to_writer_pretty(f, &truth::counts(company, now)).map_err(io::Error::other)
        })?;
    }
    Ok(Written { inbox_lines, cost_rows: costs.lines().count().saturating_sub(1) as u64 })
}

/// A reader sees the old file or the new one.
fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let tmp = path.with_extension("tmp");
    let mut file = BufWriter::new(fs::File::create(&tmp)?);
    write(&mut file)?;
    file.flush()?;
    fs::rename(tmp, path)
}
