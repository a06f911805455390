//! Metrica's uploads, <https://yandex.com/dev/metrika/en/management/openapi/offline_conversions/upload_1>: files of CSV in
//! multipart/form-data, the list of uploads, and what became of one. Nothing is known again: a file that comes twice is
//! there twice, except orders, which have an id.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Call, Uploads};
use crate::metrika::requests::TOKEN;
use crate::reply::{Reply, lock, pairs};
use crate::text::rfc3339;

#[derive(Clone, Debug)]
pub struct File {
    pub id: usize,
    pub created: i64,
    /// `CHATS`, `BASIC`, `EXPENSES` or `ORDERS`.
    pub kind: &'static str,
    pub comment: String,
    pub provider: String,
    pub header: Vec<String>,
    /// Rows whose cells are right.
    pub rows: Vec<BTreeMap<String, String>>,
    /// Rows in the file.
    pub lines: usize,
    asked: usize,
}

impl Uploads {
    /// Every file, in the order they came.
    pub fn files(&self) -> Vec<File> {
        lock(&self.files).clone()
    }

    pub(super) fn metrika(&self, call: &Call) -> Reply {
        if call.authorization != format!("OAuth {TOKEN}") {
            return Reply::metrika(403, "invalid_token", "Invalid oauth_token");
        }
        let parts: Vec<&str> = call.path.split('/').filter(|p| !p.is_empty()).collect();
        let (counter, rest) = match parts.as_slice() {
            ["management", "v1", "counter", counter, rest @ ..] => (*counter, rest),
            ["cdp", "api", "v1", "counter", counter, rest @ ..] => (*counter, rest),
            _ => return Reply::metrika(404, "not_found", "No such resource"),
        };
        if counter != call.company.cfg.counter_id.to_string() {
            return Reply::metrika(403, "access_denied", "Access to the counter is denied");
        }
        match (call.method, rest) {
            ("POST", ["offline_conversions", "upload"]) => {
                let chats = pairs(call.query).iter().any(|(n, v)| n == "type" && v == "CHATS");
                self.take(call, if chats { "CHATS" } else { "BASIC" })
            }
            ("POST", ["expense", "upload"]) => self.take(call, "EXPENSES"),
            ("POST", ["data", "simple_orders"]) => self.take(call, "ORDERS"),
            ("GET", ["offline_conversions", "uploadings"]) => self.list(&["CHATS", "BASIC"]),
            ("GET", ["expense", "uploadings"]) => self.list(&["EXPENSES"]),
            ("GET", ["offline_conversions" | "expense", "uploading", id]) => self.one(id),
            _ => Reply::metrika(404, "not_found", "No such resource"),
        }
    }

    fn take(&self, call: &Call, kind: &'static str) -> Reply {
        let invalid = |message: &str| Reply::metrika(400, "invalid_parameter", message);
        let Some(text) = file_of(call) else { return invalid("No file in the request") };
        let query = pairs(call.query);
        let param =
            |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap_or_default();
        if param("comment").chars().count() > 255 {
            return invalid("comment is too long");
        }
        let mut lines = text.lines().filter(|l| !l.is_empty());
        let header: Vec<String> = cells(lines.next().unwrap_or_default());
        let needed: &[&str] = match kind {
            "CHATS" => &["DateTime", "ChatPlatform"],
            "BASIC" => &["Target", "DateTime"],
            "EXPENSES" => &["Date", "UTMSource", "Expenses"],
            _ => &["id", "create_date_time", "order_status"],
        };
        if let Some(missing) = needed.iter().find(|n| !header.iter().any(|h| h == *n)) {
            return invalid(&format!("Column {missing} is required"));
        }
        let ids = ["UserId", "ClientId", "Yclid", "PurchaseId"];
        if matches!(kind, "CHATS" | "BASIC")
            && header.iter().filter(|h| ids.contains(&h.as_str())).count() != 1
        {
            return invalid("Exactly one identifier column is required");
        }
        let all: Vec<Vec<String>> = lines.map(cells).collect();
        let rows: Vec<BTreeMap<String, String>> = all
            .iter()
            .filter(|row| row.len() == header.len())
            .map(|row| header.iter().cloned().zip(row.iter().cloned()).collect())
            .filter(|row| is_right(kind, row, call.now))
            .collect();
        let mut files = lock(&self.files);
        let file = File {
            id: files.len() + 12,
            created: call.now,
            kind,
            comment: param("comment"),
            provider: param("provider"),
            header,
            rows,
            lines: all.len(),
            asked: 0,
        };
        let answer = file.json();
        files.push(file);
        Reply::json(200, json!({ "uploading": answer }).to_string())
    }

