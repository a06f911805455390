//! The command line, as `--help` shows it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "throughline",
    version,
    about = "Which ad, keyword and page brought the chat that became this sale, and what did it cost?",
    long_about = "Throughline pulls ad costs, web visits, chats and CRM deals, ties them into one line per \
                  person, attributes revenue, and publishes tables for BI.\n\nExit codes: 0 done; 1 failed; \
                  2 the command or a file is wrong; 3 incomplete (a vendor counts more than came); \
                  4 failed for now, try again later; 5 a test failed; 130 stopped.",
    propagate_version = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    /// Print one JSON document on standard output instead of text.
    #[arg(long, global = true)]
    pub json: bool,

    /// Colour: auto, always, never. NO_COLOR is respected.
    #[arg(long, global = true, default_value = "auto", value_name = "WHEN")]
    pub color: ColorWhen,

    /// More of what happens, on standard error; twice for every request.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum ColorWhen {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented pipeline file to start from.
    Init(InitArgs),
    /// Check a pipeline file; without --offline also credentials and sinks.
    Check(CheckArgs),
    /// Let a source in by a person's consent in a browser (OAuth), and keep its tokens.
    Auth(AuthArgs),
    /// Run a pipeline once.
    Run(RunArgs),
    /// Show the first rows of one stream, without storing anything.
    Preview(PreviewArgs),
    /// Run SQL over the tables of the last epoch.
    Query(QueryArgs),
    /// Tell the whole line of one deal, from cost to sale.
    Explain(ExplainArgs),
    /// Who an identifier belongs to, and by which records.
    Identity(IdentityArgs),
    /// Remove a person from everything that is stored, for good.
    Forget(ForgetArgs),
    /// Run the [[test]] blocks of pipeline files.
    Test(TestArgs),
    /// Print the JSON Schema of pipeline files, for editors.
    Schema,
    /// The connectors and sinks that are built in, and those of your own.
    Connector(ConnectorArgs),
    /// Plugins: connectors and sinks that are shared libraries.
    Plugin(PluginArgs),
    /// The process of one plugin; started by the program itself.
    #[command(hide = true)]
    PluginHost {
        /// What it may allocate, in bytes; 0: no limit.
        #[arg(long, default_value_t = 0)]
        memory: u64,
    },
    /// Past runs of a pipeline.
    Runs(RunsArgs),
    /// Sinks that write into a CRM: prepare, look, take back.
    Sink(SinkArgs),
    /// Records that could not be used.
    DeadLetters(DeadLettersArgs),
    /// Run every pipeline of a folder by its schedule, and receive for it, until stopped.
    Schedule(ScheduleArgs),
    /// Make a chat link for printed matter, and its QR code.
    Link(LinkArgs),
    /// Take webhooks and the events of sites, until stopped.
    Serve(ServeArgs),
    /// Print shell completions.
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Args)]
pub struct PipelineArg {
    /// The pipeline file.
    #[arg(default_value = "pipeline.toml")]
    pub pipeline: PathBuf,
}

#[derive(Debug, Args)]
pub struct PipelineOption {
    /// The pipeline file.
    #[arg(short, long, default_value = "pipeline.toml")]
    pub pipeline: PathBuf,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// The file to write; an existing one is never overwritten.
    #[arg(default_value = "pipeline.toml")]
    pub path: PathBuf,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub file: PipelineArg,
    /// Only what can be checked without a network.
    #[arg(long)]
    pub offline: bool,
}

#[derive(Debug, Args)]
pub struct AuthArgs {
    /// The source, as named in the pipeline.
    pub source: String,
    #[command(flatten)]
    pub file: PipelineOption,
    /// Port of this machine that the browser comes back to, as it is registered with the vendor.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Only print the address to open.
    #[arg(long)]
    pub no_browser: bool,
    /// Listen nowhere: read the address that the browser ended at from standard input.
    #[arg(long)]
    pub paste: bool,
    /// Redeem a code that was got elsewhere; - reads it from standard input.
    #[arg(long, value_name = "CODE|-", allow_hyphen_values = true, conflicts_with_all = ["port", "paste", "no_browser"])]
    pub code: Option<String>,
    /// Seconds to wait for the consent.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub file: PipelineArg,
    /// Read everything again; readers keep the old tables until the new ones are whole.
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub full_refresh: bool,
    /// Read again from this day or instant (YYYY-MM-DD or RFC 3339, UTC), included.
    #[arg(long, requires = "to", value_name = "WHEN")]
    pub from: Option<String>,
    /// Read again up to this day or instant, excluded.
    #[arg(long, requires = "from", value_name = "WHEN")]
    pub to: Option<String>,
    /// Read one page of each stream into a temporary place, compute, publish nothing.
    #[arg(long, conflicts_with_all = ["full_refresh", "from", "to", "sink"])]
    pub dry_run: bool,
    /// Publish to this sink only; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub sink: Vec<String>,
    /// Compute and publish although nothing is new.
    #[arg(long)]
    pub recompute: bool,
    /// Compute every table anew, and not only what new records can change.
    #[arg(long)]
    pub rebuild: bool,
    /// Agree to what sinks write into a CRM; asked for once.
    #[arg(long, conflicts_with = "dry_run")]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct PreviewArgs {
    /// SOURCE.STREAM, as named in the pipeline.
    pub stream: String,
    #[command(flatten)]
    pub file: PipelineOption,
    /// Rows to show.
    #[arg(short = 'n', long, default_value_t = 10)]
    pub rows: usize,
}

