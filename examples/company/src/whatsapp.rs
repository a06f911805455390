//! The WhatsApp webhook inbox: bodies as Meta sends them, signed, in batches, now and then twice, and not
//! quite in order. One line of JSON per delivery.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::ads::LEAVES;
use crate::chat::{Event, State, What, event_text, wamid};
use crate::company::{ChatRef, Company};
use crate::rng::For;
use crate::story::{Brought, Story};
use crate::text::{civil, push_datetime, push_int, push_json_ascii};
use crate::words::Lang;

pub const APP_SECRET: &str = "company-whatsapp-app-secret";
pub const WABA_ID: &str = "419561257915477";

/// (display number, phone_number_id): the Russian line and the international one.
pub fn line(lang: Lang) -> (&'static str, &'static str) {
    match lang {
        Lang::Ru => ("74951230011", "106540352242922"),
        Lang::Ar | Lang::En => ("97142220033", "106540352242933"),
    }
}

/// One delivery: events `first..first + len` of [`Company::chats`], arriving at `at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub at: i64,
    pub ms: u16,
    pub first: usize,
    pub len: usize,
    pub repeated: bool,
}

/// All deliveries there will ever be, in the order of arrival. A batch does not depend on `now`.
pub fn deliveries(company: &Company) -> Vec<Delivery> {
    let chats = company.chats();
    let mut out = Vec::with_capacity(chats.len());
    let mut first = 0;
    while first < chats.len() {
        let mut r = company.cfg.rng(For::Batch, first as u64, 0);
        let wanted = if r.permille(150) { r.range(2, 6) as usize } else { 1 };
        let mut len = 1;
        while len < wanted
            && first + len < chats.len()
            && chats[first + len].received - chats[first].received < 900
        {
            len += 1;
        }
        let at = chats[first + len - 1].received;
        let ms = r.below(1000) as u16;
        out.push(Delivery { at, ms, first, len, repeated: false });
        if r.permille(20) {
            out.push(Delivery { at: at + r.range(5, 3600), ms, first, len, repeated: true });
        }
        first += len;
    }
    out.sort_by_key(|d| (d.at, d.ms, d.first, d.repeated));
    out
}

/// The raw body of a delivery.
pub fn body(company: &Company, d: &Delivery) -> String {
    let events: Vec<(Story, Event)> =
        company.chats()[d.first..d.first + d.len].iter().filter_map(|c: &ChatRef| company.chat(*c)).collect();
    let mut out = String::with_capacity(900 * events.len() + 64);
    out.push_str("{\"object\":\"whatsapp_business_account\",\"entry\":[");
    // Long batches come as two entries, the others as several changes of one.
    let split = if events.len() > 3 { 2 } else { events.len() };
    for (n, chunk) in events.chunks(split.max(1)).enumerate() {
        if n > 0 {
            out.push(',');
        }
        let _ = write!(out, "{{\"id\":\"{WABA_ID}\",\"changes\":[");
        for (m, (s, e)) in chunk.iter().enumerate() {
            if m > 0 {
                out.push(',');
            }
            change(company, s, e, &mut out);
        }
        out.push_str("]}");
    }
    out.push_str("]}");
    out
}

fn change(company: &Company, s: &Story, e: &Event, out: &mut String) {
    let (number, number_id) = line(s.person.lang());
    let _ = write!(
        out,
        "{{\"value\":{{\"messaging_product\":\"whatsapp\",\"metadata\":{{\"display_phone_number\":\"{number}\",\
         \"phone_number_id\":\"{number_id}\"}}"
    );
    let failed = matches!(e.what, What::Status { state: State::Failed(_), .. });
    if !failed {
        out.push_str(",\"contacts\":[{\"profile\":{\"name\":");
        push_json_ascii(out, &s.person.name());
        let _ = write!(out, "}},\"wa_id\":\"{}\"", s.person.phone);
        if s.person.has_bsuid {
            let _ = write!(out, ",\"user_id\":\"{}\"", s.person.bsuid());
        }
        out.push_str("}]");
    }
    let field = match e.what {
        What::Status { .. } => {
            out.push_str(",\"statuses\":[");
            status(company, s, e, out);
            "messages"
        }
        What::Echo(_) => {
            out.push_str(",\"message_echoes\":[");
            let _ = write!(out, "{{\"from\":\"{number}\",\"to\":\"{}\",", s.person.phone);
            message_tail(company, s, e, out);
            "smb_message_echoes"
        }
        What::OptOut => {
            let _ = write!(
                out,
                ",\"user_preferences\":[{{\"wa_id\":\"{}\",\"detail\":\"User requested to stop marketing \
                 messages\",\"category\":\"marketing_messages\",\"value\":\"stop\",\"timestamp\":{}}}",
                s.person.phone, e.at
            );
            "user_preferences"
        }
        _ => {
            out.push_str(",\"messages\":[{");
            referral(s, e, out);
            let _ = write!(out, "\"from\":\"{}\",", s.person.phone);
            if s.person.has_bsuid {
                let _ = write!(out, "\"from_user_id\":\"{}\",", s.person.bsuid());
            }
            message_tail(company, s, e, out);
            "messages"
        }
    };
    let _ = write!(out, "]}},\"field\":\"{field}\"}}");
}