    fn list(&self, kinds: &[&str]) -> Reply {
        let files = lock(&self.files);
        let list: Vec<Value> = files.iter().filter(|f| kinds.contains(&f.kind)).map(File::json).collect();
        Reply::json(200, json!({ "uploadings": list }).to_string())
    }

    fn one(&self, id: &str) -> Reply {
        let mut files = lock(&self.files);
        let Some(file) = files.iter_mut().find(|f| f.id.to_string() == id) else {
            return Reply::metrika(404, "not_found", "No such uploading");
        };
        file.asked += 1;
        Reply::json(200, json!({ "uploading": file.json() }).to_string())
    }
}

impl File {
    fn json(&self) -> Value {
        // Processing takes two questions; rows of a browser that nobody knows are tied to nothing.
        let known = self.rows.iter().any(|row| row.get("ClientId").is_none_or(|id| !id.starts_with("0000")));
        let status = match (self.asked, known) {
            (0, _) => "UPLOADED",
            (1, _) => "EXPORTED",
            (_, true) => "PROCESSED",
            (_, false) => "LINKAGE_FAILURE",
        };
        json!({"id": self.id, "create_time": rfc3339(self.created), "source_quantity": self.lines,
            "line_quantity": self.rows.len(), "comment": self.comment, "type": self.kind, "client_id_type": "CLIENT_ID",
            "provider": self.provider, "status": status})
    }
}

fn is_right(kind: &str, row: &BTreeMap<String, String>, now: i64) -> bool {
    let text = |name: &str| row.get(name).map(String::as_str).unwrap_or_default();
    let past = text("DateTime").parse::<i64>().is_ok_and(|at| at <= now);
    let amount = |name: &str| text(name).is_empty() || text(name).parse::<f64>().is_ok();
    match kind {
        "CHATS" => {
            let partner = ["ChatUsername", "ChatUserID", "PhoneNumber"].iter().any(|n| !text(n).is_empty());
            past && ["whatsapp", "telegram", "viber"].contains(&text("ChatPlatform")) && partner
        }
        "BASIC" => past && !text("Target").is_empty() && amount("Price"),
        "EXPENSES" => text("Date").len() == 10 && !text("Expenses").is_empty() && amount("Expenses"),
        _ => !text("id").is_empty() && text("create_date_time").len() == 16 && amount("revenue"),
    }
}

/// The part named `file`.
fn file_of(call: &Call) -> Option<String> {
    let boundary = call.header("content-type").strip_prefix("multipart/form-data; boundary=")?;
    let body = std::str::from_utf8(call.body).ok()?;
    let part = body.split(&format!("--{boundary}")).nth(1)?;
    let (head, text) = part.split_once("\r\n\r\n")?;
    if !head.contains("name=\"file\"") || !body.trim_end().ends_with(&format!("--{boundary}--")) {
        return None;
    }
    Some(text.to_owned())
}

/// The cells of a line of CSV. Line ends inside of quotes are not taken.
fn cells(line: &str) -> Vec<String> {
    let (mut found, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut signs = line.trim_end_matches('\r').chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '"' if quoted && signs.peek() == Some(&'"') => {
                signs.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => found.push(std::mem::take(&mut cell)),
            other => cell.push(other),
        }
    }
    found.push(cell);
    found
}
