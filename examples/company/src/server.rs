//! One port for all: amoCRM under `/api/v4` and `/oauth2`, Metrica under `/management` and `/stat`, and the
//! company's own switches under `/_company`. The base URL of every vendor is the same origin.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::amocrm::auth::Auth;
use crate::amocrm::{self, Crm};
use crate::api::{self, Api};
use crate::bitrix24::{self, Bitrix};
use crate::call::Call;
use crate::comagic::{self, Comagic};
use crate::company::Company;
use crate::control;
use crate::direct::{self, Direct};
use crate::edge;
use crate::faults::{Fault, Faults, Rule};
use crate::ga4::{self, Google};
use crate::hubspot::{self, Hubspot};
use crate::metrika::requests::{self, Logs};
use crate::reply::{Reply, lock};
use crate::salesforce::{self, Salesforce};
use crate::stats::Stats;
use crate::telegram::{self, Telegram};
use crate::truth::Counts;
use crate::uploads::Uploads;
use crate::vk::{self, Vk};

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
            logs: Logs::new(options.logs.clone()),
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
        let router = Router::new().fallback(edge::answer).with_state(self.clone());
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

    /// What the vendor answers.
    pub(crate) fn dispatch(&self, call: &Call, api: Api) -> Reply {
        match api {
            Api::Crm => self.amocrm(call),
            Api::Metrika => self.logs.answer(call),
            Api::Hubspot => self.hubspot.answer(call),
            Api::Bitrix => self.bitrix24.answer(call),
            Api::Direct => self.direct.answer(call),
            Api::Uploads => self.uploads.answer(call),
            Api::Comagic => self.comagic.answer(call),
            Api::Telegram => self.telegram.answer(call),
            Api::Vk => self.vk.answer(call),
            Api::Google => self.google.answer(call),
            Api::Salesforce => self.salesforce.answer(call),
            Api::Control => control::answer(self, call),
            Api::None => Reply::json(404, "{\"error\":\"nobody answers at this path\"}"),
        }
    }

    /// amoCRM's tokens and records, behind its sign-in.
    fn amocrm(&self, call: &Call) -> Reply {
        match call.path {
            "/oauth2/access_token" if call.method != "POST" => {
                Reply::problem(405, "Method Not Allowed", "POST is needed")
            }
            "/oauth2/access_token" => {
                let (reply, accepted) = self.auth.grant(call.body, call.now);
                self.stats.refresh(accepted);
                reply
            }
            "/oauth" => {
                let account = format!("{}.amocrm.ru", amocrm::SUBDOMAIN);
                self.auth.consents.ask(call.query, amocrm::auth::CLIENT_ID, false, &[("referer", &account)])
            }
            _ if !self.auth.allows(call.authorization) => Reply::problem(401, "Unauthorized", "Unauthorized"),
            _ => {
                let touched: usize =
                    call.faults.iter().map(|f| if let Fault::Touch { rows } = f { *rows } else { 0 }).sum();
                self.stats.touched(touched);
                self.crm.answer(call)
            }
        }
    }

    /// The refusal of a request too many; `seen` of them came within the last second. Only these two vendors are
    /// held by it: the others' limits are their own.
    pub(crate) fn limit(&self, api: Api, seen: usize) -> Option<Reply> {
        let limit = match api {
            Api::Crm => self.options.crm_rps,
            Api::Metrika => self.options.metrika_rps,
            _ => 0,
        };
        if limit == 0 || seen <= limit {
            return None;
        }
        self.stats.refused(api.name());
        Some(api::too_many(api, 429))
    }

    /// Every access token is over.
    pub(crate) fn expire(&self) {
        self.auth.expire();
        self.hubspot.auth.expire();
        self.bitrix24.auth.expire();
        self.google.auth.expire();
        self.salesforce.auth.expire();
    }
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
}
