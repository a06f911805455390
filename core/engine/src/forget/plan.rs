//! Which identifiers are the person's, and in what form they stand in the vendors' records.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use futures::TryStreamExt;
use throughline_attribution::{Identifier, Person};
use throughline_core::time::InstantUs;
use throughline_core::{Error, Result, canonical, phone};
use throughline_sql::{SqlEngine, TableRef};
use throughline_store::{Mark, Store};

use super::marks::{Class, Marks, is_strong, number_kind};
use crate::pipeline::Pipeline;
use crate::publish;
use crate::run::LastEpoch;

/// A person and what stands for them in records, in clear: held in memory only.
pub struct Plan {
    pub person: Person,
    pub deals: Vec<String>,
    /// (kind, value, country of a phone)
    words: BTreeSet<(String, String, Option<String>)>,
}

impl Plan {
    pub(super) fn marks(&self, key: &[u8]) -> Result<Vec<Mark>> {
        let hasher = Marks::new(key, &[])?;
        Ok(self
            .words
            .iter()
            .map(|(kind, value, region)| Mark { hash: hasher.hash(kind, value), region: region.clone() })
            .collect())
    }

    /// Makes the request durable: from here on it is carried out, by this process or a later one.
    pub async fn begin(&self, pipeline: &Pipeline, store: &Store, now_us: InstantUs) -> Result<i64> {
        let key = store.forget_key()?;
        store.begin_forget(&pipeline.name, now_us, self.marks(key.expose())?).await
    }
}

/// Finds the person in the last epoch.
///
/// # Errors
/// Nobody, or several persons, are known by `who`; it is an identifier that is shared.
pub async fn plan(pipeline: &Pipeline, last: &LastEpoch, who: &str) -> Result<Plan> {
    let engine = last.engine.as_ref();
    let person = throughline_attribution::person(engine, &pipeline.attribution.identity, who).await?;
    let Some(person_id) = person.person_id.clone() else {
        let reasons: Vec<&str> = person.shared.iter().map(|s| s.reason.as_str()).collect();
        return Err(Error::config(format!("{who:?} belongs to nobody: {}", reasons.join("; "))).hint(
            "name the person by another identifier: `throughline identity show` lists who is tied to it",
        ));
    };
    let mut words = BTreeSet::new();
    let mut word = |kind: &str, value: &str| {
        words.insert((kind.to_owned(), value.to_owned(), None));
    };
    let mut numbers: Vec<(Class, String)> = Vec::new();
    // Those that are the person's for a time are somebody else's at another.
    let always = person.identifiers.iter().filter(|k| k.valid_from.is_none() && k.valid_to.is_none());
    let own: Vec<Identifier> = always.map(|k| k.id.clone()).collect();
    let mut phones = Vec::new();
    for id in &own {
        let value = id.id_value.as_str();
        match id.id_type.as_str() {
            "phone" => phones.push(value.to_owned()),
            "email" => word("email", value),
            "crm_contact" => numbers.push((Class::Contact, value.to_owned())),
            "ym_client" | "ga_client" => numbers.push((Class::Browser, value.to_owned())),
            "visit" => numbers.push((Class::Visit, value.to_owned())),
            other => {
                // The phone behind a WhatsApp id, unless it is that of several people.
                let number = format!("+{value}");
                let shared = person.shared.iter().any(|s| s.id.id_value == number);
                if other == "wa_user" && !shared && value.bytes().all(|b| b.is_ascii_digit()) {
                    phones.push(number);
                }
                numbers.push((Class::User, value.to_owned()));
            }
        }
    }
    // Prepared touches and conversions name their person themselves.
    numbers.push((Class::Contact, person_id.clone()));
    for visit in single_visits(engine, &person_id, &own).await? {
        numbers.push((Class::Visit, visit));
    }
    let deals = deals_of(engine, &person_id, &own).await?;
    numbers.extend(deals.iter().map(|d| (Class::Deal, d.clone())));
    for (class, value) in &numbers {
        // A deal stays, and is known by its number where deals have theirs.
        if *class == Class::Deal {
            continue;
        }
        for text in [value.as_str(), value.rsplit(':').next().unwrap_or(value)] {
            if is_strong(text) {
                word("id", text);
            }
        }
    }
    for source in pipeline.sources.iter().map(|s| s.name.as_str()) {
        for class in [Class::Contact, Class::User, Class::Browser, Class::Visit, Class::Deal] {
            let values: Vec<&str> =
                numbers.iter().filter(|(c, _)| *c == class).map(|(_, v)| v.as_str()).collect();
            for value in given_by(pipeline, last, source, class, &values).await? {
                let kind = number_kind(source, class);
                let last_part = value.rsplit(':').next().unwrap_or(&value).to_owned();
                words.insert((kind.clone(), last_part, None));
                words.insert((kind, value, None));
            }
        }
    }
    for value in phones {
        let region = phone::parse(&value, None).and_then(|p| p.region);
        words.insert(("phone".to_owned(), value, region));
    }
    Ok(Plan { person, deals, words })
}

/// Texts of one column.
async fn texts(engine: &dyn SqlEngine, select: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut rows = engine.read(select, &[]).await?;
    while let Some(batch) = rows.try_next().await? {
        let column = arrow::compute::cast(batch.column(0), &DataType::Utf8)?;
        found.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    Ok(found)
}

async fn bind_list(engine: &dyn SqlEngine, name: &str, values: impl Iterator<Item = String>) -> Result<()> {
    let schema = Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, false)]));
    let column: ArrayRef = Arc::new(StringArray::from_iter_values(values));
    let batch = arrow::array::RecordBatch::try_new(schema.clone(), vec![column])?;
    engine.bind(name, &TableRef::Rows { schema, batches: vec![batch] }).await
}

