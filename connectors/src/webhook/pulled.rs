//! Updates that we ask a vendor for, kept where received webhooks are: in files of the inbox.
//!
//! A vendor that forgets an update once the next is asked for gives it once. So a page is appended and flushed
//! before the next question confirms it, and what reads webhooks reads it too: a full refresh finds it again, and
//! forgetting a person goes over it. What a crash leaves between the flush and the next question comes once more
//! and is known by the end of the files.

use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::Datelike;
use serde_json::json;
use throughline_core::{Context, Error, ErrorKind, Result};

use crate::local;
use crate::whatsapp::inbox::Delivery;

/// Read at once when looking for the end of a file's last lines.
const TAIL: u64 = 1 << 20;
/// No more of a file is looked at than this: so long are a hundred of the longest updates.
const TAIL_MAX: u64 = 64 << 20;
/// Tries, a second apart, before another poller is believed to be there for good.
const TRIES: u32 = 10;

/// Where updates are written: `<folder of the inbox>/<name>-YYYY-MM.jsonl`.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    folder: PathBuf,
    name: String,
}

impl Place {
    /// `pattern`: files of the inbox, as the user wrote it.
    ///
    /// # Errors
    /// What is wrong with the pattern: its folder is one, too, or it does not name the files to be written.
    pub fn new(base_dir: &Path, pattern: &str, name: &str) -> Result<Self, String> {
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
            return Err(format!(
                "updates are written to a file called {name:?}: only letters and digits can be"
            ));
        }
        let path = Path::new(pattern);
        let folder = path.parent().unwrap_or(Path::new(""));
        if folder.to_string_lossy().contains(['*', '?', '[']) {
            return Err("updates are written into the folder of the inbox, which can be no pattern".into());
        }
        let example = folder.join(format!("{name}-2026-01.jsonl"));
        let fits = glob::Pattern::new(pattern).is_ok_and(|p| p.matches_path(&example));
        if !fits {
            return Err(format!(
                "updates are written to {}, which `inbox` must name too: e.g. {:?}",
                example.display(),
                folder.join(format!("{name}-*.jsonl*")).display().to_string()
            ));
        }
        Ok(Self { folder: base_dir.join(folder), name: name.to_owned() })
    }

    /// Opens the file of this month for one who asks, and nobody else.
    ///
    /// # Errors
    /// `Temporary` when another process asks for the same updates.
    pub async fn open(&self, ctx: &Context) -> Result<Pulled> {
        let now = ctx.clock.now();
        let path = self.folder.join(format!("{}-{}-{:02}.jsonl", self.name, now.year(), now.month()));
        for attempt in 1.. {
            let (folder, file) = (self.folder.clone(), path.clone());
            let opened = blocking(move || open(&folder, &file)).await?;
            if let Some(file) = opened {
                return Ok(Pulled { place: self.clone(), path, file });
            }
            if attempt == TRIES {
                break;
            }
            ctx.sleep(Duration::from_secs(1)).await?;
        }
        Err(Error::new(ErrorKind::Io, format!("another process writes {}", path.display()))
            .hint("let only one pipeline ask for these updates; others may read the same files")
            .temporary(None))
    }

    /// Files so far, the newest last.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let pattern = format!("{}-*.jsonl", glob::Pattern::escape(&self.name));
        local::find(&self.folder, &pattern)
    }
}

/// The file that updates go to, locked.
pub(crate) struct Pulled {
    place: Place,
    path: PathBuf,
    file: File,
}

impl Pulled {
    /// Ids of the last updates that were written, at least `least` of them where there are so many. `id` reads one
    /// from an update; a line without one does not count.
    pub async fn last<T>(&self, least: usize, id: fn(&str) -> Option<T>) -> Result<HashSet<T>>
    where
        T: Eq + std::hash::Hash + Send + 'static,
    {
        let place = self.place.clone();
        blocking(move || {
            let mut found = HashSet::new();
            for path in place.files()?.iter().rev().take(2) {
                let missing = least.saturating_sub(found.len());
                if missing > 0 {
                    found.extend(
                        last_ids(path, missing, id).map_err(|e| Error::io("read", path.display(), e))?,
                    );
                }
            }
            Ok(found)
        })
        .await
    }

