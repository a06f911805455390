//! Takes people out of an inbox of files, whichever messenger's it is.
//!
//! A line that holds nothing but the person's messages, states and contacts becomes spaces of the same
//! length; of a line that holds others too, the person's parts go, the body is signed anew, and spaces
//! fill it up. So every offset that was read to stays what it was, and somebody may append to the file
//! meanwhile: a plain file is written in place, by a list of writes that is durable before the first of
//! them, so that after a crash they are all done again. A packed file, to which nobody appends, is written
//! anew beside the old one and renamed.
//!
//! Reading knows a file by a hash of its first bytes: where those changed, the checkpoints get the new
//! hash. The note stays until they are durable, so that no other change of the file passes for ours.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;
use throughline_core::{Checkpoint, Context, Error, Forgotten, Result, Scrubbed, Secret};

use super::file_inbox;
use crate::lines::Lines;
use crate::local::{self, Compression, Opened};

/// Longer lines are no deliveries: reading refuses them too.
const LINE_MAX: usize = 16 << 20;
/// Lists in a `value` of WhatsApp, in an entry of Messenger and Instagram, and in a body of Wazzup or the tracker.
const LISTS: [&str; 5] = ["messages", "statuses", "contacts", "user_preferences", "message_echoes"];
const ENTRY_LISTS: [&str; 2] = ["messaging", "standby"];
const BODY_LISTS: [&str; 3] = ["messages", "statuses", "events"];

/// An inbox of files.
pub(crate) struct Files<'a> {
    pub base_dir: &'a Path,
    pub pattern: &'a str,
    /// What the vendor signs with.
    pub secret: Option<&'a Secret>,
}

/// What is being done to a file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Begun {
    /// Of a plain file, by which it is known although somebody renames it; 0 for a packed one.
    inode: u64,
    writes: Vec<LineWrite>,
}

/// A line in place of another of the same length.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct LineWrite {
    offset: u64,
    length: usize,
    /// What is left of it; spaces fill it up.
    text: String,
}

pub(crate) async fn forget(
    files: Files<'_>,
    ctx: &Context,
    who: Arc<dyn Forgotten>,
    apply: bool,
    mut checkpoints: Vec<Checkpoint>,
) -> Result<(Vec<Scrubbed>, Vec<Checkpoint>)> {
    let mut done = Vec::new();
    for path in local::find(files.base_dir, files.pattern)? {
        let name = path.strip_prefix(files.base_dir).unwrap_or(&path).display().to_string();
        let note = format!("forget:{name}");
        let begun: Option<Begun> = match ctx.notes.get(&note).await? {
            Some(value) => serde_json::from_value(value).ok(),
            None => None,
        };
        if apply && let Some(begun) = &begun {
            in_place(&path, begun)?;
        }
        let (job, file, secret) = (who.clone(), path.clone(), files.secret.cloned());
        let (counted, writes) =
            tokio::task::spawn_blocking(move || look(&file, job.as_ref(), secret.as_ref()))
                .await
                .map_err(|e| Error::bug(format!("going over an inbox broke off: {e}")).caused_by(e))??;
        let found = !writes.is_empty();
        if found {
            done.push(Scrubbed { place: format!("inbox file {name}"), ..counted });
        }
        if !apply || (!found && begun.is_none()) {
            continue;
        }
        if found {
            let packed = Compression::of(&path) != Compression::None;
            let begun = Begun { inode: if packed { 0 } else { inode(&path)? }, writes };
            let mut kept = begun.clone();
            if packed {
                kept.writes.clear();
            }
            let value = serde_json::to_value(&kept).map_err(|e| Error::bug(e.to_string()))?;
            ctx.notes.put(&note, Some(value)).await?;
            if packed {
                packed_anew(&path, &begun.writes)?;
            } else {
                in_place(&path, &begun)?;
            }
        }
        for checkpoint in &mut checkpoints {
            *checkpoint = file_inbox::after_change(checkpoint, &name, &path)?;
        }
    }
    Ok((done, checkpoints))
}

#[cfg(unix)]
fn inode(path: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(std::fs::metadata(path).map_err(|e| Error::io("look at", path.display(), e))?.ino())
}
#[cfg(not(unix))]
fn inode(_: &Path) -> Result<u64> {
    Ok(1)
}

