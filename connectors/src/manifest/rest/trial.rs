//! A manifest with what it takes to try it without a vendor: recorded answers, and options that go with them.
//!
//! Beside `shop.toml` lie
//! * `shop.answers.jsonl`, a cassette (docs/http.md): recorded by `[http] record`, or written by hand;
//! * `shop.test.toml`, which may be missing: options, streams, window. docs/connector-tests.md has its keys.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use throughline_core::secret::SECRET_KEY;
use throughline_core::time::InstantUs;
use throughline_core::{ConfigErrors, Redactor};

use super::test_file::{TestFile, whole};
use super::{Manifest, load};
use crate::manifest::spec::OptionType;

/// What stands for a secret that the test file does not give.
const SECRET: &str = "not-a-real-secret";

/// Ready to be tested.
pub struct Trial {
    pub manifest: Manifest,
    /// As a pipeline's `[[source]]` would give them; secrets are made up.
    pub options: Value,
    pub answers: PathBuf,
    /// Empty: all.
    pub streams: Vec<String>,
    /// For windowed streams.
    pub window: Option<(InstantUs, InstantUs)>,
    /// Knows the made-up secrets, as the redactor of the recording knew the real ones.
    pub redactor: Redactor,
}

impl Trial {
    /// # Errors
    /// Everything that is wrong with the manifest, or with the file of its test, with file, line and column.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let manifest = load(path).map_err(|e| vec![whole(path, format!("cannot be read: {e}"))])??;
        let test_path = path.with_extension("test.toml");
        let test = TestFile::load(&test_path)?;
        let redactor = Redactor::new();
        let options = options(&manifest, test.options.clone(), &redactor);
        // What is wrong with options is the test file's fault.
        manifest.source(&options).map(drop).map_err(|errors| test.located(&errors))?;
        let answers = answers(path, test.answers.as_deref())?;
        Ok(Self { manifest, options, answers, streams: test.streams, window: test.window, redactor })
    }
}

/// The options given, secrets as the engine hands them over. What is required and not given gets its example,
/// or for a secret something made up.
fn options(manifest: &Manifest, given: Map<String, Value>, redactor: &Redactor) -> Value {
    let mut options = given;
    for (name, spec) in &manifest.0.spec.options {
        let secret = spec.kind == OptionType::Secret;
        if !options.contains_key(name) && spec.required {
            let example = spec.example.clone().or_else(|| secret.then(|| SECRET.into()));
            options.extend(example.map(|value| (name.clone(), value)));
        }
        if let (true, Some(value)) = (secret, options.get_mut(name))
            && let Some(text) = value.as_str().map(str::to_owned)
        {
            redactor.register_text(&text);
            *value = json!({ SECRET_KEY: text });
        }
    }
    Value::Object(options)
}

fn answers(manifest: &Path, named: Option<&str>) -> Result<PathBuf, ConfigErrors> {
    let folder = manifest.parent().unwrap_or(Path::new(""));
    let endings = ["answers.jsonl", "answers.jsonl.zst", "answers.jsonl.gz"];
    let candidates: Vec<PathBuf> = match named {
        Some(name) => vec![folder.join(name)],
        None => endings.iter().map(|ending| manifest.with_extension(ending)).collect(),
    };
    candidates.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        let looked = candidates.first().map(|p| p.display().to_string()).unwrap_or_default();
        let message = format!("there are no answers to test with: {looked} is not there");
        let hint = "record them with [http] record in a pipeline, or write them; see docs/connector-tests.md";
        vec![whole(manifest, message).hint(hint)]
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"name = "shop"
base_url = "https://{subdomain}.example.com"
[options.subdomain]
type = "text"
required = true
doc = "Your shop."
example = "flowers"
[options.token]
type = "secret"
required = true
doc = "Key."
[[auth]]
kind = "bearer"
token = "{token}"
[[streams]]
name = "orders"
records = "data"
request = { path = "/orders" }
"#;

    fn load(test: Option<&str>, answers: bool) -> Result<Trial, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.toml");
        std::fs::write(&path, MANIFEST).unwrap();
        if let Some(test) = test {
            std::fs::write(folder.path().join("shop.test.toml"), test).unwrap();
        }
        if answers {
            std::fs::write(folder.path().join("shop.answers.jsonl"), "").unwrap();
        }
        let folder = folder.path().display().to_string() + "/";
        Trial::load(&path)
            .map_err(|errors| errors.iter().map(|e| e.to_string().replace(&folder, "")).collect())
    }

    #[test]
    fn without_a_test_file_examples_are_the_options() {
        let trial = load(None, true).unwrap();
        assert_eq!(trial.options, json!({"subdomain": "flowers", "token": {"$secret": SECRET}}));
        assert!(trial.streams.is_empty() && trial.window.is_none());
        assert_eq!(trial.redactor.redact("?key=not-a-real-secret"), "?key=***");
    }

    #[test]
    fn a_test_file_says_the_rest() {
        let test = "streams = [\"orders\"]\nfrom = \"1970-01-02\"\nto = 1970-01-03T00:00:00Z\n[options]\nsubdomain = \"лавка\"\ntoken = \"other-secret\"\n";
        let trial = load(Some(test), true).unwrap();
        assert_eq!(trial.options["subdomain"], "лавка");
        assert_eq!(trial.options["token"][SECRET_KEY], "other-secret");
        assert_eq!(trial.window, Some((86_400_000_000, 2 * 86_400_000_000)));
        assert_eq!(trial.streams, ["orders"]);
    }

    #[test]
    fn mistakes_have_their_places() {
        for (test, expected) in [
            ("stream = [\"a\"]\n", "shop.test.toml:1:1: unknown key \"stream\"; did you mean \"streams\"?"),
            ("from = \"2026-01-01\"\n", "`from` and `to` belong together"),
            ("from = \"2026-01-02\"\nto = \"2026-01-01\"\n", "`from` and `to` belong together"),
            ("from = \"soon\"\nto = \"2026-01-01\"\n", "from: write a day or an instant"),
            ("[options]\nsubdoman = \"x\"\n", "shop.test.toml:2:1: unknown key \"subdoman\""),
            ("[options]\nsubdomain = 7\n", "shop.test.toml:2:13: options.subdomain: expected a text"),
            ("answers = \"none.jsonl\"\n", "none.jsonl is not there"),
            ("answers\n", "shop.test.toml:1:8:"),
        ] {
            let errors = load(Some(test), true).err().unwrap();
            assert!(
                errors.iter().any(|e| e.contains(expected)),
                "{test}: {expected:?} is not in {errors:#?}"
            );
        }
        let errors = load(None, false).err().unwrap();
        assert!(errors[0].contains("shop.answers.jsonl is not there; record them"), "{errors:?}");
        let none = Trial::load(Path::new("nowhere/shop.toml")).err().unwrap();
        assert!(none[0].to_string().contains("nowhere/shop.toml:1:1: cannot be read"), "{none:?}");
    }
}