    /// Appends updates, JSON texts, as deliveries received at `now_us`. Durable when it returns.
    pub async fn append(&self, now_us: i64, updates: &[String]) -> Result<()> {
        if updates.is_empty() {
            return Ok(());
        }
        let mut lines = String::new();
        for update in updates {
            lines += &json!({"received_at": now_us, "headers": {}, "body": update}).to_string();
            lines.push('\n');
        }
        let failed = |e| Error::io("write", self.path.display(), e);
        let mut file = self.file.try_clone().map_err(failed)?;
        let path = self.path.clone();
        blocking(move || {
            let written = file.write_all(lines.as_bytes()).and_then(|()| file.sync_data());
            written.map_err(|e| Error::io("write", path.display(), e))
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::bug(format!("writing an inbox broke off: {e}")).caused_by(e))?
}

/// `None`: somebody else has it.
fn open(folder: &Path, path: &Path) -> Result<Option<File>> {
    let failed = |e| Error::io("write", path.display(), e);
    let mut making = DirBuilder::new();
    let mut opening = OpenOptions::new();
    // As the receiver makes its own: nobody else reads what people wrote.
    #[cfg(unix)]
    {
        std::os::unix::fs::DirBuilderExt::mode(&mut making, 0o700);
        std::os::unix::fs::OpenOptionsExt::mode(&mut opening, 0o600);
    }
    making.recursive(true).create(folder).map_err(|e| Error::io("make", folder.display(), e))?;
    let is_new = !path.exists();
    let mut file = opening.read(true).append(true).create(true).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(e)) => return Err(failed(e)),
    }
    if is_new {
        let synced = File::open(folder).and_then(|f| f.sync_all());
        synced.map_err(|e| Error::io("flush folder", folder.display(), e))?;
    }
    mend(&mut file).map_err(failed)?;
    Ok(Some(file))
}

/// A crash may have left a piece of a line: nobody has read it, and its update comes again. A whole record without
/// its line feed may have been read: it stays.
fn mend(file: &mut File) -> std::io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    let (start, tail) = tail(file, length, |tail| tail.contains(&b'\n'))?;
    let line = tail.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let torn = &tail[line..];
    if torn.is_empty() {
        Ok(())
    } else if serde_json::from_slice::<serde::de::IgnoredAny>(torn).is_ok() {
        file.write_all(b"\n")
    } else {
        file.set_len(start + line as u64)
    }
}

/// The end of a file, longer and longer until there is enough of it, and where it begins.
fn tail(file: &mut File, length: u64, enough: impl Fn(&[u8]) -> bool) -> std::io::Result<(u64, Vec<u8>)> {
    let mut wanted = TAIL;
    loop {
        let start = length.saturating_sub(wanted);
        file.seek(SeekFrom::Start(start))?;
        let mut tail = Vec::new();
        Read::by_ref(file).take(length - start).read_to_end(&mut tail)?;
        if start == 0 || wanted >= TAIL_MAX || enough(&tail) {
            return Ok((start, tail));
        }
        wanted *= 4;
    }
}

fn last_ids<T>(path: &Path, least: usize, id: fn(&str) -> Option<T>) -> std::io::Result<Vec<T>> {
    let mut file = File::open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    // One more: the first line may be cut in two.
    let filled = |tail: &[u8]| memchr::memchr_iter(b'\n', tail).count() > least;
    let (_, tail) = tail(&mut file, length, filled)?;
    let read = |line: &[u8]| {
        let delivery = Delivery::read(line).ok()?;
        id(std::str::from_utf8(&delivery.body).ok()?)
    };
    Ok(tail.split(|b| *b == b'\n').filter_map(read).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn id(update: &str) -> Option<i64> {
        serde_json::from_str::<serde_json::Value>(update).ok()?["id"].as_i64()
    }

    #[test]
    fn a_torn_line_goes_and_a_whole_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a-2026-01.jsonl");
        let line = json!({"received_at": 1, "headers": {}, "body": "{\"id\":7}"}).to_string();
        for (before, after) in [
            (String::new(), String::new()),
            (format!("{line}\n"), format!("{line}\n")),
            (format!("{line}\n{}", &line[..20]), format!("{line}\n")),
            (format!("{line}\n{line}"), format!("{line}\n{line}\n")),
            (line[..9].to_owned(), String::new()),
        ] {
            std::fs::write(&path, &before).unwrap();
            let file = open(dir.path(), &path).unwrap().unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
            assert!(open(dir.path(), &path).unwrap().is_none(), "locked");
            drop(file);
            let found = last_ids(&path, 100, id).unwrap();
            assert_eq!(found.len(), after.lines().count());
        }
    }

    #[test]
    fn the_last_ids_of_a_long_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a-2026-01.jsonl");
        let line = |i: usize| json!({"body": format!("{{\"id\":{i},\"x\":\"{}\"}}", "я".repeat(20_000))});
        let text: String = (0..150).map(|i| line(i).to_string() + "\n").collect();
        std::fs::write(&path, text).unwrap();
        let found = last_ids(&path, 100, id).unwrap();
        assert!((100..=150).contains(&found.len()) && found.last() == Some(&149), "{}", found.len());
    }

    #[test]
    fn files_must_be_among_those_that_are_read() {
        let base = Path::new("/base");
        assert!(Place::new(base, "inbox/*.jsonl*", "telegram-1").is_ok());
        assert!(Place::new(base, "telegram*", "telegram-1").is_ok());
        assert!(Place::new(base, "*", "telegram-../a").is_err());
        assert!(Place::new(base, "inbox/*/x*.jsonl", "telegram-1").is_err());
        let said = Place::new(base, "inbox/telegram.jsonl", "telegram-1").unwrap_err();
        assert!(said.contains("inbox/telegram-1-*.jsonl*"), "{said}");
    }
}
