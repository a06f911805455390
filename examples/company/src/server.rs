//! One port for all: amoCRM under `/api/v4` and `/oauth2`, Metrica under `/management` and `/stat`, and the
//! company's own switches under `/_company`. The base URL of every vendor is the same origin.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use futures::stream;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::amocrm::auth::Auth;
use crate::amocrm::{self, Crm};
use crate::bitrix24::{self, Bitrix};
use crate::comagic::{self, Comagic};
use crate::company::Company;
use crate::control;
use crate::direct::{self, Direct};
use crate::faults::{Fault, Faults, Rule};
use crate::ga4::{self, Google};
use crate::hubspot::{self, Hubspot};
use crate::metrika::requests::{self, Logs};
use crate::reply::{Reply, lock};
use crate::salesforce::{self, Salesforce};
use crate::stats::Stats;
use crate::telegram::{self, Telegram};
use crate::text::http_date;
use crate::truth::Counts;
use crate::uploads::{self, Uploads};
use crate::vk::{self, Vk};

const MAX_BODY: usize = 1 << 20;

#[derive(Clone, Debug)]
pub struct Options {
    pub port: u16,
    /// Unix seconds; none: the end of the period.
    pub now: Option<i64>,
    /// Life of an amoCRM access token, in real time.
    pub token_ttl: Duration,
    /// amoCRM's limit of requests a second; 0: none.
    pub crm_rps: usize,
    /// Metrica's; 0: none.
    pub metrika_rps: usize,
    pub logs: requests::Options,
    pub hubspot: hubspot::Options,
    pub bitrix24: bitrix24::Options,
    pub direct: direct::Options,
    pub comagic: comagic::Options,
    pub telegram: telegram::Options,
    pub vk: vk::Options,
    pub ga4: ga4::Options,
    pub salesforce: salesforce::Options,
    pub faults: Vec<Rule>,
    /// Folder for the inbox, costs and truth, written at the start and whenever `now` moves.
    pub out: Option<PathBuf>,
    /// Also write `truth/`, not only what the company would hand out.
    pub truth: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            port: 0,
            now: None,
            token_ttl: Duration::from_secs(86_400),
            crm_rps: 7,
            metrika_rps: 10,
            logs: requests::Options::default(),
            hubspot: hubspot::Options::default(),
            bitrix24: bitrix24::Options::default(),
            direct: direct::Options::default(),
            comagic: comagic::Options::default(),
            telegram: telegram::Options::default(),
            vk: vk::Options::default(),
            ga4: ga4::Options::default(),
            salesforce: salesforce::Options::default(),
            faults: Vec::new(),
            out: None,
            truth: true,
        }
    }
}

pub struct Server {
    pub company: Company,
    pub options: Options,
    pub auth: Auth,
    pub crm: Crm,
    pub logs: Logs,
    pub hubspot: Hubspot,
    pub bitrix24: Bitrix,
    pub direct: Direct,
    pub comagic: Comagic,
    pub uploads: Uploads,
    pub telegram: Telegram,
    pub vk: Vk,
    pub google: Google,
    pub salesforce: Salesforce,
    pub faults: Faults,
    pub stats: Stats,
    now: AtomicI64,
    counts: Mutex<Option<(i64, Counts)>>,
}

/// A server that runs until it is stopped or dropped with its runtime.
pub struct Running {
    pub address: SocketAddr,
    pub server: Arc<Server>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    pub fn new(company: Company, options: Options) -> Arc<Server> {
        let faults = Faults::default();
        faults.set(options.faults.clone());
        Arc::new(Server {
            auth: Auth::new(company.cfg.seed, options.token_ttl),
            crm: Crm::default(),
            logs: Logs::default(),
            hubspot: Hubspot::new(options.hubspot.clone()),
            bitrix24: Bitrix::new(options.bitrix24.clone()),
            direct: Direct::new(options.direct.clone()),
            comagic: Comagic::new(options.comagic.clone()),
            uploads: Uploads::default(),
            telegram: Telegram::new(options.telegram.clone()),
            vk: Vk::new(options.vk.clone()),
            google: Google::new(company.cfg.seed, options.ga4.clone()),
            salesforce: Salesforce::new(options.salesforce.clone()),
            faults,
            stats: Stats::default(),
            now: AtomicI64::new(options.now.unwrap_or_else(|| company.cfg.end_at())),
            counts: Mutex::new(None),
            company,
            options,
        })
    }

