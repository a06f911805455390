//! Notices about how good the data is: tokens that stop coming, broadcasts without consent.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use throughline_core::{Notice, Result};

use crate::host::{ints, text_or_empty, texts};
use crate::money::day_text;
use crate::runner::Runner;

/// When to warn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// Warn when fewer of the inquiries that came from the site were matched by their token than this
    /// share. 0: never.
    pub token_share: f64,
    /// Days the share is taken over, up to the newest one with an inquiry.
    pub token_window_days: u32,
    /// Say nothing of fewer inquiries than these in the window.
    pub token_min_inquiries: u32,
}

impl Default for Alerts {
    fn default() -> Self {
        Self { token_share: 0.9, token_window_days: 7, token_min_inquiries: 10 }
    }
}

impl Alerts {
    /// What is wrong, with the place below `/alerts`.
    pub(crate) fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        if !self.token_share.is_finite() || !(0.0..=1.0).contains(&self.token_share) {
            wrong.push(("/token_share".into(), format!("{} is no share of 0 to 1", self.token_share)));
        }
        if !(1..=366).contains(&self.token_window_days) {
            wrong.push((
                "/token_window_days".into(),
                format!("{} is not within 1 to 366 days", self.token_window_days),
            ));
        }
        wrong
    }
}

/// Inquiries of one platform and day.
#[derive(Clone, Copy, Default)]
struct Day {
    /// All but those through hidden carriers and ads, which need no visible token.
    open: i64,
    site: i64,
    tokens: i64,
}

impl Day {
    fn add(self, other: Self) -> Self {
        Self {
            open: self.open + other.open,
            site: self.site + other.site,
            tokens: self.tokens + other.tokens,
        }
    }
}

pub(crate) async fn tell(runner: &Runner<'_>, alerts: &Alerts, notices: &mut Vec<Notice>) -> Result<()> {
    let mut platforms: BTreeMap<String, BTreeMap<i64, Day>> = BTreeMap::new();
    let mut rows = runner
        .read(
            "SELECT source, day_n, inquiries - deeplink - ad_referral AS open, site_inquiries, site_tokens \
             FROM x_quality WHERE inquiries > 0",
        )
        .await?;
    while let Some(batch) = rows.try_next().await? {
        let (sources, days) = (texts(&batch, "source")?, ints(&batch, "day_n")?);
        let (open, site) = (ints(&batch, "open")?, ints(&batch, "site_inquiries")?);
        let tokens = ints(&batch, "site_tokens")?;
        for row in 0..batch.num_rows() {
            let platform = text_or_empty(sources, row).trim_start_matches("inquiries:");
            let day = Day { open: open.value(row), site: site.value(row), tokens: tokens.value(row) };
            platforms.entry(platform.to_string()).or_default().insert(days.value(row), day);
        }
    }
    for (platform, days) in &platforms {
        notices.extend(token_notice(platform, days, alerts));
    }
    consent_notice(runner, notices).await
}

