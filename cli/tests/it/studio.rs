//! The simulated company in this process, and the binary run against it as a user would.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use company::faults::Rule;
use company::truth::Counts;
use company::{Company, Config, Options, Running, Server};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::command::throughline;

/// How the pipeline signs in to the CRM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    LongLived,
    /// With the company's first refresh token; later runs use what they stored.
    OAuth,
}

/// Which parts the pipeline file has.
#[derive(Clone, Debug)]
pub struct PipelineShape {
    pub metrica: bool,
    pub whatsapp: bool,
    pub amocrm: Option<Login>,
    /// Its streams; none: all of them.
    pub streams: &'static [&'static str],
    pub costs: bool,
    pub attribution: bool,
    /// Further keys of `[attribution]`.
    pub matching: &'static str,
    /// Lines for the end of the file.
    pub extra: String,
}

impl Default for PipelineShape {
    fn default() -> Self {
        Self {
            metrica: true,
            whatsapp: true,
            amocrm: Some(Login::LongLived),
            streams: &[],
            costs: true,
            attribution: true,
            matching: "",
            extra: String::new(),
        }
    }
}

/// What a CRM's mapping gives, to be looked at.
const CRM_TABLES: &str = r#"
[[transform]]
name = "all_deals"
sql = "SELECT * FROM in_deals"
[[transform]]
name = "all_deal_events"
sql = "SELECT * FROM in_deal_events"
[[transform]]
name = "all_deal_contacts"
sql = "SELECT * FROM in_deal_contacts"
[[transform]]
name = "all_contacts"
sql = "SELECT * FROM in_contacts"
"#;

impl PipelineShape {
    /// A CRM by this `[[source]]`, and its tables as they are.
    pub fn one_crm(source: &str) -> Self {
        Self {
            metrica: false,
            whatsapp: false,
            amocrm: None,
            costs: false,
            attribution: false,
            extra: format!("{source}{CRM_TABLES}"),
            ..Self::default()
        }
    }

    /// The CRM alone: quick, for what concerns its pages.
    pub fn crm(login: Login) -> Self {
        Self { metrica: false, whatsapp: false, costs: false, amocrm: Some(login), ..Self::default() }
    }
}

/// Exported tables: rows as `column=value` texts, sorted.
pub type Tables = BTreeMap<String, Vec<String>>;

pub struct Studio {
    running: Running,
    folder: tempfile::TempDir,
    /// The company's first pair.
    refresh_token: String,
    /// Last, so that the server's tasks end with it.
    runtime: tokio::runtime::Runtime,
}

impl Studio {
    /// A company of so many visits without limits of speed. Its files are in `studio/` of the folder.
    pub fn start(visits: u64, change: impl FnOnce(&mut Config, &mut Options)) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { seed: 42, visits, ..Config::default() };
        let mut options = Options { crm_rps: 0, metrika_rps: 0, ..Options::default() };
        options.out = Some(folder.path().join("studio"));
        options.truth = false;
        options.logs.polls = 1;
        change(&mut config, &mut options);
        let server = Server::new(Company::new(config), options);
        let running = runtime.block_on(server.start()).unwrap();
        let refresh_token = running.server.auth.current().1;
        Self { running, folder, refresh_token, runtime }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn url(&self) -> String {
        self.running.url()
    }

    pub fn server(&self) -> &Server {
        &self.running.server
    }

    /// Replaces the company's faults by these, in their short form.
    pub fn faults(&self, rules: &[&str]) {
        self.server().faults.set(rules.iter().map(|r| Rule::parse(r).unwrap()).collect());
    }

    /// How often faults of this kind fired since they were set.
    pub fn fired(&self, kind: &str) -> u64 {
        self.server().faults.by_kind().get(kind).copied().unwrap_or(0)
    }

    pub fn truth(&self) -> Counts {
        self.server().counts()
    }

