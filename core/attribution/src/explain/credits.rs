//! What each model gave each touch of a deal's conversions.

use serde::Serialize;
use throughline_core::Result;

use crate::rows::Rows;
use crate::settings::Model;

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

pub(super) async fn of_deal(rows: &Rows<'_>, deal_id: &str) -> Result<Vec<Credit>> {
    let select = "SELECT a.conversion_id, a.model, a.touch_index, a.touch_id, a.touch_ts, a.channel_id, k.campaign, \
                  a.credit, a.gross, a.net \
                  FROM attribution AS a JOIN conversions AS c ON c.conversion_id = a.conversion_id \
                  LEFT JOIN dim_campaign AS k ON k.campaign_key = a.campaign_key \
                  WHERE c.crm_deal_id = $deal ORDER BY c.ts, a.conversion_id, a.model, a.touch_index";
    let rows = rows.all(select, &[("deal", deal_id)]).await?;
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
                touch_index: r.int("touch_index").unwrap_or(0),
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
