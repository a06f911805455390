//! What users write in `[[sink]]`, beside the account.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use throughline_core::connector::{option_error, parse_options};
use throughline_core::{ConfigErrors, ConnectionKind, DynConnection, Options, PointerAt};

use super::vendor::About;

/// Columns of the table that is made for the sink.
pub(super) const COLUMNS: &[&str] = &[
    "channel",
    "source",
    "medium",
    "campaign",
    "ad",
    "keyword",
    "page",
    "token",
    "messenger",
    "match_method",
    "first_channel",
    "first_source",
    "first_medium",
    "first_campaign",
    "first_ad",
    "first_keyword",
    "first_page",
    "first_at",
    "last_channel",
    "last_source",
    "last_medium",
    "last_campaign",
    "last_ad",
    "last_keyword",
    "last_page",
    "last_at",
    "touches",
    "credit",
    "credit_model",
];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Own {
    /// Our column = the CRM's field of deals: its number, code or internal name, or a table with `field` and how
    /// it is written.
    fields: BTreeMap<String, FieldOption>,
    /// A table of the pipeline, a transform say, with a column `deal_id` and one row per deal, in place of the
    /// one that is made.
    table: Option<String>,
    /// The model whose credit is told. Default: of those that are computed, the first by name.
    model: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum FieldOption {
    Name(String),
    More(More),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct More {
    /// The CRM's field: its number, code or internal name.
    field: String,
    /// Empty the field when there is no value. Default: it keeps what it holds.
    #[serde(default)]
    clear: bool,
    /// Cut what is too long for the field. Default: such a deal is a dead letter.
    #[serde(default)]
    cut: bool,
    /// What people see of the field when `sink setup` makes it.
    label: Option<String>,
    /// What `sink setup` makes: `text` or `number`.
    #[serde(default, rename = "type")]
    kind: NewKind,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum NewKind {
    #[default]
    Text,
    Number,
}

/// A column and the field it goes into.
#[derive(Clone, Debug)]
pub(super) struct Mapped {
    pub column: String,
    pub field: String,
    pub clear: bool,
    pub cut: bool,
    pub label: String,
    pub number: bool,
}

pub(super) struct Settings {
    pub fields: Vec<Mapped>,
    pub table: Option<String>,
    pub model: Option<String>,
    pub connection: DynConnection,
}

const OWN: &[&str] = &["fields", "table", "model"];

/// # Errors
/// Everything that is wrong with the options.
pub(super) fn read(
    about: &About,
    kind: &dyn ConnectionKind,
    options: &Options,
) -> Result<Settings, ConfigErrors> {
    let mut errors = ConfigErrors::new();
    let (mut own, mut account) = (Map::new(), Map::new());
    for (key, value) in options.value.as_object().into_iter().flatten() {
        if OWN.contains(&key.as_str()) {
            own.insert(key.clone(), value.clone());
        } else if key == "base_url" || about.options.contains(&key.as_str()) {
            account.insert(key.clone(), value.clone());
        } else {
            let known = OWN.iter().chain(about.options).chain(&["base_url"]);
            let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
            let message = format!("unknown field `{key}`, expected one of {}", known.join(", "));
            let pointer = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
            errors.push(option_error(message, pointer, PointerAt::Key));
        }
    }
    let connection = kind.build(&Options { value: Value::Object(account), ..options.clone() });
    let own = parse_options::<Own>(&Value::Object(own));
    let (own, connection) = match (own, connection) {
        (Ok(own), Ok(connection)) => (own, connection),
        (own, connection) => {
            errors.extend(own.err().into_iter().chain(connection.err()).flatten());
            return Err(errors);
        }
    };
    if own.fields.is_empty() {
        errors.push(option_error("no field is mapped", "/fields", PointerAt::Value));
    }
    let mut fields = Vec::new();
    let mut taken = BTreeSet::new();
    for (column, option) in own.fields {
        let pointer = format!("/fields/{column}");
        let mapped = mapped(&column, option);
        if own.table.is_none() && !COLUMNS.contains(&column.as_str()) {
            let message = format!("unknown field `{column}`, expected one of {}", list(COLUMNS));
            errors.push(option_error(message, pointer.clone(), PointerAt::Key));
        }
        if about.read_by_source.iter().any(|read| read.eq_ignore_ascii_case(&mapped.field)) {
            let message = format!(
                "the source {} reads {} as what is known of a deal: what is written there would come back as \
                 evidence; use a field of its own",
                about.name, mapped.field
            );
            errors.push(option_error(message, pointer.clone(), PointerAt::Value));
        }
        if !taken.insert(mapped.field.clone()) {
            let message = format!("the field {} is mapped twice", mapped.field);
            errors.push(option_error(message, pointer, PointerAt::Value));
        }
        fields.push(mapped);
    }
    if own.table.is_some() && own.model.is_some() {
        let message = "`model` belongs to the table that is made; with `table` it says nothing";
        errors.push(option_error(message, "/model", PointerAt::Key));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Settings { fields, table: own.table, model: own.model, connection })
}

fn mapped(column: &str, option: FieldOption) -> Mapped {
    let more = match option {
        FieldOption::Name(field) => {
            More { field, clear: false, cut: false, label: None, kind: NewKind::Text }
        }
        FieldOption::More(more) => more,
    };
    let label = more.label.unwrap_or_else(|| format!("Throughline: {}", column.replace('_', " ")));
    let number = more.kind == NewKind::Number;
    Mapped { column: column.to_owned(), field: more.field, clear: more.clear, cut: more.cut, label, number }
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// JSON Schema: the account's options that a sink takes, and its own.
pub(super) fn schema(about: &About, kind: &dyn ConnectionKind) -> Value {
    let mut schema = schemars::schema_for!(Own).to_value();
    let account = kind.schema();
    let required: Vec<Value> = account["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|name| name.as_str().is_some_and(|name| about.options.contains(&name)))
        .cloned()
        .chain([json!("fields")])
        .collect();
    if let Some(properties) = schema["properties"].as_object_mut() {
        for name in about.options.iter().chain(&["base_url"]) {
            properties.insert((*name).to_owned(), account["properties"][*name].clone());
        }
    }
    schema["required"] = required.into();
    schema["title"] = about.name.into();
    schema["description"] = about.summary.into();
    schema
}
