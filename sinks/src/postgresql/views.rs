//! Views for dashboards: every table with the columns of the dimensions that it refers to.
//!
//! A dimension is a table `dim_...` with a key of one column; a table refers to it by a column of that name.
//! So `channel_daily_wide` has the channel's name beside its id, and a tool without a model of joins can
//! group by it.

use std::collections::{HashMap, HashSet};

use throughline_core::Result;
use throughline_postgresql::Failure;

use super::catalog;
use super::merge::Published;
use super::names::{literal, qualified, quoted, shortened};
use super::options::Settings;
use super::session::Session;

/// A view as it should be.
#[derive(Debug, PartialEq)]
pub(super) struct Wide {
    pub name: String,
    /// Name, type, and where it comes from.
    columns: Vec<(String, String, String)>,
    from: String,
}

/// The views that these tables give.
pub(super) fn wide(settings: &Settings, tables: &[Published]) -> Vec<Wide> {
    if !settings.views {
        return Vec::new();
    }
    let dimensions: Vec<(&str, &Published)> = tables
        .iter()
        .filter(|t| t.unique && t.key.len() == 1)
        .filter_map(|t| t.relation.strip_prefix("dim_").map(|name| (name, t)))
        .collect();
    let mut views = Vec::new();
    for table in tables.iter().filter(|t| !t.relation.starts_with("dim_")) {
        let mut names: HashSet<String> = table.columns.iter().map(|(name, _)| name.clone()).collect();
        let mut columns: Vec<(String, String, String)> = table
            .columns
            .iter()
            .map(|(name, kind)| (name.clone(), kind.clone(), format!("t.{}", quoted(name))))
            .collect();
        let mut from = format!("{} AS t", settings.shown(&table.relation));
        let own = columns.len();
        for (name, dimension) in &dimensions {
            let key = &dimension.key[0];
            // Of the same type, or the join would compare by a cast.
            let kind = |t: &Published| t.columns.iter().find(|(n, _)| n == key).map(|(_, k)| k.clone());
            if kind(table).is_none() || kind(table) != kind(dimension) {
                continue;
            }
            let alias = quoted(&shortened(&format!("dim_{name}")));
            from.push_str(&format!(
                " LEFT JOIN {} AS {alias} ON {alias}.{key} = t.{key}",
                settings.shown(&dimension.relation),
                key = quoted(key)
            ));
            for (column, kind) in dimension.columns.iter().filter(|(n, _)| n != key) {
                let begins = column == name || column.starts_with(&format!("{name}_"));
                let shown = if begins { column.clone() } else { shortened(&format!("{name}_{column}")) };
                if names.insert(shown.clone()) {
                    columns.push((shown, kind.clone(), format!("{alias}.{}", quoted(column))));
                }
            }
        }
        if columns.len() > own {
            let name = shortened(&format!("{}_wide", table.relation));
            views.push(Wide { name, columns, from });
        }
    }
    views
}

