//! One deal's whole line, from what was paid to what came back: every record it rests on, by table and
//! key, the rule that joined each to the next, and what is missing.

use arrow::array::Array;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use futures::TryStreamExt;
use serde::Serialize;
use throughline_core::{Error, ErrorKind, Param, Result};
use throughline_sql::SqlEngine;

use crate::settings::Model;

/// Everything known of how a deal came to be.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    pub deal_id: String,
    /// In the order of the story: cost, visit, message, inquiry, contact, deal, conversions.
    pub lines: Vec<Line>,
    /// Every model's share for every touch of every conversion of the deal.
    pub credits: Vec<Credit>,
    /// What is missing from the line and what would have filled it.
    pub gaps: Vec<Gap>,
}

/// One record of the line.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// cost, visit, touch, message, inquiry, contact, deal, conversion
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
pub struct Credit {
    pub conversion_id: String,
    pub model: String,
    pub touch_index: i64,
    pub touch_id: Option<String>,
    pub touch_at: Option<String>,
    pub channel_id: String,
    pub campaign: Option<String>,
    pub credit: f64,
    /// Decimal text in the reporting currency.
    pub gross: String,
    pub net: String,
    /// What the model goes by.
    pub rule: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Gap {
    pub step: &'static str,
    pub missing: String,
    pub would_match: String,
}

/// Explains a deal from the output tables and canonical tables bound in `engine`. `deal` is the whole
/// deal id or its last part, the number the CRM shows.
///
/// # Errors
/// No such deal, or several whose id ends so.
pub async fn explain(engine: &dyn SqlEngine, deal: &str) -> Result<Explanation> {
    let rows = Rows { engine };
    let deal_id = find_deal(&rows, deal).await?;
    let mut story = Story { rows, deal_id, lines: Vec::new(), gaps: Vec::new() };
    let deal = story.deal().await?;
    let contact = story.contact(&deal).await?;
    let conversions = story.conversions().await?;
    let inquiry = story.inquiry(&deal).await?;
    let mut touch = None;
    if let Some(inquiry) = &inquiry {
        story.messages(inquiry).await?;
        touch = story.matched_touch(inquiry).await?;
    }
    // Without an inquiry the line starts at the touch that the last_touch model believes in.
    let touch = match touch {
        Some(touch) => Some(touch),
        None => story.credited_touch().await?,
    };
    if let Some(touch) = &touch {
        story.costs(touch).await?;
    }
    let credits = story.credits().await?;
    if conversions == 0 {
        story.gaps.push(Gap {
            step: "conversion",
            missing: "the deal gave no conversion within the report window".into(),
            would_match:
                "a creation or winning within [attribution] from and to, of a type that `conversions` lists, \
                          of a deal that is not deleted"
                    .into(),
        });
    }
    if contact.is_none() {
        story.gaps.push(Gap {
            step: "contact",
            missing: "the deal names no contact that is known".into(),
            would_match: "a main contact of the deal, read from the CRM's contacts".into(),
        });
    }
    let Story { deal_id, mut lines, gaps, .. } = story;
    const ORDER: [&str; 8] =
        ["cost", "visit", "touch", "message", "inquiry", "contact", "deal", "conversion"];
    lines.sort_by_key(|l| ORDER.iter().position(|s| *s == l.step));
    Ok(Explanation { deal_id, lines, credits, gaps })
}

async fn find_deal(rows: &Rows<'_>, deal: &str) -> Result<String> {
    let exact = rows.all("SELECT deal_id FROM in_deals WHERE deal_id = $deal", &[("deal", deal)]).await?;
    if let Some(row) = exact.first() {
        return Ok(row.text("deal_id"));
    }
    let like = "SELECT deal_id FROM in_deals WHERE length(deal_id) > length($end) \
                AND substr(deal_id, length(deal_id) - length($end) + 1) = $end ORDER BY deal_id";
    let found = rows.all(like, &[("end", &format!(":{deal}"))]).await?;
    match found.as_slice() {
        [one] => Ok(one.text("deal_id")),
        [] => Err(Error::new(ErrorKind::NotFound, format!("no deal `{deal}` is known"))
            .hint("deals are named <source>:<account>:<id>, or by the CRM's own id; run the pipeline first")),
        many => {
            Err(Error::new(ErrorKind::NotFound, format!("`{deal}` is the end of {} deal ids", many.len()))
                .hint(format!(
                    "name one of {}",
                    many.iter().map(|r| r.text("deal_id")).collect::<Vec<_>>().join(", ")
                )))
        }
    }
}

struct Story<'a> {
    rows: Rows<'a>,
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

    async fn deal(&mut self) -> Result<Row> {
        let select = "SELECT deal_id, name, state, status, pipeline, value_minor, currency, created_at, closed_at, \
                      contact_id, operator_id, token, source, medium, campaign, is_deleted \
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
        let Some((id, because)) = contact else { return Ok(None) };
        let select = "SELECT c.contact_id, c.name, c.phone_e164, c.email, c.created_at, m.person_id \
                      FROM in_contacts AS c LEFT JOIN identity_map AS m \
                      ON m.id_type = 'crm_contact' AND m.id_value = c.contact_id WHERE c.contact_id = $contact";
        let row = self.rows.all(select, &[("contact", &id)]).await?.into_iter().next();
        if let Some(row) = &row {
            self.line("contact", "in_contacts", id, "created_at", row, because);
        }
        Ok(row)
    }

