//! `throughline identity show`

use throughline_attribution::{Person, Tie, person};
use throughline_engine::run;

use super::Outcome;
use crate::args::{IdentityArgs, IdentityCommand, PipelineOption};
use crate::output::{BOLD, DIM, Output, WARN, paint};
use crate::{exit, setup};

/// So many ties of one shared identifier are shown; `--json` has them all.
const SHOWN_TIES: usize = 5;

pub async fn run(args: &IdentityArgs, output: &Output) -> Outcome {
    match &args.command {
        IdentityCommand::Show { who, file } => show(who, file, output).await,
    }
}

async fn show(who: &str, file: &PipelineOption, output: &Output) -> Outcome {
    let pipeline = setup::load(&file.pipeline)?;
    let last = run::last_epoch(&pipeline).await?;
    let person = person(last.engine.as_ref(), &pipeline.attribution.identity, who).await?;
    output.result(&person, || as_text(&person));
    Ok(exit::DONE)
}

pub(super) fn as_text(person: &Person) -> String {
    let mut shown = match &person.person_id {
        Some(id) => format!(
            "{} {id}: {} visits, {} inquiries, {} deals\n",
            paint(BOLD, "Person"),
            person.visits,
            person.inquiries,
            person.deals
        ),
        None => format!("{}\n", paint(BOLD, "Shared: it belongs to nobody")),
    };
    for known in &person.identifiers {
        shown += &format!("\n  {} {}", paint(BOLD, format!("{:<12}", known.id.id_type)), known.id.id_value);
        if known.is_canonical {
            shown += &paint(DIM, "  gives the person its id").to_string();
        }
        if known.valid_from.is_some() || known.valid_to.is_some() {
            let bound = |at: &Option<String>| at.clone().unwrap_or_else(|| "ever".into());
            let from_to = format!("  from {} to {}", bound(&known.valid_from), bound(&known.valid_to));
            shown += &paint(WARN, from_to).to_string();
        }
        shown.push('\n');
        for tie in &known.tied_by {
            shown += &tie_text(tie, &known.id);
        }
    }
    if !person.shared.is_empty() && person.person_id.is_some() {
        shown += &format!("\n{}\n", paint(BOLD, "In records of this person, but joining nobody"));
    }
    for shared in &person.shared {
        shown +=
            &format!("\n  {} {}\n", paint(BOLD, format!("{:<12}", shared.id.id_type)), shared.id.id_value);
        shown += &format!("               {} {}\n", paint(WARN, "because"), shared.reason);
        for tie in shared.seen_in.iter().take(SHOWN_TIES) {
            shown += &tie_text(tie, &shared.id);
        }
        if shared.seen_in.len() > SHOWN_TIES {
            shown += &format!("               and {} more\n", shared.seen_in.len() - SHOWN_TIES);
        }
    }
    shown
}

fn tie_text(tie: &Tie, of: &throughline_attribution::Identifier) -> String {
    let more = if tie.records > 1 { format!(" and {} more", tie.records - 1) } else { String::new() };
    format!(
        "               {} {}\n               {} {} {}{more}  {}\n",
        paint(DIM, "with"),
        tie.other(of),
        paint(DIM, "in  "),
        tie.table,
        tie.record,
        paint(DIM, format!("{} ({})", tie.at.as_deref().unwrap_or(""), tie.because)),
    )
}