/// Durable when it returns. Nothing when the file under this name is another one by now.
fn in_place(path: &Path, begun: &Begun) -> Result<()> {
    if begun.writes.is_empty() || begun.inode != inode(path)? {
        return Ok(());
    }
    let write = || {
        let mut file = File::options().write(true).open(path)?;
        // A receiver that starts may be writing its last lines once more, as it read them before.
        file.lock()?;
        for line in &begun.writes {
            let mut bytes = line.text.clone().into_bytes();
            bytes.resize(line.length, b' ');
            file.seek(SeekFrom::Start(line.offset))?;
            file.write_all(&bytes)?;
        }
        file.sync_all()
    };
    write().map_err(|e| Error::io("write", path.display(), e))
}

fn packed_anew(path: &Path, writes: &[LineWrite]) -> Result<()> {
    let part = part_of(path);
    let failed = |e: std::io::Error| Error::io("write", part.display(), e);
    let file = File::create(&part).map_err(failed)?;
    if let Ok(meta) = std::fs::metadata(path) {
        file.set_permissions(meta.permissions()).map_err(failed)?;
    }
    let mut packed = Packed::new(BufWriter::new(file), Compression::of(path)).map_err(failed)?;
    let mut writes = writes.iter().peekable();
    each_line(path, |line, offset, ended| {
        let mut bytes = match writes.next_if(|w| w.offset == offset) {
            Some(write) => write.text.clone().into_bytes(),
            None => line.to_vec(),
        };
        bytes.resize(line.len(), b' ');
        if ended {
            bytes.push(b'\n');
        }
        packed.write_all(&bytes).map_err(failed)
    })?;
    packed.finish().map_err(failed)?;
    std::fs::rename(&part, path).map_err(|e| Error::io("replace", path.display(), e))?;
    sync_folder(path)
}

/// The checkpoints that [`forget`] gave are durable: the notes have done their work.
pub(crate) async fn forgotten(ctx: &Context) -> Result<()> {
    for (key, _) in ctx.notes.list("forget:").await? {
        ctx.notes.put(&key, None).await?;
    }
    Ok(())
}

fn part_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".throughline-forget-{name}.part"))
}

fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| Error::io("flush folder", folder.display(), e))
}

/// What goes, and the writes that do it.
fn look(path: &Path, who: &dyn Forgotten, secret: Option<&Secret>) -> Result<(Scrubbed, Vec<LineWrite>)> {
    let mut counted = Scrubbed::default();
    let mut writes = Vec::new();
    each_line(path, |line, offset, ended| {
        // Whoever writes the last line may not be done with it: the next run drops what it will hold.
        if !ended && serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err() {
            return Ok(());
        }
        let text = match without(line, who, secret) {
            Change::None => return Ok(()),
            Change::Gone => {
                counted.removed += 1;
                String::new()
            }
            Change::Less(text) => {
                counted.changed += 1;
                text
            }
        };
        writes.push(LineWrite { offset, length: line.len(), text });
        Ok(())
    })?;
    Ok((counted, writes))
}

fn each_line(path: &Path, mut each: impl FnMut(&[u8], u64, bool) -> Result<()>) -> Result<()> {
    let mut lines = Lines::new(Opened::open(path, Compression::of(path))?, LINE_MAX);
    loop {
        let line = match lines.next() {
            Ok(line) => line,
            Err(e) => return Err(lines.reader().error(e)),
        };
        let Some(line) = line else { return Ok(()) };
        if let Some(length) = line.too_long {
            return Err(Error::data(format!("{}:{} has {length} bytes", path.display(), line.number))
                .hint("no delivery is that long: take the line out of the file, then forget again"));
        }
        each(line.bytes, line.offset, line.ended)?;
    }
}

#[derive(Debug, PartialEq)]
pub(crate) enum Change {
    None,
    Gone,
    /// What is left; not longer than before.
    Less(String),
}

/// A delivery without the person.
pub(crate) fn without(line: &[u8], who: &dyn Forgotten, secret: Option<&Secret>) -> Change {
    // Rubbish that holds the person goes as a whole: nobody can use it.
    let text = String::from_utf8_lossy(line);
    if !who.owns(&text) {
        return match who.masked(&text) {
            // Somebody else wrote of the person: reading masks it, here the signature stands in the way.
            Some(_) => mentioned(&text, who, secret, line.len()),
            None => Change::None,
        };
    }
    let parsed = serde_json::from_str::<Value>(&text).ok();
    let left = parsed.and_then(|mut record| {
        let body = body_of(&record)?;
        let mut delivery: Value = serde_json::from_str(&body).ok()?;
        let kept = prune(&mut delivery, who);
        (kept > 0 && !who.owns(&delivery.to_string())).then(|| {
            let masked = who.masked(&delivery.to_string()).unwrap_or_else(|| delivery.to_string());
            put_body(&mut record, &masked, secret);
            record.to_string()
        })
    });
    match left {
        // Who is named beside the body, in a header, is in what is left.
        Some(text) if text.len() <= line.len() && !who.owns(&text) => Change::Less(text),
        _ => Change::Gone,
    }
}

