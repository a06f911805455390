//! One deal's whole line, from what was paid to what came back: every record it rests on, by table and
//! key, the rule that joined each to the next, and what is missing.

mod context;
mod credits;
mod gaps;
mod token;

use serde::Serialize;
use throughline_core::{Error, ErrorKind, Result};
use throughline_sql::SqlEngine;

use crate::rows::{Row, Rows};
use crate::settings::Settings;

pub use context::OtherDeal;
pub use credits::Credit;

/// Everything known of how a deal came to be.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    pub deal_id: String,
    /// None when nothing tells whose deal it is.
    pub person_id: Option<String>,
    /// In the order of the story: cost, visit, token, message, inquiry, person, contact, deal, refunds,
    /// conversions.
    pub lines: Vec<Line>,
    /// Every model's share for every touch of every conversion of the deal.
    pub credits: Vec<Credit>,
    /// What is missing from the line and what would have filled it.
    pub gaps: Vec<Gap>,
    /// The person's other deals, the latest first.
    pub other_deals: Vec<OtherDeal>,
}

/// One record of the line.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// cost, visit, touch, token, message, inquiry, person, contact, deal, refund, conversion
    pub step: &'static str,
    /// UTC.
    pub at: Option<String>,
    pub table: &'static str,
    /// The vendor's record, as the table's key names it.
    pub key: String,
    /// Columns worth showing, those that have a value.
    pub facts: Vec<(String, String)>,
    /// The rule that joins it to the line.
    pub because: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Gap {
    pub step: &'static str,
    pub missing: String,
    pub would_match: String,
}

const ORDER: [&str; 11] = [
    "cost",
    "visit",
    "touch",
    "token",
    "message",
    "inquiry",
    "person",
    "contact",
    "deal",
    "refund",
    "conversion",
];

/// Explains a deal from the output tables and canonical tables bound in `engine`. `deal` is the whole
/// deal id or its last part, the number the CRM shows. `settings` are those of the run.
///
/// # Errors
/// No such deal (with near ones), or several whose id ends so.
pub async fn explain(engine: &dyn SqlEngine, settings: &Settings, deal: &str) -> Result<Explanation> {
    let rows = Rows { engine };
    let deal_id = context::find_deal(&rows, deal).await?;
    let mut story = Story { rows, settings, deal_id, lines: Vec::new(), gaps: Vec::new() };
    let deal = story.deal().await?;
    let contact = story.contact(&deal).await?;
    let conversions = story.conversions().await?;
    let inquiry = story.inquiry(&deal).await?;
    let person_id = story.person_id(&conversions, contact.as_ref(), inquiry.as_ref());
    let mut touch = None;
    match &inquiry {
        Some(inquiry) => {
            story.messages(inquiry).await?;
            touch = story.matched_touch(inquiry).await?;
        }
        None => story.no_inquiry(&deal, person_id.as_deref()).await?,
    }
    story.same_person(contact.as_ref(), inquiry.as_ref()).await?;
    // Without an inquiry the line starts at the touch that the last_touch model believes in.
    let touch = match touch {
        Some(touch) => Some(touch),
        None => story.credited_touch(&deal, &conversions, person_id.as_deref()).await?,
    };
    if let Some(touch) = &touch {
        story.costs(touch).await?;
    }
    story.refunds(&conversions).await?;
    story.no_conversion(&deal, &conversions);
    let credits = credits::of_deal(&story.rows, &story.deal_id).await?;
    let other_deals = context::other_deals(&story.rows, &story.deal_id, person_id.as_deref()).await?;
    let Story { deal_id, mut lines, gaps, .. } = story;
    lines.sort_by_key(|l| ORDER.iter().position(|s| *s == l.step));
    Ok(Explanation { deal_id, person_id, lines, credits, gaps, other_deals })
}

struct Story<'a> {
    rows: Rows<'a>,
    settings: &'a Settings,
    deal_id: String,
    lines: Vec<Line>,
    gaps: Vec<Gap>,
}

