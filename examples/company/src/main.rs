//! `company serve`, `company generate`, `company record`: see README.md.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, NaiveDate};
use clap::{Args, Parser, Subcommand};
use company::faults::Rule;
use company::metrika::requests;
use company::{Company, Config, Options, Running, Server};

#[derive(Parser)]
#[command(about = "A simulated company with a known truth, for tests, benchmarks and demos")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the vendors' interfaces until interrupted; prints one JSON line with addresses and keys
    Serve {
        #[command(flatten)]
        company: CompanyArgs,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Write the inbox, costs and truth, and leave
    Generate {
        #[command(flatten)]
        company: CompanyArgs,
        /// Folder to write to
        #[arg(long)]
        out: PathBuf,
        /// Leave out truth/
        #[arg(long)]
        no_truth: bool,
    },
    /// Serve while a command runs, with everything it needs in COMPANY_* variables; ends with its exit code
    Record {
        #[command(flatten)]
        company: CompanyArgs,
        #[command(flatten)]
        server: ServerArgs,
        /// Pipeline to run, when no command is given
        #[arg(long)]
        pipeline: Option<PathBuf>,
        /// Where the recording goes: passed on as COMPANY_CASSETTE
        #[arg(long)]
        cassette: Option<PathBuf>,
        /// The throughline program, words separated by spaces
        #[arg(long, env = "COMPANY_THROUGHLINE", default_value = "cargo run -q -p throughline --")]
        throughline: String,
        /// Command to run instead, after --
        #[arg(last = true)]
        command: Vec<String>,
    },
}

#[derive(Args)]
struct CompanyArgs {
    /// Everything follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Site visits over the whole period
    #[arg(long, default_value_t = 2_000)]
    visits: u64,
    /// First day, in the counter's zone
    #[arg(long, default_value = "2026-08-01")]
    start: NaiveDate,
    /// Length of the period
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3660))]
    days: u32,
    /// Zone of the counter and the office
    #[arg(long, default_value = "Europe/Moscow")]
    zone: chrono_tz::Tz,
    /// Older CRM leads without visits or chats, for bulk
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=60_000_000))]
    history: u32,
    /// The company's clock: RFC 3339 or YYYY-MM-DD (its beginning); the end of the period if absent
    #[arg(long)]
    now: Option<String>,
    /// Metrica counter
    #[arg(long, default_value_t = 98_765_432)]
    counter: u64,
    /// Visit parameter that carries the visit token
    #[arg(long, default_value = "tl_token")]
    token_param: String,
}

#[derive(Args)]
struct ServerArgs {
    /// 0: any free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Folder for inbox/, costs.csv, rates.csv and truth/; renewed when the clock moves
    #[arg(long)]
    out: Option<PathBuf>,
    /// Leave out truth/
    #[arg(long)]
    no_truth: bool,
    /// amoCRM's limit of requests a second; 0: none
    #[arg(long, default_value_t = 7)]
    crm_rps: usize,
    /// Metrica's limit of requests a second; 0: none
    #[arg(long, default_value_t = 10)]
    metrika_rps: usize,
    /// HubSpot's limit of requests in 10 seconds; 0: none
    #[arg(long, default_value_t = 100)]
    hubspot_per_10s: usize,
    /// HubSpot's limit of searches a second; 0: none
    #[arg(long, default_value_t = 5)]
    hubspot_searches: usize,
    /// HubSpot's requests of the day; 0: no limit
    #[arg(long, default_value_t = 0)]
    hubspot_daily: u64,
    /// Bitrix24's bucket of requests, which loses 2 a second; 0: no limit
    #[arg(long, default_value_t = 50)]
    bitrix24_burst: usize,
    /// Life of an amoCRM access token
    #[arg(long, default_value_t = 86_400)]
    token_ttl_s: u64,
    /// Status reads before a Metrica export is ready
    #[arg(long, default_value_t = 2)]
    polls: u32,
    /// Visits in a part of a Metrica export
    #[arg(long, default_value_t = 2_000)]
    part_visits: usize,
    /// Days one Metrica request may span; 0: a year
    #[arg(long, default_value_t = 0)]
    metrika_max_days: i64,
    /// Bytes of prepared Metrica logs
    #[arg(long, default_value_t = 10_000_000_000)]
    metrika_quota_bytes: u64,
    /// A fault, e.g. 429:every=5,retry_after=1,path=/api/v4/leads (see README.md); may be repeated
    #[arg(long = "fault")]
    faults: Vec<String>,
}

impl CompanyArgs {
    fn config(&self) -> Config {
        Config {
            seed: self.seed,
            visits: self.visits,
            start: self.start,
            days: self.days,
            zone: self.zone,
            history: self.history,
            counter_id: self.counter,
            token_param: self.token_param.clone(),
        }
    }

