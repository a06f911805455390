//! The sums over facts that an epoch keeps: those of some groups can be taken off and put on again.
//!
//! Within a run channels and campaigns are numbers; here they are words, which mean the same in every run.

use throughline_core::Result;
use throughline_sql::{TableRef, Written};

use crate::runner::Runner;

/// One table of sums.
pub(super) struct Sums {
    /// As an epoch keeps it.
    pub name: &'static str,
    /// As the steps know it; it holds the same columns unless `out` and `back` say otherwise.
    step: &'static str,
    keys: &'static [&'static str],
    sums: &'static [&'static str],
    /// How many records a row stands for: one with none is gone.
    records: &'static str,
    /// From the steps' numbers to words, and back.
    translated: Option<(&'static str, &'static str)>,
}

const fn plain(
    name: &'static str,
    step: &'static str,
    keys: &'static [&'static str],
    sums: &'static [&'static str],
    records: &'static str,
) -> Sums {
    Sums { name, step, keys, sums, records, translated: None }
}

const NUMBER_KEY: &[&str] = &["day_n", "platform", "business_number"];

pub(super) const SUMS: &[Sums] = &[
    Sums {
        name: "state_channels",
        step: "",
        keys: &["channel"],
        sums: &["records"],
        records: "records",
        translated: Some((
            "SELECT channel, CAST(count(*) AS BIGINT) AS records FROM x_touch_all WHERE channel IS NOT NULL GROUP BY channel",
            "",
        )),
    },
    Sums {
        name: "state_campaigns",
        step: "x_campaign_cell",
        keys: &["day_n", "campaign_text", "channel_id"],
        sums: &["touches"],
        records: "touches",
        translated: Some((
            "SELECT c.day_n, k.campaign_text, h.channel_id, c.touches FROM x_campaign_cell AS c \
             JOIN x_campaign AS k ON k.campaign_n = c.campaign_n JOIN x_channel AS h ON h.channel_n = c.channel_n",
            "SELECT s.day_n, k.campaign_n, h.channel_n, s.touches FROM i_sums AS s \
             JOIN x_campaign AS k ON k.campaign_text = s.campaign_text JOIN x_channel AS h ON h.channel_id = s.channel_id",
        )),
    },
    Sums {
        name: "state_days",
        step: "x_day_cell",
        keys: &["day_n", "channel_id", "campaign_text"],
        sums: &["records", "visits", "inquiries", "new_inquiries"],
        records: "records",
        translated: Some((
            "SELECT c.day_n, h.channel_id, k.campaign_text, c.visits + c.inquiries AS records, c.visits, c.inquiries, \
             c.new_inquiries FROM x_day_cell AS c JOIN x_channel AS h ON h.channel_n = c.channel_n \
             LEFT JOIN x_campaign AS k ON k.campaign_n = c.campaign_n",
            "SELECT s.day_n, h.channel_n, coalesce(k.campaign_n, 0) AS campaign_n, s.visits, s.inquiries, s.new_inquiries \
             FROM i_sums AS s JOIN x_channel AS h ON h.channel_id = s.channel_id \
             LEFT JOIN x_campaign AS k ON k.campaign_text = s.campaign_text",
        )),
    },
    Sums {
        name: "state_credits",
        step: "x_credit_cell",
        keys: &["day_n", "channel_id", "campaign_text", "model_n"],
        sums: &["records", "leads", "sales", "gross_minor", "net_minor", "goods_minor", "potential_minor"],
        records: "records",
        translated: Some((
            "SELECT c.day_n, h.channel_id, k.campaign_text, c.model_n, c.records, c.leads, c.sales, c.gross_minor, \
             c.net_minor, c.goods_minor, c.potential_minor FROM x_credit_cell AS c \
             JOIN x_channel AS h ON h.channel_n = c.channel_n LEFT JOIN x_campaign AS k ON k.campaign_n = c.campaign_n",
            "SELECT s.day_n, h.channel_n, coalesce(k.campaign_n, 0) AS campaign_n, s.model_n, s.records, s.leads, s.sales, \
             s.gross_minor, s.net_minor, s.goods_minor, s.potential_minor FROM i_sums AS s \
             JOIN x_channel AS h ON h.channel_id = s.channel_id \
             LEFT JOIN x_campaign AS k ON k.campaign_text = s.campaign_text",
        )),
    },
    plain(
        "state_message_days",
        "x_message_day",
        NUMBER_KEY,
        &[
            "sent",
            "delivered",
            "was_read",
            "read_base",
            "failed",
            "broadcasts",
            "broadcasts_delivered",
            "replied",
        ],
        "sent",
    ),
    plain(
        "state_inquiry_days",
        "x_inquiry_day",
        NUMBER_KEY,
        &[
            "inquiries",
            "is_new",
            "missed",
            "answered",
            "first_response_s",
            "answered_open",
            "first_response_open_s",
            "operator_answered",
            "first_operator_response_s",
            "csat_sum",
            "csat_n",
            "csat_good",
            "feedback",
            "abandoned",
            "with_bot",
            "contained",
            "escalated",
            "transferred",
        ],
        "inquiries",
    ),
    plain(
        "state_response_days",
        "x_response_day",
        NUMBER_KEY,
        &["turns", "response_s", "turns_open", "response_open_s"],
        "turns",
    ),
    plain(
        "state_answer_times",
        "x_answer_time",
        &["what", "day_n", "platform", "business_number", "seconds"],
        &["answers"],
        "answers",
    ),
    plain("state_optouts", "x_optout_day", NUMBER_KEY, &["unsubscribes"], "unsubscribes"),
    plain(
        "state_persons",
        "x_person_sum",
        NUMBER_KEY,
        &[
            "persons",
            "delivered_persons",
            "clicked_persons",
            "messaged_persons",
            "messaged_converted",
            "inquiring_persons",
            "inquiring_converted",
            "recipients",
            "recipients_consented",
        ],
        "persons",
    ),
    Sums {
        name: "state_visits",
        step: "x_visit_slice",
        keys: &["slice", "day_n", "member"],
        sums: &["records", "visits", "inquiries"],
        records: "records",
        translated: Some((
            "SELECT slice, day_n, member, visits + inquiries AS records, visits, inquiries FROM x_visit_slice",
            "SELECT slice, day_n, member, visits, inquiries FROM i_sums",
        )),
    },
    plain("state_pages", "x_page_seen", &["page_key", "host", "path", "title"], &["records"], "records"),
    plain(
        "state_walks",
        "x_walk_cell",
        &["scenario", "step", "step_no", "day_n"],
        &["entered", "passed", "escalated", "fallbacks"],
        "entered",
    ),
    plain(
        "state_operators",
        "x_operator_cell",
        &["day_n", "operator_id", "platform"],
        &[
            "records",
            "inquiries",
            "answered",
            "missed",
            "transferred",
            "csat_sum",
            "csat_n",
            "turns",
            "response_s",
            "turns_open",
            "response_open_s",
            "sales",
            "net_minor",
        ],
        "records",
    ),
    plain(
        "state_operator_hours",
        "x_operator_hour",
        &["operator_id", "platform", "hour_us"],
        &["messages"],
        "messages",
    ),
    plain("state_operators_seen", "x_operator_seen", &["operator_id"], &["records"], "records"),
    plain(
        "state_tests",
        "x_ab_count",
        &["test", "variant"],
        &["recipients", "delivered", "was_read", "clicked", "replied", "converted"],
        "recipients",
    ),
    plain("state_days_seen", "x_day_seen", &["what", "day_n"], &["records"], "records"),
    plain("state_cohorts", "x_cohort_cell", &["cohort_n", "period_n"], &["persons"], "persons"),
    plain("state_buyers", "x_buy_cell", &["cohort_n", "age", "nth"], &["persons"], "persons"),
    plain(
        "state_quality",
        "x_quality_cell",
        &["day_n", "source"],
        &[
            "records",
            "inquiries",
            "token",
            "deeplink",
            "ad_referral",
            "known",
            "time_window",
            "unmatched",
            "site_inquiries",
            "site_tokens",
        ],
        "records",
    ),
    plain("state_told", "x_told", &["code", "at_us"], &["records"], "records"),
    plain("state_books", "x_book", &["name"], &["amount"], "amount"),
];

