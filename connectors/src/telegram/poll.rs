//! Asks for updates and writes them into the inbox.
//!
//! Telegram forgets what lies below the offset of a question, so that offset is asked with only when the page before
//! it is flushed. A poll begins without an offset: it gives what was never confirmed, also when a week without
//! updates made Telegram start numbering anew somewhere below. So nothing needs to be remembered but the last page,
//! which is the end of the inbox itself.

use std::time::Duration;

use serde_json::json;
use throughline_core::{CheckReport, Context, Error, Notice, Result};

use super::client::{Bot, PAGE, id};
use crate::webhook::pulled;

/// Telegram keeps an update for so long.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// When we asked last, in microseconds.
const POLLED: &str = "telegram_polled_at_us";

#[derive(Clone, Debug)]
pub(super) struct Poller {
    pub bot: Bot,
    pub place: pulled::Place,
}

impl Poller {
    /// Takes over all there is; what a person should know of it.
    pub async fn poll(&self, ctx: &Context) -> Result<Vec<Notice>> {
        let before = ctx.notes.get(POLLED).await?.and_then(|v| v.as_i64());
        let began_us = ctx.clock.now_us();
        let file = self.place.open(ctx).await?;
        let mut known = file.last(PAGE, id).await?;
        let mut offset = None;
        loop {
            ctx.check_cancelled()?;
            let page = self.bot.updates(ctx, offset, PAGE).await?;
            let Some(last) = page.iter().map(|u| u.id).max() else { break };
            if offset.is_some_and(|offset| page.iter().any(|u| u.id < offset)) {
                return Err(Error::protocol("Telegram gave updates again that were confirmed"));
            }
            let (full, now_us) = (page.len() >= PAGE, ctx.clock.now_us());
            let new: Vec<String> =
                page.into_iter().filter(|u| !known.contains(&u.id)).map(|u| u.text).collect();
            // Only what a crash left unconfirmed comes twice, and that is at the beginning.
            known.clear();
            file.append(now_us, &new).await?;
            offset = last.checked_add(1);
            if !full {
                // Confirms; what it gives comes again, since nothing confirms that.
                self.bot.updates(ctx, offset, 1).await?;
                break;
            }
        }
        ctx.notes.put(POLLED, Some(json!(began_us))).await?;
        let late = before.and_then(|at| u64::try_from(began_us - at).ok()).map(Duration::from_micros);
        Ok(late.filter(|gap| *gap > KEPT).map(lost).into_iter().collect())
    }

    pub async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        let me = self.bot.ask(ctx, "getMe").await?;
        report.facts.push(("bot".into(), format!("@{}", me["username"].as_str().unwrap_or("?"))));
        let hook = self.bot.ask(ctx, "getWebhookInfo").await?;
        let waiting = hook["pending_update_count"].as_u64().unwrap_or_default();
        report.facts.push(("updates waiting".into(), waiting.to_string()));
        if hook["url"].as_str().is_some_and(|url| !url.is_empty()) {
            report.warnings.push(
                "the bot has a webhook: Telegram gives no updates to those who ask; take `token` out, or call \
                 deleteWebhook"
                    .into(),
            );
        }
        Ok(report)
    }
}

fn lost(gap: Duration) -> Notice {
    Notice {
        code: "updates_may_be_lost".into(),
        message: format!(
            "Telegram was asked {} hours after the time before and keeps updates for 24: older ones are lost; \
             schedule the pipeline more often",
            gap.as_secs() / 3600
        ),
    }
}
