//! How a table in the database becomes one with the columns that are staged.
//!
//! New columns are added, widened types widened. A column that is staged no more stays, empty: somebody's
//! view may name it. What would lose or reinterpret values is refused, and that before anything is
//! prepared, so that an epoch is never stuck halfway.

use throughline_core::{Error, Result};

use super::catalog::Relation;
use super::names::quoted;
use super::types::PgType;

#[derive(Debug, Default, PartialEq)]
pub(super) struct Evolution {
    /// Names and types.
    pub add: Vec<(String, String)>,
    pub widen: Vec<(String, String)>,
    /// Columns that we once filled.
    pub empty: Vec<String>,
}

/// What has to change in `found` for rows of `wanted`; `ours` are the columns that we made in it.
///
/// # Errors
/// A type is narrowed or another one altogether; the relation is no plain table.
pub(super) fn plan(
    table: &str,
    found: &Relation,
    wanted: &[(String, String)],
    ours: &[String],
) -> Result<Evolution> {
    if found.kind != "r" {
        return Err(Error::config(format!(
            "{table:?} is in the database, but as a view or the like, not as a table"
        ))
        .hint("rename or drop it, or give the sink another schema"));
    }
    let mut evolution = Evolution::default();
    for (name, kind) in wanted {
        let Some(column) = found.column(name) else {
            evolution.add.push((name.clone(), kind.clone()));
            continue;
        };
        if column.kind == *kind {
            continue;
        }
        let widened = match (PgType::parse(&column.kind), PgType::parse(kind)) {
            (Some(old), Some(new)) => old.widens_to(new),
            _ => false,
        };
        if !widened {
            return Err(Error::config(format!(
                "table {table:?}, column {name:?}: it is {} in the database and {kind} in this run, and not every \
                 value of the one is one of the other",
                column.kind
            ))
            .hint(format!(
                "rename the column in the pipeline, or drop the one in the database (ALTER TABLE {} DROP COLUMN {}); \
                 the next run fills it anew. Nothing was published",
                quoted(table),
                quoted(name)
            )));
        }
        evolution.widen.push((name.clone(), kind.clone()));
    }
    evolution.empty = found
        .columns
        .iter()
        .filter(|c| ours.contains(&c.name) && !wanted.iter().any(|(name, _)| *name == c.name))
        .map(|c| c.name.clone())
        .collect();
    Ok(evolution)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::catalog::Column;
    use super::*;

    fn columns(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(n, k)| ((*n).to_owned(), (*k).to_owned())).collect()
    }

    #[test]
    fn columns_are_added_widened_and_emptied_but_never_narrowed() {
        let found = Relation {
            kind: "r".into(),
            columns: columns(&[("id", "bigint"), ("amount", "bigint"), ("old", "text"), ("note", "text")])
                .into_iter()
                .map(|(name, kind)| Column { name, kind, ..Column::default() })
                .collect(),
            ..Relation::default()
        };
        let ours = ["id", "amount", "old"].map(str::to_owned);
        let wanted = columns(&[("id", "bigint"), ("amount", "numeric(38,9)"), ("new", "text")]);
        let evolution = plan("deals", &found, &wanted, &ours).unwrap();
        assert_eq!(evolution.add, columns(&[("new", "text")]));
        assert_eq!(evolution.widen, columns(&[("amount", "numeric(38,9)")]));
        assert_eq!(evolution.empty, ["old"], "a column that a user added is the user's");
        for kind in ["integer", "text", "double precision"] {
            let error = plan("deals", &found, &columns(&[("amount", kind)]), &ours).unwrap_err().to_string();
            for part in ["deals", "amount", "bigint", kind] {
                assert!(error.contains(part), "{error}");
            }
        }
    }
}
