//! Whole epochs in a folder, switched by one rename.
//!
//! ```text
//! <path>/_throughline.json        says that the folder is a sink's, and whose
//! <path>/staging/<txn>/...        being written; nobody reads here
//! <path>/epochs/<txn>/...         whole epochs, each with _manifest.json
//! <path>/current -> epochs/<txn>  what readers open
//! ```
//! A commit has these steps, each durable before the next: the manifest is written into the staging
//! folder, that folder is renamed into `epochs`, `current` is replaced by a rename, old epochs are
//! deleted. Whichever step a crash follows, committing again goes on from there.
//!
//! Manifests carry a growing number, so that committing an epoch again never takes `current` back from a
//! later one.

mod manifest;
mod owner;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use throughline_core::connector::option_error;
use throughline_core::time::InstantUs;
use throughline_core::{CheckReport, Committable, ConfigErrors, Error, PointerAt, Receipt, Result, TxnId};

use crate::files::{list, remove, sync_dir, sync_tree, write_whole};
pub(crate) use manifest::{FORMAT, Manifest, StagedTable, instant};
use manifest::{MANIFEST, read_manifest};
pub(crate) use owner::{MARKER, Owner};

const CURRENT: &str = "current";
/// Folders on their way out; readers and recovery pass them over.
const DELETED: &str = ".throughline-deleted-";
/// The link that will be `current`, before its rename.
const LINK: &str = ".throughline-current-";

/// Held by whoever changes the folder.
const LOCK: &str = ".throughline-lock";

/// Called before each step of a commit; an error stands for a crash there.
type Steps = Arc<dyn Fn(&'static str) -> Result<()> + Send + Sync>;

pub(crate) struct EpochFolder {
    root: PathBuf,
    owner: Owner,
    keep_epochs: usize,
    steps: Steps,
}

/// Where a table is written before it is staged: nobody looks into it, and staging is one rename.
pub(crate) struct Draft {
    folder: PathBuf,
    item: String,
    target: PathBuf,
}

impl Draft {
    /// The file or folder of the table.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(&self.item)
    }

    pub(crate) fn discard(self) -> Result<()> {
        remove(&self.folder)
    }
}

impl EpochFolder {
    pub(crate) fn new(root: PathBuf, owner: Owner, keep_epochs: usize) -> Self {
        Self { root, owner, keep_epochs, steps: Arc::new(|_| Ok(())) }
    }

    #[cfg(test)]
    pub(crate) fn with_steps(mut self, steps: Steps) -> Self {
        self.steps = steps;
        self
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn check(&self) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        let mut fact = |name: &str, value: String| report.facts.push((name.to_owned(), value));
        fact("path", self.root.display().to_string());
        fact("epochs kept", self.keep_epochs.to_string());
        match self.owner.check(&self.root)? {
            owner::Found::Nothing => fact("state", "the folder will be made by the first run".into()),
            owner::Found::Empty => fact("state", "empty".into()),
            owner::Found::Ours => match self.current()? {
                Some(current) => fact("current epoch", current.txn),
                None => fact("state", "no epoch yet".into()),
            },
        }
        Ok(report)
    }

    /// Begins to write `item` (a file or folder name) of `txn`. Drafts of the same table and `txn` that a
    /// crash left are removed.
    pub(crate) fn draft(&self, txn: &TxnId, table: &str, item: &str) -> Result<Draft> {
        let txn = folder_name(txn)?;
        table_name(table)?;
        // Two tables staged at once must not both find the folder fresh.
        drop(self.alone()?);
        let staging = self.staging(txn);
        let folder = staging.join(format!(".throughline-draft-{table}"));
        remove(&folder)?;
        fs::create_dir_all(&folder).map_err(|e| Error::io("make the folder", folder.display(), e))?;
        sync_dir(&self.root.join("staging"))?;
        Ok(Draft { folder, item: item.to_owned(), target: staging.join(item) })
    }