/// Visits that are the person's by themselves and not by their browser.
async fn single_visits(engine: &dyn SqlEngine, person_id: &str, own: &[Identifier]) -> Result<Vec<String>> {
    let browsers = own.iter().filter(|i| matches!(i.id_type.as_str(), "ym_client" | "ga_client"));
    bind_list(engine, "f_browser", browsers.map(|i| i.id_value.clone())).await?;
    bind_list(engine, "f_person", std::iter::once(person_id.to_owned())).await?;
    texts(
        engine,
        "SELECT v.visit_id FROM visits AS v JOIN f_person AS p ON p.value = v.person_id \
         LEFT JOIN f_browser AS y ON y.value = v.ym_client_id LEFT JOIN f_browser AS g ON g.value = v.ga_client_id \
         WHERE y.value IS NULL AND g.value IS NULL",
    )
    .await
}

/// Deals whose money is the person's: by the main contact, by the first one, or by their conversions.
async fn deals_of(engine: &dyn SqlEngine, person_id: &str, own: &[Identifier]) -> Result<Vec<String>> {
    let contacts = own.iter().filter(|i| i.id_type == "crm_contact");
    bind_list(engine, "f_contact", contacts.map(|i| i.id_value.clone())).await?;
    bind_list(engine, "f_person", std::iter::once(person_id.to_owned())).await?;
    texts(
        engine,
        "SELECT d.deal_id FROM in_deals AS d JOIN f_contact AS c ON c.value = d.contact_id \
         UNION SELECT k.crm_deal_id FROM conversions AS k JOIN f_person AS p ON p.value = k.person_id \
           WHERE k.crm_deal_id IS NOT NULL \
         UNION SELECT l.deal_id FROM in_deal_contacts AS l JOIN f_contact AS c ON c.value = l.contact_id \
           JOIN in_deals AS d ON d.deal_id = l.deal_id WHERE d.contact_id IS NULL",
    )
    .await
}

/// Canonical columns that hold an identifier of a class.
fn columns_of(class: Class) -> &'static [(&'static str, &'static str)] {
    match class {
        Class::Contact => &[
            ("contacts", "contact_id"),
            ("deals", "contact_id"),
            ("deal_contacts", "contact_id"),
            ("touches", "person_id"),
            ("conversions", "person_id"),
            ("identity_edges", "left_value"),
            ("identity_edges", "right_value"),
        ],
        Class::User => &[
            ("messages", "user_id"),
            ("messages", "conversation_id"),
            ("message_statuses", "user_id"),
            ("message_statuses", "conversation_id"),
            ("consents", "user_id"),
            ("identity_edges", "left_value"),
            ("identity_edges", "right_value"),
        ],
        Class::Browser => &[
            ("visits", "ym_client_id"),
            ("visits", "ga_client_id"),
            ("hits", "ym_client_id"),
            ("hits", "ga_client_id"),
            ("identity_edges", "left_value"),
            ("identity_edges", "right_value"),
        ],
        Class::Visit => &[("visits", "visit_id"), ("hits", "visit_id")],
        Class::Deal => &[("deals", "deal_id"), ("deal_contacts", "deal_id")],
    }
}

/// Which of these a source gave: its mapped rows lie apart from those of other sources.
async fn given_by(
    pipeline: &Pipeline,
    last: &LastEpoch,
    source: &str,
    class: Class,
    values: &[&str],
) -> Result<HashSet<String>> {
    let mut given = HashSet::new();
    if values.is_empty() {
        return Ok(given);
    }
    let engine = last.engine.as_ref();
    bind_list(engine, "f_value", values.iter().map(ToString::to_string)).await?;
    let folder = publish::epoch_state(&last.epoch)?.folder;
    let canonical_dir = pipeline.state_dir.join(folder).join("canonical");
    for (table, column) in columns_of(class) {
        let files = mapped_files(&canonical_dir.join(table), source);
        let Some(spec) = canonical::table(table).filter(|_| !files.is_empty()) else { continue };
        let fields: Vec<Field> =
            spec.columns.iter().map(|c| Field::new(c.name, c.kind.arrow(), true)).collect();
        engine.bind("f_mapped", &TableRef::Parquet { files, schema: Arc::new(Schema::new(fields)) }).await?;
        let select =
            format!("SELECT DISTINCT v.value FROM f_mapped AS m JOIN f_value AS v ON v.value = m.{column}");
        given.extend(texts(engine, &select).await?);
    }
    Ok(given)
}

/// `<table>/<number>.<source>/part-*.parquet`
fn mapped_files(table: &Path, source: &str) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for mapping in std::fs::read_dir(table).into_iter().flatten().flatten() {
        let name = mapping.file_name();
        let is_of = name
            .to_str()
            .and_then(|n| n.split_once('.'))
            .is_some_and(|(n, s)| s == source && n.bytes().all(|b| b.is_ascii_digit()));
        if is_of {
            let parts = std::fs::read_dir(mapping.path()).into_iter().flatten().flatten();
            files.extend(parts.map(|p| p.path()).filter(|p| p.extension().is_some_and(|e| e == "parquet")));
        }
    }
    files.sort();
    files
}
