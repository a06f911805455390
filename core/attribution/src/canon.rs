//! The edge between the canonical tables and the portable steps.
//!
//! Steps know instants as `BIGINT` microseconds and days as `BIGINT` days since the epoch, because
//! engines do not agree on anything else. Here, and only here, stands SQL that is the local engine's
//! own: on the way in a view `c_<table>` over every `in_<table>`, on the way out the casts of
//! [`publish_select`].

use std::fmt::Write as _;

use futures::TryStreamExt;
use throughline_core::ColumnType;
use throughline_core::canonical::{CanonicalTable, TABLES};
use throughline_core::{Notice, Result};

use crate::host::texts;
use crate::runner::Runner;
use crate::tables::{Kind, OutputSpec};

/// Binds `c_<table>` for every canonical table, rid of records that come twice.
///
/// The engine delivers one record per key; those named in `may_repeat` may hold several. Equal records are
/// one; of differing ones with one key the smallest stays and the run says so.
pub(crate) async fn bind_views(
    runner: &mut Runner<'_>,
    may_repeat: &[&str],
    notices: &mut Vec<Notice>,
) -> Result<()> {
    let repeated = tables_with_repeats(runner, may_repeat).await?;
    for table in TABLES {
        let mut from = format!("in_{}", table.name);
        if repeated.iter().any(|name| name == table.name) {
            from = format!("d_{}", table.name);
            runner.step(&from, &distinct_select(table)).await?;
            let differing = repeats(runner, &from, table).await?;
            if differing > 0 {
                let single = format!("d1_{}", table.name);
                runner.step(&single, &single_select(table, &from)).await?;
                from = single;
                notices.push(Notice {
                    code: "conflicting_records".into(),
                    message: format!(
                        "{}: {differing} keys ({}) had records that differ; one of each was used",
                        table.name,
                        table.key.join(", ")
                    ),
                });
            }
        }
        runner.view(&format!("c_{}", table.name), &view_select(table, &from)).await?;
    }
    Ok(())
}

/// Binds `c_<table>` over every `<prefix>_<table>` as it is.
pub(crate) async fn bind_views_of(runner: &Runner<'_>, prefix: &str) -> Result<()> {
    for table in TABLES {
        let from = format!("{prefix}_{}", table.name);
        runner.view(&format!("c_{}", table.name), &view_select(table, &from)).await?;
    }
    Ok(())
}

/// Tables that hold a key twice, found in one query: planning many costs more than running them.
async fn tables_with_repeats(runner: &Runner<'_>, may_repeat: &[&str]) -> Result<Vec<String>> {
    let selects: Vec<String> = TABLES
        .iter()
        .filter(|t| !t.key.is_empty() && may_repeat.contains(&t.name))
        .map(|t| {
            format!(
                "SELECT '{name}' AS name FROM (SELECT 1 AS one FROM in_{name} GROUP BY {key} \
                 HAVING count(*) > 1) AS k GROUP BY one",
                name = t.name,
                key = t.key.join(", ")
            )
        })
        .collect();
    let mut found = Vec::new();
    if selects.is_empty() {
        return Ok(found);
    }
    let mut rows = runner.read(&selects.join(" UNION ALL ")).await?;
    while let Some(batch) = rows.try_next().await? {
        found.extend(texts(&batch, "name")?.iter().flatten().map(str::to_string));
    }
    Ok(found)
}

async fn repeats(runner: &Runner<'_>, from: &str, table: &CanonicalTable) -> Result<i64> {
    let key = table.key.join(", ");
    runner
        .number(&format!(
            "SELECT count(*) FROM (SELECT {key} FROM {from} GROUP BY {key} HAVING count(*) > 1) AS k"
        ))
        .await
}

fn distinct_select(table: &CanonicalTable) -> String {
    let columns: Vec<&str> = table.columns.iter().map(|c| c.name).collect();
    format!("SELECT DISTINCT {} FROM in_{}", columns.join(", "), table.name)
}

fn single_select(table: &CanonicalTable, from: &str) -> String {
    let columns: Vec<&str> = table.columns.iter().map(|c| c.name).collect();
    // Rows with fewer gaps first; lists cannot be compared and stand aside.
    let order: Vec<String> = table
        .columns
        .iter()
        .filter(|c| c.kind != ColumnType::TextList)
        .map(|c| format!("{} DESC NULLS LAST", c.name))
        .collect();
    format!(
        "SELECT {columns} FROM (SELECT {columns}, row_number() OVER (PARTITION BY {key} ORDER BY {order}) AS rn \
         FROM {from}) AS t WHERE rn = 1",
        columns = columns.join(", "),
        key = table.key.join(", "),
        order = order.join(", "),
    )
}

