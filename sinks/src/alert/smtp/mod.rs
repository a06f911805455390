//! A letter by SMTP (RFC 5321), in UTF-8. The protocol and the letter's form are lettre's.

mod client;
mod gate;
mod letter;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use throughline_core::connector::{option_error, parse_options};
use throughline_core::{
    AlertConnector, AlertMessage, Alerter, CheckReport, ConfigErrors, Context, DynAlerter, Error, ErrorKind,
    Options, PointerAt, Result, Secret,
};

use client::{Client, Way};
use letter::{Letter, mailbox};
use lettre::Address;
use lettre::message::Mailbox;
use tls::Tls;

/// A letter that somebody reads on a telephone.
const MOST_CHARS: usize = 20_000;
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(5);
/// Of one attempt, from connecting to the last answer.
const ATTEMPT: Duration = Duration::from_secs(60);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SmtpOptions {
    /// Name of the mail server that takes letters from you, e.g. "smtp.example.com".
    host: String,
    /// Default: 587 with "starttls", 465 with "tls", 25 with "off".
    port: Option<u16>,
    /// "starttls" or "tls": encrypted, with the server's certificate and name checked; "off".
    #[serde(default)]
    tls: Mode,
    /// PEM file with the authority that signed the server's certificate, in place of the machine's own list.
    ca: Option<String>,
    /// Left out where the server asks nobody who they are.
    user: Option<String>,
    password: Option<Secret>,
    /// Who the letter is from, e.g. "Throughline <reports@example.com>". The server must let you write so.
    from: String,
    /// Who gets it.
    to: Vec<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// In clear at first, and encrypted before anything is said. A server that cannot is refused.
    #[default]
    Starttls,
    /// Encrypted from the first byte.
    Tls,
    /// In clear. Never with a password but on this machine.
    Off,
}

pub(super) struct SmtpConnector;

impl AlertConnector for SmtpConnector {
    fn name(&self) -> &str {
        "smtp"
    }
    fn summary(&self) -> &str {
        "a letter by SMTP"
    }
    fn schema(&self) -> Value {
        schemars::schema_for!(SmtpOptions).to_value()
    }
    fn build(&self, options: &Options) -> Result<DynAlerter, ConfigErrors> {
        let given: SmtpOptions = parse_options(&options.value)?;
        let mut errors = ConfigErrors::new();
        let mut wrong = |message: String, pointer: &str| {
            errors.push(option_error(message, format!("/{pointer}"), PointerAt::Value));
        };
        let host = given.host.trim().to_owned();
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_');
        if host.is_empty() || !host.chars().all(is_host) {
            wrong(format!("host = {:?} is no name of a server", given.host), "host");
        }
        let port = given.port.unwrap_or(match given.tls {
            Mode::Starttls => 587,
            Mode::Tls => 465,
            Mode::Off => 25,
        });
        if port == 0 {
            wrong("port = 0 is no port".into(), "port");
        }
        let credentials = match (given.user, given.password) {
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            (Some(_), None) => {
                wrong("user without password".into(), "user");
                None
            }
            (None, Some(_)) => {
                wrong("password without user".into(), "password");
                None
            }
        };
        let near = matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1");
        if given.tls == Mode::Off && credentials.is_some() && !near {
            wrong("tls = \"off\" would send the password in clear to another machine".into(), "tls");
        }
        let from = mailbox(&given.from);
        if let Err(why) = &from {
            wrong(format!("from = {:?} is no address: {why}", given.from), "from");
        }
        let mut to = Vec::new();
        for (at, address) in given.to.iter().enumerate() {
            match mailbox(address) {
                Ok(mailbox) => to.push(mailbox),
                Err(why) => wrong(format!("{address:?} is no address: {why}"), &format!("to/{at}")),
            }
        }
        if given.to.is_empty() {
            wrong("to names nobody".into(), "to");
        }
        if given.tls == Mode::Off && given.ca.is_some() {
            wrong("ca is read with \"starttls\" and \"tls\" only".into(), "ca");
        }
        let ca = given.ca.as_ref().map(|ca| options.base_dir.join(ca));
        let way = match (given.tls, Tls::new(ca.as_deref())) {
            (Mode::Off, _) => Some(Way::Clear),
            (Mode::Tls, Ok(tls)) => Some(Way::Tls(tls)),
            (Mode::Starttls, Ok(tls)) => Some(Way::Starttls(tls)),
            (_, Err(why)) => {
                wrong(why.to_string(), "ca");
                None
            }
        };
        let (Ok(from), Some(way), true) = (from, way, errors.is_empty()) else { return Err(errors) };
        let client = Client { host, port, way, credentials };
        Ok(Arc::new(Smtp { client, from, to }))
    }
}

/// The alerter, set up.
struct Smtp {
    client: Client,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Smtp {
    /// Asks, and writes when there is a letter; no longer than an attempt may take.
    async fn attempt(&self, letter: Option<&[u8]>) -> Result<Vec<String>> {
        let to: Vec<&Address> = self.to.iter().map(|to| &to.email).collect();
        match tokio::time::timeout(ATTEMPT, self.client.deliver(&self.from.email, &to, letter)).await {
            Ok(done) => done,
            Err(_) => Err(Error::new(
                ErrorKind::Io,
                format!(
                    "the mail server {} did not answer within {} s",
                    self.client.place(),
                    ATTEMPT.as_secs()
                ),
            )
            .temporary(None)),
        }
    }
}

#[async_trait]
impl Alerter for Smtp {
    /// Goes as far as the server saying whom it takes letters for; no letter is sent.
    async fn check(&self, _: &Context) -> Result<CheckReport> {
        let refused = self.attempt(None).await?;
        let to: Vec<String> = self.to.iter().map(|to| to.email.to_string()).collect();
        let facts = vec![("server".to_owned(), self.client.place()), ("to".to_owned(), to.join(", "))];
        Ok(CheckReport { facts, warnings: refused })
    }

    async fn send(&self, ctx: &Context, message: &AlertMessage) -> Result<()> {
        let letter = Letter {
            from: &self.from,
            to: &self.to,
            subject: &message.subject(),
            text: &message.text(MOST_CHARS),
            at: ctx.clock.now_us(),
        };
        let letter = letter.written()?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            // A letter that came twice is better than none.
            match self.attempt(Some(&letter)).await {
                Ok(refused) if refused.is_empty() => return Ok(()),
                Ok(refused) => {
                    // The others have it: who is told again gets it again, and who is not told must be mended.
                    tracing::warn!("{}", refused.join("; "));
                    return Ok(());
                }
                Err(error) if !error.is_temporary() || attempt == ATTEMPTS => return Err(error),
                Err(_) => ctx.sleep(PAUSE).await?,
            }
        }
    }
}