    async fn conversions(&mut self) -> Result<usize> {
        let select = "SELECT conversion_id, type, ts, status, value_gross, value_net, is_new_customer, person_id, \
                      n_eligible_touches FROM conversions WHERE crm_deal_id = $deal ORDER BY ts, conversion_id";
        let rows = self.rows.all(select, &[("deal", &self.deal_id)]).await?;
        for row in &rows {
            let because = match row.get("type") {
                Some("lead") => "a deal is a lead from its creation",
                Some("qualified") => "the deal reached a qualified status",
                Some("won") => "the deal was closed and won",
                _ => "a prepared conversion names this deal",
            };
            self.line("conversion", "conversions", row.text("conversion_id"), "ts", row, because);
        }
        Ok(rows.len())
    }

    async fn inquiry(&mut self, deal: &Row) -> Result<Option<Row>> {
        let select = "SELECT q.inquiry_id, q.ts, q.platform, q.business_number, q.conversation_id, q.person_id, \
                      q.match_method, q.token_state, q.visit_id, q.touch_id, q.channel_id, q.contact_name, \
                      q.phone_e164, q.inquiry_number \
                      FROM inquiries AS q WHERE q.inquiry_id IN ( \
                        SELECT inquiry_id FROM conversions WHERE crm_deal_id = $deal AND inquiry_id IS NOT NULL \
                        UNION SELECT inquiry_id FROM inquiries WHERE crm_deal_id = $deal) ORDER BY q.ts";
        let row = self.rows.all(select, &[("deal", &self.deal_id)]).await?.into_iter().next();
        match &row {
            Some(row) => {
                let by_token = deal.get("token").is_some();
                let because = match by_token {
                    true => "it brought the deal's own token, or is the person's latest before the deal",
                    false => "the person's latest inquiry before the deal was made",
                };
                self.line("inquiry", "inquiries", row.text("inquiry_id"), "ts", row, because);
            }
            None => self.gaps.push(Gap {
                step: "inquiry",
                missing: "no inquiry leads to this deal".into(),
                would_match:
                    "a conversation of the deal's person (same phone, messenger account or contact) opened \
                              within the look-back before the deal, or a message with the deal's own token"
                        .into(),
            }),
        }
        Ok(row)
    }

    async fn messages(&mut self, inquiry: &Row) -> Result<()> {
        let select = "SELECT platform, message_id, ts, text, user_id, token, token_state FROM messages \
                      WHERE inquiry_id = $inquiry AND direction = 'in' ORDER BY ts, message_id";
        let messages = self.rows.all(select, &[("inquiry", &inquiry.text("inquiry_id"))]).await?;
        for (i, row) in messages.iter().enumerate() {
            let has_token = row.get("token").is_some();
            if i > 0 && !has_token {
                continue;
            }
            let key = format!("{}:{}", row.text("platform"), row.text("message_id"));
            let because = if i == 0 { "it opened the inquiry" } else { "it carries a visit token" };
            self.line("message", "messages", key, "ts", row, because);
            if has_token {
                break;
            }
        }
        let token = messages.iter().find_map(|m| m.get("token"));
        if inquiry.get("match_method") == Some("none") || inquiry.get("match_method") == Some("identity") {
            self.explain_token(token, inquiry).await?;
        }
        Ok(())
    }