    fn now(&self, cfg: &Config) -> Result<i64, String> {
        let Some(text) = &self.now else { return Ok(cfg.end_at()) };
        if let Ok(t) = DateTime::parse_from_rfc3339(text) {
            return Ok(t.timestamp());
        }
        NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .map(|d| cfg.midnight(i64::from(d.to_epoch_days())))
            .map_err(|_| format!("--now {text}: RFC 3339 or YYYY-MM-DD is needed"))
    }
}

impl ServerArgs {
    fn options(&self, now: i64) -> Result<Options, String> {
        Ok(Options {
            port: self.port,
            now: Some(now),
            token_ttl: Duration::from_secs(self.token_ttl_s),
            crm_rps: self.crm_rps,
            metrika_rps: self.metrika_rps,
            logs: requests::Options {
                polls: self.polls,
                part_visits: self.part_visits,
                max_days: self.metrika_max_days,
                quota_bytes: self.metrika_quota_bytes,
            },
            hubspot: company::hubspot::Options {
                per_10s: self.hubspot_per_10s,
                searches: self.hubspot_searches,
                daily: self.hubspot_daily,
            },
            bitrix24: company::bitrix24::Options { burst: self.bitrix24_burst },
            direct: company::direct::Options { polls: self.polls, ..company::direct::Options::default() },
            faults: self.faults.iter().map(|f| Rule::parse(f)).collect::<Result<_, _>>()?,
            out: self.out.clone(),
            truth: !self.no_truth,
            ..Options::default()
        })
    }
}

async fn start(company: &CompanyArgs, server: &ServerArgs) -> Result<Running, String> {
    let cfg = company.config();
    let now = company.now(&cfg)?;
    let options = server.options(now)?;
    let server = tokio::task::spawn_blocking(move || Server::new(Company::new(cfg), options))
        .await
        .map_err(|e| e.to_string())?;
    server.start().await.map_err(|e| format!("cannot start the company: {e}"))
}

fn say(line: &str) {
    // A closed pipe is no reason to die: the reader may only have wanted the first line.
    let _ = writeln!(std::io::stdout(), "{line}");
}

async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = term.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

async fn record(
    running: Running,
    pipeline: Option<PathBuf>,
    cassette: Option<PathBuf>,
    throughline: &str,
    command: Vec<String>,
) -> Result<u8, String> {
    let command = if command.is_empty() {
        let pipeline = pipeline.ok_or("a command after --, or --pipeline FILE, is needed")?;
        let mut words: Vec<String> = throughline.split_whitespace().map(str::to_owned).collect();
        words.extend(["run".to_owned(), pipeline.display().to_string()]);
        words
    } else {
        command
    };
    let [program, args @ ..] = command.as_slice() else { return Err("an empty command".to_owned()) };
    let facts = running.facts();
    let mut child = tokio::process::Command::new(program);
    child.args(args);
    for (name, value) in variables(&facts) {
        child.env(name, value);
    }
    if let Some(c) = cassette {
        child.env("COMPANY_CASSETTE", c);
    }
    let status = child.status().await.map_err(|e| format!("cannot run {program}: {e}"))?;
    running.stop().await.map_err(|e| e.to_string())?;
    Ok(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1))
}

/// The facts flattened: `amocrm.base_url` becomes `COMPANY_AMOCRM_BASE_URL`.
fn variables(facts: &serde_json::Value) -> Vec<(String, String)> {
    fn walk(prefix: &str, v: &serde_json::Value, out: &mut Vec<(String, String)>) {
        match v {
            serde_json::Value::Object(o) => {
                for (k, v) in o {
                    walk(&format!("{prefix}_{}", k.to_uppercase()), v, out);
                }
            }
            serde_json::Value::String(s) => out.push((prefix.to_owned(), s.clone())),
            serde_json::Value::Null => {}
            other => out.push((prefix.to_owned(), other.to_string())),
        }
    }
    let mut out = Vec::new();
    walk("COMPANY", facts, &mut out);
    out
}

async fn run(cli: Cli) -> Result<u8, String> {
    match cli.command {
        Command::Serve { company, server } => {
            let running = start(&company, &server).await?;
            say(&running.facts().to_string());
            interrupted().await;
            running.stop().await.map_err(|e| e.to_string())?;
            Ok(0)
        }
        Command::Generate { company, out, no_truth } => {
            let cfg = company.config();
            let now = company.now(&cfg)?;
            let written = company::output::write(&Company::new(cfg), now, &out, !no_truth)
                .map_err(|e| format!("cannot write {}: {e}", out.display()))?;
            say(&serde_json::to_string(&written).map_err(|e| e.to_string())?);
            Ok(0)
        }
        Command::Record { company, server, pipeline, cassette, throughline, command } => {
            let running = start(&company, &server).await?;
            record(running, pipeline, cassette, &throughline, command).await
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "company: {message}");
            ExitCode::from(2)
        }
    }
}