    /// A truth table (`deals`, `visits`, `inquiries`, `campaigns`) as CSV.
    pub fn truth_csv(&self, name: &str) -> String {
        use company::truth;
        let (server, mut out) = (self.server(), Vec::new());
        let write = match name {
            "deals" => truth::write_deals,
            "visits" => truth::write_visits,
            "inquiries" => truth::write_inquiries,
            "campaigns" => truth::write_campaigns,
            other => panic!("no truth table {other:?}"),
        };
        write(&server.company, server.now(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The run's clock, twelve hours after the company's: everything the company has is in the past.
    pub fn clock(&self) -> String {
        let at = chrono::DateTime::from_timestamp(self.server().now() + 12 * 3600, 0).unwrap();
        at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    }

    /// Writes `pipeline.toml` into the folder; its sink is `out`.
    pub fn write_pipeline(&self, shape: &PipelineShape) -> PathBuf {
        self.write_pipeline_in(self.folder(), shape)
    }

    /// The same into another folder, with state and sink of its own.
    pub fn write_pipeline_in(&self, folder: &Path, shape: &PipelineShape) -> PathBuf {
        std::fs::create_dir_all(folder).unwrap();
        let path = folder.join("pipeline.toml");
        std::fs::write(&path, self.pipeline(shape)).unwrap();
        path
    }

    fn pipeline(&self, shape: &PipelineShape) -> String {
        let (url, config) = (self.url(), &self.server().company.cfg);
        let files = self.folder().join("studio");
        let mut text = format!(
            "[pipeline]\nname = \"shop\"\n\n[http]\nclock = \"{}\"\n\n[engine]\nthreads = 2\n",
            self.clock()
        );
        if shape.metrica {
            let (counter, start) = (config.counter_id, config.start);
            write!(
                text,
                "\n[[source]]\nname = \"metrica\"\nconnector = \"yandex_metrica\"\nbase_url = \"{url}\"\n\
                 counter = {counter}\ntoken = {{ env = \"METRICA_TOKEN\" }}\nstart_on = \"{start}\"\n\
                 poll_after_s = 0\n"
            )
            .unwrap();
        }
        if shape.whatsapp {
            write!(
                text,
                "\n[[source]]\nname = \"whatsapp\"\nconnector = \"whatsapp\"\ninbox = {:?}\n\
                 app_secret = {{ env = \"WHATSAPP_SECRET\" }}\n",
                files.join("inbox/*.jsonl")
            )
            .unwrap();
        }
        if let Some(login) = shape.amocrm {
            write!(
                text,
                "\n[[source]]\nname = \"crm\"\nconnector = \"amocrm\"\nsubdomain = \"studio\"\nbase_url = \"{url}\"\n"
            )
            .unwrap();
            if !shape.streams.is_empty() {
                writeln!(text, "streams = {:?}", shape.streams).unwrap();
            }
            match login {
                Login::LongLived => text.push_str("token = { env = \"AMOCRM_TOKEN\" }\n"),
                Login::OAuth => write!(
                    text,
                    "client_id = {:?}\nclient_secret = {{ env = \"AMOCRM_SECRET\" }}\nredirect_uri = {:?}\n\
                     refresh_token = {{ env = \"AMOCRM_REFRESH\" }}\n",
                    company::amocrm::auth::CLIENT_ID,
                    company::amocrm::auth::REDIRECT_URI
                )
                .unwrap(),
            }
        }
        if shape.costs {
            write!(
                text,
                "\n[[source]]\nname = \"costs\"\nconnector = \"file\"\npath = {:?}\ninto = \"costs\"\n\
                 mapping = \"\"\"\nSELECT system, account, CAST(day AS DATE) AS day, source, medium, campaign_id, \
                 campaign, adgroup_id, ad_id, ad, keyword, CAST(impressions AS BIGINT) AS impressions, \
                 CAST(clicks AS BIGINT) AS clicks, minor_units(cost, currency) AS cost_minor, currency\n\
                 FROM file\n\"\"\"\n\
                 \n[[source]]\nname = \"rates\"\nconnector = \"file\"\npath = {:?}\ninto = \"exchange_rates\"\n",
                files.join("costs.csv"),
                files.join("rates.csv")
            )
            .unwrap();
        }
        if shape.attribution {
            let _ = writeln!(text, "\n[attribution]\nreporting_currency = \"RUB\"\n{}", shape.matching);
        }
        text.push_str("\n[[sink]]\nname = \"lake\"\nconnector = \"parquet\"\npath = \"out\"\n");
        text.push_str(&shape.extra);
        text
    }

    /// The binary in the folder, with the secrets of the pipeline.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_in(self.folder(), args)
    }

    pub fn command_in(&self, folder: &Path, args: &[&str]) -> Command {
        let mut command = throughline(folder, args);
        command
            .env("METRICA_TOKEN", company::metrika::requests::TOKEN)
            .env("DIRECT_TOKEN", company::direct::TOKEN)
            .env("WHATSAPP_SECRET", company::whatsapp::APP_SECRET)
            .env("AMOCRM_TOKEN", company::amocrm::auth::LONG_LIVED)
            .env("AMOCRM_SECRET", company::amocrm::auth::CLIENT_SECRET)
            .env("AMOCRM_REFRESH", &self.refresh_token);
        command
    }

    pub fn run_in(&self, folder: &Path, args: &[&str]) -> Output {
        self.command_in(folder, args).output().unwrap()
    }

    /// Runs and gives the standard output; tells everything said when the exit code is another.
    pub fn expect(&self, args: &[&str], code: i32) -> String {
        self.expect_in(self.folder(), args, code)
    }

    pub fn expect_in(&self, folder: &Path, args: &[&str], code: i32) -> String {
        let output = self.run_in(folder, args);
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(code),
            "throughline {args:?}\n--- stdout\n{out}\n--- stderr\n{err}"
        );
        assert!(!err.contains("panicked"), "throughline {args:?}\n{err}");
        out
    }

    /// `--json` of a command as JSON.
    pub fn json(&self, args: &[&str], code: i32) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let out = self.expect(&args, code);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?}: {e}\n{out}"))
    }

    /// Rows of `throughline query`.
    pub fn query(&self, sql: &str) -> Vec<Value> {
        let out = self.expect(&["query", sql, "--limit", "0", "--json"], 0);
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The only value of a query's only row.
    pub fn number(&self, sql: &str) -> i64 {
        let rows = self.query(sql);
        assert_eq!(rows.len(), 1, "{sql}");
        let row = rows[0].as_object().unwrap();
        row.values().next().unwrap().as_i64().unwrap_or_else(|| panic!("{sql}: {row:?}"))
    }

    /// What readers of the sink `out` in the folder see.
    pub fn tables(&self, folder: &Path) -> Tables {
        tables(&folder.join("out/current"))
    }

    pub fn stop(self) {
        let Self { running, runtime, .. } = self;
        runtime.block_on(running.stop()).unwrap();
    }
}

