//! Answering from a cassette.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chrono::DateTime;
use futures::StreamExt;
use serde::Deserialize;
use throughline_core::http::HttpRequest;
use throughline_core::time::InstantUs;
use throughline_core::{Error, ErrorKind, FixedClock, Redactor, Result};
use url::Url;

use super::{Header, Key, Line, VERSION, from_text, redact};
use crate::fault::Fault;
use crate::target::{Target, shorten, show};
use crate::transport::Answer;

/// How many recorded requests an error about an unknown one shows.
const SHOWN_NEAREST: usize = 3;

/// A recording, ready to answer. Clones answer from the same recording: what one took is gone for all.
///
/// Only an index is in memory; bodies are read from the file (a temporary copy of a compressed one).
#[derive(Clone)]
pub struct Cassette(Arc<Inner>);

struct Inner {
    recording: Arc<Recording>,
    /// How many answers to each request were taken.
    taken: Mutex<HashMap<Key, usize>>,
    /// The last answer to a request is given again and again.
    repeats: bool,
    /// The first request that found no answer.
    missing: Mutex<Option<String>>,
}

/// What the file holds.
struct Recording {
    path: PathBuf,
    recorded_at_us: InstantUs,
    lines: Mutex<File>,
    answers: HashMap<Key, Vec<Entry>>,
    /// Every distinct request, for error messages.
    requests: Vec<Request>,
}

struct Entry {
    seq: u64,
    offset: u64,
    length: usize,
}

struct Request {
    key: Key,
    method: String,
    url: String,
    body: String,
    recorded: usize,
}

/// The part of a line that the index needs.
#[derive(Deserialize)]
struct Question {
    #[serde(default)]
    seq: u64,
    method: String,
    url: String,
    #[serde(default)]
    request_body: Option<String>,
    #[serde(default)]
    request_body_base64: Option<String>,
    #[serde(rename = "status")]
    _status: u16,
}

impl Cassette {
    /// Reads the index. `redactor` knows the secrets that requests of this run will hold.
    ///
    /// # Errors
    /// Config, with the line: not a cassette, a newer version of the format, a damaged line.
    pub fn open(path: &Path, redactor: &Redactor) -> Result<Self> {
        let lines = unpacked(path).map_err(|e| Error::io("reading the cassette", path.display(), e))?;
        let wrong = |number: usize, why: String| {
            Error::config(format!("{}:{number}: {why}", path.display())).hint("record the cassette again")
        };
        let mut reader = BufReader::new(&lines);
        let (mut line, mut number, mut offset) = (Vec::new(), 0, 0);
        let mut recorded_at_us = None;
        let mut answers: HashMap<Key, Vec<Entry>> = HashMap::new();
        let mut requests = Vec::new();
        loop {
            line.clear();
            let length = reader
                .read_until(b'\n', &mut line)
                .map_err(|e| Error::io("reading the cassette", path.display(), e))?;
            if length == 0 {
                break;
            }
            number += 1;
            let at = offset;
            offset += length as u64;
            if line.trim_ascii().is_empty() {
                continue;
            }
            if recorded_at_us.is_none() {
                recorded_at_us = Some(header(&line).map_err(|why| wrong(number, why))?);
                continue;
            }
            let question: Question =
                serde_json::from_slice(&line).map_err(|e| wrong(number, format!("not an exchange: {e}")))?;
            let body = from_text(question.request_body, question.request_body_base64.as_deref())
                .map_err(|why| wrong(number, why))?;
            let body = redact(&body, redactor);
            let url = Url::parse(&question.url).map_or(question.url, |url| show(&url, redactor));
            let key = Key::new(&question.method, &url, &body);
            let entries = answers.entry(key).or_default();
            if entries.is_empty() {
                let body = shorten(&String::from_utf8_lossy(&body), 200);
                requests.push(Request { key, method: question.method, url, body, recorded: 0 });
            }
            let seq = if question.seq == 0 { number as u64 - 1 } else { question.seq };
            entries.push(Entry { seq, offset: at, length });
        }
        let recorded_at_us = recorded_at_us.ok_or_else(|| wrong(1, "the file is empty".to_owned()))?;
        // Exchanges are written as they end, and asked for again as they began.
        for entries in answers.values_mut() {
            entries.sort_by_key(|entry| entry.seq);
        }
        for request in &mut requests {
            request.recorded = answers.get(&request.key).map_or(0, Vec::len);
        }
        drop(reader);
        let recording =
            Recording { path: path.to_owned(), recorded_at_us, lines: Mutex::new(lines), answers, requests };
        Ok(Self::of(Arc::new(recording), false))
    }

    fn of(recording: Arc<Recording>, repeats: bool) -> Self {
        Self(Arc::new(Inner { recording, taken: Mutex::default(), repeats, missing: Mutex::default() }))
    }

    /// The same recording with no answer taken yet. With `repeats` the last answer to a request is given
    /// however often it is asked for.
    #[must_use]
    pub fn rewound(&self, repeats: bool) -> Self {
        Self::of(self.0.recording.clone(), repeats)
    }

    /// The first request that found no answer.
    pub fn missing(&self) -> Option<String> {
        lock(&self.0.missing).clone()
    }

    /// A clock that starts when the recording did, and moves only by sleeping on it.
    pub fn clock(&self) -> FixedClock {
        FixedClock::at_us(self.0.recording.recorded_at_us)
    }

    pub fn recorded_at_us(&self) -> InstantUs {
        self.0.recording.recorded_at_us
    }

    /// How many recorded answers nobody has asked for yet.
    pub fn unused(&self) -> usize {
        let taken = lock(&self.0.taken);
        let left = |(key, all): (&Key, &Vec<Entry>)| all.len().saturating_sub(*taken.get(key).unwrap_or(&0));
        self.0.recording.answers.iter().map(left).sum()
    }

