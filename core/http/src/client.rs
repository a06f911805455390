//! The client: limits, attempts, verdicts.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use throughline_core::http::{HttpClient, HttpRequest, HttpResponse, HttpResponseHead, Verdict};
use throughline_core::time::{Clock, InstantUs};
use throughline_core::{Error, ErrorKind, Redactor, Result, Retry};

use crate::cassette::{self, Cassette, Draft, Recorder};
use crate::fault::Fault;
use crate::flow::{self, Body, Flow, Tail, Tee};
use crate::limits::{Limits, Permit, too_long};
use crate::log::{RequestLog, TracingLog};
use crate::names;
use crate::retry;
use crate::settings::HttpSettings;
use crate::target::{Target, shorten};
use crate::transport::{Answer, Live};

/// How much of a bad answer is read for the judge and the error.
const BAD_ANSWER_BYTES: u64 = 1 << 20;
/// Characters of a bad answer that an error shows.
const SHOWN_BODY: usize = 300;
/// Answers that hand out tokens are small; larger ones are data and not searched.
const TOKEN_ANSWER_BYTES: usize = 64 << 10;

/// The one HTTP client. Clones share everything.
#[derive(Clone)]
pub struct Client {
    transport: Arc<Transport>,
    limits: Arc<Limits>,
    clock: Arc<dyn Clock>,
    redactor: Redactor,
    recorder: Option<Arc<Recorder>>,
    log: Arc<dyn RequestLog>,
    rng: Arc<Mutex<StdRng>>,
    exchanges: Arc<AtomicU64>,
    patience: Duration,
    started_at_us: InstantUs,
}

enum Transport {
    Live(Box<Live>),
    Replay(Cassette),
}

/// An answer that came: a good one that streams, or a whole one that is still to be judged.
enum Opened {
    Stream(HttpResponse),
    Whole(HttpResponseHead, Bytes),
}

/// What an answer means.
enum Weighed {
    Good,
    Bad(Error),
    Again(Again),
}

/// Why and when to try again.
struct Again {
    /// For the last attempt.
    error: Error,
    after: Option<Duration>,
    /// The account waits, not only this request.
    account_wide: bool,
    /// The vendor said that we are too fast.
    throttled: bool,
}

/// Always the same instant, of `[http] clock` or of the recording: which windows a stream asks for must not
/// depend on how long another one waited. A pause takes as long as it takes on the other clock.
struct StandingClock {
    now_us: InstantUs,
    pauses: Arc<dyn Clock>,
}

#[async_trait]
impl Clock for StandingClock {
    fn now_us(&self) -> InstantUs {
        self.now_us
    }
    async fn sleep(&self, duration: Duration) {
        self.pauses.sleep(duration).await;
    }
}

impl Client {
    /// A client as `[http]` wants it, on this clock. A replay belongs on the recording's clock:
    /// [`Client::open`] sees to that.
    ///
    /// # Errors
    /// Config or Io: settings that contradict each other, a certificate file or a cassette that cannot
    /// be read, a recording that cannot be started.
    pub fn new(
        settings: &HttpSettings,
        limits: Arc<Limits>,
        clock: Arc<dyn Clock>,
        redactor: Redactor,
    ) -> Result<Self> {
        settings.check()?;
        let mut started_at_us = settings.clock.map_or_else(|| clock.now_us(), |at| at.0);
        let mut recorder = None;
        let transport = if let Some(path) = &settings.replay {
            let cassette = Cassette::open(path, &redactor)?;
            started_at_us = cassette.recorded_at_us();
            Transport::Replay(cassette)
        } else {
            if let Some(path) = &settings.record {
                recorder = Some(Arc::new(Recorder::create(path, started_at_us, redactor.clone())?));
            }
            Transport::Live(Box::new(Live::new(settings, &redactor)?))
        };
        Ok(Self {
            transport: Arc::new(transport),
            limits,
            clock,
            redactor,
            recorder,
            log: Arc::new(TracingLog),
            rng: Arc::new(Mutex::new(StdRng::from_os_rng())),
            exchanges: Arc::default(),
            patience: settings.max_wait(),
            started_at_us,
        })
    }