    /// Listens on loopback.
    ///
    /// # Errors
    /// When the port is taken, or the output folder cannot be written.
    pub async fn start(self: Arc<Server>) -> io::Result<Running> {
        self.write_out()?;
        let listener = TcpListener::bind(("127.0.0.1", self.options.port)).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let router = Router::new().fallback(answer).with_state(self.clone());
        let task = tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(async {
                    let _ = stopped.await;
                })
                .await
        });
        Ok(Running { address, server: self, stop, task })
    }

    pub fn now(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    /// Moves the company's clock and writes what is new.
    ///
    /// # Errors
    /// When the output folder cannot be written.
    pub fn set_now(&self, now: i64) -> io::Result<()> {
        self.now.store(now, Ordering::SeqCst);
        self.crm.forget();
        self.hubspot.forget();
        self.bitrix24.forget();
        self.write_out()
    }

    fn write_out(&self) -> io::Result<()> {
        match &self.options.out {
            Some(dir) => crate::output::write(&self.company, self.now(), dir, self.options.truth).map(drop),
            None => Ok(()),
        }
    }

    /// The truth at this moment; made once for each `now`.
    pub fn counts(&self) -> Counts {
        let now = self.now();
        if let Some((at, c)) = &*lock(&self.counts)
            && *at == now
        {
            return c.clone();
        }
        let c = crate::truth::counts(&self.company, now);
        *lock(&self.counts) = Some((now, c.clone()));
        c
    }

    fn dispatch(&self, call: &Incoming, faults: &[Fault]) -> Reply {
        let now = self.now();
        match call.api {
            Api::Crm if call.path == "/oauth2/access_token" => {
                if call.method != "POST" {
                    return Reply::problem(405, "Method Not Allowed", "POST is needed");
                }
                let (reply, accepted) = self.auth.grant(&call.body, now);
                self.stats.refresh(accepted);
                reply
            }
            Api::Crm if call.path == "/oauth" => {
                let account = format!("{}.amocrm.ru", amocrm::SUBDOMAIN);
                self.auth.consents.ask(&call.query, amocrm::auth::CLIENT_ID, false, &[("referer", &account)])
            }
            Api::Crm => {
                if !self.auth.allows(&call.authorization) {
                    return Reply::problem(401, "Unauthorized", "Unauthorized");
                }
                let touched: usize =
                    faults.iter().map(|f| if let Fault::Touch { rows } = f { *rows } else { 0 }).sum();
                self.stats.touched(touched);
                self.crm.answer(&amocrm::Call {
                    company: &self.company,
                    now,
                    base: &call.base,
                    method: &call.method,
                    path: &call.path,
                    query: &call.query,
                    body: &call.body,
                    faults,
                })
            }
            Api::Metrika => self.logs.answer(&requests::Call {
                company: &self.company,
                options: &self.options.logs,
                now,
                method: &call.method,
                path: &call.path,
                query: &call.query,
                authorization: &call.authorization,
                faults,
            }),
            Api::Hubspot => self.hubspot.answer(&hubspot::Call {
                company: &self.company,
                now,
                base: &call.base,
                method: &call.method,
                path: &call.path,
                query: &call.query,
                authorization: &call.authorization,
                body: &call.body,
                written: &self.hubspot.written,
                faults,
            }),
            Api::Bitrix => self.bitrix24.answer(&bitrix24::Call {
                company: &self.company,
                now,
                method: &call.method,
                path: &call.path,
                query: &call.query,
                base: &call.base,
                body: &call.body,
                written: &self.bitrix24.written,
                faults,
            }),
            Api::Direct => self.direct.answer(&direct::Call {
                company: &self.company,
                now,
                method: &call.method,
                path: &call.path,
                authorization: &call.authorization,
                header: &|name| {
                    call.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
                },
                body: &call.body,
                faults,
            }),
            Api::Uploads => self.uploads.answer(&uploads::Call {
                now,
                counter: self.company.cfg.counter_id,
                method: &call.method,
                path: &call.path,
                query: &call.query,
                authorization: &call.authorization,
                content_type: call.header("content-type"),
                body: &call.body,
            }),
            Api::Comagic => self.comagic.answer(&comagic::Call {
                company: &self.company,
                now,
                method: &call.method,
                body: &call.body,
                faults,
            }),
            Api::Telegram => self.telegram.answer(&telegram::Call {
                company: &self.company,
                now,
                path: &call.path,
                query: &call.query,
                content_type: call.header("content-type"),
                body: &call.body,
            }),
            Api::Vk => self.vk.answer(&vk::Call {
                company: &self.company,
                now,
                base: &call.base,
                path: &call.path,
                query: &call.query,
                authorization: &call.authorization,
                body: &call.body,
                faults,
            }),
            Api::Google => self.google.answer(&ga4::Call {
                company: &self.company,
                now,
                method: &call.method,
                path: &call.path,
                query: &call.query,
                base: &call.base,
                authorization: &call.authorization,
                body: &call.body,
                faults,
            }),
            Api::Salesforce => self.salesforce.answer(&salesforce::Call {
                company: &self.company,
                now,
                base: &call.base,
                method: &call.method,
                path: &call.path,
                query: &call.query,
                authorization: &call.authorization,
                query_options: call.header("sforce-query-options"),
                body: &call.body,
                faults,
            }),
            Api::Control => control::answer(self, call),
            Api::None => Reply::json(404, "{\"error\":\"nobody answers at this path\"}"),
        }
    }

    fn limit(&self, api: Api, seen: usize) -> Option<Reply> {
        let limit = match api {
            Api::Crm => self.options.crm_rps,
            Api::Metrika => self.options.metrika_rps,
            // HubSpot's limits are its own: see there.
            Api::Google
            | Api::Salesforce
            | Api::Hubspot
            | Api::Bitrix
            | Api::Direct
            | Api::Telegram
            | Api::Comagic
            | Api::Uploads
            | Api::Vk
            | Api::Control
            | Api::None => 0,
        };
        if limit == 0 || seen <= limit {
            return None;
        }
        self.stats.refused(api.name());
        Some(too_many(api, 429))
    }
}

