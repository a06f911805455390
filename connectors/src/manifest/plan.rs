//! A manifest made ready to run: every template, path, duration and name in it is checked here, once.

mod access;
mod mappings;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use throughline_core::http::Method;

use super::moments::{Format, duration};
use super::problems::Problems;
use super::spec::{
    AuthSpec, Encoding, ErrorRule, LookupSpec, Manifest, OptionType, PagingKind, RequestOf, Stream,
};
use super::template::{Template, Tree};
use crate::records::{Path, Selector};

pub(crate) struct Plan {
    pub spec: Manifest,
    pub base_url: Template,
    pub account: Option<Template>,
    pub headers: Vec<(String, Template)>,
    pub auth: Vec<AuthPlan>,
    pub rules: Vec<Rule>,
    pub timeout: Duration,
    pub check: Option<CheckPlan>,
    pub streams: Vec<Arc<StreamPlan>>,
    pub mappings: Vec<MappingPlan>,
    pub params: Vec<(String, Template)>,
    pub lookups: Vec<LookupPlan>,
}

pub(crate) struct LookupPlan {
    pub name: String,
    pub request: Request,
    pub path: Path,
}

pub(crate) struct CheckPlan {
    pub request: Request,
    pub facts: Vec<(String, Path)>,
}

pub(crate) struct Request {
    pub method: Method,
    pub path: Template,
    pub query: Tree,
    pub headers: Vec<(String, Template)>,
    pub body: Option<Tree>,
    pub encoding: Encoding,
    pub repeatable: bool,
    /// Name of a limit of its own.
    pub limit: Option<String>,
    /// What must be looked up before: places in [`Plan::lookups`].
    pub lookups: Vec<usize>,
    /// What is paused together: the path, or the method of a chain's commands.
    pub topic: String,
    /// Many pages in one answer.
    pub chain: Option<Arc<ChainPlan>>,
    /// Statuses whose body is read by who asks, whatever the rules say.
    pub accept: Vec<u16>,
}

/// How many pages come in one answer.
pub(crate) struct ChainPlan {
    pub pages: u32,
    pub command: Template,
    pub last: Template,
    pub answers: Path,
    pub refusals: Path,
    /// Of the records, in the answer to one command.
    pub records: Path,
    /// Records of a full page.
    pub size: u64,
}

pub(crate) struct AuthPlan {
    pub spec: AuthSpec,
    pub base_url: Option<Template>,
    pub token: Option<Template>,
    pub user: Option<Template>,
    pub password: Option<Template>,
    pub oauth2: Option<OauthPlan>,
}

pub(crate) struct OauthPlan {
    pub url: Template,
    pub method: Method,
    pub refresh: Tree,
    pub first: Option<Tree>,
    pub authorize: Option<AuthorizePlan>,
    pub account: Template,
    pub access_token: Path,
    pub refresh_token: Path,
    pub scope: Path,
    pub expires_in: Path,
    pub life: Option<Duration>,
    pub keep: Vec<(String, Path)>,
}

pub(crate) struct AuthorizePlan {
    pub url: Template,
    pub query: Tree,
    pub expect: Vec<(String, Template)>,
    pub needs: Vec<Template>,
    pub pkce: bool,
}

pub(crate) struct Rule {
    pub spec: ErrorRule,
    pub path: Option<Path>,
    pub wait: Option<Duration>,
    pub wait_path: Option<Path>,
    pub message_path: Option<Path>,
}

pub(crate) struct StreamPlan {
    pub spec: Stream,
    pub request: Request,
    pub selector: Selector,
    /// Columns taken from inside of a record: name and path.
    pub lift: Vec<(String, Template)>,
    pub paging: PagingPlan,
    pub incremental: Option<IncrementalPlan>,
    pub days: Option<DaysPlan>,
    /// Index of the parent among the streams.
    pub parent: Option<usize>,
    pub count: Option<CountPlan>,
}

#[derive(Default)]
pub(crate) struct PagingPlan {
    pub kind: PagingKind,
    pub path: Option<Path>,
    pub more: Option<Path>,
    pub total: Option<Path>,
    pub left: Option<Path>,
    pub progress: Option<Path>,
}

pub(crate) struct IncrementalPlan {
    pub format: Format,
    pub zone: Option<Template>,
    pub resolution: Duration,
    pub overlap: Duration,
    pub lag: Duration,
    pub step: Option<Duration>,
    pub start: Option<Template>,
    pub ordered: bool,
}

pub(crate) struct DaysPlan {
    pub zone: Option<Template>,
    pub start: Template,
}

pub(crate) struct CountPlan {
    pub path: Path,
    pub request: Option<Request>,
    pub at_most: Option<u64>,
}