#[derive(Debug, Args)]
pub struct QueryArgs {
    /// One SELECT. Output tables go by their names, canonical ones as in_<name>.
    pub sql: String,
    #[command(flatten)]
    pub file: PipelineOption,
    /// table, csv or json.
    #[arg(long, default_value = "table")]
    pub format: QueryFormat,
    /// Rows to show at most; 0 for all.
    #[arg(long, default_value_t = 1000)]
    pub limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum QueryFormat {
    Table,
    Csv,
    Json,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The deal: as in the table deals, or the CRM's own number.
    pub deal: String,
    #[command(flatten)]
    pub file: PipelineOption,
}

#[derive(Debug, Args)]
pub struct IdentityArgs {
    #[command(subcommand)]
    pub command: IdentityCommand,
}

#[derive(Debug, Subcommand)]
pub enum IdentityCommand {
    /// Print a person's identifiers, and for each the record that tied it.
    Show {
        /// A phone, an e-mail, an id of any kind, or type:value (crm_contact:123).
        #[arg(value_name = "PHONE|EMAIL|ID")]
        who: String,
        #[command(flatten)]
        file: PipelineOption,
    },
}

#[derive(Debug, Args)]
pub struct ForgetArgs {
    /// A phone, an e-mail, an id of any kind, or type:value (crm_contact:123). What it names must be one person.
    #[arg(value_name = "PHONE|EMAIL|ID", required_unless_present = "resume")]
    pub who: Option<String>,
    #[command(flatten)]
    pub file: PipelineOption,
    /// Only say what would be removed.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long, conflicts_with = "dry_run")]
    pub yes: bool,
    /// Finish what was broken off.
    #[arg(long, conflicts_with_all = ["who", "dry_run"])]
    pub resume: bool,
}

#[derive(Debug, Args)]
pub struct LinkArgs {
    /// Where the chat is.
    #[arg(long)]
    pub messenger: Messenger,
    /// The number, bot, page or community, as in the messenger's own links.
    #[arg(long)]
    pub account: String,
    /// What the link stands for: what it is printed on.
    #[arg(long)]
    pub campaign: String,
    /// What the person says first.
    #[arg(long)]
    pub text: Option<String>,
    /// A QR code: a file for SVG, or - for the terminal; may be given several times.
    #[arg(long, value_name = "FILE.svg|-", allow_hyphen_values = true)]
    pub qr: Vec<String>,
    /// The list of printed links, which a pipeline reads.
    #[arg(long, value_name = "FILE", default_value = "links.csv")]
    pub links: PathBuf,
    /// Currency of the costs in the list (ISO 4217).
    #[arg(long, value_name = "CODE", default_value = "RUB", value_parser = currency)]
    pub currency: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Messenger {
    Whatsapp,
    /// A bot.
    Telegram,
    TelegramPerson,
    Viber,
    Vk,
    /// Of Facebook.
    #[value(name = "messenger")]
    Facebook,
    Instagram,
}

fn currency(text: &str) -> Result<String, String> {
    match text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase()) {
        true => Ok(text.to_owned()),
        false => Err("three capital letters are needed, e.g. RUB".into()),
    }
}

#[derive(Debug, Args)]
pub struct TestArgs {
    /// Pipeline files, or folders of them.
    #[arg(default_value = "pipeline.toml")]
    pub paths: Vec<PathBuf>,
    /// Only tests whose name contains this.
    #[arg(long)]
    pub filter: Option<String>,
}

#[derive(Debug, Args)]
pub struct ConnectorArgs {
    #[command(subcommand)]
    pub command: ConnectorCommand,
}

#[derive(Debug, Subcommand)]
pub enum ConnectorCommand {
    /// One line each.
    List,
    /// Options, streams and documentation of one.
    Show { name: String },
    /// Write a commented manifest for a REST API, with answers that it can be tested on.
    New(ConnectorNewArgs),
    /// Test a manifest against recorded answers, without a network.
    Test(ConnectorTestArgs),
    /// Connectors of others: Singer taps and targets, Airbyte sources.
    Foreign(ConnectorForeignArgs),
}

#[derive(Debug, Args)]
pub struct ConnectorForeignArgs {
    #[command(subcommand)]
    pub command: ForeignCommand,
}

#[derive(Debug, Subcommand)]
pub enum ForeignCommand {
    /// What is missing before a program can be a source, or a sink.
    Check(ForeignCheckArgs),
}

#[derive(Debug, Args)]
pub struct ForeignCheckArgs {
    /// Which protocol it speaks.
    pub kind: ForeignKind,
    /// The program: a path, or a name on PATH.
    pub command: String,
    /// Its settings, a JSON file: its streams are then asked for, too, or the target is started.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ForeignKind {
    /// A tap: it becomes a source.
    Singer,
    /// A target: it becomes a sink.
    SingerTarget,
    Airbyte,
}

#[derive(Debug, Args)]
pub struct ConnectorNewArgs {
    /// The connector's name: small letters, digits and _.
    #[arg(value_parser = word)]
    pub name: String,
    /// As a manifest: one TOML file, no code.
    #[arg(long, required = true)]
    pub manifest: bool,
    /// The folder to write into; no file in it is ever overwritten.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
}

#[derive(Debug, Args)]
pub struct ConnectorTestArgs {
    /// The manifest. Its answers lie beside it: see docs/connector-tests.md.
    pub file: PathBuf,
    /// Only this stream; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub stream: Vec<String>,
}

fn word(text: &str) -> Result<String, String> {
    let good = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    match good {
        true => Ok(text.to_owned()),
        false => Err("small letters, digits and _ are needed, a letter first".into()),
    }
}

#[derive(Debug, Args)]
pub struct PluginArgs {
    #[command(subcommand)]
    pub command: PluginCommand,
}

#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// The plugins that are installed.
    List,
    /// Where one is, what it is, and its hash.
    Info { name: String },
    /// Compare the libraries with what was installed and allowed; all, or those named.
    Verify { names: Vec<String> },
    /// Install a library and allow it to run; a plugin of the same name is replaced.
    Install {
        /// The shared library.
        file: PathBuf,
    },
    /// Remove an installed plugin.
    Remove { name: String },
    /// Write a plugin to start from, with a test that passes.
    New(PluginNewArgs),
    /// Test a library as built-in connectors are tested, without a network.
    Test(PluginTestArgs),
}