    /// Why the token ladder's first rung did not hold.
    async fn explain_token(&mut self, token: Option<&str>, inquiry: &Row) -> Result<()> {
        let (missing, would_match) = match token {
            None => {
                let missing = match inquiry.get("token_state") {
                    Some("invalid") => "the first message holds something like a token that does not check",
                    _ => "the first message holds no visit token",
                };
                (
                    missing.to_string(),
                    "the prepared text of a link from the site, sent with its [ID:...] unchanged".to_string(),
                )
            }
            Some(token) => {
                let visits = self
                    .rows
                    .all(
                        "SELECT visit_id FROM in_visits WHERE token = $token ORDER BY visit_id",
                        &[("token", token)],
                    )
                    .await?;
                match visits.len() {
                    0 => (
                        format!("token {token} belongs to no visit that was read"),
                        "the visit that made the token, from web analytics; check its dates and counter"
                            .to_string(),
                    ),
                    1 => (
                        format!(
                            "token {token} of visit {} came first from somebody else",
                            visits[0].text("visit_id")
                        ),
                        "a token of this person's own visit".to_string(),
                    ),
                    n => (
                        format!("token {token} was seen on {n} visits and matches none"),
                        "a token that one visit alone carries".to_string(),
                    ),
                }
            }
        };
        self.gaps.push(Gap { step: "token", missing, would_match });
        if inquiry.get("match_method") == Some("none") {
            self.gaps.push(Gap {
                step: "touch",
                missing: "the person has no earlier touch within the look-back".into(),
                would_match:
                    "a visit, broadcast, deep link or ad referral of the same person before the inquiry"
                        .into(),
            });
        }
        Ok(())
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

    async fn credited_touch(&mut self) -> Result<Option<Row>> {
        let select = "SELECT a.touch_id FROM attribution AS a JOIN conversions AS c ON c.conversion_id = a.conversion_id \
                      WHERE c.crm_deal_id = $deal AND a.touch_id IS NOT NULL AND a.credit > 0 \
                      ORDER BY CASE WHEN a.model = 'last_touch' THEN 0 ELSE 1 END, a.touch_ts DESC, a.touch_index DESC";
        let Some(row) = self.rows.all(select, &[("deal", &self.deal_id)]).await?.into_iter().next() else {
            self.gaps.push(Gap {
                step: "touch",
                missing: "no touch of the deal's person lies in the look-back; the deal's channel is (none)"
                    .into(),
                would_match:
                    "a visit or other touch of the same person within the look-back before the conversion"
                        .into(),
            });
            return Ok(None);
        };
        self.touch(&row.text("touch_id"), "identity: the person's last touch before the conversion").await
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
            self.line(
                "cost",
                "costs",
                key,
                "date",
                row,
                "same day, source, medium and campaign as the touch",
            );
        }
        if costs.is_empty() {
            let words: Vec<String> = ["source", "medium", "campaign"]
                .iter()
                .filter_map(|n| touch.get(n))
                .map(str::to_string)
                .collect();
            self.gaps.push(Gap {
                step: "cost",
                missing: match words.is_empty() {
                    true => "the touch names no campaign that could have cost anything".into(),
                    false => format!("no cost row of {} for {}", value("date"), words.join(" / ")),
                },
                would_match: "a cost row of the same day with the same source, medium and campaign, or the campaign's id".into(),
            });
        }
        Ok(())
    }

    async fn credits(&self) -> Result<Vec<Credit>> {
        let select = "SELECT a.conversion_id, a.model, a.touch_index, a.touch_id, a.touch_ts, a.channel_id, k.campaign, \
                      a.credit, a.gross, a.net \
                      FROM attribution AS a JOIN conversions AS c ON c.conversion_id = a.conversion_id \
                      LEFT JOIN dim_campaign AS k ON k.campaign_key = a.campaign_key \
                      WHERE c.crm_deal_id = $deal ORDER BY c.ts, a.conversion_id, a.model, a.touch_index";
        let rows = self.rows.all(select, &[("deal", &self.deal_id)]).await?;
        Ok(rows
            .iter()
            .map(|r| {
                let model = r.text("model");
                let rule = match r.get("touch_id") {
                    None => "no touch in the look-back: channel (none)",
                    Some(_) => Model::ALL.iter().find(|m| m.as_str() == model).map_or("", |m| m.rule()),
                };
                Credit {
                    conversion_id: r.text("conversion_id"),
                    touch_index: r.text("touch_index").parse().unwrap_or(0),
                    touch_id: r.get("touch_id").map(str::to_string),
                    touch_at: r.get("touch_ts").map(str::to_string),
                    channel_id: r.text("channel_id"),
                    campaign: r.get("campaign").map(str::to_string),
                    credit: r.text("credit").parse().unwrap_or(0.0),
                    gross: r.text("gross"),
                    net: r.text("net"),
                    rule: rule.to_string(),
                    model,
                }
            })
            .collect())
    }
}

/// A row as text by column name; null columns are absent.
struct Row(Vec<(String, String)>);

impl Row {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
    fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().to_string()
    }
    fn facts(&self) -> Vec<(String, String)> {
        self.0.iter().filter(|(_, v)| !v.is_empty()).cloned().collect()
    }
}

struct Rows<'a> {
    engine: &'a dyn SqlEngine,
}

impl Rows<'_> {
    async fn all(&self, select: &str, params: &[(&str, &str)]) -> Result<Vec<Row>> {
        let params: Vec<(String, Param)> =
            params.iter().map(|(n, v)| ((*n).to_string(), Param::Text(Some((*v).to_string())))).collect();
        let mut found = Vec::new();
        let mut batches = self.engine.read(select, &params).await?;
        while let Some(batch) = batches.try_next().await? {
            let schema = batch.schema();
            let mut columns = Vec::with_capacity(batch.num_columns());
            for (field, column) in schema.fields().iter().zip(batch.columns()) {
                columns.push((field.name(), cast(column, &DataType::Utf8)?));
            }
            for row in 0..batch.num_rows() {
                let mut values = Vec::with_capacity(columns.len());
                for (name, column) in &columns {
                    if let Some(texts) = column.as_any().downcast_ref::<arrow::array::StringArray>()
                        && texts.is_valid(row)
                    {
                        values.push(((*name).clone(), texts.value(row).to_string()));
                    }
                }
                found.push(Row(values));
            }
        }
        Ok(found)
    }
}
