//! Markov removal effects of journeys in a CSV file, for `make bench` (tools/markov.py).
//!
//! ```text
//! markov generate FILE PATHS     writes path,conversions,value,nulls: the same bytes for the same number
//! markov run FILE ORDER          reads and solves it; one line of JSON: seconds, states, effects by channel
//! ```
//!
//! The generated journeys: 24 channels, the first of them met most, lengths with a tail like x^-2.3 up to 60; some
//! pairs of channels follow each other more often, some channels close better than others; 4 of 100 convert.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use throughline_attribution::models::{ChainBuilder, Counts, Names, effects, shares};

const CHANNELS: u64 = 24;

/// Whatever went wrong, for whoever runs the benchmark.
type Done<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["generate", file, paths] => generate(Path::new(file), paths.parse()?),
        ["run", file, order] => run(Path::new(file), order.parse()?),
        _ => Err("markov generate FILE PATHS | markov run FILE ORDER".into()),
    }
}

struct Random(ChaCha8Rng);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// 1, 2, 3, ... with a tail like x^-exponent.
    fn power_law(&mut self, exponent: f64, most: u64) -> u64 {
        let unit = (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        ((1.0 - unit).powf(-1.0 / (exponent - 1.0)) as u64).clamp(1, most)
    }
}

fn generate(file: &Path, paths: u64) -> Done {
    let mut random = Random(ChaCha8Rng::seed_from_u64(42));
    let mut out = BufWriter::new(File::create(file)?);
    writeln!(out, "path,conversions,value,nulls")?;
    let mut line = String::new();
    for _ in 0..paths {
        line.clear();
        let mut channel = 0;
        for touch in 0..random.power_law(2.3, 60) {
            channel = match random.below(4) {
                0 if touch > 0 => (channel + 1) % CHANNELS,
                1 if touch > 0 => channel,
                _ => random.power_law(1.6, CHANNELS) - 1,
            };
            let arrow = if touch > 0 { " > " } else { "" };
            write!(line, "{arrow}channel_{channel:02}")?;
        }
        let converts = random.below(1000) < 25 + 3 * (channel % 10);
        let value = if converts { 1_000 + random.below(500_000) } else { 0 };
        writeln!(out, "{line},{},{value},{}", u8::from(converts), u8::from(!converts))?;
    }
    Ok(out.flush()?)
}

fn run(file: &Path, order: usize) -> Done {
    let begun = Instant::now();
    let mut lines = BufReader::with_capacity(1 << 20, File::open(file)?);
    let (mut line, mut path) = (String::new(), Vec::new());
    let mut names = Names::default();
    let mut builder = ChainBuilder::new(order, true);
    let mut rows = 0_u64;
    lines.read_line(&mut line)?;
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            break;
        }
        let mut fields = line.trim_end().split(',');
        let short = || format!("row {rows} has too few fields");
        names.read_path(fields.next().ok_or_else(short)?, &mut path);
        let mut number = || fields.next().ok_or_else(short);
        let counts =
            Counts { conversions: number()?.parse()?, value: number()?.parse()?, nulls: number()?.parse()? };
        builder.add(&path, counts);
        rows += 1;
    }
    let chain = builder.finish()?;
    let read_s = begun.elapsed().as_secs_f64();
    let found = effects(&chain)?;
    let wall_s = begun.elapsed().as_secs_f64();

    let (conversions, value) = (shares(&found.removal), shares(&found.removal_value));
    let channels: serde_json::Map<String, serde_json::Value> = (0..found.channels.len())
        .map(|i| {
            let row = serde_json::json!({
                "conversions": conversions[i] * chain.conversions as f64,
                "value": value[i] * chain.value as f64,
                "removal_effect": found.removal[i],
                "removal_effect_value": found.removal_value[i],
            });
            (names.name(found.channels[i]).to_string(), row)
        })
        .collect();
    let report = serde_json::json!({
        "paths": rows, "order": order, "states": chain.states(), "read_s": read_s, "wall_s": wall_s,
        "p_conversion": found.p, "channels": channels,
    });
    println!("{report}");
    Ok(())
}
