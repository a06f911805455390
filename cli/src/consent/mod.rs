//! Asks a person: opens the browser, waits until it comes back or its address is pasted, and has the code redeemed
//! before anybody is told that it worked.

mod browser;
mod paste;

use std::sync::Arc;
use std::time::Duration;

use throughline_core::consent::{Granted, Question, Redirect, Returned, Terms};
use throughline_core::{Context, DynConsent, Error, ErrorKind, Redactor, Result};
use throughline_receiver::consent::{Answer, Brought, Desk, Page, Ticket, here};

pub use paste::one_line;

/// The port in an address that nobody listens at: the person copies it.
const PASTED_PORT: u16 = 17_865;

/// How a person is asked.
pub struct Wait<'a> {
    pub source: &'a str,
    pub port: Option<u16>,
    pub browser: bool,
    pub paste: bool,
    pub timeout: Duration,
    pub redactor: &'a Redactor,
}

/// Where the browser comes back to.
struct Way {
    redirect_uri: String,
    desk: Option<Desk>,
}

/// Gives what was granted, when it is stored.
///
/// # Errors
/// `Auth` when consent was refused, did not come in time or is no answer to this question; `Config` for a port that
/// cannot be had; `Cancelled` when the person stopped.
pub async fn ask(wait: &Wait<'_>, consent: &DynConsent, terms: &Terms, ctx: &Context) -> Result<Granted> {
    let ticket = Arc::new(Ticket::new()?);
    wait.redactor.register(ticket.verifier());
    let Way { redirect_uri, mut desk } = way(wait, terms, &ticket).await?;
    let challenge = terms.pkce.then(|| ticket.challenge());
    let question =
        Question { redirect_uri: &redirect_uri, state: ticket.state(), challenge: challenge.as_deref() };
    let url = consent.url(&question)?;
    introduce(wait, terms, &redirect_uri, &url, desk.is_some());
    let mut pasted = paste::lines(wait.paste || desk.is_none());
    let deadline = tokio::time::sleep(wait.timeout);
    tokio::pin!(deadline);
    let (answer, brought) = loop {
        tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => return Err(Error::cancelled()),
            () = &mut deadline => return Err(too_late(wait)),
            brought = arrival(&mut desk) => {
                let brought = brought?;
                break (brought.answer.clone(), Some(brought));
            }
            line = pasted.next() => match line {
                Some(line) => match ticket.read_address(&line) {
                    Answer::Nothing => anstream::eprintln!(
                        "this holds no code: paste the whole address that the browser ended at"
                    ),
                    answer => break (answer, None),
                },
                None => return Err(refused("standard input ended before an address came")),
            },
        }
    };
    // From here on nothing is stopped half way: the code is good once.
    let outcome = match answer {
        Answer::Code { code, params } => {
            wait.redactor.register(&code);
            let verifier = terms.pkce.then(|| ticket.verifier().clone());
            let returned = Returned { code, params, redirect_uri: Some(redirect_uri), verifier };
            consent.redeem(ctx, returned).await
        }
        other => Err(without_code(terms, other)),
    };
    show(brought, terms, &outcome, wait.redactor);
    if let Some(desk) = desk {
        desk.close().await;
    }
    outcome
}

async fn way(wait: &Wait<'_>, terms: &Terms, ticket: &Arc<Ticket>) -> Result<Way> {
    let (host, port, path) = match &terms.redirect {
        Redirect::Registered(uri) => {
            let found = here(uri).filter(|_| !wait.paste);
            if let (Some(asked), Some((port, _))) = (wait.port, &found)
                && asked != *port
            {
                let what = format!("--port {asked}, but the pipeline's redirect_uri is {uri}");
                return Err(Error::config(what).hint("leave one of them out"));
            }
            let desk = match found {
                Some((port, path)) => Some(Desk::open(port, &path, ticket.clone()).await?),
                None => None,
            };
            return Ok(Way { redirect_uri: uri.clone(), desk });
        }
        Redirect::Loopback { host, port, path } => (host, wait.port.or(*port), path),
    };
    if wait.paste {
        let port = port.unwrap_or(PASTED_PORT);
        return Ok(Way { redirect_uri: format!("http://{host}:{port}{path}"), desk: None });
    }
    let desk = Desk::open(port.unwrap_or(0), path, ticket.clone()).await?;
    Ok(Way { redirect_uri: format!("http://{host}:{}{path}", desk.port()), desk: Some(desk) })
}

fn introduce(wait: &Wait<'_>, terms: &Terms, redirect_uri: &str, url: &str, listens: bool) {
    anstream::eprintln!("{} wants somebody's consent for the source {:?}.", terms.vendor, wait.source);
    if let Some(note) = &terms.note {
        anstream::eprintln!("Before: {note}.");
    }
    anstream::eprintln!("Redirect address: {redirect_uri}");
    anstream::eprintln!("Open in a browser:\n\n  {url}\n");
    let opened = wait.browser && browser::open(url);
    if opened {
        anstream::eprintln!("A browser was asked to open it.");
    }
    let seconds = wait.timeout.as_secs();
    if listens {
        anstream::eprintln!(
            "Waiting {seconds} s for the browser to come back. Where it cannot reach this machine, paste the address that it ended at."
        );
    } else {
        anstream::eprintln!("Paste the address that the browser ended at, within {seconds} s:");
    }
}

/// What a browser brings; for ever nothing when nobody listens.
async fn arrival(desk: &mut Option<Desk>) -> Result<Brought> {
    match desk {
        Some(desk) => desk.wait().await,
        None => std::future::pending().await,
    }
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Auth, message)
}

fn too_late(wait: &Wait<'_>) -> Error {
    refused(format!("no consent came within {} s", wait.timeout.as_secs()))
        .hint("run it again; --timeout gives more time, and --paste serves machines that no browser reaches")
}

fn without_code(terms: &Terms, answer: Answer) -> Error {
    let vendor = &terms.vendor;
    match answer {
        Answer::Refused { error, description } => {
            let said = if description.is_empty() { error.clone() } else { format!("{error}: {description}") };
            let refusal = refused(format!("{vendor} gave no consent ({said})"));
            match error.as_str() {
                "access_denied" => refusal.hint("whoever sat before the browser said no; run it again to be asked again"),
                _ => refusal.hint("look at client id, scopes and redirect address in the vendor's settings of the application"),
            }
        }
        _ => refused("an answer came that belongs to another question (its state is not ours); nothing was stored")
            .hint("run it again, and use only the address that it prints; if it happens again, somebody sends forged answers"),
    }
}

/// The page before the person: good only when the tokens are stored.
fn show(brought: Option<Brought>, terms: &Terms, outcome: &Result<Granted>, redactor: &Redactor) {
    let Some(brought) = brought else { return };
    brought.tell(match outcome {
        Ok(_) => Page::good(
            "Connected",
            format!(
                "{} let Throughline in, and the tokens are stored. You may close this window.",
                terms.vendor
            ),
        ),
        Err(error) => Page::bad(
            "Not connected",
            format!("{}. The terminal says what to do.", redactor.redact(error.message())),
        ),
    });
}
