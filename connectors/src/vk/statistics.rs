//! Statistics of the community by days, <https://dev.vk.com/method/stats.get>: for a user's token alone.
//!
//! VK goes on counting, so the last days are read again in each run; a day's row read last is the current one.

use chrono::{DateTime, Days as Count, NaiveDate};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use throughline_core::{Checkpoint, Context, Error, ReadEvent, Result};

use super::client::Api;
use crate::days::Days;
use crate::flow::Out;
use crate::records::{Limits, RecordsBuilder, json_string};
use crate::whatsapp::read::rejected;

/// Days of one question: VK's pages name no limit, and a month is surely none.
const DAYS: u32 = 30;
/// Days before the last one read that are read again.
const AGAIN: u64 = 7;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Statistics {
    /// With the user's token.
    pub api: Api,
    pub start_on: NaiveDate,
}

#[derive(Serialize, Deserialize)]
struct State {
    /// Everything before was read.
    statistics_to: NaiveDate,
}

#[derive(Deserialize)]
struct Period {
    period_from: i64,
}

impl Statistics {
    /// Whether the token may read them: one day of them.
    pub async fn check(&self, ctx: &Context) -> Result<()> {
        self.ask(ctx, Days { first: self.start_on, last: self.start_on }).await.map(drop)
    }

    async fn ask(&self, ctx: &Context, days: Days) -> Result<Vec<Box<RawValue>>> {
        let (from_on, to_on) = days.window();
        let second = |day: i32| i64::from(day) * 86_400;
        let params = [
            self.api.group(),
            ("timestamp_from", second(from_on).to_string()),
            ("timestamp_to", (second(to_on) - 1).to_string()),
            ("interval", "day".to_owned()),
            // Without it ages and towns of visitors come along, which nothing here needs.
            ("extended", "0".to_owned()),
        ];
        self.api.ask(ctx, "stats.get", &params).await
    }

    pub async fn read(
        self,
        ctx: Context,
        out: Out,
        max_pages: Option<u64>,
        checkpoint: Option<Checkpoint>,
    ) -> Result<()> {
        let today = DateTime::from_timestamp_micros(ctx.clock.now_us()).map(|now| now.date_naive());
        let today = today.ok_or_else(|| Error::bug("the clock shows no day"))?;
        let mut first = self.start_on;
        if let Some(checkpoint) = checkpoint {
            let state: State = serde_json::from_value(checkpoint.0)
                .map_err(|e| Error::bug(format!("a checkpoint of VK's statistics is none: {e}")))?;
            first =
                state.statistics_to.checked_sub_days(Count::new(AGAIN)).map_or(first, |day| day.max(first));
        }
        if first > today {
            return Ok(());
        }
        let mut records = RecordsBuilder::new(Limits::default());
        let group = json_string(&self.api.group_id.to_string());
        for (n, days) in (Days { first, last: today }).chunks(DAYS).into_iter().enumerate() {
            if max_pages.is_some_and(|max| n as u64 >= max) {
                break;
            }
            ctx.check_cancelled()?;
            let periods = self.ask(&ctx, days).await?;
            records.begin_page(format!("days {days}"), None);
            for (n, period) in periods.iter().enumerate() {
                let place = format!("days {days}, record {}", n + 1);
                if let Err(e) = serde_json::from_str::<Period>(period.get()).map(|p| p.period_from) {
                    let why = format!("this is no period of statistics: {e}");
                    out.send(ReadEvent::Rejected(rejected(why, period.get().as_bytes(), &place))).await?;
                    continue;
                }
                records.push_with(period.get().as_bytes(), &[("group_id", &group)], place);
            }
            records.finish_page();
            for event in records.take_events() {
                out.send(event).await?;
            }
            // Today is not over: it is read again tomorrow at the latest.
            let state = State { statistics_to: days.last };
            let state = serde_json::to_value(state).map_err(|e| Error::bug(format!("no checkpoint: {e}")))?;
            out.send(ReadEvent::Checkpoint(Checkpoint(state))).await?;
        }
        Ok(())
    }
}
