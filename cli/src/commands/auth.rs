//! `throughline auth`: somebody's consent in a browser, and the tokens that come of it.

use serde_json::{Value, json};
use throughline_core::consent::{Granted, Returned, Terms};
use throughline_core::{Context, DynConsent, Error, Result, Secret};
use throughline_engine::pipeline::Pipeline;
use throughline_engine::run;
use throughline_store::{STATE_FILE, Store};

use super::{Outcome, Stop};
use crate::args::AuthArgs;
use crate::consent::{self, Wait};
use crate::output::{DIM, GOOD, Output, WARN, paint};
use crate::{exit, setup};

pub async fn run(args: &AuthArgs, output: &Output) -> Outcome {
    let mut pipeline = setup::load(&args.file.pipeline)?;
    let consent = chosen(&pipeline, &args.source)?;
    if pipeline.http.replay.is_some() {
        let error = Error::config("[http] replay answers in place of the vendor: there is nobody to ask");
        return Err(error.hint("take replay out of the pipeline while you sign in").into());
    }
    // What happens here belongs into no recording.
    pipeline.http.record = None;
    let terms = consent.terms()?;
    let services = setup::services(&pipeline, false)?;
    setup::stop_on_signal(services.lent.cancel.clone());
    std::fs::create_dir_all(&pipeline.state_dir)
        .map_err(|e| Error::io("create", pipeline.state_dir.display(), e))?;
    let store = Store::open(pipeline.state_dir.join(STATE_FILE))?;
    let scratch = pipeline.state_dir.join(&pipeline.name).join("scratch");
    let ctx = run::context(&pipeline, &services.lent, &store, &args.source, scratch)?;
    let granted = match &args.code {
        Some(code) => {
            let code = if code == "-" { consent::one_line()? } else { code.trim().to_owned() };
            redeem_elsewhere(&pipeline, &consent, &ctx, code).await?
        }
        None => {
            let wait = Wait {
                source: &args.source,
                port: args.port,
                browser: !args.no_browser && !args.paste,
                paste: args.paste,
                timeout: std::time::Duration::from_secs(args.timeout),
                redactor: &pipeline.redactor,
            };
            consent::ask(&wait, &consent, &terms, &ctx).await?
        }
    };
    services.finish()?;
    told(&args.source, &terms, &granted, output);
    Ok(exit::DONE)
}

/// The consent of a source that asks for one; else what it uses instead.
fn chosen(pipeline: &Pipeline, name: &str) -> Result<DynConsent, Stop> {
    let Some(source) = pipeline.sources.iter().find(|s| s.name == name) else {
        let names: Vec<&str> = pipeline.sources.iter().map(|s| s.name.as_str()).collect();
        let error = Error::config(format!("pipeline {:?} has no source {name:?}", pipeline.name));
        return Err(error.hint(format!("it has: {}", names.join(", "))).into());
    };
    if let Some(consent) = source.source.consent() {
        return Ok(consent);
    }
    let schema = setup::registry().source(&source.connector).map(|c| c.schema()).unwrap_or_default();
    let secrets = secrets(&schema);
    let what = match secrets.as_slice() {
        [] => "needs no credentials".to_owned(),
        some => format!("signs in by its options ({})", some.join(", ")),
    };
    let message =
        format!("source {name:?} ({}) asks for no consent in a browser: it {what}", source.connector);
    let oauth = schema["properties"].get("client_id").is_some();
    Err(match oauth {
        true => Error::config(message)
            .hint("to sign in by OAuth give client_id and client_secret in place of the other credentials"),
        false => Error::config(message).hint(format!(
            "`throughline connector show {}` tells where its credentials come from",
            source.connector
        )),
    }
    .into())
}

/// Options that hold secrets, by their schema.
fn secrets(schema: &Value) -> Vec<String> {
    let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
    let is_secret = |of: &Value| {
        let text = of.to_string();
        text.contains("#/$defs/Secret") || text.contains("\"env\":{")
    };
    properties.iter().filter(|(_, of)| is_secret(of)).map(|(name, _)| name.clone()).collect()
}

/// A code that a vendor's own page showed: no question of ours is behind it.
async fn redeem_elsewhere(
    pipeline: &Pipeline,
    consent: &DynConsent,
    ctx: &Context,
    code: String,
) -> Result<Granted> {
    if code.is_empty() || code.contains(char::is_whitespace) || code.contains("://") {
        return Err(Error::config("this is no code")
            .hint("--code takes the code alone; an address that a browser ended at goes to --paste"));
    }
    pipeline.redactor.register_text(&code);
    let returned =
        Returned { code: Secret::new(code), params: Default::default(), redirect_uri: None, verifier: None };
    consent.redeem(ctx, returned).await
}

fn told(source: &str, terms: &Terms, granted: &Granted, output: &Output) {
    let until = granted.expires_at_us.and_then(chrono::DateTime::from_timestamp_micros);
    let until = until.map(|at| at.format("%Y-%m-%d %H:%M UTC").to_string());
    let value = json!({
        "source": source, "vendor": terms.vendor, "account": granted.account, "scopes": granted.scopes,
        "expires_at": granted.expires_at_us.and_then(chrono::DateTime::from_timestamp_micros)
            .map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)),
        "renewable": granted.renewable,
    });
    output.result(&value, || {
        let line = |key: &str, value: &str| format!("  {} {value}\n", paint(DIM, format!("{key}:")));
        let mut text = format!("{} {source}: {} let this program in\n", paint(GOOD, "✓"), terms.vendor);
        text += &line("account", &granted.account);
        if let Some(scopes) = &granted.scopes {
            text += &line("granted", scopes);
        }
        let life = match (&until, granted.renewable) {
            (Some(until), true) => format!("until {until}, then renewed without you"),
            (Some(until), false) => format!("until {until}"),
            (None, true) => "renewed without you when it is refused".to_owned(),
            (None, false) => "without an end that is known".to_owned(),
        };
        text += &line("access", &life);
        if !granted.renewable && until.is_some() {
            text += &format!(
                "  {} {} gave nothing to renew it with: this is to be done again then\n",
                paint(WARN, "warning:"),
                terms.vendor
            );
        }
        text
    });
}