/// Neither vendor sends Retry-After; amoCRM's answer is not even JSON.
fn too_many(api: Api, status: u16) -> Reply {
    match api {
        Api::Metrika => Reply::metrika(status, "quota_requests_by_ip", "Quota exceeded"),
        Api::Hubspot => hubspot::limits::too_many("TEN_SECONDLY_ROLLING"),
        _ => Reply::new(
            status,
            "text/html",
            "<html><head><title>429 Too Many Requests</title></head><body><h1>Too Many Requests</h1></body></html>",
        ),
    }
}

/// The code that goes with a status; none stands for an answer that only the status explains.
fn direct_code(status: u16) -> u32 {
    match status {
        401 => 53,
        403 => 54,
        429 => 506,
        500 => 1000,
        503 => 52,
        _ => 0,
    }
}

fn failure(api: Api, status: u16, now: i64) -> Reply {
    match (api, status) {
        (Api::Bitrix, 429 | 503) => bitrix24::limit(status, now),
        (Api::Bitrix, _) => bitrix24::failure(status),
        (Api::Direct, _) => direct::refuse(status, direct_code(status), "Server error", ""),
        (Api::Vk, _) => vk::failure(status),
        (Api::Comagic, _) => comagic::failure(status),
        (Api::Telegram, 429) => telegram::refuse(429, ""),
        (Api::Telegram, 409) => telegram::refuse(409, "Conflict: terminated by other getUpdates request"),
        (Api::Telegram, ..500) => telegram::refuse(status, "Forbidden"),
        (_, 420 | 429) => too_many(api, status),
        (Api::Metrika, 504) => Reply::metrika(504, "timeout", "Query is taking too long"),
        (Api::Metrika, 500..) => Reply::metrika(status, "backend_error", "Backend error"),
        (Api::Metrika, _) => Reply::metrika(status, "access_denied", "Access is denied"),
        (Api::Hubspot, _) => hubspot::refuse(status, "SERVER_ERROR", "internal error"),
        (_, 500..) => Reply::new(status, "text/html", "<html><body>Server error</body></html>"),
        _ => Reply::problem(status, "Forbidden", "Refused"),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Api {
    Crm,
    Google,
    Salesforce,
    Metrika,
    Hubspot,
    Bitrix,
    Direct,
    Telegram,
    Comagic,
    Uploads,
    Vk,
    Control,
    None,
}

impl Api {
    fn of(path: &str) -> Api {
        if path.starts_with("/api/v4/") || path.starts_with("/oauth2/") || path == "/oauth" {
            Api::Crm
        } else if Uploads::is_for(path) {
            Api::Uploads
        } else if path.starts_with("/management/v1/") || path.starts_with("/stat/v1/") {
            Api::Metrika
        } else if ["/crm/", "/oauth/v1/", "/account-info/"].iter().any(|p| path.starts_with(p))
            || (path.starts_with("/oauth/") && path.ends_with("/authorize"))
        {
            Api::Hubspot
        } else if path.starts_with("/rest/")
            || path.starts_with("/oauth/token")
            || path.starts_with("/oauth/authorize")
        {
            Api::Bitrix
        } else if path.starts_with("/json/v5") {
            Api::Direct
        } else if path.starts_with("/bot") {
            Api::Telegram
        } else if path.starts_with("/method/") || path.starts_with("/vk-long-poll/") {
            Api::Vk
        } else if path == "/v2.0" {
            Api::Comagic
        } else if path == "/token"
            || path == "/o/oauth2/v2/auth"
            || path.starts_with("/v1beta/properties/")
            || path.starts_with("/bigquery/v2/")
        {
            Api::Google
        } else if path.starts_with("/services/oauth2/") || path.starts_with("/services/data/") {
            Api::Salesforce
        } else if path.starts_with("/_company/") {
            Api::Control
        } else {
            Api::None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Api::Crm => "amocrm",
            Api::Metrika => "metrika",
            Api::Hubspot => "hubspot",
            Api::Bitrix => "bitrix24",
            Api::Direct => "direct",
            Api::Telegram => "telegram",
            Api::Vk => "vk",
            Api::Comagic => "comagic",
            Api::Uploads => "uploads",
            Api::Google => "google",
            Api::Salesforce => "salesforce",
            Api::Control => "company",
            Api::None => "nobody",
        }
    }
}

/// A request, taken apart.
pub struct Incoming {
    pub api: Api,
    pub method: String,
    pub path: String,
    pub query: String,
    pub base: String,
    pub authorization: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Incoming {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}

async fn answer(State(server): State<Arc<Server>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let text = |name| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return build(&server, Reply::json(413, "{\"error\":\"the body is over 1 MB\"}"), None);
    };
    let call = Incoming {
        api: Api::of(parts.uri.path()),
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or("").to_owned(),
        base: format!("http://{}", text(header::HOST)),
        authorization: text(header::AUTHORIZATION),
        headers: parts.headers.clone(),
        body,
    };
    if call.api == Api::Control {
        // Making the truth takes long: not on a thread that serves others.
        let shared = server.clone();
        let made = tokio::task::spawn_blocking(move || shared.dispatch(&call, &[])).await;
        let reply = made.unwrap_or_else(|e| Reply::json(500, format!("{{\"error\":\"{e}\"}}")));
        return build(&server, reply, None);
    }
    let seen = server.stats.request(call.api.name(), &call.method, &call.path);
    if let Some(reply) = server.limit(call.api, seen) {
        return build(&server, reply, None);
    }
    let faults = if call.api == Api::Bitrix {
        // Its methods stand in the bodies of batches.
        server.faults.on(&call.path, &bitrix24::about(&call.path, &call.query, &call.body))
    } else if call.method == "PATCH" {
        // Writes stand at the path of reads: faults tell them apart by this word.
        server.faults.on(&call.path, "write")
    } else if call.api == Api::Comagic {
        server.faults.on(&call.path, &comagic::about(&call.body))
    } else {
        server.faults.on(&call.path, &call.query)
    };
    for f in &faults {
        match f {
            Fault::Slow { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Fault::ExpireToken => {
                server.auth.expire();
                server.hubspot.auth.expire();
                server.bitrix24.auth.expire();
                server.google.auth.expire();
                server.salesforce.auth.expire();
            }
            _ => {}
        }
    }
    for f in &faults {
        if let Fault::Status { status, retry_after, retry_date } = f {
            let mut reply = match call.api {
                Api::Google => ga4::failure(&call.path, *status),
                Api::Salesforce => salesforce::failure(&call.path, *status),
                api => failure(api, *status, server.now()),
            };
            if let Some(after) = retry_after {
                let value = match after.parse::<i64>() {
                    Ok(seconds) if *retry_date => http_date(server.now() + seconds),
                    _ => after.clone(),
                };
                reply.headers.push(("retry-after", value));
            }
            return build(&server, reply, None);
        }
    }
    let mut reply = server.dispatch(&call, &faults);
    let mut cut = None;
    for f in &faults {
        match f {
            Fault::RotateDelay { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Fault::Truncate { percent } => {
                let keep = reply.body.len() * *percent as usize / 100;
                reply.body.truncate(keep);
            }
            Fault::Cut { percent } => cut = Some(*percent),
            _ => {}
        }
    }
    build(&server, reply, cut)
}

/// The answer as it goes out; with `cut`, the connection breaks after that percentage of the body.
fn build(server: &Server, reply: Reply, cut: Option<u64>) -> Response<Body> {
    server.stats.answered(reply.status, reply.body.len());
    let mut b = Response::builder().status(reply.status).header(header::DATE, http_date(server.now()));
    if !reply.content_type.is_empty() {
        b = b.header(header::CONTENT_TYPE, reply.content_type);
    }
    for (name, value) in &reply.headers {
        if let Ok(v) = HeaderValue::from_str(value) {
            b = b.header(*name, v);
        }
    }
    let body = match cut {
        None => Body::from(reply.body),
        Some(percent) => {
            b = b.header(header::CONTENT_LENGTH, reply.body.len());
            let mut bytes = Bytes::from(reply.body);
            let keep = bytes.len() * percent as usize / 100;
            let first = bytes.split_to(keep);
            let broken = io::Error::new(io::ErrorKind::ConnectionAborted, "cut by a fault");
            Body::from_stream(stream::iter([Ok(first), Err(broken)]))
        }
    };
    b.body(body).unwrap_or_else(|_| Response::new(Body::empty()))
}

impl Running {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets requests in flight end, then closes.
    ///
    /// # Errors
    /// What the server ended with.
    pub async fn stop(self) -> io::Result<()> {
        let _ = self.stop.send(());
        // A client that keeps its connection open must not keep the company alive.
        match tokio::time::timeout(Duration::from_secs(2), self.task).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(e)) => Err(io::Error::other(e)),
            Err(_) => Ok(()),
        }
    }

    /// What a client needs to know to use the company.
    pub fn facts(&self) -> serde_json::Value {
        let (access, refresh) = self.server.auth.current();
        let s = &self.server;
        serde_json::json!({
            "url": self.url(),
            "now": crate::text::rfc3339(s.now()),
            "seed": s.company.cfg.seed,
            "visits": s.company.cfg.visits,
            "out": s.options.out.as_ref().map(|p| p.display().to_string()),
            "amocrm": {
                "base_url": self.url(),
                "client_id": crate::amocrm::auth::CLIENT_ID,
                "client_secret": crate::amocrm::auth::CLIENT_SECRET,
                "redirect_uri": crate::amocrm::auth::REDIRECT_URI,
                "authorization_code": crate::amocrm::auth::CODE,
                "access_token": access,
                "refresh_token": refresh,
                "long_lived_token": crate::amocrm::auth::LONG_LIVED,
            },
            "metrika": {
                "base_url": self.url(),
                "token": crate::metrika::requests::TOKEN,
                "counter_id": s.company.cfg.counter_id,
                "time_zone": s.company.cfg.zone.name(),
                "token_param": s.company.cfg.token_param,
            },
            "hubspot": {
                "base_url": self.url(),
                "hub_id": hubspot::HUB_ID.to_string(),
                "token": hubspot::auth::PRIVATE_TOKEN,
                "client_id": hubspot::auth::CLIENT_ID,
                "client_secret": hubspot::auth::CLIENT_SECRET,
                "redirect_uri": hubspot::auth::REDIRECT_URI,
                "authorization_code": hubspot::auth::CODE,
                "refresh_token": hubspot::auth::REFRESH_TOKEN,
            },
            "bitrix24": {
                "base_url": self.url(),
                "portal": bitrix24::PORTAL,
                "webhook": bitrix24::auth::webhook(&self.url()),
                "client_id": bitrix24::auth::CLIENT_ID,
                "client_secret": bitrix24::auth::CLIENT_SECRET,
                "authorization_code": bitrix24::auth::CODE,
            },
            "direct": {
                "base_url": self.url(),
                "token": direct::TOKEN,
                "login": direct::LOGIN,
            },
            "telegram": {
                "base_url": self.url(),
                "token": telegram::TOKEN,
            },
            "vk": {
                "base_url": self.url(),
                "token": vk::TOKEN,
                "group_id": vk::GROUP_ID,
            },
            "comagic": {
                "base_url": self.url(),
                "access_token": comagic::TOKEN,
            },
            "google": {
                "base_url": self.url(),
                "token_url": format!("{}/token", self.url()),
                "client_id": ga4::auth::CLIENT_ID,
                "client_secret": ga4::auth::CLIENT_SECRET,
                "refresh_token": ga4::auth::REFRESH_TOKEN,
                "property": ga4::PROPERTY,
                "project": ga4::bigquery::PROJECT,
                "dataset": ga4::bigquery::DATASET,
            },
            "salesforce": {
                "login_url": self.url(),
                "org_id": salesforce::auth::org(),
                "client_id": salesforce::auth::CLIENT_ID,
                "client_secret": salesforce::auth::CLIENT_SECRET,
                "refresh_token": salesforce::auth::REFRESH_TOKEN,
                "username": salesforce::auth::USERNAME,
            },
            "whatsapp": {
                "app_secret": crate::whatsapp::APP_SECRET,
                "numbers": [crate::whatsapp::line(crate::words::Lang::Ru).0, crate::whatsapp::line(crate::words::Lang::En).0],
            },
        })
    }
}