fn token_notice(platform: &str, days: &BTreeMap<i64, Day>, alerts: &Alerts) -> Option<Notice> {
    let (&newest, _) = days.last_key_value()?;
    let window = i64::from(alerts.token_window_days);
    let first = newest - window + 1;
    let sum = |from: i64, to: i64| days.range(from..=to).fold(Day::default(), |sum, (_, day)| sum.add(*day));
    let (now, before) = (sum(first, newest), sum(first - window, first - 1));
    let enough = i64::from(alerts.token_min_inquiries).max(1);
    let share = |part: i64, whole: i64| part as f64 / whole.max(1) as f64;
    let percent = |part: i64, whole: i64| (share(part, whole) * 100.0).round();
    let span = format!("{} to {}", day_text(first), day_text(newest));
    if now.site >= enough && share(now.tokens, now.site) < alerts.token_share {
        let (day, worst) = days
            .range(first..=newest)
            .filter(|(_, d)| d.site > 0)
            .min_by(|(_, a), (_, b)| share(a.tokens, a.site).total_cmp(&share(b.tokens, b.site)))?;
        return Some(Notice {
            code: "token_share_low".into(),
            message: format!(
                "{platform}: {} of {} inquiries from the site ({} %) came with their token from {span}, below {} %; \
                 worst on {}: {} of {}. Look at the prepared text and at the site script",
                now.tokens,
                now.site,
                percent(now.tokens, now.site),
                (alerts.token_share * 100.0).round(),
                day_text(*day),
                worst.tokens,
                worst.site,
            ),
        });
    }
    // A script that is gone altogether leaves no trace of the site: then there are fewer tokens among all.
    let falls = share(now.tokens, now.open) < share(before.tokens, before.open) * 0.5;
    (alerts.token_share > 0.0 && now.open >= enough && before.open >= enough && falls).then(|| Notice {
        code: "token_share_falling".into(),
        message: format!(
            "{platform}: {} % of the inquiries from {span} came with a token ({} of {}), after {} % in the {window} days \
             before. Is the site script still there?",
            percent(now.tokens, now.open),
            now.tokens,
            now.open,
            percent(before.tokens, before.open),
        ),
    })
}

/// Broadcasts to people who had not opted in.
async fn consent_notice(runner: &Runner<'_>, notices: &mut Vec<Notice>) -> Result<()> {
    let select = "SELECT platform, min(day_n) AS first_n, sum(recipients) AS recipients, \
                  sum(recipients - recipients_consented) AS without FROM x_person_sum GROUP BY platform ORDER BY platform";
    let mut rows = runner.read(select).await?;
    while let Some(batch) = rows.try_next().await? {
        let platforms = texts(&batch, "platform")?;
        let (recipients, without) = (ints(&batch, "recipients")?, ints(&batch, "without")?);
        for row in 0..batch.num_rows() {
            if without.value(row) > 0 {
                notices.push(Notice {
                    code: "broadcast_without_consent".into(),
                    message: format!(
                        "{}: {} of {} recipients of broadcasts (by person and day) had no valid opt-in when it was sent; \
                         opt-in coverage must be 1. They are the messages with has_consent = false",
                        text_or_empty(platforms, row),
                        without.value(row),
                        recipients.value(row),
                    ),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn days(list: &[(i64, i64, i64, i64)]) -> BTreeMap<i64, Day> {
        list.iter().map(|&(day, open, site, tokens)| (day, Day { open, site, tokens })).collect()
    }

    #[test]
    fn a_low_share_names_the_worst_day() {
        // 2026-03-01 is day 20513. The first day is outside the week.
        let week =
            days(&[(20_513, 50, 50, 0), (20_520, 10, 10, 10), (20_521, 10, 6, 2), (20_526, 10, 10, 9)]);
        let found = token_notice("whatsapp", &week, &Alerts::default()).unwrap();
        assert_eq!(found.code, "token_share_low");
        for part in ["whatsapp: 21 of 26", "81 %", "2026-03-08 to 2026-03-14", "on 2026-03-09: 2 of 6"] {
            assert!(found.message.contains(part), "{part} in {}", found.message);
        }
        let few = Alerts { token_min_inquiries: 27, ..Alerts::default() };
        assert!(token_notice("whatsapp", &week, &few).is_none());
        let lax = Alerts { token_share: 0.8, ..Alerts::default() };
        assert!(token_notice("whatsapp", &week, &lax).is_none());
    }

    #[test]
    fn tokens_that_are_gone_altogether_are_seen() {
        let gone = days(&[(20_513, 40, 20, 20), (20_520, 40, 0, 0)]);
        let found = token_notice("whatsapp", &gone, &Alerts::default()).unwrap();
        assert_eq!(found.code, "token_share_falling");
        assert!(
            found.message.contains("0 of 40") && found.message.contains("after 50 %"),
            "{}",
            found.message
        );
        let steady = days(&[(20_513, 40, 20, 20), (20_520, 40, 12, 12)]);
        assert!(token_notice("whatsapp", &steady, &Alerts::default()).is_none());
    }
}