pub(crate) struct MappingPlan {
    pub into: String,
    pub from: Vec<String>,
    pub sql: String,
    pub origin: String,
    /// The `$name`s in the SELECT.
    pub params: Vec<String>,
}

/// Reads a file of the manifest's folder.
pub(crate) type ReadFile<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Words of `[[source]]` that the engine or the runtime itself reads.
const RESERVED: &[&str] = &["name", "connector", "streams", "manifest", "base_url", "enabled"];

pub(crate) fn plan(
    spec: Manifest,
    folder: &str,
    read: ReadFile<'_>,
    problems: &mut Problems,
) -> Option<Plan> {
    let p = problems;
    for (name, option) in &spec.options {
        let at = format!("/options/{name}");
        if !is_word(name) || RESERVED.contains(&name.as_str()) {
            p.add(
                &at,
                format!(
                    "an option cannot be called {name:?}: use small letters, digits and _, none of {}",
                    RESERVED.join(", ")
                ),
            );
        }
        if let Some(default) = &option.default
            && let Err(why) = super::options::fits(option, default)
        {
            p.add(format!("{at}/default"), why);
        }
        if option.required && option.default.is_some() {
            p.add(format!("{at}/required"), "an option with a default is never missing");
        }
        if option.kind == OptionType::Secret && option.default.is_some() {
            p.add(format!("{at}/default"), "a secret has no default");
        }
    }
    let options: Vec<String> = spec.options.keys().cloned().collect();
    let kept = spec.auth.iter().filter_map(|a| a.oauth2.as_ref()).flat_map(|o| o.keep.keys());
    let mut names = options.clone();
    names.extend(kept.map(|k| format!("token.{k}")));
    let apart = spec.limits.apart.keys().cloned().collect();
    let mut c = Compiler { p, names, apart, lookups: Vec::new() };
    let base_url = c.template("/base_url", &spec.base_url);
    c.names.push("base_url".into());
    let account = spec.limits.account.as_ref().map(|a| c.template("/limits/account", a));
    if !(spec.limits.per_second > 0.0 && spec.limits.per_second.is_finite()) {
        c.p.add("/limits/per_second", "must be more than 0");
    }
    for (key, value) in
        [("burst", spec.limits.burst), ("parallel", spec.limits.parallel), ("attempts", spec.limits.attempts)]
    {
        if value == 0 {
            c.p.add(format!("/limits/{key}"), "must be at least 1");
        }
    }
    let timeout = c.p.take("/limits/timeout", duration(&spec.limits.timeout)).unwrap_or_default();
    let headers = c.headers("", &spec.headers);
    let auth = spec.auth.iter().enumerate().map(|(i, a)| c.auth(i, a, &options)).collect();
    let rules = spec.errors.iter().enumerate().map(|(i, rule)| c.rule(i, rule)).collect();
    for (name, limit) in &spec.limits.apart {
        let at = format!("/limits/apart/{name}");
        if !(limit.per_second > 0.0 && limit.per_second.is_finite()) {
            c.p.add(format!("{at}/per_second"), "must be more than 0");
        }
        if limit.burst == 0 || limit.parallel == 0 {
            c.p.add(at, "burst and parallel must be at least 1");
        }
    }
    let lookups: Vec<LookupPlan> = spec.lookups.iter().filter_map(|(name, l)| c.lookup(name, l)).collect();
    // From here on they may be used; in each other's requests they may not.
    c.lookups = spec.lookups.keys().map(|name| format!("lookup.{name}")).collect();
    c.names.extend(c.lookups.clone());
    let check = spec.check.as_ref().map(|check| CheckPlan {
        request: c.request("/check/request", &check.request),
        facts: check
            .facts
            .iter()
            .filter_map(|(label, path)| {
                Some((label.clone(), c.path(&format!("/check/facts/{label}"), path)?))
            })
            .collect(),
    });
    let streams =
        (0..spec.streams.len()).filter_map(|i| c.stream(&spec, i).map(Arc::new)).collect::<Vec<_>>();
    let params: Vec<(String, Template)> = spec
        .params
        .iter()
        .map(|(name, text)| {
            if options.contains(name) {
                c.p.add(format!("/params/{name}"), "an option has this name already");
            }
            (name.clone(), c.template(&format!("/params/{name}"), text))
        })
        .collect();
    let mappings = (0..spec.mappings.len()).filter_map(|i| c.mapping(&spec, i, folder, read)).collect();
    if !c.p.is_empty() {
        return None;
    }
    Some(Plan {
        base_url,
        account,
        headers,
        auth,
        rules,
        timeout,
        check,
        streams,
        mappings,
        params,
        lookups,
        spec,
    })
}

