//! Wrong options are told with their place, before anything is asked.

use serde_json::{Value, json};
use throughline_core::{ConfigErrors, ErrorKind, Place};

use crate::OptionsUnderTest;
use crate::report::{Findings, Verdict, skipped};

const UNKNOWN: &str = "no_such_option";

pub(crate) fn options(under_test: Option<&OptionsUnderTest>) -> Verdict {
    let Some(options) = under_test else { return skipped("no options were given to test") };
    let mut wrong = Findings::default();
    let Value::Object(good) = &options.good else { return skipped("the options are no table") };
    if let Err(errors) = (options.build)(&options.good) {
        wrong.add("options", "the good options to be taken", said(&errors), "mend what is named");
        return wrong.verdict("");
    }
    let mut tried = 1;
    let mut with = good.clone();
    with.insert(UNKNOWN.into(), json!("x"));
    refused(options, &Value::Object(with), UNKNOWN, "an unknown key", &mut wrong);
    let properties = options.schema["properties"].as_object();
    for (name, schema) in properties.into_iter().flatten() {
        let Some(bad) = of_wrong_type(schema) else { continue };
        let mut with = good.clone();
        with.insert(name.clone(), bad);
        tried += 1;
        refused(options, &Value::Object(with), name, "a value of a wrong type", &mut wrong);
    }
    let required = options.schema["required"].as_array();
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        let mut without = good.clone();
        if without.shift_remove(name).is_some() {
            tried += 1;
            refused(options, &Value::Object(without), name, "a missing key", &mut wrong);
        }
    }
    wrong.verdict(format!("{tried} wrong sets"))
}

/// There must be a config error whose pointer leads to the option, or to the table that lacks it by name.
fn refused(options: &OptionsUnderTest, value: &Value, name: &str, what: &str, wrong: &mut Findings) {
    let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    let errors = match (options.build)(value) {
        Err(errors) => errors,
        Ok(_) => {
            let to_do = "read options by parse_options into a struct that denies unknown fields";
            return wrong.add(
                format!("option {pointer}"),
                format!("{what} to be refused"),
                "it was taken",
                to_do,
            );
        }
    };
    let told = errors.iter().any(|error| {
        let Some(Place::Option { pointer: at, .. }) = error.place() else { return false };
        let there = at == &pointer || at.strip_prefix(&pointer).is_some_and(|rest| rest.starts_with('/'));
        error.kind() == ErrorKind::Config && (there || at.is_empty() && error.message().contains(name))
    });
    if !told {
        wrong.add(
            format!("option {pointer}"),
            format!("{what} to be a config error with the pointer {pointer}"),
            said(&errors),
            "make the error by option_error with a JSON pointer",
        );
    }
}

fn said(errors: &ConfigErrors) -> String {
    let all: Vec<String> = errors.iter().map(|e| format!("{e:?}")).collect();
    if all.is_empty() { "a refusal without an error".into() } else { all.join("; ") }
}

/// `None` where the schema allows anything that could be tried.
fn of_wrong_type(schema: &Value) -> Option<Value> {
    let allows = |kind: &str| match &schema["type"] {
        Value::String(one) => one == kind,
        Value::Array(several) => several.iter().any(|k| k == kind),
        _ => false,
    };
    // Written by hand or by reference: of a table of anything nobody knows what is wrong in it.
    let typed =
        ["type", "oneOf", "anyOf", "enum", "$ref", "allOf"].iter().any(|word| schema.get(word).is_some());
    if !typed {
        return None;
    }
    if !allows("object") {
        return Some(json!({ UNKNOWN: true }));
    }
    (!allows("integer") && !allows("number")).then(|| json!(7))
}