    /// The next answer to this request, and its recorded number.
    pub(crate) fn answer(
        &self,
        request: &HttpRequest,
        target: &Target,
        redactor: &Redactor,
    ) -> Result<(u64, Answer), Fault> {
        let body = redact(request.body.as_deref().unwrap_or_default(), redactor);
        let key = Key::new(request.method.as_str(), &target.shown, &body);
        let Some(entry) = self.next(key) else {
            lock(&self.0.missing).get_or_insert_with(|| target.title.clone());
            return Err(Fault::Final(self.unknown(key, target, &body)));
        };
        let line = self.read(entry).map_err(|why| {
            let message = format!("{}: exchange {}: {why}", self.0.recording.path.display(), entry.seq);
            Fault::Final(Error::new(ErrorKind::Io, message))
        })?;
        let cut = line.cut;
        let body = from_text(line.body, line.body_base64.as_deref()).map_err(|why| {
            let message = format!("{}: exchange {}: {why}", self.0.recording.path.display(), entry.seq);
            Fault::Final(Error::config(message).hint("record the cassette again"))
        })?;
        let whole = (!body.is_empty()).then(|| Ok(Bytes::from(body)));
        let end = cut.then(|| Err("it was recorded only so far".to_owned()));
        let body = futures::stream::iter(whole.into_iter().chain(end)).boxed();
        Ok((entry.seq, Answer { status: line.status, headers: line.headers.into_iter().collect(), body }))
    }

    fn next(&self, key: Key) -> Option<&Entry> {
        let all = self.0.recording.answers.get(&key)?;
        let mut taken = lock(&self.0.taken);
        let number = taken.entry(key).or_default();
        let entry = all.get(*number).or_else(|| all.last().filter(|_| self.0.repeats))?;
        *number += 1;
        Some(entry)
    }

    fn read(&self, entry: &Entry) -> Result<Line, String> {
        let mut text = vec![0; entry.length];
        {
            let mut lines = lock(&self.0.recording.lines);
            lines.seek(SeekFrom::Start(entry.offset)).map_err(|e| e.to_string())?;
            lines.read_exact(&mut text).map_err(|e| e.to_string())?;
        }
        serde_json::from_slice(&text).map_err(|e| e.to_string())
    }

    fn unknown(&self, key: Key, target: &Target, body: &[u8]) -> Error {
        let path = self.0.recording.path.display();
        let title = &target.title;
        let error = if let Some(known) = self.0.recording.requests.iter().find(|request| request.key == key) {
            let times =
                if known.recorded == 1 { "once".to_owned() } else { format!("{} times", known.recorded) };
            let message =
                format!("the cassette {path} has no more answers for {title}: it was asked {times}");
            Error::config(message)
        } else {
            let body = String::from_utf8_lossy(body);
            let with =
                if body.is_empty() { String::new() } else { format!(" with body {}", shorten(&body, 200)) };
            let mut error = Error::config(format!("the cassette {path} has no answer for {title}{with}"));
            for near in self.nearest(target) {
                let with =
                    if near.body.is_empty() { String::new() } else { format!(" with body {}", near.body) };
                error = error.with("recorded", format!("{} {}{with}", near.method, near.url));
            }
            error
        };
        error.hint("record it again: [http] record in place of replay")
    }

    fn nearest(&self, target: &Target) -> Vec<&Request> {
        let url = &target.url;
        let score = |request: &Request| -> usize {
            let Ok(other) = Url::parse(&request.url) else { return 0 };
            let segments = |url: &Url| url.path().split('/').map(str::to_owned).collect::<Vec<_>>();
            let common = segments(url).iter().zip(&segments(&other)).take_while(|(a, b)| a == b).count();
            let pairs: Vec<_> = other.query_pairs().collect();
            let equal = url.query_pairs().filter(|pair| pairs.contains(pair)).count();
            let same_path = usize::from(url.path() == other.path());
            usize::from(url.host_str() == other.host_str()) * 20
                + usize::from(request.method == target.method.as_str()) * 5
                + same_path * 10
                + common * 2
                + equal.min(10)
        };
        let mut scored: Vec<(usize, &Request)> =
            self.0.recording.requests.iter().map(|r| (score(r), r)).collect();
        scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        scored.into_iter().take(SHOWN_NEAREST).map(|(_, request)| request).collect()
    }
}

fn header(line: &[u8]) -> Result<InstantUs, String> {
    let header: Header = serde_json::from_slice(line)
        .map_err(|e| format!("not a cassette: the first line is no header ({e})"))?;
    if header.throughline_cassette != VERSION {
        return Err(format!(
            "cassette version {}; this Throughline reads {VERSION}",
            header.throughline_cassette
        ));
    }
    let at = DateTime::parse_from_rfc3339(&header.recorded_at)
        .map_err(|e| format!("recorded_at {:?} is not an RFC 3339 instant: {e}", header.recorded_at))?;
    Ok(at.timestamp_micros())
}

/// The file itself, or a temporary, already nameless one with its content decompressed.
fn unpacked(path: &Path) -> io::Result<File> {
    let mut file = File::open(path)?;
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic)?;
    file.rewind()?;
    let mut plain = match magic.as_slice() {
        [0x1f, 0x8b, ..] => {
            let mut plain = tempfile::tempfile()?;
            io::copy(&mut flate2::read::MultiGzDecoder::new(BufReader::new(file)), &mut plain)?;
            plain
        }
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let mut plain = tempfile::tempfile()?;
            io::copy(&mut zstd::stream::read::Decoder::new(file)?, &mut plain)?;
            plain
        }
        _ => return Ok(file),
    };
    plain.rewind()?;
    Ok(plain)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