fn mentioned(text: &str, who: &dyn Forgotten, secret: Option<&Secret>, most: usize) -> Change {
    let masked = serde_json::from_str::<Value>(text).ok().and_then(|mut record| {
        let body = body_of(&record)?;
        // A mask may be longer than what it hides: one character will do here.
        let body = who.masked(&body)?.replace("[forgotten]", "*");
        put_body(&mut record, &body, secret);
        Some(record.to_string())
    });
    match masked {
        Some(masked) if masked.len() <= most => Change::Less(masked),
        // It stays as it is: what lands of it is masked, and it is told.
        _ => Change::None,
    }
}

fn body_of(record: &Value) -> Option<String> {
    if let Some(body) = record.get("body").and_then(Value::as_str) {
        return Some(body.to_owned());
    }
    use base64::Engine as _;
    let coded = record.get("body_base64")?.as_str()?;
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(coded).ok()?).ok()
}

fn put_body(record: &mut Value, body: &str, secret: Option<&Secret>) {
    use base64::Engine as _;
    if let Some(place) = record.get_mut("body") {
        *place = Value::String(body.to_owned());
    } else if let Some(place) = record.get_mut("body_base64") {
        *place = Value::String(base64::engine::general_purpose::STANDARD.encode(body));
    }
    let Some(hex) = secret.and_then(|s| signature(s, body.as_bytes())) else { return };
    let Some(headers) = record.get_mut("headers").and_then(Value::as_object_mut) else { return };
    for (name, value) in headers {
        let signed = if name.eq_ignore_ascii_case("x-hub-signature-256") {
            format!("sha256={hex}")
        } else if name.eq_ignore_ascii_case("x-viber-content-signature") {
            hex.clone()
        } else {
            continue;
        };
        *value = match value {
            Value::Array(_) => Value::Array(vec![Value::String(signed)]),
            _ => Value::String(signed),
        };
    }
}

/// 64 hexadecimal digits.
fn signature(secret: &Secret, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
    mac.update(body);
    Some(mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect())
}

/// Takes the person's items out of every list; how many items of others are left.
fn prune(delivery: &mut Value, who: &dyn Forgotten) -> usize {
    let mut left = 0;
    let mut prune_lists = |holder: &mut Value, lists: &[&str]| {
        for list in lists {
            if let Some(items) = holder.get_mut(*list).and_then(Value::as_array_mut) {
                items.retain(|item| !who.owns(&item.to_string()));
                left += items.len();
            }
        }
    };
    prune_lists(delivery, &BODY_LISTS);
    for entry in delivery.get_mut("entry").and_then(Value::as_array_mut).into_iter().flatten() {
        prune_lists(entry, &ENTRY_LISTS);
        for change in entry.get_mut("changes").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(value) = change.get_mut("value") {
                prune_lists(value, &LISTS);
            }
        }
    }
    left
}

