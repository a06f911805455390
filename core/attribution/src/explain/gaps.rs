//! What is missing from a line, and what would have matched.

use std::collections::{HashMap, VecDeque};

use throughline_core::Result;

use super::{Line, Story, token};
use crate::rows::{Row, micros};
use crate::ties::{self, Identifier, Tie};

const DAY_US: f64 = 86_400_000_000.0;

impl Story<'_> {
    /// Why the token ladder's first rung did not hold.
    pub(super) async fn no_token(&mut self, messages: &[Row], inquiry: &Row) -> Result<()> {
        if !matches!(inquiry.get("match_method"), Some("none" | "identity" | "time_window")) {
            return Ok(());
        }
        match messages.iter().find_map(|m| m.get("token")) {
            Some(token) => self.token_without_match(token, inquiry).await?,
            None => self.no_valid_token(messages, inquiry).await?,
        }
        if inquiry.get("match_method") == Some("none") {
            let (missing, would_match) =
                self.no_touch_before(inquiry.get("person_id"), inquiry.get("ts")).await?;
            self.gap("touch", missing, would_match);
        }
        Ok(())
    }

    async fn no_valid_token(&mut self, messages: &[Row], inquiry: &Row) -> Result<()> {
        const WOULD: &str = "the prepared text of a link from the site, sent with its [ID:...] unchanged";
        let broken = messages.iter().find_map(|m| Some((m, token::broken(m.get("text")?)?)));
        let Some((message, broken)) = broken else {
            let invalid = messages.first().is_some_and(|m| m.get("token_state") == Some("invalid"));
            let missing = match invalid {
                true => "the first message holds something like a token that does not check",
                false => "the first message holds no visit token",
            };
            self.gap("token", missing, WOULD);
            return Ok(());
        };
        let place = format!("{}:{}", message.text("platform"), message.text("message_id"));
        // One symbol changed, lost or added: a visit whose token is that near, shortly before.
        let select = "SELECT visit_id, token, started_at FROM in_visits WHERE token IS NOT NULL \
                      AND levenshtein(token, $symbols) <= 1 AND started_at <= CAST($at AS TIMESTAMP) \
                      ORDER BY started_at DESC, visit_id LIMIT 3";
        let at = inquiry.text("ts");
        let near = self.rows.all(select, &[("symbols", &broken.symbols), ("at", &at)]).await?;
        let would = match near.is_empty() {
            true => WOULD.to_string(),
            false => format!(
                "unchanged it may have been {}; which of the symbols was changed nobody can say, so it counts for none",
                near.iter()
                    .map(|v| format!(
                        "{} of visit {} ({})",
                        v.text("token"),
                        v.text("visit_id"),
                        v.text("started_at")
                    ))
                    .collect::<Vec<_>>()
                    .join(" or ")
            ),
        };
        self.gap(
            "token",
            format!("the token {:?} of {place} does not check: {}", broken.written, broken.problem),
            would,
        );
        Ok(())
    }

    /// A good token that leads nowhere.
    async fn token_without_match(&mut self, token: &str, inquiry: &Row) -> Result<()> {
        let select = "SELECT visit_id, max(started_at) AS at FROM ( \
                        SELECT v.visit_id, v.started_at FROM in_visits AS v WHERE v.token = $token \
                        UNION ALL SELECT h.visit_id, h.at AS started_at FROM in_hits AS h \
                        WHERE h.token = $token AND h.visit_id IS NOT NULL) AS s GROUP BY visit_id ORDER BY at, visit_id";
        let visits = self.rows.all(select, &[("token", token)]).await?;
        match visits.as_slice() {
            [] => {
                let latest = self.rows.all("SELECT max(started_at) AS at FROM in_visits", &[]).await?;
                let latest = latest.first().and_then(|r| r.get("at")).map(str::to_string);
                let would = match latest {
                    Some(at) => format!(
                        "the visit that made the token, from web analytics (the latest visit read is of {at}); check its counter \
                         and the days that are read"
                    ),
                    None => "the visit that made the token: no visits were read at all".to_string(),
                };
                self.gap(
                    "token",
                    format!("token {token} checks but belongs to no visit that was read"),
                    would,
                );
            }
            [visit] => {
                let select = "SELECT platform, message_id, ts, user_id, conversation_id FROM messages \
                              WHERE token = $token AND direction = 'in' ORDER BY ts, message_id LIMIT 1";
                let first = self.rows.all(select, &[("token", token)]).await?;
                let first =
                    first.first().filter(|m| m.get("conversation_id") != inquiry.get("conversation_id"));
                let by = first.map_or(String::new(), |m| {
                    format!(
                        ": {} wrote with it at {} ({}:{})",
                        m.get("user_id").or(m.get("conversation_id")).unwrap_or("somebody"),
                        m.text("ts"),
                        m.text("platform"),
                        m.text("message_id")
                    )
                });
                let visit = visit.text("visit_id");
                self.gap(
                    "token",
                    format!("token {token} of visit {visit} came first from somebody else{by}"),
                    "a token of this person's own visit: a forwarded message keeps the token of the first writer",
                );
            }
            many => self.gap(
                "token",
                format!(
                    "token {token} was seen on {} visits and matches none: {}",
                    many.len(),
                    many.iter().take(5).map(|v| v.text("visit_id")).collect::<Vec<_>>().join(", ")
                ),
                "a token that one visit alone carries",
            ),
        }
        Ok(())
    }

    /// Why a person had no touch that counts before `at`.
    async fn no_touch_before(&self, person: Option<&str>, at: Option<&str>) -> Result<(String, String)> {
        const WOULD: &str =
            "a visit, broadcast, deep link or ad referral of the same person within the look-back";
        let (Some(person), Some(at_us)) = (person, at.and_then(micros)) else {
            return Ok(("nothing tells whose it is, so no touch can be its".into(), WOULD.into()));
        };
        let days = self.settings.lookback_days;
        let touches = "SELECT touch_id, ts, channel_id FROM touches WHERE person_id = $person ORDER BY ts DESC, touch_id DESC";
        let touches = self.rows.all(touches, &[("person", person)]).await?;
        let before = touches.iter().find(|t| t.get("ts").and_then(micros).is_some_and(|us| us <= at_us));
        if let Some((touch, us)) = before.and_then(|t| Some((t, t.get("ts").and_then(micros)?))) {
            let age = (at_us - us) as f64 / DAY_US;
            return Ok((
                format!(
                    "the person is known, but the last touch, {} of {} ({}), is {:.1} days older than the look-back of {days} days",
                    touch.text("touch_id"),
                    touch.text("ts"),
                    touch.text("channel_id"),
                    age - f64::from(days)
                ),
                format!("a touch within {days} days, or lookback_days = {} or more", age.ceil()),
            ));
        }
        if let Some(first) = touches.last() {
            return Ok((
                format!(
                    "the person's first touch, {} of {}, came later",
                    first.text("touch_id"),
                    first.text("ts")
                ),
                WOULD.into(),
            ));
        }
        Ok((format!("no touch of the person ({person}) is known at all"), WOULD.into()))
    }

    /// Why no inquiry leads to the deal.
    pub(super) async fn no_inquiry(&mut self, deal: &Row, person: Option<&str>) -> Result<()> {
        const WOULD: &str = "a conversation of the deal's person (same phone, messenger account or contact) opened within the \
                             look-back before the deal, or a message with the deal's own token";
        let inquiries = match person {
            Some(person) => {
                let select = "SELECT inquiry_id, ts FROM inquiries WHERE person_id = $person ORDER BY ts DESC, inquiry_id";
                self.rows.all(select, &[("person", person)]).await?
            }
            None => Vec::new(),
        };
        let made_us = deal.get("created_at").and_then(micros);
        let told = |row: &Row| format!("{} of {}", row.text("inquiry_id"), row.text("ts"));
        let before = inquiries.iter().find(|q| q.get("ts").and_then(micros) <= made_us);
        let missing = match (before, inquiries.last(), person) {
            (Some(q), _, _) => {
                let age =
                    q.get("ts").and_then(micros).zip(made_us).map_or(0.0, |(a, b)| (b - a) as f64 / DAY_US);
                format!(
                    "the person's last inquiry before the deal, {}, is {:.1} days older than the look-back of {} days",
                    told(q),
                    age - f64::from(self.settings.lookback_days),
                    self.settings.lookback_days
                )
            }
            (None, Some(q), _) => {
                format!("the person's first inquiry, {}, came after the deal was made", told(q))
            }
            (None, None, Some(_)) => "the deal's person has never written, as far as is known".to_string(),
            (None, None, None) => {
                "no inquiry leads to this deal, since nothing tells whose it is".to_string()
            }
        };
        self.gap("inquiry", missing, WOULD);
        Ok(())
    }

    /// The touch to begin the line with when no inquiry names one.
    pub(super) async fn credited_touch(
        &mut self,
        deal: &Row,
        conversions: &[Row],
        person: Option<&str>,
    ) -> Result<Option<Row>> {
        let select = "SELECT a.touch_id FROM attribution AS a JOIN conversions AS c ON c.conversion_id = a.conversion_id \
                      WHERE c.crm_deal_id = $deal AND a.touch_id IS NOT NULL AND a.credit > 0 \
                      ORDER BY CASE WHEN a.model = 'last_touch' THEN 0 ELSE 1 END, a.touch_ts DESC, a.touch_index DESC";
        if let Some(row) = self.rows.all(select, &[("deal", &self.deal_id)]).await?.into_iter().next() {
            return self
                .touch(&row.text("touch_id"), "identity: the person's last touch before the conversion")
                .await;
        }
        let at = conversions.first().and_then(|c| c.get("ts")).or(deal.get("created_at"));
        let (missing, would_match) = self.no_touch_before(person, at).await?;
        self.gap("touch", format!("{missing}; the deal's channel is (none)"), would_match);
        Ok(None)
    }

    /// Why nothing was paid for the touch, as far as is known.
    pub(super) async fn no_costs(&mut self, touch: &Row) -> Result<()> {
        const WOULD: &str =
            "a cost row of the same day with the same source, medium and campaign, or the campaign's id";
        let words: Vec<String> = ["source", "medium", "campaign"]
            .iter()
            .filter_map(|n| touch.get(n))
            .map(str::to_string)
            .collect();
        if touch.get("campaign").is_none() && touch.get("campaign_id").is_none() {
            self.gap("cost", "the touch names no campaign that could have cost anything", WOULD);
            return Ok(());
        }
        // The same campaign on another day tells a gap in the costs from a name that never matches.
        let select = "SELECT r.date FROM costs AS r JOIN dim_campaign AS k ON k.campaign_key = r.campaign_key \
                      WHERE lower(k.campaign) = lower($campaign) OR k.campaign_id = $campaign OR k.campaign_id = $id \
                      ORDER BY abs(arrow_cast(arrow_cast(r.date, 'Int32'), 'Int64') \
                        - arrow_cast(arrow_cast(CAST($date AS DATE), 'Int32'), 'Int64')), r.date LIMIT 1";
        let value = |name: &str| touch.get(name).unwrap_or("").to_string();
        let (campaign, id, date) = (value("campaign"), value("campaign_id"), value("date"));
        let near = self.rows.all(select, &[("campaign", &campaign), ("id", &id), ("date", &date)]).await?;
        let also = match near.first() {
            Some(row) => format!("; the campaign has costs on {}", row.text("date")),
            None => "; the campaign has no costs on any day".to_string(),
        };
        self.gap("cost", format!("no cost row of {date} for {}{also}", words.join(" / ")), WOULD);
        Ok(())
    }

    pub(super) fn no_conversion(&mut self, deal: &Row, conversions: &[Row]) {
        if !conversions.is_empty() {
            return;
        }
        const WOULD: &str = "a creation or winning within [attribution] from and to, of a type that `conversions` lists, of a \
                             deal that is not deleted";
        if deal.get("is_deleted") == Some("true") {
            self.gap("conversion", "the deal is deleted in the CRM, so it gives no conversion", WOULD);
        } else {
            self.gap("conversion", "the deal gave no conversion within the report window", WOULD);
        }
    }

    /// Tells by which records the one who wrote and the deal's contact are one person, or that they are not.
    pub(super) async fn same_person(&mut self, contact: Option<&Row>, inquiry: Option<&Row>) -> Result<()> {
        let Some(contact) = contact else { return Ok(()) };
        let contact_id = Identifier::new("crm_contact", contact.text("contact_id"));
        let Some(inquiry) = inquiry else {
            if contact.get("phone_e164").is_none() && contact.get("email").is_none() {
                self.gap(
                    "person",
                    format!("the contact {} has neither phone nor e-mail, so nothing ties it to a chat or a visit", contact_id.id_value),
                    "a phone or an e-mail of the contact that the customer also writes from",
                );
            }
            return Ok(());
        };
        let platform = inquiry.text("platform");
        let kind = match platform.as_str() {
            "whatsapp" => "wa_user".to_string(),
            "telegram" => "tg_user".to_string(),
            "vk" => "vk_user".to_string(),
            "viber" => "viber_user".to_string(),
            "facebook" => "fb_psid".to_string(),
            other => format!("{other}_user"),
        };
        let value = inquiry.get("messenger_user_id").or(inquiry.get("conversation_id")).unwrap_or_default();
        let writer = Identifier::new(kind, value);
        ties::bind(self.rows.engine).await?;
        let path = path_between(&self.rows, &writer, &contact_id).await?;
        match path {
            Some(path) => {
                let told: Vec<(String, String)> = path
                    .iter()
                    .map(|t| {
                        (
                            format!("{} = {}", t.left, t.right),
                            format!("{} ({} {})", t.because, t.table, t.record),
                        )
                    })
                    .collect();
                self.lines.push(Line {
                    step: "person",
                    at: path.iter().filter_map(|t| t.at.clone()).max(),
                    table: "identity_map",
                    key: contact.text("person_id"),
                    facts: told,
                    because: "these records tie who wrote to the deal's contact".into(),
                });
            }
            None => self.gap(
                "person",
                format!("{writer} and {contact_id} are tied by no record; the deal's token alone joins them"),
                "the phone the customer writes from on the contact in the CRM",
            ),
        }
        Ok(())
    }
}

