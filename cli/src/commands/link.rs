//! `throughline link`: a chat link for printed matter, and its QR code. `docs/tracker.md` tells it to users.

mod carrier;
mod list;
mod qr;

use std::path::Path;

use chrono::Utc;
use serde::Serialize;
use throughline_core::{Error, Result};

use super::Outcome;
use crate::args::LinkArgs;
use crate::exit;
use crate::output::{DIM, GOOD, Output, paint};

/// What the command made.
#[derive(Debug, Serialize)]
struct Made {
    link: String,
    campaign: String,
    /// In the text that the person sends; none where the campaign itself is in a hidden part of the link.
    token: Option<String>,
    /// What the messenger hands over: the parameter of the link.
    carrier: &'static str,
    links: String,
    /// False when the list had this link's campaign already.
    added: bool,
    /// SVG files.
    qr: Vec<String>,
}

pub fn run(args: &LinkArgs, output: &Output) -> Outcome {
    let made = carrier::link(args.messenger, &args.account, &args.campaign, args.text.as_deref())?;
    // Before anything is written: a link that no QR code can hold.
    let code = if args.qr.is_empty() { None } else { Some(qr::Code::of(&made.link)?) };
    let row = list::Row {
        day: Utc::now().date_naive(),
        source: args.messenger.platform(),
        campaign: args.campaign.trim(),
        token: made.token.as_deref(),
        currency: &args.currency,
    };
    let added = list::add(&args.links, &row)?;
    let mut files = Vec::new();
    let mut shown = String::new();
    for target in &args.qr {
        let Some(code) = &code else { continue };
        if target == "-" {
            shown = code.for_terminal();
        } else {
            write(Path::new(target), &code.as_svg(args.campaign.trim()))?;
            files.push(target.clone());
        }
    }
    let made = Made {
        link: made.link,
        campaign: args.campaign.trim().to_owned(),
        token: made.token,
        carrier: made.parameter,
        links: args.links.display().to_string(),
        added,
        qr: files,
    };
    output.result(&made, || as_text(&made, &shown));
    Ok(exit::DONE)
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| Error::io("write", path.display(), e))
}

fn as_text(made: &Made, terminal_code: &str) -> String {
    let label = |name: &str| paint(DIM, format!("{name:<10}"));
    let mut text = format!("{}\n\n{}{}\n", made.link, label("campaign"), made.campaign);
    text += &match &made.token {
        Some(token) => format!("{}{token}, in the text that the person sends\n", label("token")),
        None => format!("{}the campaign itself, in `{}`\n", label("carried"), made.carrier),
    };
    let listed = if made.added { "added to" } else { "already in" };
    text += &format!("{}{listed} {}\n", label("listed"), made.links);
    for file in &made.qr {
        text += &format!("{}{} {file}\n", label("QR code"), paint(GOOD, "wrote"));
    }
    if !terminal_code.is_empty() {
        text += &format!("\n{terminal_code}");
    }
    text
}
