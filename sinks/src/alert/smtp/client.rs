//! One conversation with the mail server, by lettre, and what its refusals mean.

use std::error::Error as _;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::Address;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use throughline_core::{Error, ErrorKind, Result, Secret};
use tokio::net::TcpStream;

use super::gate::{Gate, IN_CLEAR};
use super::tls::Tls;

pub(super) enum Way {
    Clear,
    Starttls(Tls),
    Tls(Tls),
}

pub(super) struct Client {
    pub host: String,
    pub port: u16,
    pub way: Way,
    pub credentials: Option<(String, Secret)>,
}

impl Client {
    pub fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Signs in, names sender and receivers, and hands over the letter; without one it stops before that. Gives who
    /// was refused, when not all were.
    pub async fn deliver(
        &self,
        from: &Address,
        to: &[&Address],
        letter: Option<&[u8]>,
    ) -> Result<Vec<String>> {
        let mut talk = self.open().await?;
        self.sign_in(&mut talk).await?;
        let mail = Mail::new(Some(from.clone()), Vec::new());
        talk.command(mail).await.map_err(|e| self.error(&e, "takes no letters from you"))?;
        let (mut refused, mut last) = (Vec::new(), None);
        for address in to {
            let rcpt = Rcpt::new((*address).clone(), Vec::new());
            let Err(error) = talk.command(rcpt).await else { continue };
            let error = self.error(&error, "takes no letters for them");
            if error.is_temporary() {
                return Err(error);
            }
            refused.push(format!("{address} gets no letters: {}", error.message()));
            last = Some(error);
        }
        if let (Some(error), true) = (last, refused.len() == to.len()) {
            return Err(error);
        }
        if let Some(letter) = letter {
            talk.command(Data).await.map_err(|e| self.error(&e, "takes no letter"))?;
            let kept = talk.message(letter).await;
            kept.map_err(|e| self.error(&e, "took the letter and did not keep it"))?;
        }
        // It has the letter, whatever it says now.
        let _ = talk.quit().await;
        Ok(refused)
    }

    async fn open(&self) -> Result<AsyncSmtpConnection> {
        let at = (self.host.as_str(), self.port);
        let not_ready = "does not speak ESMTP";
        if let Way::Tls(tls) = &self.way {
            let parameters = tls.parameters(&self.host)?;
            let name = ClientId::default();
            let open = AsyncSmtpConnection::connect_tokio1(at, None, &name, Some(parameters), None);
            return open.await.map_err(|e| self.error(&e, not_ready));
        }
        let tcp = TcpStream::connect(at).await.map_err(|e| self.lost(&e))?;
        let name = match tcp.local_addr().map(|at| at.ip()) {
            Ok(IpAddr::V6(ip)) => ClientId::Ipv6(ip),
            Ok(IpAddr::V4(ip)) => ClientId::Ipv4(ip),
            Err(_) => ClientId::default(),
        };
        let open = AsyncSmtpConnection::connect_with_transport(Box::new(Gate::new(tcp)), &name);
        let mut talk = open.await.map_err(|e| self.error(&e, not_ready))?;
        if let Way::Starttls(tls) = &self.way {
            if !talk.can_starttls() {
                talk.abort().await;
                return Err(Error::config(format!("the mail server {} offers no STARTTLS", self.place()))
                    .hint("is it tls = \"tls\" and port 465? Without encryption nothing is sent"));
            }
            let parameters = tls.parameters(&self.host)?;
            talk.starttls(parameters, &name).await.map_err(|e| self.error(&e, "does not begin TLS"))?;
        }
        Ok(talk)
    }

    async fn sign_in(&self, talk: &mut AsyncSmtpConnection) -> Result<()> {
        let Some((user, password)) = &self.credentials else { return Ok(()) };
        let ways = [Mechanism::Plain, Mechanism::Login];
        if talk.server_info().get_auth_mechanism(&ways).is_none() {
            let what = format!("the mail server {} offers neither AUTH PLAIN nor LOGIN", self.place());
            talk.abort().await;
            return Err(Error::config(what).hint("leave user and password out where it asks nobody"));
        }
        let credentials = Credentials::new(user.clone(), password.expose().to_owned());
        let signed = talk.auth(&ways, &credentials).await;
        signed.map(drop).map_err(|e| self.error(&e, "does not let you in"))
    }

    fn lost(&self, why: &dyn std::fmt::Display) -> Error {
        let what = format!("the connection to the mail server {} broke: {why}", self.place());
        Error::new(ErrorKind::Io, what).temporary(None)
    }

    /// What a failure means: of the moment, of the password, of the pipeline, or no mail server at all.
    fn error(&self, error: &SmtpError, refuses: &str) -> Error {
        let place = self.place();
        let words = self.words(error);
        if let Some(code) = error.status() {
            let what = format!("the mail server {place} {refuses}: {code} {words}");
            return match code.to_string().as_str() {
                _ if error.is_transient() => Error::new(ErrorKind::Io, what).temporary(None),
                "530" | "534" | "535" | "538" => Error::new(ErrorKind::Auth, what)
                    .hint("look at user and password; many services want a password made for programs"),
                _ => Error::config(what).hint("look at from and to: the server must let you write so"),
            };
        }
        if words.contains(IN_CLEAR) {
            return Error::protocol(format!("{IN_CLEAR}, by the mail server {place} or somebody before it"))
                .hint("nothing was sent; use tls = \"tls\" where the server has it");
        }
        if is_untrusted(error) {
            return Error::new(ErrorKind::Auth, format!("TLS with the mail server {place}: {words}"))
                .hint("is `host` the name in its certificate, and `tls` what its port speaks? `ca` names an authority");
        }
        // That is how lettre says that the other side hung up.
        if error.is_response() && words != "incomplete response" {
            return Error::protocol(format!("{place} is no mail server, or a broken one: {words}"));
        }
        self.lost(&words)
    }

    /// Servers say what went wrong in words; a password has no place in them.
    fn words(&self, error: &SmtpError) -> String {
        let mut said = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        if let Some((_, password)) = &self.credentials {
            for secret in [password.expose().to_owned(), STANDARD.encode(password.expose())] {
                said = said.replace(&secret, "***");
            }
        }
        said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
    }
}

/// rustls says so by data that are not valid: a certificate of a stranger, or no TLS at all.
fn is_untrusted(error: &SmtpError) -> bool {
    let mut cause = error.source();
    while let Some(now) = cause {
        if let Some(io) = now.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::InvalidData;
        }
        cause = now.source();
    }
    false
}