/// The shortest chain of ties between two identifiers, passing over shared ones.
async fn path_between(
    rows: &crate::rows::Rows<'_>,
    from: &Identifier,
    to: &Identifier,
) -> Result<Option<Vec<Tie>>> {
    let select = "SELECT id_type, id_value, is_shared FROM identity_map WHERE person_id IN ( \
                    SELECT person_id FROM identity_map WHERE id_type = $type AND id_value = $value)";
    let known = rows.all(select, &[("type", &to.id_type), ("value", &to.id_value)]).await?;
    let own: Vec<Identifier> = known
        .iter()
        .filter(|r| r.get("is_shared") != Some("true"))
        .map(|r| Identifier::new(r.text("id_type"), r.text("id_value")))
        .collect();
    let ties = ties::ties(rows.engine, &own).await?;
    let mut reached: HashMap<Identifier, Option<&Tie>> = HashMap::from([(from.clone(), None)]);
    let mut queue = VecDeque::from([from.clone()]);
    while let Some(at) = queue.pop_front() {
        if &at == to {
            let mut path = Vec::new();
            let mut end = at;
            while let Some(Some(tie)) = reached.get(&end) {
                path.push((*tie).clone());
                end = tie.other(&end).clone();
            }
            path.reverse();
            return Ok(Some(path));
        }
        for tie in ties.iter().filter(|t| t.left == at || t.right == at) {
            let next = tie.other(&at);
            if own.contains(next) && !reached.contains_key(next) {
                reached.insert(next.clone(), Some(tie));
                queue.push_back(next.clone());
            }
        }
    }
    Ok(None)
}