    /// Makes what was written durable and part of the transaction, in place of an earlier attempt.
    pub(crate) fn stage(&self, draft: Draft) -> Result<()> {
        let written = draft.path();
        sync_tree(&written)?;
        remove(&draft.target)?;
        fs::rename(&written, &draft.target).map_err(|e| Error::io("stage", draft.target.display(), e))?;
        remove(&draft.folder)?;
        draft.target.parent().map_or(Ok(()), sync_dir)
    }

    /// Makes the folder this sink's.
    pub(crate) fn own(&self) -> Result<()> {
        self.alone().map(drop)
    }

    /// What was committed under `txn`; `None` when nothing was, or it was pruned since.
    pub(crate) fn committed(&self, txn: &TxnId) -> Result<Option<Receipt>> {
        let epoch = self.epoch(folder_name(txn)?);
        if epoch.is_dir() { Ok(Some(self.receipt(&read_manifest(&epoch)?))) } else { Ok(None) }
    }

    /// The staged files of `txn`, table by table, found as the ledger says they were staged.
    pub(crate) fn staged_files(&self, txn: &TxnId, staged: &[Committable]) -> Result<Vec<PathBuf>> {
        let staging = self.staging(folder_name(txn)?);
        let tables = staged.iter().map(StagedTable::from_committable).collect::<Result<Vec<_>>>()?;
        verify(&staging, &tables)?;
        Ok(tables.iter().flat_map(|t| &t.files).map(|f| staging.join(&f.path)).collect())
    }

    /// Deletes the tables of a committed epoch and keeps what was committed: of use where the epoch's rows are
    /// elsewhere by then.
    pub(crate) fn empty(&self, txn: &TxnId) -> Result<()> {
        let epoch = self.epoch(folder_name(txn)?);
        for table in read_manifest(&epoch)?.tables {
            remove(&epoch.join(&table.item))?;
        }
        Ok(())
    }

    /// Shows the epoch to readers. Idempotent, from whatever point an earlier try came to.
    pub(crate) fn commit(&self, txn: &TxnId, staged: &[Committable], now_us: InstantUs) -> Result<Receipt> {
        let name = folder_name(txn)?;
        let tables = staged.iter().map(StagedTable::from_committable).collect::<Result<Vec<_>>>()?;
        let _alone = self.alone()?;
        let epoch = self.epoch(name);
        if !epoch.is_dir() {
            self.move_into_epochs(name, tables, now_us)?;
        }
        let manifest = read_manifest(&epoch)?;
        // Of a try that came after the epoch was committed.
        self.throw_away(&self.staging(name))?;
        let current = self.current()?;
        if current.as_ref().is_none_or(|c| c.number < manifest.number) {
            self.switch(name)?;
        }
        // Also when the link was there already: its first writer may have died before this.
        sync_dir(&self.root)?;
        (self.steps)("switched")?;
        if let Err(e) = self.prune() {
            // The epoch is committed, and the next commit tries again.
            tracing::warn!(folder = %self.root.display(), error = %e, "old epochs were not deleted");
        }
        (self.steps)("pruned")?;
        Ok(self.receipt(&manifest))
    }

    fn receipt(&self, manifest: &Manifest) -> Receipt {
        Receipt {
            rows: manifest.tables.iter().map(|t| t.rows).sum(),
            location: self.root.join(CURRENT).display().to_string(),
        }
    }

    /// Deletes the epochs before that of `txn`, and what readers are past.
    pub(crate) fn drop_older(&self, txn: &TxnId) -> Result<u64> {
        let _alone = self.alone()?;
        let kept = read_manifest(&self.epoch(folder_name(txn)?))?;
        let older: Vec<Manifest> = self.epochs()?.into_iter().filter(|e| e.number < kept.number).collect();
        for epoch in &older {
            self.throw_away(&self.epoch(&epoch.txn))?;
        }
        self.prune()?;
        sync_dir(&self.root.join("epochs"))?;
        Ok(older.len() as u64)
    }

