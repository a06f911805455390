//! `throughline plugin`

mod new;
mod test;

use serde_json::json;
use throughline_core::{Error, Result};
use throughline_plugin_host::{Folder, Installed, Kind};

use super::Outcome;
use crate::args::{PluginArgs, PluginCommand};
use crate::output::{BAD, BOLD, DIM, GOOD, Output, paint};
use crate::{exit, setup};

pub async fn run(args: &PluginArgs, output: &Output) -> Outcome {
    match &args.command {
        PluginCommand::List => list(output),
        PluginCommand::Info { name } => info(name, output)?,
        PluginCommand::Verify { names } => return verify(names, output),
        PluginCommand::Install { file } => install(file, output)?,
        PluginCommand::Remove { name } => remove(name, output)?,
        PluginCommand::New(args) => new::run(args, output)?,
        PluginCommand::Test(args) => return test::run(args, output).await,
    }
    Ok(exit::DONE)
}

fn installed() -> (Vec<Installed>, Vec<Error>) {
    let (mut all, mut problems) = (Vec::new(), Vec::new());
    for folder in setup::plugin_folders() {
        let (found, wrong) = folder.list();
        all.extend(found);
        problems.extend(wrong);
    }
    (all, problems)
}

fn one(name: &str) -> Result<Installed> {
    let (all, _) = installed();
    let names: Vec<String> = all.iter().map(|p| p.manifest.name.clone()).collect();
    all.into_iter().find(|p| p.manifest.name == name).ok_or_else(|| {
        let there = if names.is_empty() {
            "none is installed".to_owned()
        } else {
            format!("there are {}", names.join(", "))
        };
        Error::config(format!("there is no plugin {name:?}")).hint(there)
    })
}

fn kind(plugin: &Installed) -> &'static str {
    match plugin.manifest.kind {
        Kind::Source => "source",
        Kind::Sink => "sink",
    }
}

fn list(output: &Output) {
    let (all, problems) = installed();
    let listed: Vec<_> = all.iter().map(|p| json!(p.manifest)).collect();
    let wrong: Vec<String> = problems.iter().map(ToString::to_string).collect();
    output.result(&json!({ "plugins": listed, "problems": wrong }), || {
        let mut text = String::new();
        for plugin in &all {
            let m = &plugin.manifest;
            text += &format!("{:<16} {:<7} {:<8} {}\n", m.name, kind(plugin), m.version, m.summary);
        }
        if all.is_empty() {
            text += "no plugin is installed: throughline plugin install FILE\n";
        }
        for problem in &wrong {
            text += &format!("{} {problem}\n", paint(BAD, "left out:"));
        }
        text
    });
}

fn info(name: &str, output: &Output) -> Result<()> {
    let plugin = one(name)?;
    let m = &plugin.manifest;
    let verdict = plugin.verify();
    let library = plugin.library();
    let value = json!({
        "plugin": m, "file": library, "verified": verdict.is_ok(),
        "problem": verdict.as_ref().err().map(ToString::to_string),
    });
    output.result(&value, || {
        let mut text =
            format!("{} {} ({})\n{}\n\n", paint(BOLD, &m.name), m.version, kind(&plugin), m.summary);
        for (what, is) in [
            ("library", library.display().to_string()),
            ("sha256", m.sha256.clone()),
            ("interface", m.abi.clone()),
            ("licence", m.license.clone()),
            ("needs Throughline", m.min_host.clone()),
        ] {
            text += &format!("{} {is}\n", paint(DIM, format!("{what:<18}")));
        }
        let mark = match &verdict {
            Ok(_) => paint(GOOD, "it may run"),
            Err(e) => format!("{} {e}", paint(BAD, "it may not run:")),
        };
        text + &format!("{mark}\n\nOptions and streams: throughline connector show {}\n", m.name)
    });
    Ok(())
}

fn verify(names: &[String], output: &Output) -> Outcome {
    let plugins = match names {
        [] => installed().0,
        names => names.iter().map(|name| one(name)).collect::<Result<_>>()?,
    };
    let verdicts: Vec<(String, Option<String>)> =
        plugins.iter().map(|p| (p.manifest.name.clone(), p.verify().err().map(|e| e.to_string()))).collect();
    let good = verdicts.iter().all(|(_, problem)| problem.is_none());
    let value: Vec<_> =
        verdicts.iter().map(|(name, problem)| json!({ "name": name, "problem": problem })).collect();
    output.result(&json!({ "verified": good, "plugins": value }), || {
        let line = |(name, problem): &(String, Option<String>)| match problem {
            None => format!("{} {name}\n", paint(GOOD, "✓")),
            Some(problem) => format!("{} {name}: {problem}\n", paint(BAD, "✗")),
        };
        verdicts.iter().map(line).collect()
    });
    Ok(if good { exit::DONE } else { exit::TEST_FAILED })
}

/// The folder that is installed into.
fn folder() -> Result<Folder> {
    setup::plugin_folders().into_iter().next().ok_or_else(|| {
        Error::config("there is no folder to install plugins into").hint("set THROUGHLINE_PLUGINS to one")
    })
}

fn install(file: &std::path::Path, output: &Output) -> Result<()> {
    let registry = setup::built_in();
    let taken: Vec<&str> =
        registry.sources.iter().map(|c| c.name()).chain(registry.sinks.iter().map(|c| c.name())).collect();
    let plugin = folder()?.install(file, &setup::runner(), &taken)?;
    let m = &plugin.manifest;
    output.result(&json!({ "installed": m, "file": plugin.library() }), || {
        format!(
            "{} {} {} ({}) into {}\nIn a pipeline: connector = \"{}\"; its options: throughline connector show {}\n",
            paint(GOOD, "installed"),
            m.name,
            m.version,
            kind(&plugin),
            plugin.library().display(),
            m.name,
            m.name
        )
    });
    Ok(())
}

fn remove(name: &str, output: &Output) -> Result<()> {
    let plugin = one(name)?;
    plugin.remove()?;
    output.result(&json!({ "removed": name }), || format!("{} {name}\n", paint(GOOD, "removed")));
    Ok(())
}
