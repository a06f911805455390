//! What answers mean: the rules of a manifest, asked of each answer.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use throughline_core::http::{HttpResponseHead, Judge, Verdict};
use throughline_core::{Context, Error, ErrorKind};

use super::client::Connection;
use super::plan::{Request, Rule};
use super::run::Run;
use super::spec::Action;

/// What the judge of one request found, for the code behind it.
#[derive(Default)]
pub(super) struct Found {
    pub renew: AtomicBool,
    pub restart: AtomicBool,
    pub empty: AtomicBool,
    pub stop: Mutex<Option<Arc<Error>>>,
    pub pause: Mutex<Option<Duration>>,
    pub told: Mutex<Option<String>>,
}

impl Connection {
    pub(super) fn judge(
        &self,
        found: &Arc<Found>,
        run: &Arc<Run>,
        ctx: &Context,
        request: &Request,
    ) -> Judge {
        let (chain, accept) = (request.chain.clone(), request.accept.clone());
        let (plan, run, found) = (self.plan.clone(), run.clone(), found.clone());
        let clock = ctx.clock.clone();
        let renews = self.oauth().is_some();
        Arc::new(move |head, body| {
            let before = {
                let mut seen = run.seen.lock().unwrap_or_else(PoisonError::into_inner);
                let before = seen.clone();
                seen.insert(head.status);
                before
            };
            if accept.contains(&head.status) {
                return Verdict::Accept;
            }
            let good = (200..300).contains(&head.status);
            // A refusal in a chain is judged as if it had come alone.
            if let Some((name, refusal)) =
                chain.as_ref().filter(|_| good).and_then(|chain| chain.refusal(body))
            {
                let refusal = refusal.as_bytes();
                return match plan.rules.iter().find(|r| r.holds(head, refusal, &before)) {
                    Some(rule) => rule.verdict(&plan.spec.name, head, refusal, clock.now_us(), &found),
                    None => {
                        let said = String::from_utf8_lossy(refusal).chars().take(500).collect::<String>();
                        let what = format!("{} refused the command {name:?}: {said}", plan.spec.name);
                        Verdict::Fail(Arc::new(Error::protocol(what)))
                    }
                };
            }
            let Some(rule) = plan.rules.iter().find(|r| r.holds(head, body, &before)) else {
                found.renew.store(renews && head.status == 401, Ordering::SeqCst);
                return Verdict::ByStatus;
            };
            rule.verdict(&plan.spec.name, head, body, clock.now_us(), &found)
        })
    }
}

impl Rule {
    fn holds(&self, head: &HttpResponseHead, body: &[u8], seen: &BTreeSet<u16>) -> bool {
        let spec = &self.spec;
        if !spec.status.is_empty() && !spec.status.contains(&head.status) {
            return false;
        }
        if spec.after_status.is_some_and(|status| !seen.contains(&status)) {
            return false;
        }
        if let Some(text) = &spec.contains
            && !contains(body, text.as_bytes())
        {
            return false;
        }
        let Some(path) = &self.path else { return true };
        // Rules look at every good answer, and those are long.
        if !path.may_lead_somewhere(body) {
            return false;
        }
        if let Some(most) = spec.more_than {
            let values = path.all(body).unwrap_or_default();
            return values.iter().any(|value| value.parse::<f64>().is_ok_and(|value| value > most));
        }
        if !spec.is_not.is_empty() {
            let values = path.all(body).unwrap_or_default();
            return values.iter().any(|value| !spec.is_not.contains(value));
        }
        if path.is_many() {
            let values = path.all(body).unwrap_or_default();
            return values.iter().any(|value| spec.is.is_empty() || spec.is.contains(value));
        }
        // What is no JSON has nothing at the path.
        match path.find(body) {
            Ok(Some(value)) if value != "null" => {
                spec.is.is_empty()
                    || crate::records::scalar_text(value).is_some_and(|text| spec.is.contains(&text))
            }
            _ => false,
        }
    }

    fn verdict(
        &self,
        vendor: &str,
        head: &HttpResponseHead,
        body: &[u8],
        now_us: i64,
        found: &Found,
    ) -> Verdict {
        let said = self.message_path.as_ref().and_then(|p| p.scalar(body).ok().flatten());
        let error = |kind| {
            let said = said
                .as_ref()
                .map_or(String::new(), |said| format!(": {}", said.chars().take(500).collect::<String>()));
            let error = Error::new(kind, format!("{vendor} refused the request{said}"));
            match &self.spec.hint {
                Some(hint) => error.hint(hint.clone()),
                None => error,
            }
        };
        let fail = |kind| Verdict::Fail(Arc::new(error(kind)));
        let why = || said.clone().unwrap_or_else(|| format!("{vendor} says so"));
        match self.spec.action {
            Action::Accept => Verdict::Accept,
            Action::Empty => {
                found.empty.store(true, Ordering::SeqCst);
                Verdict::Accept
            }
            Action::Tell => {
                *found.told.lock().unwrap_or_else(PoisonError::into_inner) = self.spec.hint.clone();
                Verdict::Accept
            }
            Action::Pause => {
                let pause = self.wait_for(head, body, now_us);
                *found.pause.lock().unwrap_or_else(PoisonError::into_inner) = pause;
                Verdict::Accept
            }
            Action::Retry => {
                Verdict::Retry { after: self.wait_for(head, body, now_us), account_wide: false, why: why() }
            }
            Action::SlowDown => {
                Verdict::Retry { after: self.wait_for(head, body, now_us), account_wide: true, why: why() }
            }
            Action::Renew => {
                found.renew.store(true, Ordering::SeqCst);
                fail(ErrorKind::Auth)
            }
            Action::Auth => fail(ErrorKind::Auth),
            Action::NotFound => fail(ErrorKind::NotFound),
            Action::Config => fail(ErrorKind::Config),
            Action::Fail => fail(ErrorKind::Protocol),
            Action::Stop => {
                let error = Arc::new(error(ErrorKind::Auth));
                *found.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
                Verdict::Fail(error)
            }
            Action::Restart => {
                found.restart.store(true, Ordering::SeqCst);
                fail(ErrorKind::Protocol)
            }
        }
    }

    fn wait_for(&self, head: &HttpResponseHead, body: &[u8], now_us: i64) -> Option<Duration> {
        let seconds = |text: String| text.trim().parse::<f64>().ok();
        let from_header = self.spec.wait_header.as_ref().and_then(|h| seconds(head.header(h)?.to_owned()));
        let from_body = || {
            let number = seconds(self.wait_path.as_ref()?.scalar(body).ok()??)?;
            #[allow(clippy::cast_precision_loss)]
            let now = now_us as f64 / 1e6;
            Some(if self.spec.wait_until { number - now } else { number })
        };
        let seconds = from_header.or_else(from_body);
        seconds.and_then(|s| Duration::try_from_secs_f64(s.max(0.0)).ok()).or(self.wait)
    }
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    !text.is_empty() && body.windows(text.len()).any(|w| w == text)
}
