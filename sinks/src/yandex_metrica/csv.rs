//! Rows as lines of Metrica's CSV files, or why they cannot be.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;
use throughline_core::Result;
use throughline_core::time::InstantUs;

use super::kind::{Identifier, Kind};
use crate::upload::line::{Line, Rows, Texts, Weighed, amount};

const DAY_US: i64 = 86_400_000_000;
/// Metrica ties nothing to a visit that is older.
const WINDOW_US: i64 = 21 * DAY_US;
const PLATFORMS: [&str; 3] = ["whatsapp", "telegram", "viber"];

const NO_ID: &str = "no identifier of a visit: Metrica could not tie it to one";
const OLD: &str =
    "its visit, or it itself, is more than 21 days ago: Metrica does not tie it to a visit any more";
const FUTURE: &str = "it is in the future: it is uploaded when its time has come";

/// The first line of a file.
pub(super) fn header(kind: Kind, identifier: Identifier) -> String {
    match kind {
        Kind::OfflineConversions => format!("{},Target,DateTime,Price,Currency", identifier.theirs()),
        Kind::Chats => {
            format!("{},DateTime,ChatPlatform,ChatUsername,ChatUserID,PhoneNumber", identifier.theirs())
        }
        Kind::SimpleOrders => {
            "id,create_date_time,client_uniq_id,client_ids,emails,phones,order_status,revenue,cost,currency"
                .into()
        }
        Kind::Expenses => {
            "Date,UTMSource,UTMMedium,UTMCampaign,UTMContent,UTMTerm,Expenses,Currency,Clicks".into()
        }
    }
}

fn line(id: &str, cells: &[&str]) -> Weighed {
    let mut text = String::new();
    for (n, cell) in cells.iter().enumerate() {
        if n > 0 {
            text.push(',');
        }
        if cell.contains([',', '"', '\r', '\n']) {
            text.push('"');
            text.push_str(&cell.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(cell);
        }
    }
    Weighed::Line(Line { id: id.to_owned(), text, to: String::new() })
}

fn refused(id: &str, why: impl Into<String>) -> Weighed {
    Weighed::Refused { id: id.to_owned(), why: why.into() }
}

/// What keeps a moment, and the visit it is told of, from being uploaded now.
fn when(at: InstantUs, visit_at: Option<InstantUs>, now: InstantUs) -> Option<&'static str> {
    let oldest = visit_at.unwrap_or(at).min(at);
    if at > now {
        Some(FUTURE)
    } else if now.saturating_sub(oldest) > WINDOW_US {
        Some(OLD)
    } else {
        None
    }
}

struct Ids {
    id: Texts,
    at: Texts,
    visit_at: Texts,
    identifier: Texts,
}

impl Ids {
    fn of(rows: &Rows, identifier: Identifier) -> Result<Self> {
        Ok(Self {
            id: rows.needed("id")?,
            at: rows.needed("at")?,
            visit_at: rows.column("visit_at")?,
            identifier: rows.needed(identifier.column())?,
        })
    }

    /// Id, unix second and identifier, or why not.
    fn row(&self, row: usize, now: InstantUs) -> Result<(&str, String, &str), Weighed> {
        let id = self.id.get(row).ok_or(Weighed::Left("no id"))?;
        let at = self.at.instant(row).ok_or_else(|| refused(id, "`at` is no instant"))?;
        if let Some(why) = when(at, self.visit_at.instant(row), now) {
            return Err(Weighed::Left(why));
        }
        let identifier = self.identifier.get(row).ok_or(Weighed::Left(NO_ID))?;
        Ok((id, at.div_euclid(1_000_000).to_string(), identifier))
    }
}

pub(super) fn conversions(
    identifier: Identifier,
    targets: &BTreeMap<String, String>,
    rows: &Rows,
    now: InstantUs,
) -> Result<Vec<Weighed>> {
    let ids = Ids::of(rows, identifier)?;
    let (kind, target) = (rows.column("type")?, rows.column("target")?);
    let (price, currency) = (rows.column("price_minor")?, rows.column("currency")?);
    let weigh = |row| {
        let of_type = kind.get(row).and_then(|kind| targets.get(kind)).map(String::as_str);
        let Some(target) = target.get(row).or(of_type) else {
            return Weighed::Left("its type has no goal in `targets`");
        };
        let (id, second, identifier) = match ids.row(row, now) {
            Ok(found) => found,
            Err(weighed) => return weighed,
        };
        let (price, currency) = match (price.get(row), currency.get(row)) {
            (None, _) => (String::new(), ""),
            (Some(_), None) => return refused(id, "an amount without its currency"),
            (Some(minor), Some(currency)) => match amount(minor, currency) {
                Some(price) => (price, currency),
                None => return refused(id, format!("{minor} minor units of {currency:?} are no amount")),
            },
        };
        line(id, &[identifier, target, &second, &price, currency])
    };
    Ok((0..rows.len()).map(weigh).collect())
}