impl Sums {
    fn columns(&self) -> String {
        self.keys.iter().chain(self.sums).copied().collect::<Vec<_>>().join(", ")
    }

    /// What the steps left, in words.
    pub fn select(&self) -> String {
        match self.translated {
            Some((out, _)) => out.to_string(),
            None => format!("SELECT {} FROM {}", self.columns(), self.step),
        }
    }

    /// Puts together what was, less what some groups had, and what they have now; binds it under its own name.
    /// `None` when more is to be taken off than there was.
    pub async fn add_up(
        &self,
        runner: &mut Runner<'_>,
        was: &TableRef,
        had: &TableRef,
        have: &TableRef,
    ) -> Result<Option<Written>> {
        let mut parts = Vec::new();
        for (name, table, sign) in [("i_was", was, ""), ("i_had", had, "-"), ("i_have", have, "")] {
            runner.bind(name, table).await?;
            let sums: Vec<String> = self.sums.iter().map(|s| format!("{sign}{s} AS {s}")).collect();
            parts.push(format!("SELECT {}, {} FROM {name}", self.keys.join(", "), sums.join(", ")));
        }
        let sums: Vec<String> =
            self.sums.iter().map(|s| format!("CAST(sum({s}) AS BIGINT) AS {s}")).collect();
        let select = format!(
            "SELECT {keys}, {} FROM ({}) AS u WHERE {} GROUP BY {keys} HAVING sum({}) <> 0",
            sums.join(", "),
            parts.join(" UNION ALL "),
            // What was ahead of its time and has come to pass is nothing to tell of.
            if self.name == "state_told" { "at_us IS NULL OR at_us > $now_us" } else { "1 = 1" },
            self.records,
            keys = self.keys.join(", "),
        );
        let summed = runner.publish(self.name, &select).await?;
        // The books may hold what is owed; nothing else is fewer than none.
        if self.name != "state_books" {
            let below = format!("SELECT count(*) FROM {} WHERE {} < 0", self.name, self.records);
            if runner.number(&below).await? > 0 {
                return Ok(None);
            }
        }
        Ok(Some(summed))
    }

    /// Gives the steps their table of what was put together.
    pub async fn give_back(&self, runner: &Runner<'_>) -> Result<()> {
        match self.translated {
            _ if self.step.is_empty() => Ok(()),
            None => runner.view(self.step, &format!("SELECT {} FROM {}", self.columns(), self.name)).await,
            Some((_, back)) => runner.view(self.step, &back.replace("i_sums", self.name)).await,
        }
    }
}
