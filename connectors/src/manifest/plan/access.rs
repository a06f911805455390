//! How a manifest signs its requests in, and what it makes of refusals.

use super::{AuthPlan, AuthorizePlan, Compiler, OauthPlan, Rule};
use crate::manifest::moments::duration;
use crate::manifest::spec::{Action, AuthKind, AuthSpec, Authorize, ErrorRule};

impl Compiler<'_> {
    pub(super) fn auth(&mut self, index: usize, spec: &AuthSpec, options: &[String]) -> AuthPlan {
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
            AuthKind::Url => &[("base_url", spec.base_url.is_some())],
        };
        for (key, given) in needs {
            if !given {
                self.p.add(&at, format!("this kind of auth needs the key {key:?}"));
            }
        }
        let template = |c: &mut Self, key: &str, text: &Option<String>| {
            text.as_ref().map(|text| c.template(&format!("{at}/{key}"), text))
        };
        let base_url = template(self, "base_url", &spec.base_url);
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
            // The stored refresh token and the browser's answer stand in for options: the names exist without them.
            let known = self.names.len();
            self.names.extend(["redirect_uri", "verifier"].map(str::to_owned));
            let first = o
                .first
                .as_ref()
                .map(|f| self.tree(&format!("{at}/first"), &serde_json::Value::Object(f.clone())));
            self.names.truncate(known);
            let authorize = o.authorize.as_ref().map(|a| {
                if o.first.is_none() {
                    self.p.add(&at, "authorize needs first: what buys the first pair from the code");
                }
                if let Some(option) = &a.option {
                    self.p.known(&format!("{at}/authorize/option"), "option", option, options);
                }
                self.authorize(&format!("{at}/authorize"), a)
            });
            self.names.extend(["refresh_token", "redirect_uri"].map(str::to_owned));
            let refresh = self.tree(&format!("{at}/refresh"), &serde_json::Value::Object(o.refresh.clone()));
            self.names.truncate(known);
            let life = o.life.as_ref().and_then(|l| self.p.take(&format!("{at}/life"), duration(l)));
            Some(OauthPlan {
                url,
                method: self.method(&format!("{at}/method"), &o.method),
                refresh,
                first,
                authorize,
                account,
                access_token: self.path(&format!("{at}/access_token"), &o.access_token)?,
                refresh_token: self.path(&format!("{at}/refresh_token"), &o.refresh_token)?,
                scope: self.path(&format!("{at}/scope"), &o.scope)?,
                expires_in: self.path(&format!("{at}/expires_in"), &o.expires_in)?,
                life,
                keep: o
                    .keep
                    .iter()
                    .filter_map(|(k, v)| Some((k.clone(), self.path(&format!("{at}/keep/{k}"), v)?)))
                    .collect(),
            })
        });
        AuthPlan { spec: spec.clone(), base_url, token, user, password, oauth2 }
    }

    fn authorize(&mut self, at: &str, spec: &Authorize) -> AuthorizePlan {
        if !matches!(spec.host.as_str(), "127.0.0.1" | "localhost") {
            self.p
                .add(format!("{at}/host"), "the browser comes back to this machine: 127.0.0.1 or localhost");
        }
        if !spec.path.starts_with('/') || spec.path.contains(['?', '#', ' ']) {
            self.p.add(format!("{at}/path"), "a path begins with / and has no ? or #");
        }
        if spec.port == Some(0) {
            self.p.add(format!("{at}/port"), "0 is no port; without `port` any that is free is taken");
        }
        let url = self.template(&format!("{at}/url"), &spec.url);
        let known = self.names.len();
        self.names.extend(["redirect_uri", "state", "challenge"].map(str::to_owned));
        let query = self.tree(&format!("{at}/query"), &serde_json::Value::Object(spec.query.clone()));
        self.names.truncate(known);
        let (mut state, mut pkce) = (false, false);
        query.templates("", &mut |_, template| {
            state |= template.names().any(|n| n == "state");
            pkce |= template.names().any(|n| n == "challenge");
        });
        if !state {
            self.p.add(
                format!("{at}/query"),
                "nothing sends {state}: answers could not be told from forged ones",
            );
        }
        let expect = spec.expect.iter();
        let expect =
            expect.map(|(k, v)| (k.clone(), self.template(&format!("{at}/expect/{k}"), v))).collect();
        let needs = spec.needs.iter().enumerate();
        let needs = needs.map(|(i, text)| self.template(&format!("{at}/needs/{i}"), text)).collect();
        AuthorizePlan { url, query, expect, needs, pkce }
    }

    pub(super) fn rule(&mut self, index: usize, spec: &ErrorRule) -> Rule {
        let at = format!("/errors/{index}");
        if spec.status.is_empty() && spec.path.is_none() && spec.contains.is_none() {
            self.p.add(&at, "a rule needs a condition: status, path or contains");
        }
        for (key, values) in [("is", &spec.is), ("is_not", &spec.is_not)] {
            if !values.is_empty() && spec.path.is_none() {
                self.p.add(format!("{at}/{key}"), format!("{key} needs path: what is compared with it"));
            }
        }
        if spec.more_than.is_some() && spec.path.is_none() {
            self.p.add(format!("{at}/more_than"), "more_than needs path: what is compared with it");
        }
        let compared = [!spec.is.is_empty(), !spec.is_not.is_empty(), spec.more_than.is_some()];
        if compared.iter().filter(|c| **c).count() > 1 {
            self.p.add(&at, "a rule has only one of is, is_not and more_than");
        }
        if spec.action == Action::Tell && spec.hint.is_none() {
            self.p.add(&at, "tell needs hint: what is told");
        }
        let waits = spec.wait.is_some() || spec.wait_header.is_some() || spec.wait_path.is_some();
        if waits && !matches!(spec.action, Action::Retry | Action::SlowDown | Action::Pause) {
            self.p.add(&at, "only retry, slow_down and pause wait");
        }
        if spec.action == Action::Pause && !waits {
            self.p.add(&at, "pause needs wait, wait_header or wait_path: how long");
        }
        Rule {
            path: self.maybe_path(&format!("{at}/path"), spec.path.as_ref()),
            wait: spec.wait.as_ref().and_then(|w| self.p.take(&format!("{at}/wait"), duration(w))),
            wait_path: self.maybe_path(&format!("{at}/wait_path"), spec.wait_path.as_ref()),
            message_path: self.maybe_path(&format!("{at}/message_path"), spec.message_path.as_ref()),
            spec: spec.clone(),
        }
    }
}