pub(super) fn chats(identifier: Identifier, rows: &Rows, now: InstantUs) -> Result<Vec<Weighed>> {
    let ids = Ids::of(rows, identifier)?;
    let platform = rows.needed("platform")?;
    let (username, user, phone) =
        (rows.column("username")?, rows.column("user_id_there")?, rows.column("phone")?);
    let weigh = |row| {
        let Some(platform) = platform.get(row).filter(|p| PLATFORMS.contains(p)) else {
            return Weighed::Left("Metrica takes chats of WhatsApp, Telegram and Viber");
        };
        let (id, second, identifier) = match ids.row(row, now) {
            Ok(found) => found,
            Err(weighed) => return weighed,
        };
        let partner = [username.get(row), user.get(row), phone.get(row)].map(Option::unwrap_or_default);
        if partner.iter().all(|p| p.is_empty()) {
            return Weighed::Left("nothing tells the customer: no user name, id or phone");
        }
        line(id, &[identifier, &second, platform, partner[0], partner[1], partner[2]])
    };
    Ok((0..rows.len()).map(weigh).collect())
}

pub(super) fn orders(zone: Tz, rows: &Rows) -> Result<Vec<Weighed>> {
    let (id, created, status) =
        (rows.needed("id")?, rows.needed("created_at")?, rows.needed("order_status")?);
    let (uniq, clients) = (rows.column("client_uniq_id")?, rows.column("client_ids")?);
    let (emails, phones) = (rows.column("emails")?, rows.column("phones")?);
    let (revenue, cost, currency) =
        (rows.column("revenue_minor")?, rows.column("cost_minor")?, rows.column("currency")?);
    let weigh = |row| {
        let Some(id) = id.get(row) else { return Weighed::Left("no id") };
        let at = created.instant(row).and_then(DateTime::from_timestamp_micros);
        let (Some(at), Some(status)) = (at, status.get(row)) else {
            return refused(id, "an order needs `created_at` and `order_status`");
        };
        let who = [clients.get(row), emails.get(row), phones.get(row)].map(Option::unwrap_or_default);
        if who.iter().all(|w| w.is_empty()) {
            return Weighed::Left("nothing tells the customer: no ClientID, e-mail or phone");
        }
        let currency = currency.get(row).unwrap_or_default();
        let money = |minor: &Texts| match minor.get(row) {
            None => Some(String::new()),
            Some(minor) => amount(minor, currency),
        };
        let (Some(revenue), Some(cost)) = (money(&revenue), money(&cost)) else {
            return refused(id, format!("an amount in {currency:?} is none"));
        };
        let created = at.with_timezone(&zone).format("%d.%m.%Y %H:%M").to_string();
        let uniq = uniq.get(row).unwrap_or_default();
        line(id, &[id, &created, uniq, who[0], who[1], who[2], status, &revenue, &cost, currency])
    };
    Ok((0..rows.len()).map(weigh).collect())
}

pub(super) fn expenses(settled_days: u32, rows: &Rows, now: InstantUs) -> Result<Vec<Weighed>> {
    let (id, day, source) = (rows.needed("id")?, rows.needed("day")?, rows.needed("source")?);
    let (minor, currency) = (rows.needed("cost_minor")?, rows.needed("currency")?);
    let marks = ["medium", "campaign", "content", "term"].map(|name| rows.column(name));
    let [medium, campaign, content, term] = marks;
    let (medium, campaign, content, term) = (medium?, campaign?, content?, term?);
    let clicks = rows.column("clicks")?;
    let today = DateTime::from_timestamp_micros(now).map(|at| at.date_naive()).unwrap_or_default();
    let weigh = |row| {
        let Some(id) = id.get(row) else { return Weighed::Left("no id") };
        let Some(day) = day.get(row).and_then(|d| d.parse::<NaiveDate>().ok()) else {
            return refused(id, "`day` is no day");
        };
        if (today - day).num_days() < i64::from(settled_days) {
            return Weighed::Left("its day is younger than `settled_days`: it is uploaded later");
        }
        let Some(source) = source.get(row) else {
            return Weighed::Left("no source: Metrica needs UTMSource for costs");
        };
        let (minor, currency) = (minor.get(row).unwrap_or("0"), currency.get(row).unwrap_or_default());
        if minor == "0" {
            return Weighed::Left("nothing was spent");
        }
        let Some(spent) = amount(minor, currency) else {
            return refused(id, format!("{minor} minor units of {currency:?} are no amount"));
        };
        let text = |of: &Texts| of.get(row).unwrap_or_default().to_owned();
        line(
            id,
            &[
                &day.to_string(),
                source,
                &text(&medium),
                &text(&campaign),
                &text(&content),
                &text(&term),
                &spent,
                currency,
                &text(&clicks),
            ],
        )
    };
    Ok((0..rows.len()).map(weigh).collect())
}