    /// Drops what is staged. A committed epoch stays.
    pub(crate) fn abort(&self, txn: &TxnId) -> Result<()> {
        let staging = self.staging(folder_name(txn)?);
        if staging.is_dir() {
            let _alone = self.alone()?;
            self.throw_away(&staging)?;
        }
        Ok(())
    }

    /// Makes the folder this sink's, and keeps other processes out of it until the file is dropped: two that
    /// commit at once would give two epochs one number.
    fn alone(&self) -> Result<fs::File> {
        // Nothing is made in a folder of others.
        self.owner.check(&self.root)?;
        let path = self.root.join(LOCK);
        let failed = |e| Error::io("lock", path.display(), e);
        fs::create_dir_all(&self.root).map_err(|e| Error::io("make the folder", self.root.display(), e))?;
        let file = fs::File::options().create(true).append(true).open(&path).map_err(failed)?;
        match file.lock() {
            // A file system without locks: the pipeline's own lock is what is left.
            Err(e) if e.kind() == io::ErrorKind::Unsupported => {}
            done => done.map_err(failed)?,
        }
        self.owner.take(&self.root)?;
        Ok(file)
    }

    fn staging(&self, txn: &str) -> PathBuf {
        self.root.join("staging").join(txn)
    }
    fn epoch(&self, txn: &str) -> PathBuf {
        self.root.join("epochs").join(txn)
    }

    fn move_into_epochs(&self, txn: &str, tables: Vec<StagedTable>, now_us: InstantUs) -> Result<()> {
        let staging = self.staging(txn);
        let epochs = self.root.join("epochs");
        // An epoch without tables has staged nothing.
        let folders = if tables.is_empty() { vec![&staging, &epochs] } else { vec![&epochs] };
        for folder in folders {
            fs::create_dir_all(folder).map_err(|e| Error::io("make the folder", folder.display(), e))?;
        }
        (self.steps)("begun")?;
        verify(&staging, &tables)?;
        let items: HashSet<&str> = tables.iter().map(|t| t.item.as_str()).collect();
        for entry in list(&staging)? {
            // Drafts that a crash left, and tables of a try with other options.
            if !entry.file_name().to_str().is_some_and(|name| items.contains(name)) {
                remove(&entry.path())?;
            }
        }
        let (known, current) = (self.epochs()?, self.current()?);
        let manifest = Manifest {
            format: FORMAT,
            txn: txn.to_owned(),
            number: known.iter().map(|e| e.number).max().unwrap_or(0) + 1,
            replaces: current.map(|c| c.txn),
            connector: self.owner.connector.clone(),
            committed_at: instant(now_us),
            tables,
        };
        write_whole(&staging.join(MANIFEST), &manifest.to_bytes()?)?;
        (self.steps)("manifest")?;
        let epoch = self.epoch(txn);
        fs::rename(&staging, &epoch).map_err(|e| Error::io("publish", epoch.display(), e))?;
        sync_dir(&epochs)?;
        sync_dir(&self.root.join("staging"))?;
        sync_dir(&self.root)?;
        (self.steps)("moved")
    }

    fn switch(&self, txn: &str) -> Result<()> {
        let link = self.root.join(format!("{LINK}{txn}"));
        remove(&link)?;
        let switched = symlink(&Path::new("epochs").join(txn), &link).and_then(|()| {
            (self.steps)("linked").map_err(io::Error::other)?;
            fs::rename(&link, self.root.join(CURRENT))
        });
        switched.map_err(|e| Error::io("switch", self.root.join(CURRENT).display(), e))
    }

    /// The epoch that readers see; `None` before the first, or when somebody has deleted it.
    fn current(&self) -> Result<Option<Manifest>> {
        let link = self.root.join(CURRENT);
        match fs::read_link(&link) {
            Ok(target) => {
                let epoch = self.root.join(target);
                if epoch.is_dir() { read_manifest(&epoch).map(Some) } else { Ok(None) }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
                Err(Error::data(format!("{} is no symbolic link: somebody has replaced it", link.display()))
                    .hint("move it away; the next run makes it again"))
            }
            Err(e) => Err(Error::io("read", link.display(), e)),
        }
    }

