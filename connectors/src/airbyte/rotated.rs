//! Settings that the source changed itself (CONTROL): a refresh token that was used is void, and the next run must
//! log in with the new one. They hold secrets, so they are kept where tokens are, encrypted.

use serde_json::Value;
use sha2::{Digest, Sha256};
use throughline_core::{Context, Error, Result, Secret, TokenPair};
use throughline_foreign::Start;

/// The settings to start with: the source's own last ones, as long as the user has not changed his.
pub(super) async fn config(ctx: &Context, start: &Start) -> Result<Value> {
    let kept = ctx.tokens.load(&account(ctx)).await?;
    let Some(kept) = kept.filter(|pair| pair.extra["of"] == fingerprint(&start.config)) else {
        return Ok(start.config.clone());
    };
    let config: Value = serde_json::from_str(kept.access.expose())
        .map_err(|e| Error::bug(format!("settings that were kept for {} cannot be read: {e}", ctx.name)))?;
    hide(&config, start);
    Ok(config)
}

/// Keeps what the source says its settings are from now on; durable when it returns.
pub(super) async fn keep(ctx: &Context, start: &Start, config: &Value) -> Result<()> {
    hide(config, start);
    let mut lease = ctx.tokens.lease(&account(ctx)).await?;
    let pair = TokenPair {
        access: Secret::new(config.to_string()),
        refresh: None,
        expires_at_us: None,
        extra: serde_json::json!({ "of": fingerprint(&start.config) }),
    };
    lease.save(&pair).await
}

fn account(ctx: &Context) -> String {
    format!("airbyte:{}", ctx.name)
}

/// Tells the user's own settings from others; says nothing of them.
fn fingerprint(config: &Value) -> String {
    Sha256::digest(config.to_string().as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// Any text in settings that the source changed may be a new secret.
fn hide(config: &Value, start: &Start) {
    match config {
        Value::String(text) if text.len() >= 16 => start.redactor.register_text(text),
        Value::Array(list) => list.iter().for_each(|v| hide(v, start)),
        Value::Object(map) => map.values().for_each(|v| hide(v, start)),
        _ => {}
    }
}