struct Compiler<'a> {
    p: &'a mut Problems,
    /// Placeholders that may stand in the template at hand.
    names: Vec<String>,
    /// Names of limits apart.
    apart: Vec<String>,
    /// Placeholders of lookups, in the order of [`Plan::lookups`].
    lookups: Vec<String>,
}

impl Compiler<'_> {
    fn template(&mut self, at: &str, text: &str) -> Template {
        let template = self.p.take(at, Template::parse(text)).unwrap_or_default();
        self.check_names(at, &template);
        template
    }

    fn check_names(&mut self, at: &str, template: &Template) {
        for name in template.names() {
            self.p.known(at, "placeholder", name, &self.names);
        }
    }

    fn tree(&mut self, at: &str, value: &serde_json::Value) -> Tree {
        match Tree::parse(value) {
            Ok(tree) => {
                let mut found = Vec::new();
                tree.templates(at, &mut |at, template| found.push((at.to_owned(), template.clone())));
                for (at, template) in found {
                    self.check_names(&at, &template);
                }
                tree
            }
            Err((below, message)) => {
                self.p.add(format!("{at}{below}"), message);
                Tree::Leaf(serde_json::Value::Null)
            }
        }
    }

    fn path(&mut self, at: &str, text: &str) -> Option<Path> {
        self.p.take(at, Path::parse(text))
    }

    fn maybe_path(&mut self, at: &str, text: Option<&String>) -> Option<Path> {
        text.and_then(|text| self.path(at, text))
    }

    fn headers<'h>(
        &mut self,
        at: &str,
        headers: impl IntoIterator<Item = (&'h String, &'h String)>,
    ) -> Vec<(String, Template)> {
        headers
            .into_iter()
            .map(|(k, v)| (k.clone(), self.template(&format!("{at}/headers/{k}"), v)))
            .collect()
    }

    fn method(&mut self, at: &str, method: &str) -> Method {
        match method.to_ascii_uppercase().as_str() {
            "GET" => Method::Get,
            "POST" => Method::Post,
            other => {
                self.p.add(at, format!("{other:?} is no method to read with; use GET or POST"));
                Method::Get
            }
        }
    }

    fn lookup(&mut self, name: &str, spec: &LookupSpec) -> Option<LookupPlan> {
        let at = format!("/lookups/{name}");
        if !is_word(name) {
            self.p.add(&at, "a lookup's name is small letters, digits and _");
        }
        let request = self.request(&format!("{at}/request"), &spec.request);
        let path = self.path(&format!("{at}/path"), &spec.path)?;
        Some(LookupPlan { name: name.to_owned(), request, path })
    }

    fn request(&mut self, at: &str, spec: &RequestOf) -> Request {
        if let Some(limit) = &spec.limit {
            self.p.known(&format!("{at}/limit"), "limit apart", limit, &self.apart);
        }
        let mut request = self.bare_request(at, spec);
        let used = |name: &String| uses(&request, name);
        request.lookups =
            self.lookups.iter().enumerate().filter(|(_, name)| used(name)).map(|(i, _)| i).collect();
        request
    }

    fn bare_request(&mut self, at: &str, spec: &RequestOf) -> Request {
        Request {
            method: self.method(&format!("{at}/method"), &spec.method),
            path: self.template(&format!("{at}/path"), &spec.path),
            query: self.tree(&format!("{at}/query"), &serde_json::Value::Object(spec.query.clone())),
            headers: self.headers(at, &spec.headers),
            body: spec.body.as_ref().map(|body| self.tree(&format!("{at}/body"), body)),
            encoding: spec.encoding,
            repeatable: spec.repeatable,
            limit: spec.limit.clone(),
            lookups: Vec::new(),
            topic: topic(&spec.path),
            chain: None,
            accept: Vec::new(),
        }
    }
}

/// The path or command without what is asked of it.
pub(crate) fn topic(path: &str) -> String {
    path.split('?').next().unwrap_or_default().trim_start_matches('/').to_owned()
}

/// Whether a placeholder stands somewhere in a request.
fn uses(request: &Request, name: &str) -> bool {
    let mut found = request.path.names().any(|n| n == name);
    if let Some(chain) = &request.chain {
        found |= chain.command.names().any(|n| n == name);
    }
    found |= request.headers.iter().any(|(_, t)| t.names().any(|n| n == name));
    let mut look = |_: &str, t: &Template| found |= t.names().any(|n| n == name);
    request.query.templates("", &mut look);
    if let Some(body) = &request.body {
        body.templates("", &mut look);
    }
    found
}

fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}
