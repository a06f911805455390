//! Attribution alone on generated canonical tables, for `make bench`.
//!
//! ```text
//! attribute generate FOLDER VISITS        writes FOLDER/canonical, the same bytes for the same number
//! attribute run FOLDER [MEMORY_MB] [THREADS] [SETTINGS.json]
//!                                         attributes it into FOLDER/attribution; one line a step, then the sum
//! attribute split FOLDER PER_MILLE         parts it by time: so many of a thousand visits are new
//! attribute again FOLDER [MEMORY_MB] [THREADS]
//!                                         attributes what is old, then goes on from that with what is new
//! ```
//!
//! The generated shop: journeys of power-law length, 7.1% of the visits end in a chat whose contact and deals the
//! CRM knows, 5% of the tokens are edited away, one contact in 200 shares a switchboard's phone.

mod run;
mod shop;

use std::path::Path;

use run::{Rig, again, split, tables};
use shop::{BEGIN_US, DAY_US, generate};
use throughline_attribution::Settings;

/// Whatever went wrong, for whoever runs the benchmark.
type Done<T = ()> = Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "attribute generate FOLDER VISITS | attribute run FOLDER [MEMORY_MB] [THREADS] [SETTINGS.json] | \
     attribute split FOLDER PER_MILLE | attribute again FOLDER [MEMORY_MB] [THREADS]";

fn main() -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |n: usize, default: u64| arguments.get(n).map_or(Ok(default), |a| a.parse::<u64>());
    let folder = Path::new(arguments.get(1).ok_or(USAGE)?);
    match arguments[0].as_str() {
        "generate" => generate(folder, number(2, 1_000_000)?),
        "run" => {
            let settings = match arguments.get(4) {
                Some(path) => serde_json::from_str(&std::fs::read_to_string(path)?)?,
                None => Settings::default(),
            };
            let rig = Rig::new(folder, number(2, 1024)?, number(3, 2)?)?;
            let tables = tables(&[&folder.join("canonical")]);
            rig.attribute(&folder.join("attribution"), &tables, &settings, BEGIN_US + 200 * DAY_US, None)?;
            Ok(())
        }
        "split" => split(folder, number(2, 10)?),
        "again" => again(folder, number(2, 1024)?, number(3, 2)?),
        _ => Err(USAGE.into()),
    }
}