/// Every table of an exported epoch, its rows sorted.
pub fn tables(epoch: &Path) -> Tables {
    let mut tables = Tables::new();
    // One epoch throughout, even when `current` is switched meanwhile.
    let Ok(epoch) = epoch.canonicalize() else { return tables };
    for entry in std::fs::read_dir(&epoch).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_type().unwrap().is_dir() {
            continue;
        }
        let mut rows = Vec::new();
        read_folder(&entry.path(), &mut rows);
        rows.sort_unstable();
        tables.insert(entry.file_name().to_string_lossy().into_owned(), rows);
    }
    tables
}

fn read_folder(folder: &Path, rows: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_folder(&path, rows);
        } else if path.extension().is_some_and(|e| e == "parquet") {
            read_file(&path, rows);
        }
    }
}

fn read_file(path: &Path, rows: &mut Vec<String>) {
    let options = FormatOptions::default().with_null("∅");
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let columns: Vec<(&str, ArrayFormatter<'_>)> = batch
            .schema_ref()
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, column)| {
                (field.name().as_str(), ArrayFormatter::try_new(column, &options).unwrap())
            })
            .collect();
        for row in 0..batch.num_rows() {
            let mut text = String::new();
            // What came late depends on when the runs were, not on what is known in the end.
            for (name, cells) in columns.iter().filter(|(name, _)| *name != "late_rows") {
                write!(text, "{name}={}|", cells.value(row)).unwrap();
            }
            rows.push(text);
        }
    }
}

/// Fails with the first rows that differ.
pub fn assert_equal(found: &Tables, expected: &Tables, when: &str) {
    let names = |t: &Tables| t.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{when}: other tables");
    for (table, rows) in expected {
        let (mut more, mut less) = (Vec::new(), Vec::new());
        let (mut a, mut b) = (found[table].iter().peekable(), rows.iter().peekable());
        loop {
            match (a.peek(), b.peek()) {
                (None, None) => break,
                (Some(x), Some(y)) if x == y => {
                    a.next();
                    b.next();
                }
                (Some(x), y) if y.is_none_or(|y| x < y) => more.extend(a.next()),
                _ => less.extend(b.next()),
            }
        }
        assert!(
            more.is_empty() && less.is_empty(),
            "{when}: {table} has {} rows too many and lacks {}\n+ {:#?}\n- {:#?}",
            more.len(),
            less.len(),
            more.iter().take(3).collect::<Vec<_>>(),
            less.iter().take(3).collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_run_reads_the_whole_company() {
    let studio = Studio::start(300, |_, _| {});
    let file = studio.write_pipeline(&PipelineShape::default());
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("threads = 2", "threads = 2\nkeep_steps = true")).unwrap();
    let report = studio.json(&["run"], 0);
    assert_eq!(report["status"], "succeeded", "{report:#}");
    // Each step's rows are there to look at, also those of a step that gave none.
    let epochs = std::fs::read_dir(studio.folder().join(".throughline/shop/tables")).unwrap();
    let steps: Vec<PathBuf> = epochs
        .flat_map(|epoch| std::fs::read_dir(epoch.unwrap().path().join("attribution")).unwrap())
        .map(|step| step.unwrap().path())
        .collect();
    for name in ["_x_token_used", "_x_touch", "_x_credit", "_x_refund"] {
        let step = steps.iter().find(|step| step.to_str().unwrap().ends_with(name));
        let files = std::fs::read_dir(step.unwrap_or_else(|| panic!("no {name} in {steps:?}"))).unwrap();
        assert!(files.count() > 0, "{name}");
    }
    let truth = studio.truth();
    assert_eq!(studio.number("SELECT count(*) FROM in_visits"), truth.metrica_visits as i64);
    assert_eq!(studio.number("SELECT count(*) FROM in_deal_events"), truth.crm_events as i64);
    let tables = studio.tables(studio.folder());
    assert_eq!(tables["visits"].len() as u64, truth.metrica_visits);
    assert_equal(&tables, &studio.tables(studio.folder()), "read twice");
    studio.stop();
}