    /// A client and the clock to run on: `clock`, or in a replay the recording's.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn open(
        settings: &HttpSettings,
        limits: Arc<Limits>,
        clock: Arc<dyn Clock>,
        redactor: Redactor,
    ) -> Result<(Self, Arc<dyn Clock>)> {
        let mut client = Self::new(settings, limits, clock, redactor)?;
        let mut standing_at = settings.clock.map(|at| at.0);
        if let Transport::Replay(cassette) = &*client.transport {
            client.clock = Arc::new(cassette.clock());
            standing_at = standing_at.or(Some(cassette.recorded_at_us()));
        }
        // Only the run's clock stands still: pauses between requests must pass on one that goes.
        let clock: Arc<dyn Clock> = match standing_at {
            Some(now_us) => Arc::new(StandingClock { now_us, pauses: client.clock.clone() }),
            None => client.clock.clone(),
        };
        Ok((client, clock))
    }

    /// A client that answers from a cassette which is open already, and the recording's clock.
    pub fn replaying(cassette: Cassette, redactor: Redactor) -> (Self, Arc<dyn Clock>) {
        let started_at_us = cassette.recorded_at_us();
        let pauses: Arc<dyn Clock> = Arc::new(cassette.clock());
        let client = Self {
            transport: Arc::new(Transport::Replay(cassette)),
            limits: Arc::default(),
            clock: pauses.clone(),
            redactor,
            recorder: None,
            log: Arc::new(TracingLog),
            rng: Arc::new(Mutex::new(StdRng::seed_from_u64(1))),
            exchanges: Arc::default(),
            patience: HttpSettings::default().max_wait(),
            started_at_us,
        };
        (client, Arc::new(StandingClock { now_us: started_at_us, pauses }))
    }

    #[must_use]
    pub fn with_log(mut self, log: Arc<dyn RequestLog>) -> Self {
        self.log = log;
        self
    }

    /// Makes the chance in pauses repeatable.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.rng = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        self
    }

    /// When this client was made; in a replay, when the recorded one was. A run that takes its windows
    /// from here asks in a replay for what was recorded.
    pub fn started_at_us(&self) -> InstantUs {
        self.started_at_us
    }

    /// The recording that answers, in a replay.
    pub fn cassette(&self) -> Option<&Cassette> {
        match &*self.transport {
            Transport::Replay(cassette) => Some(cassette),
            Transport::Live(_) => None,
        }
    }

    /// Completes a recording and gives the file its name; without one, nothing. The last clone that is
    /// dropped does it too, but can tell nobody of a failure.
    ///
    /// # Errors
    /// The recording could not be written.
    pub fn finish(&self) -> Result<()> {
        self.recorder.as_ref().map_or(Ok(()), |recorder| recorder.finish())
    }

    async fn run(&self, request: HttpRequest, streaming: bool) -> Result<HttpResponse> {
        if let Some(recorder) = &self.recorder {
            recorder.check()?;
        }
        let target = Target::new(&request, &self.redactor)?;
        self.learn(&request);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let permit = match &*self.transport {
                Transport::Live(_) => {
                    Some(self.limits.acquire(&request.account, &*self.clock, self.patience).await?)
                }
                Transport::Replay(_) => None,
            };
            let again = match self.attempt(&request, &target, streaming).await {
                Ok(Opened::Stream(response)) => return Ok(response),
                Ok(Opened::Whole(head, body)) => match self.weigh(&request, &target, &head, &body) {
                    Weighed::Good => {
                        let body = futures::stream::iter((!body.is_empty()).then_some(Ok(body))).boxed();
                        return Ok(HttpResponse { head, body });
                    }
                    Weighed::Bad(error) => return Err(error.with("attempts", attempt)),
                    Weighed::Again(again) => again,
                },
                Err(Fault::Final(error)) => return Err(error.with("attempts", attempt)),
                Err(Fault::Lost(error)) if !request.idempotent => {
                    return Err(unknown_outcome(error).with("attempts", attempt));
                }
                Err(Fault::Lost(error) | Fault::NotSent(error)) => {
                    Again { error, after: None, account_wide: false, throttled: false }
                }
            };
            self.wait(&request, attempt, again, permit).await?;
        }
    }

    /// Waits before the next attempt, or says why there is none.
    async fn wait(
        &self,
        request: &HttpRequest,
        attempt: u32,
        again: Again,
        permit: Option<Permit>,
    ) -> Result<()> {
        let pause = again.after.filter(|after| !after.is_zero()).unwrap_or_else(|| {
            let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
            if again.throttled {
                retry::throttle(attempt, &mut *rng)
            } else {
                retry::backoff(attempt, &mut *rng)
            }
        });
        // Others of the account must know even when this request gives up.
        if let Some(permit) = &permit {
            if again.throttled {
                permit.slow_down();
            }
            if again.account_wide {
                permit.pause(self.clock.now_us(), pause);
            }
        }
        drop(permit);
        if attempt >= request.attempts.max(1) {
            return Err(again.error.with("attempts", attempt));
        }
        if pause > self.patience {
            let mut error =
                too_long(&request.account, pause, self.patience).with("answer", again.error.message());
            for (key, value) in again.error.context() {
                error = error.with(key, value);
            }
            return Err(error.with("attempts", attempt).caused_by(again.error));
        }
        tracing::debug!(attempt, pause_ms = pause.as_millis(), "{}", again.error);
        // The account's pause is waited for in its queue. A recording has no hurry to be polite to.
        if !again.account_wide && matches!(*self.transport, Transport::Live(_)) {
            self.clock.sleep(pause).await;
        }
        Ok(())
    }

    async fn attempt(
        &self,
        request: &HttpRequest,
        target: &Target,
        streaming: bool,
    ) -> Result<Opened, Fault> {
        let at_us = self.clock.now_us();
        let mut tail = Tail {
            number: 0,
            method: request.method,
            shown: target.shown.clone(),
            account: request.account.key.clone(),
            status: None,
            bytes: 0,
            since: Instant::now(),
            log: self.log.clone(),
        };
        let live = match &*self.transport {
            Transport::Live(live) => live,
            Transport::Replay(cassette) => {
                let (number, answer) = cassette.answer(request, target, &self.redactor)?;
                tail.number = number;
                return self.receive(request, target, streaming, answer, tail, at_us).await;
            }
        };
        tail.number = self.exchanges.fetch_add(1, Ordering::Relaxed) + 1;
        let exchange = async {
            let answer = live.open(request, target).await?;
            self.receive(request, target, streaming, answer, tail, at_us).await
        };
        tokio::time::timeout(request.timeout, exchange).await.unwrap_or_else(|_| {
            let message =
                format!("{}: no whole answer within {} ms", target.shown, request.timeout.as_millis());
            Err(Fault::Lost(Error::new(ErrorKind::Io, message).temporary(None)))
        })
    }

    async fn receive(
        &self,
        request: &HttpRequest,
        target: &Target,
        streaming: bool,
        answer: Answer,
        mut tail: Tail,
        at_us: InstantUs,
    ) -> Result<Opened, Fault> {
        let Answer { status, headers, mut body } = answer;
        tail.status = Some(status);
        let good = (200..300).contains(&status);
        let head = HttpResponseHead { status, headers, exchange: tail.number };
        let draft = self.recorder.as_ref().map(|recorder| {
            let draft = Draft {
                seq: head.exchange,
                at_us,
                method: request.method.as_str(),
                url: target.shown.clone(),
                request_headers: request.headers.clone(),
                request_body: request.body.clone().unwrap_or_default(),
                status,
                headers: head.headers.clone(),
            };
            (recorder.clone(), draft)
        });
        if streaming && good {
            let live = matches!(*self.transport, Transport::Live(_));
            let flow = Flow {
                title: target.title.clone(),
                body,
                limit: request.max_response_bytes,
                idle: live.then_some(request.timeout),
                tail,
                tee: draft.map(|(recorder, draft)| Tee::new(recorder, draft)),
            };
            return Ok(Opened::Stream(HttpResponse { head, body: flow.into_stream() }));
        }
        let body = self.read(request, target, good, &mut body, &mut tail.bytes).await?;
        if body.len() <= TOKEN_ANSWER_BYTES {
            names::learn_from_body(&self.redactor, &body);
        }
        if let Some((recorder, draft)) = draft {
            recorder.write(&draft, &body, false);
        }
        Ok(Opened::Whole(head, body))
    }

    async fn read(
        &self,
        request: &HttpRequest,
        target: &Target,
        good: bool,
        body: &mut Body,
        read: &mut u64,
    ) -> Result<Bytes, Fault> {
        if good {
            flow::whole(body, request.max_response_bytes, &target.title, read).await
        } else {
            Ok(flow::beginning(body, request.max_response_bytes.min(BAD_ANSWER_BYTES), read).await)
        }
    }

    fn weigh(&self, request: &HttpRequest, target: &Target, head: &HttpResponseHead, body: &[u8]) -> Weighed {
        let verdict = request.judge.as_ref().map_or(Verdict::ByStatus, |judge| judge(head, body));
        let after = || retry::retry_after(head, self.clock.now());
        let answered = |kind| self.answered(kind, target, head, body);
        match verdict {
            Verdict::Accept => Weighed::Good,
            Verdict::ByStatus if (200..300).contains(&head.status) => Weighed::Good,
            Verdict::Fail(error) => Weighed::Bad(self.judged(&error, target, head)),
            // The connector understood the answer: it was not lost, so anything may be sent again.
            Verdict::Retry { after: given, account_wide, why } => {
                let kind = if account_wide { ErrorKind::RateLimited } else { ErrorKind::Io };
                let after = given.or_else(after);
                let error =
                    answered(kind).with("because", printable(&self.redactor.redact(&why))).temporary(after);
                Weighed::Again(Again { error, after, account_wide, throttled: account_wide })
            }
            Verdict::ByStatus => {
                let after = after();
                match head.status {
                    429 => {
                        let error = answered(ErrorKind::RateLimited).temporary(after);
                        Weighed::Again(Again { error, after, account_wide: true, throttled: true })
                    }
                    408 | 425 | 500..=599 => {
                        let error = answered(ErrorKind::Io).temporary(after);
                        if !request.idempotent {
                            return Weighed::Bad(unknown_outcome(error));
                        }
                        let account_wide = head.status == 503 && after.is_some();
                        Weighed::Again(Again { error, after, account_wide, throttled: false })
                    }
                    401..=403 => Weighed::Bad(answered(ErrorKind::Auth)),
                    404 | 410 => Weighed::Bad(answered(ErrorKind::NotFound)),
                    300..=399 => {
                        let error = answered(ErrorKind::Protocol);
                        let to = head.header("location").and_then(|l| target.url.join(l).ok());
                        Weighed::Bad(match to.as_ref().and_then(|to| to.host_str()) {
                            Some(host) => error.with("redirected to", host).hint(
                                "a redirect to another host is not followed: credentials might go astray; set base_url",
                            ),
                            None => error,
                        })
                    }
                    _ => Weighed::Bad(answered(ErrorKind::Protocol)),
                }
            }
        }
    }

    /// `GET https://... answered 503 Service Unavailable (body: ...)`.
    fn answered(&self, kind: ErrorKind, target: &Target, head: &HttpResponseHead, body: &[u8]) -> Error {
        let reason =
            reqwest::StatusCode::from_u16(head.status).ok().and_then(|s| s.canonical_reason()).unwrap_or("");
        let message = format!("{} answered {} {reason}", target.title, head.status);
        let error = Error::new(kind, message.trim_end());
        // Redacted before it is cut: half a secret is one too.
        let body = &body[..body.len().min(BAD_ANSWER_BYTES as usize)];
        let body = cassette::redact(body, &self.redactor);
        let body = shorten(printable(&String::from_utf8_lossy(&body)).trim(), SHOWN_BODY);
        if body.is_empty() { error } else { error.with("body", body) }
    }

    /// A judge's error belongs to many requests at once and may quote the vendor: a copy, redacted.
    fn judged(&self, given: &Error, target: &Target, head: &HttpResponseHead) -> Error {
        let clean = |text: &str| printable(&self.redactor.redact(text)).into_owned();
        let mut error = Error::new(given.kind(), clean(given.message()));
        if let Retry::Temporary { after } = given.retry() {
            error = error.temporary(after);
        }
        if let Some(hint) = given.hint_text() {
            error = error.hint(clean(hint));
        }
        if let Some(place) = given.place() {
            error = error.at(place.clone());
        }
        for (key, value) in given.context() {
            error = error.with(key, clean(value));
        }
        error
            .with("request", format!("{} {}", target.method.as_str(), target.shown))
            .with("status", head.status)
    }

    /// What a request carries under a secret's name is a secret from now on.
    fn learn(&self, request: &HttpRequest) {
        for (name, value) in &request.headers {
            if names::is_secret_header(name) {
                names::learn(&self.redactor, value);
            }
        }
        if let Some(body) = request.body.as_ref().filter(|body| body.len() <= TOKEN_ANSWER_BYTES) {
            names::learn_from_body(&self.redactor, body);
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        self.run(request, false).await
    }

    async fn stream(&self, request: HttpRequest) -> Result<HttpResponse> {
        self.run(request, true).await
    }
}

fn unknown_outcome(error: Error) -> Error {
    error
        .with("outcome", "unknown")
        .hint("whether the vendor carried it out is unknown: look before sending it again")
}

/// One line, without characters that would steer a terminal.
fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(|c: char| c.is_control()) {
        text.replace(|c: char| c.is_control(), " ").into()
    } else {
        text.into()
    }
}