pub(crate) fn view_select(table: &CanonicalTable, from: &str) -> String {
    let mut columns: Vec<String> = Vec::new();
    let mut days: Vec<String> = Vec::new();
    for column in table.columns {
        let name = column.name;
        match column.kind {
            ColumnType::Instant => {
                let us = format!(
                    "arrow_cast(arrow_cast({name}, 'Timestamp(Microsecond, Some(\"UTC\"))'), 'Int64')"
                );
                columns.push(format!("{us} AS {name}_us"));
                days.push(format!("{} AS {name}_day", day_of(&format!("{name}_us"))));
            }
            ColumnType::Date => {
                columns.push(format!("arrow_cast(arrow_cast({name}, 'Int32'), 'Int64') AS {name}_n"));
            }
            ColumnType::Text if matches!(name, "source" | "medium" | "traffic_type") => {
                columns.push(format!("nullif(lower(trim({name})), '') AS {name}"));
            }
            ColumnType::Text if table.name == "consents" && name == "user_id" => columns.push(
                "CASE WHEN platform = 'email' THEN lower(trim(user_id)) ELSE user_id END AS user_id".into(),
            ),
            ColumnType::Text if column.required => columns.push(name.to_string()),
            ColumnType::Text => columns.push(format!("nullif({name}, '') AS {name}")),
            _ => columns.push(name.to_string()),
        }
    }
    for (name, expression) in derived(table.name) {
        columns.push(format!("{expression} AS {name}"));
    }
    // Days stand outside: what a SELECT names twice the engine computes beforehand, in a pass of its own, and what is
    // left to do is then no part of reading the file. With all texts of visits that took twice as long.
    let inner = format!("SELECT {} FROM {from}", columns.join(", "));
    match days.is_empty() {
        true => inner,
        false => format!("SELECT t.*, {} FROM ({inner}) AS t", days.join(", ")),
    }
}

/// Columns the steps need beyond the table's own.
fn derived(table: &str) -> Vec<(&'static str, String)> {
    let page = |url: &str| {
        vec![
            ("page_host", format!("nullif(lower(url_host({url})), '')")),
            // A path begins with the slash, so it is the greater one, and no path is none; `coalesce` would name the
            // path twice (see `view_select`).
            ("page_path", format!("greatest(url_path({url}), '/')")),
        ]
    };
    let user_type = (
        "user_type",
        "CASE platform WHEN 'whatsapp' THEN 'wa_user' WHEN 'telegram' THEN 'tg_user' \
         WHEN 'vk' THEN 'vk_user' WHEN 'viber' THEN 'viber_user' WHEN 'facebook' THEN 'fb_psid' \
         ELSE platform || '_user' END"
            .to_string(),
    );
    match table {
        "visits" => {
            let mut columns = page("entrance_page");
            columns.push(("referrer_host", "nullif(lower(url_host(referrer)), '')".to_string()));
            columns
        }
        "hits" => page("url"),
        "touches" => page("page"),
        // Who has no id of his own is known by his conversation.
        "messages" => {
            vec![user_type, ("user_value", "coalesce(nullif(user_id, ''), conversation_id)".into())]
        }
        "message_statuses" => {
            vec![
                user_type,
                ("user_value", "coalesce(nullif(user_id, ''), nullif(conversation_id, ''))".into()),
            ]
        }
        "consents" => {
            let (name, by_messenger) = user_type;
            let own = "CASE WHEN platform IN ('phone', 'sms', 'call') THEN 'phone' WHEN platform = 'email' THEN 'email' \
                       WHEN platform = 'crm_contact' THEN 'crm_contact'";
            vec![(name, format!("{own} ELSE {by_messenger} END"))]
        }
        _ => Vec::new(),
    }
}

/// Days since the epoch, rounded down, as docs/portable-sql.md divides whole numbers.
pub(crate) fn day_of(us: &str) -> String {
    const DAY: &str = "86400000000";
    format!(
        "CAST(round(CAST({us} - (({us} % {DAY}) + {DAY}) % {DAY} AS DOUBLE) / CAST({DAY} AS DOUBLE)) AS BIGINT)"
    )
}

/// The SELECT that gives an output table its exact types: `select` yields instants in microseconds,
/// days as numbers and money in minor units, under the names of the columns.
pub(crate) fn publish_select(spec: &OutputSpec, select: &str, currency_decimals: u32) -> String {
    let money_scale = currency_decimals.max(2);
    let mut sql = String::from("SELECT ");
    for (i, column) in spec.columns.iter().enumerate() {
        if i > 0 {
            sql.push_str(", ");
        }
        let name = column.name;
        let value = match column.kind {
            Kind::Text => format!("arrow_cast(o.\"{name}\", 'Utf8')"),
            Kind::Int => format!("CAST(o.\"{name}\" AS BIGINT)"),
            Kind::Float => format!("CAST(o.\"{name}\" AS DOUBLE)"),
            Kind::Bool => format!("CAST(o.\"{name}\" AS BOOLEAN)"),
            Kind::Instant => format!("arrow_cast(o.\"{name}\", 'Timestamp(Microsecond, Some(\"UTC\"))')"),
            Kind::Date => format!("arrow_cast(arrow_cast(o.\"{name}\", 'Int32'), 'Date32')"),
            Kind::TextList => format!("o.\"{name}\""),
            Kind::Money if currency_decimals == 0 => {
                format!("CAST(o.\"{name}\" AS DECIMAL(18,{money_scale}))")
            }
            Kind::Money => {
                let zeros = "0".repeat(currency_decimals as usize - 1);
                format!(
                    "CAST(CAST(o.\"{name}\" AS DECIMAL(18,0)) * CAST('0.{zeros}1' AS DECIMAL({p},{currency_decimals})) \
                     AS DECIMAL(18,{money_scale}))",
                    p = currency_decimals + 1,
                )
            }
        };
        let _ = write!(sql, "{value} AS \"{name}\"");
    }
    let _ = write!(sql, " FROM ({select}) AS o");
    sql
}