/// A click-to-WhatsApp ad shows itself in the first message only.
fn referral(s: &Story, e: &Event, out: &mut String) {
    if e.what != What::First {
        return;
    }
    let Some(Brought::Ad(leaf)) = s.inquiry(e.conv).map(|i| i.brought) else { return };
    let Some(leaf) = LEAVES.get(usize::from(leaf)) else { return };
    let mut clid = String::from("ARA");
    clid.push_str(&STANDARD.encode(s.person.phone.wrapping_mul(0x9E37_79B9).to_be_bytes()));
    out.push_str("\"referral\":{\"source_url\":");
    push_json_ascii(out, "https://fb.me/4LqXy0aBc");
    let _ = write!(out, ",\"source_id\":\"{}\",\"source_type\":\"ad\",\"headline\":", leaf.ad_id);
    push_json_ascii(out, "صور عائلية / Family photos");
    out.push_str(",\"body\":");
    push_json_ascii(out, "Chat with us");
    out.push_str(",\"media_type\":\"image\",\"image_url\":");
    push_json_ascii(out, "https://scontent.example/v/t45.1/1.jpg");
    out.push_str(",\"ctwa_clid\":");
    push_json_ascii(out, &clid);
    out.push_str("},");
}

fn message_tail(company: &Company, s: &Story, e: &Event, out: &mut String) {
    out.push_str("\"id\":");
    push_json_ascii(out, &wamid(&company.cfg, s.person.k, e.conv, e.msg));
    out.push_str(",\"timestamp\":\"");
    push_int(out, e.at);
    out.push('"');
    match e.what {
        What::Image => {
            out.push_str(",\"type\":\"image\",\"image\":{\"caption\":");
            push_json_ascii(out, &event_text(&company.cfg, s, e).unwrap_or_default());
            let _ = write!(
                out,
                ",\"mime_type\":\"image\\/jpeg\",\"sha256\":\"{:064x}\",\"id\":\"{}\"}}}}",
                s.person.phone,
                e.at.unsigned_abs() * 7
            );
        }
        What::Reaction { to } => {
            out.push_str(",\"type\":\"reaction\",\"reaction\":{\"message_id\":");
            push_json_ascii(out, &wamid(&company.cfg, s.person.k, e.conv, to));
            out.push_str(",\"emoji\":");
            push_json_ascii(out, "👍");
            out.push_str("}}");
        }
        What::Unsupported => out.push_str(
            ",\"errors\":[{\"code\":131051,\"title\":\"Message type unknown\",\"message\":\"Message type \
             unknown\",\"error_data\":{\"details\":\"Message type is currently not supported.\"}}],\
             \"type\":\"unsupported\"}",
        ),
        _ => {
            out.push_str(",\"text\":{\"body\":");
            push_json_ascii(out, &event_text(&company.cfg, s, e).unwrap_or_default());
            out.push_str("},\"type\":\"text\"}");
        }
    }
}