impl Story<'_> {
    fn line(
        &mut self,
        step: &'static str,
        table: &'static str,
        key: String,
        at: &str,
        row: &Row,
        because: impl Into<String>,
    ) {
        self.lines.push(Line {
            step,
            at: row.get(at).map(str::to_string),
            table,
            key,
            facts: row.facts(),
            because: because.into(),
        });
    }

    fn gap(&mut self, step: &'static str, missing: impl Into<String>, would_match: impl Into<String>) {
        self.gaps.push(Gap { step, missing: missing.into(), would_match: would_match.into() });
    }

    async fn deal(&mut self) -> Result<Row> {
        let select = "SELECT deal_id, name, state, status, pipeline, value_minor, currency, created_at, closed_at, \
                      updated_at, contact_id, operator_id, token, source, medium, campaign, is_deleted \
                      FROM in_deals WHERE deal_id = $deal";
        let row = self.rows.all(select, &[("deal", &self.deal_id)]).await?.into_iter().next();
        let row = row.ok_or_else(|| Error::new(ErrorKind::NotFound, "the deal is gone"))?;
        let key = self.deal_id.clone();
        self.line("deal", "in_deals", key, "created_at", &row, "the deal asked for");
        Ok(row)
    }

    async fn contact(&mut self, deal: &Row) -> Result<Option<Row>> {
        let contact = match deal.get("contact_id") {
            Some(id) => Some((id.to_string(), "the deal's main contact")),
            None => {
                let select = "SELECT contact_id FROM in_deal_contacts WHERE deal_id = $deal \
                              ORDER BY CASE WHEN is_main THEN 0 ELSE 1 END, contact_id";
                let rows = self.rows.all(select, &[("deal", &self.deal_id)]).await?;
                rows.first().map(|r| (r.text("contact_id"), "the first contact of the deal"))
            }
        };
        let Some((id, because)) = contact else {
            let carries = match deal.get("token") {
                Some(token) => format!("; its token {token} alone says whose it is"),
                None => String::new(),
            };
            self.gap(
                "contact",
                format!("the deal names no contact{carries}"),
                "a main contact on the deal in the CRM",
            );
            return Ok(None);
        };
        let select = "SELECT c.contact_id, c.name, c.phone_e164, c.email, c.created_at, m.person_id \
                      FROM in_contacts AS c LEFT JOIN identity_map AS m \
                      ON m.id_type = 'crm_contact' AND m.id_value = c.contact_id AND m.valid_from IS NULL AND m.valid_to IS NULL \
                      WHERE c.contact_id = $contact";
        let row = self.rows.all(select, &[("contact", &id)]).await?.into_iter().next();
        match &row {
            Some(row) => self.line("contact", "in_contacts", id, "created_at", row, because),
            None => self.gap(
                "contact",
                format!("{because}, {id}, is not among the contacts that were read"),
                "that contact in the CRM's contacts, with its phone or e-mail",
            ),
        }
        Ok(row)
    }

    async fn conversions(&mut self) -> Result<Vec<Row>> {
        let select = "SELECT conversion_id, type, ts, status, value_gross, value_net, is_new_customer, person_id, \
                      n_eligible_touches, inquiry_id FROM conversions WHERE crm_deal_id = $deal ORDER BY ts, conversion_id";
        let rows = self.rows.all(select, &[("deal", &self.deal_id)]).await?;
        for row in &rows {
            let because = match row.get("type") {
                Some("lead") => "a deal is a lead from its creation",
                Some("qualified") => "the deal reached a status of qualified_statuses",
                Some("won") => "the deal was closed and won",
                _ => "a prepared conversion names this deal",
            };
            self.line("conversion", "conversions", row.text("conversion_id"), "ts", row, because);
        }
        Ok(rows)
    }

    async fn inquiry(&mut self, deal: &Row) -> Result<Option<Row>> {
        let select = "SELECT q.inquiry_id, q.ts, q.platform, q.business_number, q.conversation_id, q.person_id, \
                      q.match_method, q.token_state, q.visit_id, q.touch_id, q.channel_id, q.contact_name, \
                      q.phone_e164, q.messenger_user_id, q.inquiry_number \
                      FROM inquiries AS q WHERE q.inquiry_id IN ( \
                        SELECT inquiry_id FROM conversions WHERE crm_deal_id = $deal AND inquiry_id IS NOT NULL \
                        UNION SELECT inquiry_id FROM inquiries WHERE crm_deal_id = $deal) ORDER BY q.ts";
        let row = self.rows.all(select, &[("deal", &self.deal_id)]).await?.into_iter().next();
        let Some(inquiry) = &row else { return Ok(row) };
        let brought = match deal.get("token") {
            Some(token) => {
                let select = "SELECT message_id FROM messages WHERE inquiry_id = $inquiry AND token = $token";
                let of = [("inquiry", inquiry.get("inquiry_id").unwrap_or_default()), ("token", token)];
                !self.rows.all(select, &of).await?.is_empty()
            }
            None => false,
        };
        let because = match brought {
            true => "it brought the token that the deal carries".to_string(),
            false => format!(
                "the person's latest inquiry in the {} days before the deal was made",
                self.settings.lookback_days
            ),
        };
        self.line("inquiry", "inquiries", inquiry.text("inquiry_id"), "ts", inquiry, because);
        Ok(row)
    }

    async fn messages(&mut self, inquiry: &Row) -> Result<()> {
        let select = "SELECT m.platform, m.message_id, m.ts, m.text, m.user_id, m.conversation_id, m.token, m.token_state, \
                      r.link_ref FROM messages AS m LEFT JOIN in_messages AS r \
                        ON r.platform = m.platform AND r.message_id = m.message_id \
                      WHERE m.inquiry_id = $inquiry AND m.direction = 'in' ORDER BY m.ts, m.message_id";
        let messages = self.rows.all(select, &[("inquiry", &inquiry.text("inquiry_id"))]).await?;
        let by_token = matches!(inquiry.get("match_method"), Some("token" | "deeplink"));
        for (i, row) in messages.iter().enumerate() {
            let has_token = row.get("token").is_some();
            if i > 0 && !has_token {
                continue;
            }
            let key = format!("{}:{}", row.text("platform"), row.text("message_id"));
            let because = if i == 0 { "it opened the inquiry" } else { "it carries a visit token" };
            self.line("message", "in_messages", key.clone(), "ts", row, because);
            if has_token {
                if by_token {
                    self.token_line(row, key);
                }
                break;
            }
        }
        if !by_token {
            self.no_token(&messages, inquiry).await?;
        }
        Ok(())
    }

    /// A token that held: where it stood, and why it counts.
    fn token_line(&mut self, message: &Row, key: String) {
        let token = message.text("token");
        let because = match (message.get("link_ref"), message.get("token_state")) {
            (Some(_), _) => {
                "it came in the hidden part of the link that opened the chat, and its check symbol fits"
            }
            (None, Some("edited")) => "brackets or label are lost, but the eleven symbols check",
            _ => "it stands in its brackets in the text, and its check symbol fits",
        };
        self.lines.push(Line {
            step: "token",
            at: message.get("ts").map(str::to_string),
            table: "in_messages",
            key,
            facts: [("token", Some(token.as_str())), ("token_state", message.get("token_state"))]
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_string(), value?.to_string())))
                .collect(),
            because: because.into(),
        });
    }

    async fn matched_touch(&mut self, inquiry: &Row) -> Result<Option<Row>> {
        let Some(touch_id) = inquiry.get("touch_id").map(str::to_string) else { return Ok(None) };
        let because = match inquiry.get("match_method") {
            Some("token") => "match_method token: the message carries the token of this visit",
            Some("deeplink") => "match_method deeplink: the chat was opened by its link",
            Some("ad_referral") => "match_method ad_referral: the chat was opened from this ad",
            Some("identity") => {
                "match_method identity: the last touch of a known person within the look-back"
            }
            Some("time_window") => {
                "match_method time_window: the only click on a link to this number shortly before"
            }
            _ => "matched",
        };
        self.touch(&touch_id, because).await
    }

    async fn touch(&mut self, touch_id: &str, because: &str) -> Result<Option<Row>> {
        let select = "SELECT t.touch_id, t.ts, t.date, t.kind, t.visit_id, t.channel_id, t.keyword, t.page_key, t.person_id, \
                      k.campaign_id, k.campaign, k.ad_id, k.ad, k.source, k.medium \
                      FROM touches AS t LEFT JOIN dim_campaign AS k ON k.campaign_key = t.campaign_key \
                      WHERE t.touch_id = $touch";
        let Some(touch) = self.rows.all(select, &[("touch", touch_id)]).await?.into_iter().next() else {
            return Ok(None);
        };
        match touch.get("visit_id") {
            Some(visit_id) => {
                let select = "SELECT visit_id, started_at, account, token, ym_client_id, ga_client_id, source, medium, campaign_id, \
                              campaign, ad, keyword, referrer, entrance_page, yclid, gclid, device, region \
                              FROM in_visits WHERE visit_id = $visit";
                let rows = self.rows.all(select, &[("visit", visit_id)]).await?;
                if let Some(visit) = rows.first() {
                    let because = format!("{because}; its channel is {}", touch.text("channel_id"));
                    self.line("visit", "in_visits", visit_id.to_string(), "started_at", visit, because);
                }
            }
            None => self.line("touch", "touches", touch_id.to_string(), "ts", &touch, because),
        }
        Ok(Some(touch))
    }

    async fn costs(&mut self, touch: &Row) -> Result<()> {
        let select = "SELECT r.date, r.system, k.account, k.campaign_id, k.campaign, k.ad_id, k.ad, k.keyword, k.source, k.medium, \
                      r.cost_kind, r.impressions, r.clicks, r.cost, r.channel_id, r.campaign_key \
                      FROM costs AS r JOIN dim_campaign AS k ON k.campaign_key = r.campaign_key \
                      WHERE r.date = CAST($date AS DATE) AND ( \
                        (lower(k.source) = lower($source) AND lower(k.medium) = lower($medium) AND lower(k.campaign) = lower($campaign)) \
                        OR k.campaign_id = $campaign_id OR k.campaign_id = $campaign) \
                      AND (k.ad IS NULL OR $ad = '' OR lower(k.ad) = lower($ad)) \
                      AND (k.keyword IS NULL OR $keyword = '' OR lower(k.keyword) = lower($keyword)) \
                      ORDER BY CASE WHEN k.keyword IS NULL THEN 1 ELSE 0 END, CASE WHEN k.ad IS NULL THEN 1 ELSE 0 END, \
                        r.campaign_key, r.cost_kind, r.currency";
        let value = |name: &str| touch.get(name).unwrap_or("").to_string();
        let params: Vec<(&str, String)> =
            ["date", "source", "medium", "campaign", "campaign_id", "ad", "keyword"]
                .map(|n| (n, value(n)))
                .into();
        let params: Vec<(&str, &str)> = params.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let costs = self.rows.all(select, &params).await?;
        for row in &costs {
            let key = format!("{} {} {}", row.text("date"), row.text("system"), row.text("campaign_key"));
            let because = "same day, source, medium and campaign as the touch";
            self.line("cost", "costs", key, "date", row, because);
        }
        if costs.is_empty() {
            self.no_costs(touch).await?;
        }
        Ok(())
    }

    async fn refunds(&mut self, conversions: &[Row]) -> Result<()> {
        let ids: Vec<&str> = conversions.iter().filter_map(|c| c.get("conversion_id")).collect();
        let select = "SELECT refund_id, ts, value_minor, currency, conversion_id, deal_id FROM in_refunds \
                      WHERE deal_id = $deal OR conversion_id = $conversion ORDER BY ts, refund_id";
        let mut seen: Vec<String> = Vec::new();
        for id in ids.into_iter().chain([""]) {
            for row in self.rows.all(select, &[("deal", &self.deal_id), ("conversion", id)]).await? {
                let key = row.text("refund_id");
                if !seen.contains(&key) {
                    seen.push(key.clone());
                    let because = "it lowers the net of the conversion; shares stay";
                    self.line("refund", "in_refunds", key, "ts", &row, because);
                }
            }
        }
        Ok(())
    }

    fn person_id(&self, conversions: &[Row], contact: Option<&Row>, inquiry: Option<&Row>) -> Option<String> {
        let of = |row: Option<&Row>| row.and_then(|r| r.get("person_id")).map(str::to_string);
        of(contact).or_else(|| conversions.iter().find_map(|c| of(Some(c)))).or_else(|| of(inquiry))
    }
}