enum Packed<W: Write> {
    Plain(W),
    Gz(flate2::write::GzEncoder<W>),
    Zst(zstd::stream::write::Encoder<'static, W>),
}

impl Packed<BufWriter<File>> {
    fn new(file: BufWriter<File>, compression: Compression) -> std::io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(file),
            Compression::Gz => Self::Gz(flate2::write::GzEncoder::new(file, flate2::Compression::default())),
            Compression::Zst => Self::Zst(zstd::stream::write::Encoder::new(file, 3)?),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(w) => w.write_all(bytes),
            Self::Gz(w) => w.write_all(bytes),
            Self::Zst(w) => w.write_all(bytes),
        }
    }

    /// Durable when it returns.
    fn finish(self) -> std::io::Result<()> {
        let file = match self {
            Self::Plain(w) => w,
            Self::Gz(w) => w.finish()?,
            Self::Zst(w) => w.finish()?,
        };
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Knows the person by a number.
    struct Number(&'static str);

    impl Forgotten for Number {
        fn owns(&self, record: &str) -> bool {
            record.contains(&format!("\"{}\"", self.0)) || record.contains(&format!("\\\"{}\\\"", self.0))
        }
        fn masked(&self, record: &str) -> Option<String> {
            record.contains(self.0).then(|| record.replace(self.0, "[forgotten]"))
        }
    }

    fn delivery(from: &[&str], secret: &Secret) -> String {
        let items: Vec<Value> = from
            .iter()
            .map(|f| serde_json::json!({"from": f, "id": format!("wamid.{f}"), "text": {"body": "Привет"}}))
            .collect();
        let contacts: Vec<Value> = from.iter().map(|f| serde_json::json!({"wa_id": f})).collect();
        let body = serde_json::json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [
            {"field": "messages", "value": {"metadata": {"phone_number_id": "5"}, "contacts": contacts, "messages": items}}]}]})
        .to_string();
        let signed = format!("sha256={}", signature(secret, body.as_bytes()).unwrap());
        serde_json::json!({"received_at": 1, "headers": {"X-Hub-Signature-256": signed}, "body": body})
            .to_string()
    }

    #[test]
    fn other_messengers_lose_the_person_s_parts_too() {
        let who = Number("79161234567");
        let item = |from: &str| serde_json::json!({"sender": {"id": from}, "chatId": from});
        let both = || [item("79161234567"), item("971501234567")];
        let entry = serde_json::json!({"object": "page", "entry": [{"id": "1", "messaging": both()}]});
        for body in [entry, serde_json::json!({"messages": both(), "statuses": []})] {
            let line = serde_json::json!({"headers": {}, "body": body.to_string()}).to_string();
            let Change::Less(left) = without(line.as_bytes(), &who, None) else { panic!("{line}") };
            assert!(!left.contains("79161234567") && left.contains("971501234567"), "{left}");
        }
        let alone = serde_json::json!({"event": "message", "sender": {"id": "79161234567"}}).to_string();
        let line = serde_json::json!({"body": alone}).to_string();
        assert_eq!(without(line.as_bytes(), &who, None), Change::Gone);
        let secret = Secret::new("s");
        let spoken = serde_json::json!({"sender": {"id": "5"}, "text": "звоните 79161234567!"}).to_string();
        let headers = serde_json::json!({"X-Viber-Content-Signature": "0".repeat(64)});
        let line = serde_json::json!({"headers": headers, "body": spoken}).to_string();
        let Change::Less(left) = without(line.as_bytes(), &who, Some(&secret)) else { panic!("{line}") };
        assert!(!left.contains("79161234567"), "{left}");
        let read = super::super::inbox::Delivery::read(left.as_bytes()).unwrap();
        super::super::signature::verify_viber(&secret, read.viber_signature.as_deref(), &read.body).unwrap();
    }

    #[test]
    fn a_line_of_one_person_goes_and_of_several_keeps_the_others() {
        let secret = Secret::new("s");
        let who = Number("79161234567");
        let alone = delivery(&["79161234567"], &secret);
        assert_eq!(without(alone.as_bytes(), &who, Some(&secret)), Change::Gone);
        let named = delivery(&["971501234567"], &secret)
            .replace("\"headers\":{", "\"headers\":{\"x-of\":\"79161234567\",");
        assert_eq!(without(named.as_bytes(), &who, Some(&secret)), Change::Gone, "named in a header");
        let other = delivery(&["971501234567"], &secret);
        assert_eq!(without(other.as_bytes(), &who, Some(&secret)), Change::None);
        let both = delivery(&["79161234567", "971501234567"], &secret);
        let Change::Less(left) = without(both.as_bytes(), &who, Some(&secret)) else { panic!() };
        assert!(left.len() <= both.len() && !left.contains("79161234567"), "{left}");
        let read = super::super::inbox::Delivery::read(left.as_bytes()).unwrap();
        super::super::signature::verify(&secret, read.signature.as_deref(), &read.body).unwrap();
        assert!(String::from_utf8_lossy(&read.body).contains("971501234567"));
        for rubbish in ["", "{", "\u{0}", "\"79161234567\" and no JSON"] {
            let change = without(rubbish.as_bytes(), &who, None);
            assert!(matches!(change, Change::None | Change::Gone), "{rubbish}: {change:?}");
        }
    }
}
