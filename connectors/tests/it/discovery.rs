//! Google's discovery documents as a judge of requests and answers.

use serde_json::Value;

use crate::fixture::Asked;
use crate::support::shared;

pub struct Discovery(Value);

impl Discovery {
    /// `None`, and said so, where the documents are not there.
    pub fn of(folder: &str, file: &str) -> Option<Self> {
        let folder = shared(&format!("api/specs/{folder}"))?;
        Some(Self(serde_json::from_str(&std::fs::read_to_string(folder.join(file)).unwrap()).unwrap()))
    }

    /// The method of a request, its parameters and body checked.
    pub fn request(&self, http: &str, asked: &Asked) -> Value {
        let base = self.0["servicePath"].as_str().unwrap_or_default();
        let mut found = Vec::new();
        methods(&self.0["resources"], &mut found);
        let path = asked.path.trim_start_matches('/');
        let fits = |m: &&Value| {
            m["httpMethod"] == http
                && template(
                    &format!("{base}{}", m["flatPath"].as_str().or(m["path"].as_str()).unwrap()),
                    path,
                )
        };
        let method = found.iter().find(fits).unwrap_or_else(|| panic!("no method for {http} {path}")).clone();
        for (name, value) in &asked.query {
            let parameter = &method["parameters"][name];
            assert_eq!(parameter["location"], "query", "{} has no {name}", method["id"]);
            if parameter["type"] == "integer" {
                assert!(value.parse::<u32>().is_ok(), "{name}={value}");
            }
        }
        match method["request"]["$ref"].as_str() {
            Some(schema) => self.check(schema, &asked.json(), &method["id"].to_string()),
            None => assert!(asked.body.is_empty()),
        }
        method
    }

    pub fn answer(&self, method: &Value, body: &[u8]) {
        let schema = method["response"]["$ref"].as_str().unwrap();
        self.check(schema, &serde_json::from_slice(body).unwrap(), schema);
    }

    /// Every member is one that the schema has, of its type.
    pub fn check(&self, schema: &str, value: &Value, place: &str) {
        let schema = &self.0["schemas"][schema];
        assert!(schema.is_object(), "{place}: no schema");
        self.object(schema, value, place);
    }

    fn object(&self, schema: &Value, value: &Value, place: &str) {
        let object = value.as_object().unwrap_or_else(|| panic!("{place}: {value} is no object"));
        for (name, value) in object {
            let place = format!("{place}.{name}");
            let property = match &schema["properties"][name] {
                Value::Null => &schema["additionalProperties"],
                property => property,
            };
            assert!(!property.is_null(), "{place} is not in the schema");
            self.value(property, value, &place);
        }
    }

    fn value(&self, schema: &Value, value: &Value, place: &str) {
        if let Some(name) = schema["$ref"].as_str() {
            return self.check(name, value, place);
        }
        match schema["type"].as_str().unwrap_or_default() {
            "array" => {
                for (n, one) in
                    value.as_array().unwrap_or_else(|| panic!("{place}: no list")).iter().enumerate()
                {
                    self.value(&schema["items"], one, &format!("{place}[{n}]"));
                }
            }
            "object" => self.object(schema, value, place),
            "boolean" => assert!(value.is_boolean(), "{place}: {value}"),
            "integer" | "number" => assert!(value.is_number(), "{place}: {value}"),
            "string" => {
                let text = value.as_str().unwrap_or_else(|| panic!("{place}: {value} is no text"));
                if schema["format"].as_str().is_some_and(|f| f.ends_with("int64")) {
                    assert!(text.parse::<i64>().is_ok(), "{place}: {text}");
                }
                if let Some(words) = schema["enum"].as_array() {
                    assert!(words.contains(value), "{place}: {text}");
                }
            }
            _ => {}
        }
    }
}

fn methods(resources: &Value, into: &mut Vec<Value>) {
    for resource in resources.as_object().into_iter().flat_map(|r| r.values()) {
        into.extend(resource["methods"].as_object().into_iter().flat_map(|m| m.values().cloned()));
        methods(&resource["resources"], into);
    }
}

/// `projects/{projectId}/queries/{jobId}` and the like; a `:verb` behind a placeholder counts.
fn template(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(&path).all(|(t, p)| match t.split_once('}') {
            Some((name, rest)) if name.starts_with('{') => match rest {
                "" => !p.is_empty() && !p.contains(':'),
                rest => p.ends_with(rest),
            },
            _ => t == p,
        })
}
