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
    let explanation = throughline_attribution::explain(last.engine.as_ref(), &args.deal).await?;
    output.result(&explanation, || as_text(&explanation));
    Ok(exit::DONE)
}

fn as_text(explanation: &Explanation) -> String {
    let mut shown = format!("{} {}\n\n", paint(BOLD, "Deal"), explanation.deal_id);
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
    if !explanation.credits.is_empty() {
        shown += &format!("\n{}\n", paint(BOLD, "Credit"));
        let head = ["conversion", "model", "touch", "at", "channel", "campaign", "credit", "net", "rule"];
        shown += &text::grid(&head, explanation.credits.iter().map(credit_row).collect());
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
        credit.conversion_id.clone(),
        credit.model.clone(),
        credit.touch_index.to_string(),
        credit.touch_at.clone().unwrap_or_default(),
        credit.channel_id.clone(),
        credit.campaign.clone().unwrap_or_default(),
        format!("{:.4}", credit.credit),
        credit.net.clone(),
        credit.rule.clone(),
    ]
}
