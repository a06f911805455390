//! What a user may write about a bucket, and what is told of it.

use serde_json::{Value, json};
use throughline_core::Place;

use super::SECRET;
use crate::{connector, try_build};

fn wrong(value: Value) -> Vec<(String, String)> {
    let errors = try_build("parquet", std::path::Path::new("/nowhere"), value).map(|_| ()).unwrap_err();
    let pointer = |e: &throughline_core::Error| match e.place() {
        Some(Place::Option { pointer, .. }) => pointer.clone(),
        other => panic!("{other:?}"),
    };
    errors.iter().map(|e| (pointer(e), e.message().to_owned())).collect()
}

fn keys() -> Value {
    json!({"access_key_id": {"$secret": "AK"}, "secret_access_key": {"$secret": SECRET}})
}

#[test]
fn every_wrong_option_is_told_with_its_place() {
    let cases = [
        (json!({"path": "s3://lake/shop"}), "/path", "needs a section [sink.s3]"),
        (json!({"path": "s3://lake//shop", "s3": keys()}), "/path", "is no prefix"),
        (json!({"path": "abfss://c@a/x", "s3": keys()}), "/path", "s3://bucket/prefix, gs://bucket/prefix"),
        (json!({"path": "out", "s3": keys()}), "/s3", "does not go with this `path`"),
        (json!({"path": "az://c/x", "azure": {"account": "shop"}}), "/azure", "missing field `access_key`"),
        (
            json!({"path": "az://c/x", "azure": {"account": "shop", "access_key": {"$secret": "no base 64!"}}}),
            "/azure",
            "cannot be used",
        ),
        (
            json!({"path": "gs://b/x", "gcs": {"service_account": {"$secret": "{\"private_key\": 7}"}}}),
            "/gcs/service_account",
            "no JSON key",
        ),
    ];
    for (value, place, said) in cases {
        let found = wrong(value);
        assert!(found.len() == 1 && found[0].0 == place && found[0].1.contains(said), "{found:#?}");
    }
    for (endpoint, said) in [
        ("http://minio.shop:9000", "is without TLS"),
        ("storage.yandexcloud.net", "begins with https://"),
        ("https://key:secret@minio.shop", "keys have options of their own"),
        ("https://", "names no host"),
    ] {
        let mut section = keys();
        section["endpoint"] = json!(endpoint);
        let found = wrong(json!({"path": "s3://lake/shop", "s3": section.clone()}));
        assert!(found[0].0 == "/s3/endpoint" && found[0].1.contains(said), "{found:#?}");
        section["allow_http"] = json!(true);
        if endpoint.starts_with("http://") {
            try_build("parquet", std::path::Path::new("/"), json!({"path": "s3://l/s", "s3": section}))
                .unwrap();
        }
    }
    let found = wrong(
        json!({"path": "s3://l/s", "s3": {"access_key_id": "in clear", "secret_access_key": 1, "key": 1}}),
    );
    assert!(found.iter().any(|(p, _)| p == "/s3/key"), "{found:#?}");
    assert!(
        found.iter().any(|(p, m)| p.starts_with("/s3/access_key_id") && m.contains("never in clear")),
        "{found:#?}"
    );
}

/// The README's sections, as the engine hands them over, are ones that work, and name every option.
#[test]
fn the_readme_s_sections_build() {
    let readme = connector("parquet").readme().to_owned();
    let schema = connector("parquet").schema();
    let mut sections = 0;
    for example in readme.split("```toml").skip(2).map(|rest| rest.split("```").next().unwrap()) {
        let mut options = json!({});
        let mut section: Option<String> = None;
        for line in example.lines().map(|l| l.split(" #").next().unwrap().trim()).filter(|l| !l.is_empty()) {
            if let Some(name) = line.strip_prefix("[sink.").and_then(|l| l.strip_suffix(']')) {
                section = Some(name.to_owned());
                options[name] = json!({});
                continue;
            }
            let Some((key, value)) = line.split_once(" = ") else { continue };
            let value = match value.strip_prefix('{') {
                Some(_) if key == "service_account" => {
                    json!({"$secret": "{\"private_key\": \"\", \"private_key_id\": \"\", \"client_email\": \"x\", \"disable_oauth\": true}"})
                }
                Some(_) => json!({"$secret": "c2VjcmV0"}),
                None => serde_json::from_str(value).unwrap(),
            };
            match &section {
                Some(section) => options[section][key] = value,
                None if ["name", "connector", "tables"].contains(&key) => {}
                None => options[key] = value,
            }
        }
        let section = section.expect("an example of a bucket");
        let title = match section.as_str() {
            "s3" => "S3Options",
            "gcs" => "GcsOptions",
            _ => "AzureOptions",
        };
        let known: Vec<&String> = schema["$defs"][title]["properties"].as_object().unwrap().keys().collect();
        for key in known {
            assert!(
                readme.contains(&format!("{key} = ")) || readme.contains(&format!("`{key}`")),
                "{section}: {key}"
            );
        }
        try_build("parquet", std::path::Path::new("/nowhere"), options).unwrap();
        sections += 1;
    }
    assert_eq!(sections, 3);
}