    /// All whole epochs. A folder without a readable manifest is not ours to judge or delete.
    fn epochs(&self) -> Result<Vec<Manifest>> {
        let folder = self.root.join("epochs");
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        Ok(list(&folder)?.iter().filter_map(|entry| read_manifest(&entry.path()).ok()).collect())
    }

    /// Deletes all epochs but the current one, the newest before it up to the number to keep, and the one
    /// that it replaced: somebody may have opened that a moment ago.
    fn prune(&self) -> Result<()> {
        let Some(current) = self.current()? else { return Ok(()) };
        let mut older = self.epochs()?;
        older.retain(|e| e.number < current.number);
        older.sort_by_key(|e| std::cmp::Reverse(e.number));
        for (place, epoch) in older.iter().enumerate() {
            let replaced = current.replaces.as_ref() == Some(&epoch.txn);
            if place + 1 >= self.keep_epochs && !replaced {
                self.throw_away(&self.epoch(&epoch.txn))?;
            }
        }
        // What a crash left on its way.
        for (folder, prefix) in [(self.root.join("staging"), DELETED), (self.root.clone(), LINK)] {
            for entry in list(&folder)? {
                if entry.file_name().to_string_lossy().starts_with(prefix) {
                    remove(&entry.path())?;
                }
            }
        }
        Ok(())
    }

    /// Takes a folder out of sight by one rename before deleting it, so that nobody meets half of it.
    fn throw_away(&self, folder: &Path) -> Result<()> {
        let (true, Some(name)) = (folder.is_dir(), folder.file_name()) else { return Ok(()) };
        let away = self.root.join("staging").join(format!("{DELETED}{}", name.to_string_lossy()));
        remove(&away)?;
        fs::rename(folder, &away).map_err(|e| Error::io("remove", folder.display(), e))?;
        remove(&away)
    }
}

/// What is wrong with the options that every sink of this kind has.
pub(crate) fn option_errors(path: &str, keep_epochs: usize) -> ConfigErrors {
    let mut errors = ConfigErrors::new();
    if path.trim().is_empty() {
        errors.push(option_error("path is empty: name the folder for the tables", "/path", PointerAt::Value));
    }
    if !(2..=1000).contains(&keep_epochs) {
        errors.push(option_error(
            format!(
                "keep_epochs = {keep_epochs} is not between 2 and 1000: whoever opened the epoch before the \
                 current one is still reading it"
            ),
            "/keep_epochs",
            PointerAt::Value,
        ));
    }
    errors
}

/// What the ledger says was staged is there, in full length.
fn verify(staging: &Path, tables: &[StagedTable]) -> Result<()> {
    for file in tables.iter().flat_map(|t| &t.files) {
        let path = staging.join(&file.path);
        let found = fs::metadata(&path).map(|m| m.len());
        if found.as_ref().ok() != Some(&file.bytes) {
            let found = found.map_or_else(|e| e.to_string(), |len| format!("{len} bytes"));
            return Err(Error::data(format!(
                "{} was staged with {} bytes and cannot be committed: {found}",
                path.display(),
                file.bytes
            ))
            .hint("something outside has changed the sink's folder"));
        }
    }
    Ok(())
}

/// A transaction's folder. The engine's ids are hashes; anything else could leave the folder.
pub(crate) fn folder_name(txn: &TxnId) -> Result<&str> {
    let name = txn.0.as_str();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.chars().all(plain) {
        Ok(name)
    } else {
        Err(Error::bug(format!("{name:?} cannot be the id of a transaction")))
    }
}

/// Table names become file names.
pub(crate) fn table_name(table: &str) -> Result<()> {
    let bad = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
    if table.is_empty() || table.len() > 100 || table.starts_with(['.', '_']) || table.contains(bad) {
        return Err(Error::config(format!("table {table:?} cannot be written to a file of its name"))
            .hint("rename it: no punctuation of paths, at most 100 bytes, no leading dot or underscore"));
    }
    Ok(())
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}
#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "atomic symbolic links need a Unix file system"))
}
