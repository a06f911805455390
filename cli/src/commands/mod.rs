//! One file per command.

mod auth;
mod check;
mod connector;
mod connector_foreign;
mod connector_new;
mod connector_test;
mod dead_letters;
mod explain;
mod forget;
mod identity;
mod init;
mod link;
mod plugin;
mod preview;
mod query;
mod run;
mod runs;
mod schedule;
mod serve;
mod sink;
mod test;

use clap::CommandFactory;
use throughline_core::Error;
use throughline_engine::diagnostic::Diagnostics;

use crate::args::{Cli, Command};
use crate::exit;
use crate::output::Output;
use crate::setup;

/// What stops a command.
pub enum Stop {
    /// The pipeline file is wrong.
    File(Diagnostics),
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}
impl From<Diagnostics> for Stop {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::File(diagnostics)
    }
}

/// The exit code of a command that got as far as having one.
pub type Outcome = Result<u8, Stop>;

pub async fn run(command: Command, output: &Output) -> u8 {
    let outcome = match command {
        Command::Init(args) => init::run(&args, output),
        Command::Check(args) => check::run(&args, output).await,
        Command::Auth(args) => auth::run(&args, output).await,
        Command::Run(args) => run::run(&args, output).await,
        Command::Preview(args) => preview::run(&args, output).await,
        Command::Query(args) => query::run(&args, output).await,
        Command::Explain(args) => explain::run(&args, output).await,
        Command::Identity(args) => identity::run(&args, output).await,
        Command::Forget(args) => forget::run(&args, output).await,
        Command::Test(args) => test::run(&args, output).await,
        Command::Schema => {
            anstream::println!("{:#}", throughline_engine::pipeline::schema(setup::registry()));
            Ok(exit::DONE)
        }
        Command::Connector(args) => connector::run(&args, output).await,
        Command::Plugin(args) => plugin::run(&args, output).await,
        Command::PluginHost { memory } => Ok(throughline_plugin_host::run_child(memory)),
        Command::Runs(args) => runs::run(&args, output).await,
        Command::Sink(args) => sink::run(&args, output).await,
        Command::DeadLetters(args) => dead_letters::run(&args, output).await,
        Command::Schedule(args) => schedule::run(&args, output).await,
        Command::Link(args) => link::run(&args, output),
        Command::Serve(args) => serve::run(&args, output).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "throughline", &mut std::io::stdout());
            Ok(exit::DONE)
        }
    };
    match outcome {
        Ok(code) => code,
        Err(Stop::Error(error)) => output.error(&error),
        Err(Stop::File(diagnostics)) => output.diagnostics(&diagnostics),
    }
}
