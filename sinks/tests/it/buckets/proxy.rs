//! Stands between the sink and a store, breaks what it is told to, and lets one request through at a time: the stores
//! of tests look at a condition and write in two steps.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What is done with a request that a rule meets.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Answered by the proxy; the store learns nothing.
    Answer(u16, &'static str),
    /// The connection is closed; the store learns nothing.
    Cut,
    /// The store does it, and the answer is lost.
    DoAndCut,
    /// The store does it, and the answer is another.
    DoAndAnswer(u16, &'static str),
}

struct Rule {
    method: &'static str,
    /// Part of the request's target.
    part: String,
    times: usize,
    fault: Fault,
}

pub(super) struct Proxy {
    pub port: u16,
    rules: Arc<Mutex<Vec<Rule>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// `change` edits the head of each request and of each answer.
    pub(super) fn before(upstream: u16, change: fn(&str) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self { port, rules: Arc::default(), seen: Arc::default() };
        let (rules, seen, turn) = (proxy.rules.clone(), proxy.seen.clone(), Arc::new(Mutex::new(())));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (rules, seen, turn) = (rules.clone(), seen.clone(), turn.clone());
                std::thread::spawn(move || exchange(client, upstream, &rules, &seen, &turn, change));
            }
        });
        proxy
    }

    pub(super) fn fault(&self, method: &'static str, part: &str, times: usize, fault: Fault) {
        self.rules.lock().unwrap().push(Rule { method, part: part.to_owned(), times, fault });
    }

    /// Forgets the rules; how many faults were not used.
    pub(super) fn mend(&self) -> usize {
        self.rules.lock().unwrap().drain(..).map(|rule| rule.times).sum()
    }

    /// Methods and targets of all requests so far.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// One request, one answer, one connection.
fn exchange(
    mut client: TcpStream,
    upstream: u16,
    rules: &Mutex<Vec<Rule>>,
    seen: &Mutex<Vec<String>>,
    turn: &Mutex<()>,
    change: fn(&str) -> String,
) -> Option<()> {
    let (head, body) = message(&mut client)?;
    let mut words = head.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    seen.lock().unwrap().push(format!("{method} {target}"));
    let fault = rules.lock().unwrap().iter_mut().find_map(|rule| {
        let meets = rule.times > 0 && rule.method == method && target.contains(&rule.part);
        meets.then(|| {
            rule.times -= 1;
            rule.fault.clone()
        })
    });
    match fault {
        Some(Fault::Cut) => return None,
        Some(Fault::Answer(status, code)) => return answer(&mut client, status, code),
        _ => {}
    }
    let reply = {
        let _alone = turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut store = TcpStream::connect(("127.0.0.1", upstream)).ok()?;
        store.write_all(one_of_a_kind(&change(&head)).as_bytes()).ok()?;
        store.write_all(&body).ok()?;
        let mut reply = Vec::new();
        store.read_to_end(&mut reply).ok()?;
        reply
    };
    match fault {
        Some(Fault::DoAndCut) => None,
        Some(Fault::DoAndAnswer(status, code)) => answer(&mut client, status, code),
        _ => {
            let at = reply.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
            let head = String::from_utf8_lossy(&reply[..at]).into_owned();
            client.write_all(one_of_a_kind(&change(&head)).as_bytes()).ok()?;
            client.write_all(&reply[at..]).ok()
        }
    }
}

fn message(from: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 1 << 16]);
    let at = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        let n = from.read(&mut chunk).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&chunk[..n]);
    };
    let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse().ok() } else { None }
    });
    let mut body = bytes.split_off(at);
    while body.len() < length.unwrap_or(0) {
        let n = from.read(&mut chunk).ok().filter(|n| *n > 0)?;
        body.extend_from_slice(&chunk[..n]);
    }
    Some((head, body))
}

/// The head with a word that no other message follows on this connection.
fn one_of_a_kind(head: &str) -> String {
    let mut lines: Vec<&str> = head
        .trim_end()
        .split("\r\n")
        .filter(|l| !l.to_ascii_lowercase().starts_with("connection:"))
        .collect();
    lines.push("Connection: close");
    format!("{}\r\n\r\n", lines.join("\r\n"))
}

fn answer(client: &mut TcpStream, status: u16, code: &str) -> Option<()> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>told to</Message></Error>");
    let head = format!(
        "HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    client.write_all((head + &body).as_bytes()).ok()
}
