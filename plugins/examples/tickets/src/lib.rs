//! A source over HTTP: the tickets of a help desk, page by page, later only those that changed.
//!
//! The vendor answers `GET /tickets?from=..&after=..&limit=..` with tickets in the order of (updated_ms, id),
//! and their number in all: `{"total": 12, "tickets": [{"id": 1, "updated_ms": 0, "subject": "..", "phone": ".."}]}`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use throughline_plugin::arrow_array::builder::{Int64Builder, StringBuilder};
use throughline_plugin::arrow_array::{ArrayRef, RecordBatch};
use throughline_plugin::{
    Account, Capabilities, Column, ColumnType, Error, Event, Host, Manifest, Mapping, ReadRequest, Reader,
    Report, Request, Response, Result, Rows, Secret, Source, Stream, export_source,
};

export_source!(Tickets);

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    base_url: String,
    token: Secret,
    #[serde(default = "hundred")]
    page_size: u32,
}

fn hundred() -> u32 {
    100
}

struct Tickets {
    config: Config,
}

impl Source for Tickets {
    type Config = Config;

    fn manifest() -> Manifest {
        Manifest {
            name: "tickets",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Tickets of a help desk, by its REST interface",
            readme: "# Tickets\n\nAn example: see docs/plugins.md.\n",
            license: "Apache-2.0",
            config_schema: json!({
                "type": "object",
                "required": ["base_url", "token"],
                "properties": {
                    "base_url": { "type": "string", "description": "Address of the help desk." },
                    "token": { "secret": true, "description": "Access token: { env = \"NAME\" } or { file = \"path\" }." },
                    "page_size": { "type": "integer", "minimum": 1, "maximum": 1000, "default": 100,
                        "description": "Tickets a page." }
                }
            }),
            streams: vec![Stream {
                name: "tickets".into(),
                doc: "What people asked.".into(),
                key: vec!["id".into()],
                columns: vec![
                    Column::new("id", ColumnType::Int, "Number of the ticket."),
                    Column::new("updated_ms", ColumnType::Int, "When it was changed, ms since 1970 UTC."),
                    Column::new("subject", ColumnType::Text, "What it is about."),
                    Column::new("phone", ColumnType::Text, "Of whoever asked; may be absent."),
                ],
                capabilities: Capabilities {
                    incremental: true,
                    resumable: true,
                    count: true,
                    ..Capabilities::default()
                },
                ..Stream::default()
            }],
            guarantee: None,
        }
    }

    fn open(config: Config, _host: &Host) -> Result<Self> {
        if !(1..=1000).contains(&config.page_size) {
            return Err(Error::option("/page_size", "1 to 1000 tickets are a page"));
        }
        Ok(Self { config })
    }

    fn check(&self, host: &Host) -> Result<Report> {
        let page: Page = serde_json::from_slice(&page(&self.config, host, &Position::default(), 1)?.body)?;
        Ok(Report { facts: vec![("tickets".into(), page.total.to_string())], warnings: Vec::new() })
    }

    fn mappings(&self) -> Vec<Mapping> {
        let sql = "SELECT 'ticket-' || CAST(id AS VARCHAR) AS contact_id, phone FROM tickets WHERE phone IS NOT NULL";
        vec![Mapping::new("contacts", &["tickets"], sql, "tickets: contacts")]
    }

    fn read(&self, _host: &Host, request: ReadRequest) -> Result<Box<dyn Reader>> {
        let position: Option<Position> = request.checkpoint()?;
        Ok(Box::new(Pages {
            config: self.config.clone(),
            begun_anew: position.is_none(),
            position: position.unwrap_or_default(),
            page: 0,
            read: 0,
            left: Vec::new(),
        }))
    }
}

/// The last ticket that was read: the next page begins behind it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Position {
    updated_ms: i64,
    id: i64,
}

#[derive(Deserialize)]
struct Page {
    total: u64,
    tickets: Vec<Ticket>,
}

#[derive(Deserialize)]
struct Ticket {
    id: i64,
    updated_ms: i64,
    subject: Option<String>,
    phone: Option<String>,
}

struct Pages {
    config: Config,
    /// Only a whole read can be compared with the vendor's total.
    begun_anew: bool,
    position: Position,
    page: u64,
    read: u64,
    /// Events that come before the next page, the last one first.
    left: Vec<Event>,
}

fn page(config: &Config, host: &Host, from: &Position, limit: u32) -> Result<Response> {
    let url = format!("{}/tickets?from={}&after={}&limit={limit}", config.base_url, from.updated_ms, from.id);
    let account = Account { key: config.base_url.clone(), per_second: 50.0, burst: 10, parallel: 2 };
    let token = host.secret(&config.token)?;
    host.http(&Request::get(url).account(account).header("authorization", format!("Bearer {token}")))
}

impl Reader for Pages {
    fn next(&mut self, host: &Host) -> Result<Event> {
        if let Some(event) = self.left.pop() {
            return Ok(event);
        }
        self.page += 1;
        let answer = page(&self.config, host, &self.position, self.config.page_size)?;
        let page: Page = serde_json::from_slice(&answer.body)
            .map_err(|e| Error::protocol(format!("page {} of the tickets: {e}", self.page)))?;
        let Some(last) = page.tickets.last() else {
            self.left.push(Event::End);
            return Ok(match self.begun_anew {
                true => Event::Count { what: "tickets".into(), expected: page.total, read: self.read },
                false => Event::Checkpoint(json!(self.position)),
            });
        };
        self.position = Position { updated_ms: last.updated_ms, id: last.id };
        self.read += page.tickets.len() as u64;
        self.left.push(Event::Checkpoint(json!(self.position)));
        let batch = columns(&page.tickets)?;
        Ok(Event::Rows(Rows {
            batch,
            page: Some(format!("page {}", self.page)),
            exchange: Some(answer.exchange),
        }))
    }
}

fn columns(tickets: &[Ticket]) -> Result<RecordBatch> {
    let (mut id, mut updated) = (Int64Builder::new(), Int64Builder::new());
    let (mut subject, mut phone) = (StringBuilder::new(), StringBuilder::new());
    for ticket in tickets {
        id.append_value(ticket.id);
        updated.append_value(ticket.updated_ms);
        subject.append_option(ticket.subject.as_deref());
        phone.append_option(ticket.phone.as_deref());
    }
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(id.finish())),
        ("updated_ms", Arc::new(updated.finish())),
        ("subject", Arc::new(subject.finish())),
        ("phone", Arc::new(phone.finish())),
    ];
    Ok(RecordBatch::try_from_iter(columns)?)
}