fn status(company: &Company, s: &Story, e: &Event, out: &mut String) {
    let What::Status { state, sender } = e.what else { return };
    out.push_str("{\"id\":");
    push_json_ascii(out, &wamid(&company.cfg, s.person.k, e.conv, e.msg));
    let _ = write!(
        out,
        ",\"status\":\"{}\",\"timestamp\":\"{}\",\"recipient_id\":\"{}\",\"biz_opaque_callback_data\":",
        state.name(),
        e.at,
        s.person.phone
    );
    push_json_ascii(out, &sender.label());
    let marketing = matches!(sender, crate::chat::Sender::Broadcast(_));
    match state {
        State::Failed(code) => {
            let (title, details) = match code {
                1026 => ("Message undeliverable", "Message Undeliverable."),
                1047 => ("Re-engagement message", "More than 24 hours have passed since the last reply"),
                1049 => {
                    ("Not delivered to keep a healthy ecosystem", "In order to maintain a healthy ecosystem")
                }
                _ => ("User's number is part of an experiment", "This phone number is part of an experiment"),
            };
            let _ = write!(out, ",\"errors\":[{{\"code\":{},\"title\":", 130_000 + u32::from(code));
            push_json_ascii(out, title);
            out.push_str(",\"message\":");
            push_json_ascii(out, title);
            out.push_str(",\"error_data\":{\"details\":");
            push_json_ascii(out, details);
            out.push_str("}}]");
        }
        State::Sent | State::Delivered => {
            let (kind, category) =
                if marketing { ("regular", "marketing") } else { ("free_customer_service", "service") };
            let _ = write!(
                out,
                ",\"pricing\":{{\"billable\":{marketing},\"pricing_model\":\"PMP\",\"type\":\"{kind}\",\
                 \"category\":\"{category}\"}}"
            );
        }
        State::Read => {}
    }
    out.push('}');
}

/// `sha256=` and the lower-case hex HMAC of the raw body.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let mut out = String::from("sha256=");
    if let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(secret.as_bytes()) {
        mac.update(body);
        for b in mac.finalize().into_bytes() {
            let _ = write!(out, "{b:02x}");
        }
    }
    out
}

/// A line of the inbox, with its line feed.
pub fn inbox_line(company: &Company, d: &Delivery) -> String {
    let body = body(company, d);
    let signature = signature(APP_SECRET, body.as_bytes());
    let mut out = String::with_capacity(body.len() * 5 / 4 + 256);
    out.push_str("{\"received_at\":\"");
    push_datetime(&mut out, d.at, 'T');
    let _ = write!(out, ".{:03}Z\",\"headers\":{{\"content-type\":\"application/json\",", d.ms);
    let _ = write!(out, "\"x-hub-signature-256\":\"{signature}\"}},\"body\":\"");
    // The body is ASCII: only quotes and backslashes need escaping.
    for c in body.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push_str("\"}\n");
    out
}

/// Writes `YYYY-MM-DD.jsonl` files (UTC days of arrival) with everything that arrived by `now`. Files of
/// earlier calls keep their bytes and only grow.
pub fn write_inbox(company: &Company, all: &[Delivery], now: i64, dir: &Path) -> io::Result<u64> {
    fs::create_dir_all(dir)?;
    let mut open: Option<(i64, io::BufWriter<fs::File>, std::path::PathBuf)> = None;
    let mut lines = 0;
    for d in all.iter().take_while(|d| d.at <= now) {
        let day = d.at.div_euclid(86_400);
        if open.as_ref().is_none_or(|(o, _, _)| *o != day) {
            finish(open.take())?;
            let (y, m, dd) = civil(day);
            let path = dir.join(format!("{y:04}-{m:02}-{dd:02}.jsonl"));
            open = Some((day, io::BufWriter::new(fs::File::create(path.with_extension("tmp"))?), path));
        }
        if let Some((_, file, _)) = &mut open {
            file.write_all(inbox_line(company, d).as_bytes())?;
            lines += 1;
        }
    }
    finish(open)?;
    Ok(lines)
}

fn finish(open: Option<(i64, io::BufWriter<fs::File>, std::path::PathBuf)>) -> io::Result<()> {
    if let Some((_, mut file, path)) = open {
        file.flush()?;
        drop(file);
        fs::rename(path.with_extension("tmp"), path)?;
    }
    Ok(())
}

/// `line` of a visit's language: where its button leads, with the prepared text.
pub fn button_url(lang: Lang, phrase: &str, token: &str) -> String {
    let mut url = String::from("https://wa.me/");
    url.push_str(line(lang).0);
    url.push_str("?text=");
    crate::text::push_percent(&mut url, &format!("{phrase} [ID:{token}]"));
    url
}