#[derive(Debug, Args)]
pub struct PluginNewArgs {
    /// The plugin's name: small letters, digits and _.
    #[arg(value_parser = word)]
    pub name: String,
    /// In which language.
    #[arg(long, default_value = "rust")]
    pub lang: PluginLanguage,
    /// The folder to make; it must not be there. Default: the plugin's name.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PluginLanguage {
    Rust,
    C,
}

#[derive(Debug, Args)]
pub struct PluginTestArgs {
    /// The shared library.
    pub library: PathBuf,
    /// Options and recorded answers to test with: see docs/plugins.md.
    #[arg(long, value_name = "FILE", default_value = "plugin.test.toml")]
    pub with: PathBuf,
    /// Run it in this process, for a debugger; a plugin that crashes then takes the command along.
    #[arg(long)]
    pub in_thread: bool,
}

#[derive(Debug, Args)]
pub struct RunsArgs {
    /// One run in full.
    pub id: Option<i64>,
    #[command(flatten)]
    pub file: PipelineOption,
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
}

#[derive(Debug, Args)]
pub struct SinkArgs {
    #[command(subcommand)]
    pub command: SinkCommand,
}

#[derive(Debug, Subcommand)]
pub enum SinkCommand {
    /// Make the fields that are mapped and that the CRM lacks.
    Setup {
        #[command(flatten)]
        file: PipelineArg,
        /// This sink only; default: all that write back.
        #[arg(long, value_name = "NAME")]
        sink: Option<String>,
        /// Only say what would be made.
        #[arg(long, conflicts_with = "yes")]
        dry_run: bool,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Tell what a run would write, field by field, from what landed; nothing is written.
    Diff {
        #[command(flatten)]
        file: PipelineArg,
        /// This sink only; default: all that write back.
        #[arg(long, value_name = "NAME")]
        sink: Option<String>,
        /// Deals to ask the CRM about.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Put back the values that stood before an epoch, where the CRM still holds what was written.
    Undo {
        #[command(flatten)]
        file: PipelineArg,
        /// The epoch, as `throughline runs` tells it.
        #[arg(long, value_name = "N")]
        epoch: i64,
        /// This sink only; default: all that write back.
        #[arg(long, value_name = "NAME")]
        sink: Option<String>,
        /// Only say what would be put back, and what would be left.
        #[arg(long, conflicts_with = "yes")]
        dry_run: bool,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    pub command: DeadLettersCommand,
}

#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// What lies there.
    List {
        #[command(flatten)]
        file: PipelineOption,
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// One of them, with its raw record.
    Show {
        id: i64,
        #[command(flatten)]
        file: PipelineOption,
    },
    /// Try them again: map what landed anew, and read again what could not be read.
    Replay {
        #[command(flatten)]
        file: PipelineOption,
    },
}

#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// A folder of pipeline files, or one file.
    pub path: PathBuf,
    /// Leave every [receiver] to `throughline serve`.
    #[arg(long)]
    pub no_receiver: bool,
    /// Pipelines that run at the same time; others wait for a place.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub parallel: u16,
    /// How many of those may compute and publish at the same time, each within its own [engine] memory.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub computing: u16,
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Pipeline files that share a state folder; one of them has a [receiver].
    #[arg(default_value = "pipeline.toml")]
    pub files: Vec<PathBuf>,
}
