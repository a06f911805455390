//! `throughline explain <deal>`

use throughline_attribution::{Credit, Explanation, Line};
use throughline_engine::run;

use super::Outcome;
use crate::args::ExplainArgs;
use crate::output::{BOLD, DIM, Output, WARN, paint};
use crate::{exit, setup, text};

pub async fn run(args: &ExplainArgs, output: &Output) -> Outcome {
    let pipeline = setup::load(&args.file.pipeline)?;
    let last = run::last_epoch(&pipeline).await?;
    let explanation =
        throughline_attribution::explain(last.engine.as_ref(), &pipeline.attribution, &args.deal).await?;
    output.result(&explanation, || as_text(&explanation));
    Ok(exit::DONE)
}

fn as_text(explanation: &Explanation) -> String {
    let mut shown = format!("{} {}", paint(BOLD, "Deal"), explanation.deal_id);
    if let Some(person) = &explanation.person_id {
        shown += &format!(" {} {person}", paint(DIM, "of"));
    }
    shown += "\n\n";
    for line in &explanation.lines {
        shown += &line_text(line);
    }
    if !explanation.gaps.is_empty() {
        shown += &format!("\n{}\n", paint(BOLD, "What is missing"));
        for gap in &explanation.gaps {
            shown += &format!("  {} {}\n", paint(WARN, format!("{}:", gap.step)), gap.missing);
            shown += &format!("      {} {}\n", paint(DIM, "would match:"), gap.would_match);
        }
    }
    let mut conversions: Vec<&str> = explanation.credits.iter().map(|c| c.conversion_id.as_str()).collect();
    conversions.dedup();
    for conversion in conversions {
        shown += &format!("\n{} {conversion}\n", paint(BOLD, "Credit of"));
        let head = ["model", "touch", "at", "channel", "campaign", "credit", "net"];
        // Touches that a model gives nothing would bury those it does.
        let credits = explanation.credits.iter().filter(|c| c.conversion_id == conversion && c.credit != 0.0);
        shown += &text::grid(&head, credits.map(credit_row).collect());
    }
    let mut rules: Vec<(&str, &str)> =
        explanation.credits.iter().map(|c| (c.model.as_str(), c.rule.as_str())).collect();
    rules.sort_unstable();
    rules.dedup();
    for (model, rule) in rules {
        shown += &format!("  {} {rule}\n", paint(DIM, format!("{model}:")));
    }
    if !explanation.other_deals.is_empty() {
        shown += &format!("\n{}\n", paint(BOLD, "Other deals of the same person"));
        let rows = explanation.other_deals.iter().map(|d| {
            vec![
                d.deal_id.clone(),
                d.created_at.clone().unwrap_or_default(),
                d.state.clone(),
                d.net.clone().unwrap_or_default(),
            ]
        });
        shown += &text::grid(&["deal", "made", "state", "net"], rows.collect());
    }
    shown
}

fn line_text(line: &Line) -> String {
    let at = line.at.as_deref().unwrap_or("                    ");
    let mut shown = format!("  {at:<22} {} {}\n", paint(BOLD, format!("{:<11}", line.step)), line.key);
    let indent = " ".repeat(26);
    for (name, value) in &line.facts {
        shown += &format!("{indent}{} {value}\n", paint(DIM, format!("{name}:")));
    }
    shown += &format!(
        "{indent}{} {} {}\n",
        paint(DIM, "because"),
        line.because,
        paint(DIM, format!("({})", line.table))
    );
    shown
}

fn credit_row(credit: &Credit) -> Vec<String> {
    vec![
        credit.model.clone(),
        credit.touch_index.to_string(),
        credit.touch_at.clone().unwrap_or_default(),
        credit.channel_id.clone(),
        credit.campaign.clone().unwrap_or_default(),
        format!("{:.4}", credit.credit),
        credit.net.clone(),
    ]
}