/// Makes the views in the database those of `wanted`; touches none that is so already.
pub(super) async fn publish(
    session: &mut Session,
    settings: &Settings,
    wanted: &[Wide],
) -> Result<(), Failure> {
    let rows = session.rows(&format!("SELECT name, definition FROM {}", settings.own("views"))).await?;
    let mut known: HashMap<String, String> = HashMap::new();
    for row in rows {
        if let [Some(name), Some(definition)] = row.as_slice() {
            known.insert(name.clone(), definition.clone());
        }
    }
    for name in known.keys().filter(|name| !wanted.iter().any(|w| w.name == **name)) {
        drop_one(session, settings, name).await?;
    }
    for view in wanted {
        let definition = format!("{:?} FROM {}", view.columns, view.from);
        let place = settings.shown(&view.name);
        let found = catalog::describe(session, &settings.schema, &view.name).await?;
        if known.get(&view.name) == Some(&definition) && found.is_some() {
            continue;
        }
        let mut columns: Vec<&(String, String, String)> = view.columns.iter().collect();
        match &found {
            Some(_) if !known.contains_key(&view.name) => {
                tracing::warn!(view = %place, "not made: the name is somebody else's");
                continue;
            }
            Some(old) => {
                // A view that others stand on is replaced, for which its columns must stay where they are.
                let stays =
                    |c: &catalog::Column| view.columns.iter().find(|n| n.0 == c.name && n.1 == c.kind);
                let first: Option<Vec<_>> = old.columns.iter().map(stays).collect();
                match first {
                    Some(first) => {
                        let more = columns.iter().filter(|c| !first.contains(c)).copied();
                        columns = first.iter().copied().chain(more).collect();
                    }
                    None if drop_one(session, settings, &view.name).await? => {}
                    // It shows what it showed, and that is still right.
                    None => continue,
                }
            }
            None => {}
        }
        let list: Vec<String> =
            columns.iter().map(|(name, _, source)| format!("{source} AS {}", quoted(name))).collect();
        session
            .run(&format!(
                "CREATE OR REPLACE VIEW {place} AS SELECT {} FROM {}; \
                 INSERT INTO {own} AS v VALUES ({}, {}) ON CONFLICT (name) DO UPDATE SET definition = excluded.definition",
                list.join(", "),
                view.from,
                literal(&view.name),
                literal(&definition),
                own = settings.own("views"),
            ))
            .await?;
    }
    Ok(())
}

/// Drops a view of ours; false, and a warning, when something of others stands on it.
async fn drop_one(session: &mut Session, settings: &Settings, name: &str) -> Result<bool, Failure> {
    let place = qualified(&settings.schema, name);
    let sql = format!(
        "DROP VIEW IF EXISTS {place}; DELETE FROM {} WHERE name = {}",
        settings.own("views"),
        literal(name)
    );
    match session.attempt(&sql, &["2BP01"]).await? {
        None => Ok(true),
        Some(failure) => {
            let error = failure.into_error();
            tracing::warn!(view = %place, error = %error, "the view stays as it is");
            Ok(false)
        }
    }
}

/// Drops all views of ours, because a type below them changes.
pub(super) async fn drop_all(session: &mut Session, settings: &Settings) -> Result<(), Failure> {
    let views = session.rows(&format!("SELECT name FROM {}", settings.own("views"))).await?;
    for name in views.into_iter().flatten().flatten() {
        session.run(&format!("DROP VIEW IF EXISTS {}", settings.shown(&name))).await?;
    }
    session.run(&format!("DELETE FROM {}", settings.own("views"))).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline_postgresql::Target;

    fn table(relation: &str, key: &[&str], columns: &[&str]) -> Published {
        Published {
            relation: relation.into(),
            key: key.iter().map(|k| (*k).to_owned()).collect(),
            unique: true,
            columns: columns.iter().map(|c| ((*c).to_owned(), "text".to_owned())).collect(),
        }
    }

    #[test]
    fn tables_get_the_columns_of_their_dimensions() {
        let target = Target {
            host: "/x".into(),
            port: 1,
            database: "d".into(),
            user: "u".into(),
            password: None,
            tls: None,
        };
        let settings = Settings {
            target,
            sink: "s".into(),
            schema: "bi".into(),
            staging: "st".into(),
            readers: vec![],
            views: true,
        };
        let views = wide(
            &settings,
            &[
                table("channel_daily", &["date", "channel_id"], &["date", "channel_id", "channel_group"]),
                table("dim_channel", &["channel_id"], &["channel_id", "channel", "group", "is_paid"]),
                table("alone", &["id"], &["id"]),
            ],
        );
        assert_eq!(views.len(), 1);
        assert_eq!(views[0].name, "channel_daily_wide");
        let names: Vec<&str> = views[0].columns.iter().map(|(n, _, _)| n.as_str()).collect();
        // The table's own column wins over the dimension's of the same name.
        assert_eq!(names, ["date", "channel_id", "channel_group", "channel", "channel_is_paid"]);
    }
}
