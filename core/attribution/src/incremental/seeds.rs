//! What touches a group: records that are new, gone or changed, ads whose words changed, inquiries that were open.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use rustc_hash::FxHashSet;
use throughline_core::Result;
use throughline_core::canonical;
use throughline_sql::TableRef;

use super::difference::{Versions, within};
use super::groups::Groups;
use super::nodes::{GROUPED, Records, openers};
use super::{Before, Perhaps, whole};
use crate::canon;
use crate::host::texts;
use crate::runner::Runner;

/// The groups that something touches, before anything is known of who else is in them.
pub(super) struct Touched {
    pub groups: Groups,
    pub versions: BTreeMap<&'static str, Versions>,
    pub differing: usize,
}

pub(super) async fn touched(
    runner: &mut Runner<'_>,
    before: &Before,
    now: &BTreeMap<&'static str, TableRef>,
) -> Result<Perhaps<Touched>> {
    if let Some(because) = ties_by_name(runner).await? {
        return whole(because);
    }
    let mut touched = Touched { groups: Groups::default(), versions: BTreeMap::new(), differing: 0 };
    let mut nodes = Vec::new();
    for (table, columns) in GROUPED {
        let (Some(was), Some(is)) = (before.canonical.get(*table), now.get(table)) else {
            return whole(format!("{table} of the epoch before is gone"));
        };
        let versions = Versions::of(was, is)?;
        let Some(difference) = within(runner, &versions).await? else {
            return whole(format!("{table} was written anew and is too large to be compared"));
        };
        touched.differing += difference.rows();
        for batch in difference.gone.iter().chain(&difference.new) {
            let records = Records::of(table, columns, batch)?;
            for row in 0..batch.num_rows() {
                records.nodes(row, &mut nodes);
                touched.groups.touch(&nodes);
            }
        }
        touched.versions.insert(table, versions);
    }
    if let Some(because) = rates(runner, before, now).await? {
        return whole(because);
    }
    if let Some(because) = ads(runner, before, now, &mut touched).await? {
        return whole(because);
    }
    open_inquiries(runner, before, &mut touched.groups).await?;
    Ok(Ok(touched))
}

/// Prepared records that name a person or a touch as we do are tied to it by a name no record holds.
async fn ties_by_name(runner: &Runner<'_>) -> Result<Option<String>> {
    let ours = runner
        .number(
            "SELECT count(*) FROM (SELECT person_id FROM c_touches UNION ALL SELECT person_id FROM c_conversions) AS p \
             WHERE substr(person_id, 1, 2) = 'p_' AND length(person_id) = 18",
        )
        .await?;
    let touches = runner.number("SELECT count(*) FROM c_touches WHERE position(':' IN touch_id) > 0").await?;
    Ok((ours + touches > 0).then(|| "prepared touches or conversions carry names as we give them".into()))
}

/// A rate that changed changes money everywhere; one that is new, what had none.
async fn rates(
    runner: &mut Runner<'_>,
    before: &Before,
    now: &BTreeMap<&'static str, TableRef>,
) -> Result<Option<String>> {
    let (Some(was), Some(is)) = (before.canonical.get("exchange_rates"), now.get("exchange_rates")) else {
        return Ok(Some("exchange_rates of the epoch before is gone".into()));
    };
    let Some(difference) = within(runner, &Versions::of(was, is)?).await? else {
        return Ok(Some("there are too many exchange rates to be compared".into()));
    };
    if !difference.gone.is_empty() {
        return Ok(Some("an exchange rate of before is changed or gone".into()));
    }
    if difference.new.is_empty() {
        return Ok(None);
    }
    let mut without = 0;
    for (table, select) in [
        ("state_told", "SELECT count(*) FROM i_without WHERE code = 'price_without_rate' AND records > 0"),
        ("inquiries", "SELECT count(*) FROM i_without WHERE crm_deal_id IS NOT NULL AND deal_value IS NULL"),
    ] {
        if let Some(rows) = before.tables.get(table) {
            runner.bind("i_without", rows).await?;
            without += runner.number(select).await?;
        }
    }
    Ok((without > 0).then(|| "exchange rates came, and there is money that had none".into()))
}

/// People who came by an ad whose words in the costs changed.
async fn ads(
    runner: &mut Runner<'_>,
    before: &Before,
    now: &BTreeMap<&'static str, TableRef>,
    touched: &mut Touched,
) -> Result<Option<String>> {
    let (Some(was), Some(is), Some(spec)) =
        (before.canonical.get("costs"), now.get("costs"), canonical::table("costs"))
    else {
        return Ok(Some("costs of the epoch before are gone".into()));
    };
    let mut words = Vec::new();
    for costs in [was, is] {
        runner.bind("i_costs", costs).await?;
        runner.view("c_costs", &canon::view_select(spec, "i_costs")).await?;
        words.push(runner.hold("i_ad", include_str!("../steps/49_ads.sql")).await?);
    }
    let Some(difference) = within(runner, &Versions::of(&words[0], &words[1])?).await? else {
        return Ok(Some("there are too many ads to be compared".into()));
    };
    let mut changed: FxHashSet<String> = FxHashSet::default();
    for batch in difference.gone.iter().chain(&difference.new) {
        changed.extend(texts(batch, "ad_id")?.iter().flatten().map(str::to_string));
    }
    if changed.is_empty() {
        return Ok(None);
    }
    let (table, columns) = GROUPED.iter().find(|(t, _)| *t == "messages").copied().unwrap_or_default();
    let select = format!("SELECT {}, ad_id FROM i_messages WHERE ad_id IS NOT NULL", columns.join(", "));
    let mut nodes = Vec::new();
    for messages in [before.canonical.get("messages"), now.get("messages")].into_iter().flatten() {
        runner.bind("i_messages", messages).await?;
        let mut rows = runner.read(&select).await?;
        while let Some(batch) = rows.try_next().await? {
            let (records, ads) = (Records::of(table, columns, &batch)?, texts(&batch, "ad_id")?);
            for row in 0..batch.num_rows() {
                if changed.contains(ads.value(row)) {
                    records.nodes(row, &mut nodes);
                    touched.groups.touch(&nodes);
                }
            }
        }
    }
    Ok(None)
}

/// Inquiries that were open may have closed since.
async fn open_inquiries(runner: &Runner<'_>, before: &Before, groups: &mut Groups) -> Result<()> {
    let Some(inquiries) = before.tables.get("inquiries") else { return Ok(()) };
    runner.bind("i_inquiries", inquiries).await?;
    let mut rows = runner.read("SELECT inquiry_id FROM i_inquiries WHERE closed_ts IS NULL").await?;
    while let Some(batch) = rows.try_next().await? {
        for id in texts(&batch, "inquiry_id")?.iter().flatten() {
            for opener in openers(id) {
                groups.touch(&[opener]);
            }
        }
    }
    Ok(())
}
