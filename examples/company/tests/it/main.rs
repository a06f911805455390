//! The company as a client sees it, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod amocrm;
mod bitrix24;
mod comagic;
mod direct;
mod faults;
mod ga4;
mod hubspot;
mod metrika;
mod salesforce;
mod truth;
mod uploads;
mod whatsapp;

use company::faults::Rule;
use company::{Company, Config, Options, Running, Server};
use serde_json::Value;

/// A company of some size without limits of speed.
pub async fn company(visits: u64) -> Running {
    with(visits, |_, o| {
        o.crm_rps = 0;
        o.metrika_rps = 0;
    })
    .await
}

pub async fn with(visits: u64, change: impl FnOnce(&mut Config, &mut Options)) -> Running {
    let mut cfg = Config { seed: 42, visits, ..Config::default() };
    let mut options = Options { crm_rps: 0, metrika_rps: 0, ..Options::default() };
    change(&mut cfg, &mut options);
    Server::new(Company::new(cfg), options).start().await.unwrap()
}

pub fn rules(list: &[&str]) -> Vec<Rule> {
    list.iter().map(|r| Rule::parse(r).unwrap()).collect()
}

pub struct Got {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
}

pub async fn get_with(url: &str, authorization: &str) -> reqwest::Result<Got> {
    let r = reqwest::Client::new().get(url).header("authorization", authorization).send().await?;
    Ok(Got { status: r.status().as_u16(), headers: r.headers().clone(), text: r.text().await? })
}

/// A path of amoCRM, with the token that is good now.
pub async fn crm(c: &Running, path: &str) -> Got {
    get_with(&format!("{}{path}", c.url()), &format!("Bearer {}", c.server.auth.current().0)).await.unwrap()
}

pub async fn post(url: &str, body: String) -> Got {
    let r = reqwest::Client::new().post(url).body(body).send().await.unwrap();
    Got { status: r.status().as_u16(), headers: r.headers().clone(), text: r.text().await.unwrap() }
}

/// Every record of a list, following `next` to its end.
pub async fn all(c: &Running, path: &str, entity: &str) -> Vec<Value> {
    let mut out = Vec::new();
    let mut url = format!("{}{path}", c.url());
    loop {
        let got = get_with(&url, &format!("Bearer {}", c.server.auth.current().0)).await.unwrap();
        if got.status == 204 {
            assert!(got.text.is_empty());
            return out;
        }
        assert_eq!(got.status, 200, "{}", got.text);
        let page = got.json();
        out.extend(page["_embedded"][entity].as_array().unwrap().iter().cloned());
        match page["_links"]["next"]["href"].as_str() {
            Some(next) => url = next.to_owned(),
            None => return out,
        }
    }
}

pub fn csv(text: &str) -> Vec<std::collections::HashMap<String, String>> {
    let mut lines = text.lines();
    let split = |line: &str| {
        let mut cells = vec![String::new()];
        let mut quoted = false;
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    cells.last_mut().unwrap().push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(String::new()),
                c => cells.last_mut().unwrap().push(c),
            }
        }
        cells
    };
    let head = split(lines.next().unwrap());
    lines
        .map(|l| {
            let cells = split(l);
            assert_eq!(cells.len(), head.len(), "{l}");
            head.iter().cloned().zip(cells).collect()
        })
        .collect()
}
