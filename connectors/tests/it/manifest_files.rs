//! Manifests as people write them: the documentation's examples, and mistakes with their places.

use std::path::Path;

use serde_json::json;
use throughline_connectors::manifest::Manifest;
use throughline_core::{Options, SourceConnector};

const GOOD: &str = r#"name = "shop"
base_url = "https://{subdomain}.example.com"

[options.subdomain]
type = "text"
required = true
doc = "Your shop."

[[streams]]
name = "orders"
records = "data"
key = ["id"]

[streams.request]
path = "/orders"
query = { page = "{page}", since = "{from}" }

[streams.paging]
kind = "page"
size = 50

[streams.incremental]
cursor = "updated_at"
format = "iso"
"#;

fn errors(text: &str) -> Vec<String> {
    match Manifest::parse(text, "shop.toml", &|_| Err("no such file".into())) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn mistakes_are_found_with_their_places() {
    assert_eq!(errors(GOOD), Vec::<String>::new());
    let cases: &[(&str, &str, &str)] = &[
        ("name = \"shop\"", "name = shop", "shop.toml:1:8:"),
        (
            "base_url = \"https",
            "base_ulr = \"https",
            "shop.toml:2:1: unknown key \"base_ulr\"; did you mean \"base_url\"?",
        ),
        (
            "{subdomain}",
            "{subdoman}",
            "shop.toml:2:12: base_url: there is no placeholder \"subdoman\"; did you mean \"subdomain\"?",
        ),
        (
            "type = \"text\"",
            "type = \"string\"",
            "shop.toml:5:8: options.subdomain.type: unknown value \"string\"",
        ),
        ("\"{page}\"", "\"{pag}\"", "there is no placeholder \"pag\"; did you mean \"page\"?"),
        ("\"{page}\"", "\"1\"", "nothing in the request uses {page}"),
        ("\"{from}\"", "\"x\"", "nothing in the request uses {from}"),
        (
            "kind = \"page\"",
            "kind = \"pages\"",
            "shop.toml:19:8: streams.0.paging.kind: unknown value \"pages\"; did you mean \"page\"?",
        ),
        ("size = 50", "sise = 50", "shop.toml:20:1: unknown key \"sise\"; did you mean \"size\"?"),
        (
            "size = 50",
            "size = \"many\"",
            "shop.toml:20:8: streams.0.paging.size: invalid type: string \"many\"",
        ),
        ("size = 50", "size = 0", "shop.toml:20:8: streams.0.paging.size: must be at least 1"),
        (
            "size = 50",
            "column = \"id\"",
            "shop.toml:20:10: streams.0.paging.column: this kind of paging does not use it",
        ),
        (
            "format = \"iso\"",
            "format = \"seconds\"",
            "shop.toml:24:10: streams.0.incremental.format: \"seconds\" is no time format",
        ),
        (
            "format = \"iso\"",
            "format = \"iso\"\noverlap = \"5 min\"",
            "shop.toml:25:11: streams.0.incremental.overlap: \"5 min\" is no duration",
        ),
        (
            "format = \"iso\"",
            "format = \"iso\"\nzone = \"{nowhere}\"",
            "shop.toml:25:8: streams.0.incremental.zone: there is no placeholder",
        ),
        ("format = \"iso\"\n", "format = \"iso\"\nstep = \"1d\"\n", "step needs start"),
        (
            "records = \"data\"",
            "records = \"data..x\"",
            "shop.toml:11:11: streams.0.records: path \"data..x\" has an empty step",
        ),
        ("records = \"data\"", "records = \"data\"\ncarry = [\"id\"]", "carry needs a [*]"),
        ("path = \"/orders\"", "path = \"/orders\"\nmethod = \"DELETE\"", "no method to read with"),
        (
            "path = \"/orders\"",
            "path = \"/orders/{id\"",
            "shop.toml:15:8: streams.0.request.path: \"/orders/{id\": a '{' without '}'",
        ),
        ("name = \"orders\"", "name = \"Orders!\"", "small letters"),
        (
            "format = \"iso\"\n",
            "format = \"iso\"\n[streams.parent]\nstream = \"order\"\ncolumns = [\"id\"]\n",
            "there is no stream \"order\"; did you mean \"orders\"?",
        ),
        (
            "format = \"iso\"\n",
            "format = \"iso\"\n[[auth]]\nkind = \"bearer\"\n",
            "shop.toml:25:1: auth.0: this kind of auth needs the key \"token\"",
        ),
        (
            "format = \"iso\"\n",
            "format = \"iso\"\n[[errors]]\naction = \"retry\"\n",
            "a rule needs a condition",
        ),
        (
            "format = \"iso\"\n",
            "format = \"iso\"\n[[mappings]]\ninto = \"deal\"\nfrom = [\"orders\"]\nsql = \"x.sql\"\n",
            "there is no canonical table \"deal\"; did you mean \"deals\"?",
        ),
        (
            "format = \"iso\"\n",
            "format = \"iso\"\n[[mappings]]\ninto = \"deals\"\nfrom = [\"orders\"]\nsql = \"x.sql\"\n",
            "shop.toml:28:7: mappings.0.sql: no such file",
        ),
        ("required = true", "required = true\ndefault = \"x\"", "never missing"),
        ("required = true", "default = 7", "expected a text, found 7"),
        ("key = [\"id\"]", "key = \"id\"", "shop.toml:12:7: streams.0.key: invalid type"),
    ];
    for (from, to, expected) in cases {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD);
        let found = errors(&text);
        assert!(found.iter().any(|e| e.contains(expected)), "{to}: {expected:?} is not in {found:#?}");
    }
}

