//! Which deal is meant, and what else its person bought.

use serde::Serialize;
use throughline_core::{Error, ErrorKind, Result};

use crate::rows::Rows;

/// Another deal of the same person.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OtherDeal {
    pub deal_id: String,
    pub created_at: Option<String>,
    pub state: String,
    /// Of what it brought, in the reporting currency; none for one that is not won.
    pub net: Option<String>,
}

/// So many other deals are told.
const OTHER_DEALS: usize = 10;

pub(super) async fn find_deal(rows: &Rows<'_>, deal: &str) -> Result<String> {
    let exact = rows.all("SELECT deal_id FROM in_deals WHERE deal_id = $deal", &[("deal", deal)]).await?;
    if let Some(row) = exact.first() {
        return Ok(row.text("deal_id"));
    }
    let like = "SELECT deal_id FROM in_deals WHERE length(deal_id) > length($end) \
                AND substr(deal_id, length(deal_id) - length($end) + 1) = $end ORDER BY deal_id LIMIT 20";
    let found = rows.all(like, &[("end", &format!(":{deal}"))]).await?;
    match found.as_slice() {
        [one] => Ok(one.text("deal_id")),
        [] => Err(unknown(rows, deal).await?),
        many => Err(Error::new(
            ErrorKind::NotFound,
            format!(
                "`{deal}` is the end of {}{} deal ids",
                if many.len() < 20 { "" } else { "at least " },
                many.len()
            ),
        )
        .hint(format!(
            "name one of {}",
            many.iter().map(|r| r.text("deal_id")).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// Says which deals have an id much like it, by the number that people type.
async fn unknown(rows: &Rows<'_>, deal: &str) -> Result<Error> {
    let error = Error::new(ErrorKind::NotFound, format!("no deal `{deal}` is known"));
    // Perhaps it is not a deal.
    let other = "SELECT 'a contact' AS what FROM in_contacts WHERE contact_id = $id OR contact_id LIKE '%:' || $id \
                 UNION ALL SELECT 'an inquiry' AS what FROM inquiries WHERE inquiry_id = $id \
                 UNION ALL SELECT 'a visit' AS what FROM in_visits WHERE visit_id = $id LIMIT 1";
    let other = rows.all(other, &[("id", deal)]).await?;
    if let Some(row) = other.first() {
        return Ok(error.hint(format!("it is {}; explain takes a deal", row.text("what"))));
    }
    // The part behind the last colon, of the question and of the ids.
    let end = deal.rsplit(':').next().unwrap_or(deal);
    let near = "SELECT deal_id FROM ( \
                  SELECT deal_id, levenshtein(CASE WHEN strpos(deal_id, ':') = 0 THEN deal_id \
                    ELSE reverse(split_part(reverse(deal_id), ':', 1)) END, $end) AS distance FROM in_deals) AS d \
                WHERE distance <= CASE WHEN length($end) < 2 THEN 0 WHEN length($end) < 6 THEN 1 ELSE 2 END ORDER BY distance, deal_id LIMIT 3";
    let near = rows.all(near, &[("end", end)]).await?;
    if !near.is_empty() {
        let list: Vec<String> = near.iter().map(|r| r.text("deal_id")).collect();
        return Ok(error.hint(format!("near ones: {}", list.join(", "))));
    }
    let count = rows.all("SELECT count(*) AS n FROM in_deals", &[]).await?;
    let count = count.first().and_then(|r| r.int("n")).unwrap_or(0);
    Ok(match count {
        0 => error.hint("no deals were read at all: run the pipeline with a source that gives them"),
        _ => error.hint(
            "deals are named <source>:<account>:<id>, or by the CRM's own id; a deal made after the last run is not \
             known yet",
        ),
    })
}

pub(super) async fn other_deals(
    rows: &Rows<'_>,
    deal_id: &str,
    person_id: Option<&str>,
) -> Result<Vec<OtherDeal>> {
    let Some(person_id) = person_id else { return Ok(Vec::new()) };
    let select = format!(
        "SELECT d.deal_id, d.created_at, d.state, w.net FROM in_deals AS d \
         JOIN (SELECT crm_deal_id, max(CASE WHEN type = 'won' THEN value_net END) AS net FROM conversions \
           WHERE person_id = $person AND crm_deal_id IS NOT NULL GROUP BY crm_deal_id) AS w ON w.crm_deal_id = d.deal_id \
         WHERE d.deal_id <> $deal ORDER BY d.created_at DESC, d.deal_id LIMIT {OTHER_DEALS}"
    );
    let found = rows.all(&select, &[("person", person_id), ("deal", deal_id)]).await?;
    Ok(found
        .iter()
        .map(|r| OtherDeal {
            deal_id: r.text("deal_id"),
            created_at: r.get("created_at").map(str::to_string),
            state: r.text("state"),
            net: r.get("net").map(str::to_string),
        })
        .collect())
}
