//! A manifest made ready to run: every template, path, duration and name in it is checked here, once.

use std::sync::Arc;
use std::time::Duration;

use throughline_core::http::Method;

use super::moments::{Format, duration, pattern_is_good};
use super::problems::Problems;
use super::spec::{
    Action, AuthKind, AuthSpec, Encoding, ErrorRule, Manifest, OptionType, OrderOf, Paging, PagingKind,
    RequestOf, Stream,
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
}

pub(crate) struct AuthPlan {
    pub spec: AuthSpec,
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
    pub account: Template,
    pub access_token: Path,
    pub refresh_token: Path,
    pub expires_in: Path,
    pub life: Option<Duration>,
    pub keep: Vec<(String, Path)>,
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
    let mut c = Compiler { p, names };
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
    if spec.streams.is_empty() {
        c.p.add("/streams", "there are no streams");
    }
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
    Some(Plan { base_url, account, headers, auth, rules, timeout, check, streams, mappings, params, spec })
}

struct Compiler<'a> {
    p: &'a mut Problems,
    /// Placeholders that may stand in the template at hand.
    names: Vec<String>,
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

    fn request(&mut self, at: &str, spec: &RequestOf) -> Request {
        Request {
            method: self.method(&format!("{at}/method"), &spec.method),
            path: self.template(&format!("{at}/path"), &spec.path),
            query: self.tree(&format!("{at}/query"), &serde_json::Value::Object(spec.query.clone())),
            headers: self.headers(at, &spec.headers),
            body: spec.body.as_ref().map(|body| self.tree(&format!("{at}/body"), body)),
            encoding: spec.encoding,
            repeatable: spec.repeatable,
        }
    }

    fn auth(&mut self, index: usize, spec: &AuthSpec, options: &[String]) -> AuthPlan {
        let at = format!("/auth/{index}");
        if let Some(when) = &spec.when {
            self.p.known(&format!("{at}/when"), "option", when, options);
        }
        let needs: &[(&str, bool)] = match spec.kind {
            AuthKind::Bearer => &[("token", spec.token.is_some())],
            AuthKind::Header | AuthKind::Query => {
                &[("name", spec.name.is_some()), ("token", spec.token.is_some())]
            }
            AuthKind::Basic => &[("user", spec.user.is_some()), ("password", spec.password.is_some())],
            AuthKind::Oauth2 => &[("oauth2", spec.oauth2.is_some())],
        };
        for (key, given) in needs {
            if !given {
                self.p.add(&at, format!("this kind of auth needs the key {key:?}"));
            }
        }
        let template = |c: &mut Self, key: &str, text: &Option<String>| {
            text.as_ref().map(|text| c.template(&format!("{at}/{key}"), text))
        };
        let token = template(self, "token", &spec.token);
        let user = template(self, "user", &spec.user);
        let password = template(self, "password", &spec.password);
        let oauth2 = spec.oauth2.as_ref().and_then(|o| {
            let at = format!("{at}/oauth2");
            if let Some(code) = &o.code {
                self.p.known(&format!("{at}/code"), "option", code, options);
            }
            if o.first.is_some() != o.code.is_some() {
                self.p.add(
                    &at,
                    "first and code belong together: what buys the first pair, and the option with the code",
                );
            }
            let url = self.template(&format!("{at}/token_url"), &o.token_url);
            let account = self.template(&format!("{at}/account"), &o.account);
            let first = o
                .first
                .as_ref()
                .map(|f| self.tree(&format!("{at}/first"), &serde_json::Value::Object(f.clone())));
            // The stored refresh token stands in for the option: the name exists even without one.
            let known = self.names.len();
            self.names.push("refresh_token".into());
            let refresh = self.tree(&format!("{at}/refresh"), &serde_json::Value::Object(o.refresh.clone()));
            self.names.truncate(known);
            let life = o.life.as_ref().and_then(|l| self.p.take(&format!("{at}/life"), duration(l)));
            Some(OauthPlan {
                url,
                method: self.method(&format!("{at}/method"), &o.method),
                refresh,
                first,
                account,
                access_token: self.path(&format!("{at}/access_token"), &o.access_token)?,
                refresh_token: self.path(&format!("{at}/refresh_token"), &o.refresh_token)?,
                expires_in: self.path(&format!("{at}/expires_in"), &o.expires_in)?,
                life,
                keep: o
                    .keep
                    .iter()
                    .filter_map(|(k, v)| Some((k.clone(), self.path(&format!("{at}/keep/{k}"), v)?)))
                    .collect(),
            })
        });
        AuthPlan { spec: spec.clone(), token, user, password, oauth2 }
    }

    fn rule(&mut self, index: usize, spec: &ErrorRule) -> Rule {
        let at = format!("/errors/{index}");
        if spec.status.is_empty() && spec.path.is_none() && spec.contains.is_none() {
            self.p.add(&at, "a rule needs a condition: status, path or contains");
        }
        if !spec.is.is_empty() && spec.path.is_none() {
            self.p.add(format!("{at}/is"), "is needs path: what is compared with it");
        }
        let waits = spec.wait.is_some() || spec.wait_header.is_some() || spec.wait_path.is_some();
        if waits && !matches!(spec.action, Action::Retry | Action::SlowDown) {
            self.p.add(&at, "only retry and slow_down wait");
        }
        Rule {
            path: self.maybe_path(&format!("{at}/path"), spec.path.as_ref()),
            wait: spec.wait.as_ref().and_then(|w| self.p.take(&format!("{at}/wait"), duration(w))),
            wait_path: self.maybe_path(&format!("{at}/wait_path"), spec.wait_path.as_ref()),
            message_path: self.maybe_path(&format!("{at}/message_path"), spec.message_path.as_ref()),
            spec: spec.clone(),
        }
    }

    fn stream(&mut self, manifest: &Manifest, index: usize) -> Option<StreamPlan> {
        let spec = manifest.streams.get(index)?;
        let at = format!("/streams/{index}");
        if !is_word(&spec.name) {
            self.p.add(format!("{at}/name"), "a stream's name is small letters, digits and _");
        }
        if manifest.streams.iter().take(index).any(|s| s.name == spec.name) {
            self.p.add(format!("{at}/name"), format!("there are two streams {:?}", spec.name));
        }
        let known = self.names.len();
        let paging = self.paging(&at, spec);
        let incremental = self.incremental(&at, spec);
        let days = self.days(&at, spec);
        let parent = self.parent(&at, spec, manifest, index);
        // By what is written, not by what was found good: one mistake is not to make another.
        let windowed = spec.incremental.is_some()
            || spec.days.is_some()
            || parent.and_then(|i| manifest.streams.get(i)).is_some_and(|s| s.incremental.is_some());
        if windowed {
            self.names.extend(["from".into(), "to".into()]);
        }
        let request = self.request(&format!("{at}/request"), &spec.request);
        let count = spec.count.as_ref().and_then(|count| {
            Some(CountPlan {
                request: count.request.as_ref().map(|r| self.request(&format!("{at}/count/request"), r)),
                path: self.path(&format!("{at}/count/path"), &count.path)?,
            })
        });
        self.names.truncate(known);
        let uses = |name: &str| uses(&request, name);
        let turn = match spec.paging.kind {
            PagingKind::None | PagingKind::Next => None,
            PagingKind::Page => Some("page"),
            PagingKind::Offset => Some("offset"),
            PagingKind::Cursor => Some("cursor"),
            PagingKind::Keyset => Some("last"),
        };
        if let Some(name) = turn.filter(|name| !uses(name)) {
            self.p.add(
                format!("{at}/request"),
                format!("nothing in the request uses {{{name}}}: every page would be the first"),
            );
        }
        if (spec.incremental.is_some() || spec.days.is_some()) && !uses("from") {
            self.p.add(
                format!("{at}/request"),
                "nothing in the request uses {from}: every window would read everything",
            );
        }
        let path = self.path(&format!("{at}/records"), &spec.records)?;
        if !spec.carry.is_empty() && !spec.records.contains("[*]") {
            self.p.add(format!("{at}/carry"), "carry needs a [*] in records");
        }
        let selector = Selector {
            path,
            single: spec.single,
            may_be_missing: spec.may_be_missing,
            carry: spec.carry.clone(),
        };
        Some(StreamPlan { spec: spec.clone(), request, selector, paging, incremental, days, parent, count })
    }

    fn paging(&mut self, stream: &str, spec: &Stream) -> PagingPlan {
        use PagingKind::{Cursor, Keyset, Next, None, Offset, Page};
        let at = format!("{stream}/paging");
        let Paging { kind, .. } = spec.paging;
        let s = &spec.paging;
        let given: [(&str, bool, &[PagingKind]); 12] = [
            ("size", s.size.is_some(), &[Page, Offset, Cursor, Next, Keyset]),
            ("first", s.first.is_some(), &[Page, Offset]),
            ("path", s.path.is_some(), &[Cursor, Next]),
            ("header", s.header.is_some(), &[Cursor, Next]),
            ("more", s.more.is_some(), &[Page, Offset]),
            ("total", s.total.is_some(), &[Offset]),
            ("short_page_ends", s.short_page_ends, &[Page, Offset, Keyset]),
            ("column", s.column.is_some(), &[Keyset]),
            ("start", s.start.is_some(), &[Keyset]),
            ("across_runs", s.across_runs, &[Keyset]),
            ("strip", !s.strip.is_empty(), &[Next]),
            ("progress", s.progress.is_some(), &[None, Page, Offset, Cursor, Next, Keyset]),
        ];
        for (key, given, kinds) in given {
            if given && !kinds.contains(&kind) {
                self.p.add(format!("{at}/{key}"), "this kind of paging does not use it");
            }
        }
        let mut needs = |key: &str, given: bool| {
            if !given {
                self.p.add(&at, format!("this kind of paging needs the key {key:?}"));
            }
        };
        match kind {
            None | Page => {}
            Offset => needs("size", s.size.is_some()),
            Cursor | Next => needs("path", s.path.is_some() != s.header.is_some()),
            Keyset => {
                needs("column", s.column.is_some());
                needs("start", s.start.is_some());
            }
        }
        if s.short_page_ends {
            needs("size", s.size.is_some());
        }
        if s.size == Some(0) {
            self.p.add(format!("{at}/size"), "must be at least 1");
        }
        if spec.single && kind != None {
            self.p.add(&at, "a single record has no pages");
        }
        self.names.extend(s.size.map(|_| "size".to_owned()));
        self.names.extend(match kind {
            None | Next => Option::None,
            Page => Some("page".to_owned()),
            Offset => Some("offset".to_owned()),
            Cursor => Some("cursor".to_owned()),
            Keyset => Some("last".to_owned()),
        });
        PagingPlan {
            kind,
            path: self.maybe_path(&format!("{at}/path"), s.path.as_ref()),
            more: self.maybe_path(&format!("{at}/more"), s.more.as_ref()),
            total: self.maybe_path(&format!("{at}/total"), s.total.as_ref()),
            progress: self.maybe_path(&format!("{at}/progress"), s.progress.as_ref()),
        }
    }

    fn incremental(&mut self, stream: &str, spec: &Stream) -> Option<IncrementalPlan> {
        let s = spec.incremental.as_ref()?;
        let at = format!("{stream}/incremental");
        let mut time = |key: &str, text: Option<&String>| {
            text.and_then(|text| self.p.take(&format!("{at}/{key}"), duration(text)))
        };
        let resolution = time("resolution", s.resolution.as_ref());
        let overlap = time("overlap", Some(&s.overlap));
        let lag = time("lag", Some(&s.lag));
        let step = time("step", s.step.as_ref());
        let ordered = s.order == Some(OrderOf::Asc);
        if ordered && spec.key.is_empty() {
            self.p
                .add(format!("{at}/order"), "order needs a key: the records at a page's end are read twice");
        }
        if ordered && !matches!(spec.paging.kind, PagingKind::Page | PagingKind::Offset) {
            self.p
                .add(format!("{at}/order"), "order is for paging by page or offset; the others do not move");
        }
        if step.is_some() && s.start.is_none() {
            self.p.add(format!("{at}/step"), "step needs start: where the first window begins");
        }
        if step.is_some_and(|step| step.is_zero()) || resolution.is_some_and(|r| r.is_zero()) {
            self.p.add(&at, "step and resolution are longer than nothing");
        }
        let format = self.p.take(&format!("{at}/format"), Format::parse(&s.format))?;
        Some(IncrementalPlan {
            zone: s.zone.as_ref().map(|z| self.template(&format!("{at}/zone"), z)),
            start: s.start.as_ref().map(|s| self.template(&format!("{at}/start"), s)),
            resolution: resolution.unwrap_or_else(|| format.resolution()),
            overlap: overlap?,
            lag: lag?,
            step,
            ordered,
            format,
        })
    }

    fn days(&mut self, stream: &str, spec: &Stream) -> Option<DaysPlan> {
        let s = spec.days.as_ref()?;
        let at = format!("{stream}/days");
        if spec.incremental.is_some() {
            self.p.add(&at, "a stream has either incremental or days");
        }
        if s.step == 0 || s.step > 3660 {
            self.p.add(format!("{at}/step"), "must be from 1 to 3660 days");
        }
        self.p.take(&format!("{at}/format"), pattern_is_good(&s.format));
        Some(DaysPlan {
            zone: s.zone.as_ref().map(|z| self.template(&format!("{at}/zone"), z)),
            start: self.template(&format!("{at}/start"), &s.start),
        })
    }

    fn parent(&mut self, stream: &str, spec: &Stream, manifest: &Manifest, index: usize) -> Option<usize> {
        let s = spec.parent.as_ref()?;
        let at = format!("{stream}/parent");
        let names: Vec<&str> = manifest.streams.iter().map(|s| s.name.as_str()).collect();
        self.p.known(&format!("{at}/stream"), "stream", &s.stream, &names);
        let parent = names.iter().position(|n| *n == s.stream)?;
        if parent == index || manifest.streams.get(parent).is_some_and(|p| p.parent.is_some()) {
            self.p.add(format!("{at}/stream"), "a parent is another stream without a parent of its own");
            return None;
        }
        if s.columns.is_empty() {
            self.p.add(format!("{at}/columns"), "name at least one column of the parent");
        }
        for (new, column) in &s.add {
            self.p.known(&format!("{at}/add/{new}"), "column", column, &s.columns);
        }
        match s.batch {
            Some(0) => self.p.add(format!("{at}/batch"), "must be at least 1"),
            Some(_) if !s.add.is_empty() => {
                self.p.add(format!("{at}/add"), "a batch has many parents: nothing to add")
            }
            Some(_) => self.names.push("parent.ids".into()),
            None => self.names.extend(s.columns.iter().map(|c| format!("parent.{c}"))),
        }
        Some(parent)
    }

    fn mapping(
        &mut self,
        manifest: &Manifest,
        index: usize,
        folder: &str,
        read: ReadFile<'_>,
    ) -> Option<MappingPlan> {
        let spec = manifest.mappings.get(index)?;
        let at = format!("/mappings/{index}");
        let tables: Vec<&str> = throughline_core::canonical::TABLES.iter().map(|t| t.name).collect();
        self.p.known(&format!("{at}/into"), "canonical table", &spec.into, &tables);
        let names: Vec<&str> = manifest.streams.iter().map(|s| s.name.as_str()).collect();
        for (i, from) in spec.from.iter().enumerate() {
            self.p.known(&format!("{at}/from/{i}"), "stream", from, &names);
        }
        if spec.from.is_empty() {
            self.p.add(format!("{at}/from"), "name the streams the SELECT reads");
        }
        let sql = self.p.take(&format!("{at}/sql"), read(&spec.sql))?;
        let params = dollar_names(&sql);
        let values: Vec<&String> = manifest
            .options
            .iter()
            .filter(|(_, o)| o.kind != OptionType::Secret)
            .map(|(name, _)| name)
            .chain(manifest.params.keys())
            .collect();
        for name in &params {
            self.p.known(&format!("{at}/sql"), "option or param for the placeholder", name, &values);
        }
        Some(MappingPlan {
            into: spec.into.clone(),
            from: spec.from.clone(),
            sql,
            origin: format!("{folder}{}", spec.sql),
            params,
        })
    }
}

fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn uses(request: &Request, name: &str) -> bool {
    let mut found = request.path.names().any(|n| n == name);
    found |= request.headers.iter().any(|(_, t)| t.names().any(|n| n == name));
    let mut look = |_: &str, t: &Template| found |= t.names().any(|n| n == name);
    request.query.templates("", &mut look);
    if let Some(body) = &request.body {
        body.templates("", &mut look);
    }
    found
}

/// `$name`s of a SELECT, outside of texts and comments, each once.
fn dollar_names(sql: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut rest = sql;
    while let Some(at) = rest.find(['\'', '"', '$', '-', '/']) {
        let (mark, behind) = (rest.as_bytes()[at], &rest[at + 1..]);
        rest = match mark {
            b'\'' | b'"' => behind.split_once(char::from(mark)).map_or("", |(_, r)| r),
            b'-' if behind.starts_with('-') => behind.split_once('\n').map_or("", |(_, r)| r),
            b'/' if behind.starts_with('*') => behind.split_once("*/").map_or("", |(_, r)| r),
            b'$' => {
                let end =
                    behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(behind.len());
                let name = &behind[..end];
                if !name.is_empty() && !names.iter().any(|n| n == name) {
                    names.push(name.to_owned());
                }
                &behind[end..]
            }
            _ => behind,
        };
    }
    names
}

#[cfg(test)]
mod tests {
    use super::dollar_names;

    #[test]
    fn names_in_sql() {
        let sql = "-- $no\nSELECT '$no', \"$no\", $a, json_text(x, $b_1) /* $no */ - 1, $a";
        assert_eq!(dollar_names(sql), ["a", "b_1"]);
    }
}