#[test]
fn every_mistake_is_found_at_once() {
    let text =
        GOOD.replace("size = 50", "size = 0").replace("\"iso\"", "\"never\"").replace("\"data\"", "\"a..b\"");
    assert_eq!(errors(&text).len(), 3, "{:#?}", errors(&text));
}

#[test]
fn no_text_makes_it_panic() {
    // Every manifest cut anywhere, and with every line taken out.
    for cut in (0..GOOD.len()).step_by(7) {
        errors(&GOOD[..cut]);
    }
    let lines: Vec<&str> = GOOD.lines().collect();
    for skip in 0..lines.len() {
        let text: Vec<&str> = lines.iter().enumerate().filter(|(i, _)| *i != skip).map(|(_, l)| *l).collect();
        errors(&text.join("\n"));
    }
}

/// Every ```toml block of the reference that has streams is a whole manifest and must load; the others are
/// sources of a pipeline.
#[test]
fn the_reference_tells_the_truth() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/manifest.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut found = 0;
    for block in text.split("```toml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        if !block.contains("[[streams]]") {
            continue;
        }
        found += 1;
        let errors = match Manifest::parse(block, "docs/manifest.md", &|_| Ok("SELECT id FROM orders".into()))
        {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(errors, Vec::<String>::new(), "{block}");
    }
    assert!(found >= 8, "only {found} examples");
    // And it names every key there is.
    let schema = Manifest::schema().to_string();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let mut keys: Vec<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    for definition in schema["$defs"].as_object().unwrap().values() {
        keys.extend(definition["properties"].as_object().into_iter().flatten().map(|(k, _)| k.clone()));
    }
    keys.retain(|key| !text.contains(&format!("`{key}`")));
    assert_eq!(keys, Vec::<String>::new(), "docs/manifest.md does not name these");
}

#[test]
fn every_connector_builds_its_own_example() {
    for connector in throughline_connectors::all() {
        assert!(
            !connector.summary().is_empty(),
            "{} has no manifest: {:?}",
            connector.name(),
            build_errors(connector.as_ref())
        );
        assert!(connector.readme().contains("```toml"), "{}", connector.name());
    }
    let amocrm = throughline_connectors::amocrm::connector();
    for block in amocrm.readme().split("```toml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let pipeline: toml::Table = block.parse().unwrap();
        let source = pipeline["source"][0].as_table().unwrap().clone();
        let mut value = serde_json::to_value(source).unwrap();
        let map = value.as_object_mut().unwrap();
        map.remove("name");
        map.remove("connector");
        for option in map.values_mut().filter(|v| v.is_object()) {
            *option = json!({"$secret": "x"});
        }
        let options = Options { name: "crm".into(), value, base_dir: ".".into() };
        if let Err(errors) = amocrm.build(&options) {
            panic!("{errors:?}");
        }
    }
}

fn build_errors(connector: &dyn SourceConnector) -> Option<Vec<throughline_core::Error>> {
    connector.build(&Options { name: "x".into(), value: json!({}), base_dir: ".".into() }).err()
}

#[test]
fn a_manifest_in_a_project_works_and_its_mistakes_point_into_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sql")).unwrap();
    let mapping = "[[mappings]]\ninto = \"deals\"\nfrom = [\"orders\"]\nsql = \"sql/deals.sql\"\n";
    std::fs::write(folder.path().join("shop.toml"), format!("{GOOD}{mapping}")).unwrap();
    std::fs::write(folder.path().join("sql/deals.sql"), "SELECT $subdomain || id AS deal_id FROM orders")
        .unwrap();
    let options = |value| Options { name: "shop".into(), value, base_dir: folder.path().into() };
    let rest = throughline_connectors::manifest::rest::Rest;
    let source = rest.build(&options(json!({"manifest": "shop.toml", "subdomain": "a"}))).ok().unwrap();
    assert_eq!(source.catalog().streams[0].name, "orders");
    assert!(source.catalog().streams[0].capabilities.windowed);
    let mappings = source.mappings();
    assert_eq!(mappings[0].params[0].0, "subdomain");
    let errors = rest.build(&options(json!({"manifest": "shop.toml", "subdoman": "a"}))).err().unwrap();
    assert_eq!(errors.len(), 2, "{errors:?}");
    let errors = rest.build(&options(json!({"manifest": "none.toml"}))).err().unwrap();
    assert!(errors[0].message().contains("none.toml"));
    std::fs::write(folder.path().join("shop.toml"), GOOD.replace("kind = \"page\"", "kind = \"pages\""))
        .unwrap();
    let errors = rest.build(&options(json!({"manifest": "shop.toml", "subdomain": "a"}))).err().unwrap();
    assert!(errors[0].to_string().contains("shop.toml:19:8:"), "{errors:?}");
}
