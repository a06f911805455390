//! Installed plugins: a folder each, and one list of those that may run.
//!
//! ```text
//! plugins/
//!   allow.toml                 acme_crm = "sha256:6b1f.."
//!   acme_crm/plugin.toml       what it is, and the hash of its library
//!   acme_crm/libacme_crm-6b1f2c3d.so
//!   acme_crm/describe.json     what the library said of itself when it was installed
//! ```
//! A library runs only when its content has the hash that both files name. `install` is the act of trust; a
//! folder that was copied from elsewhere does nothing until its owner allows what is in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use throughline_core::{Error, ErrorKind, Result};

use crate::manifest::{Described, Manifest, at_least, is_name};
use crate::process::Runner;
use crate::running::Start;
use crate::session::Ask;
use crate::source::started;

const ALLOW: &str = "allow.toml";
const MANIFEST: &str = "plugin.toml";
const DESCRIBE: &str = "describe.json";

/// Version of this program, which plugins may ask for (`min_host`).
const HOST: &str = env!("CARGO_PKG_VERSION");

/// Where plugins are installed: the folders of `THROUGHLINE_PLUGINS` (`variable`), separated as `PATH` is, else
/// the user's data folder.
pub fn search_path(env: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    if let Some(paths) = env("THROUGHLINE_PLUGINS") {
        return std::env::split_paths(&paths).filter(|p| !p.as_os_str().is_empty()).collect();
    }
    let data = env("XDG_DATA_HOME").filter(|d| Path::new(d).is_absolute()).map(PathBuf::from);
    let home = env("HOME").map(|home| Path::new(&home).join(".local/share"));
    data.or(home).map(|data| data.join("throughline/plugins")).into_iter().collect()
}

/// A folder of installed plugins.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

/// A plugin that is installed; it may not be allowed to run.
#[derive(Clone, Debug)]
pub struct Installed {
    pub manifest: Manifest,
    pub(crate) described: Arc<Described>,
    folder: PathBuf,
    allowed: Option<String>,
    /// When the library's file had this date and length, its hash was right.
    verified: Arc<Mutex<Option<(SystemTime, u64)>>>,
}

impl Folder {
    /// The plugins of this folder, and what is wrong with those that are none.
    pub fn list(&self) -> (Vec<Installed>, Vec<Error>) {
        let (mut installed, mut problems) = (Vec::new(), Vec::new());
        let allowed = self.allowed().unwrap_or_else(|e| {
            problems.push(e);
            BTreeMap::new()
        });
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut folders: Vec<PathBuf> =
            entries.map(|e| e.path()).filter(|p| p.join(MANIFEST).is_file()).collect();
        folders.sort();
        for folder in folders {
            match Installed::read(&folder, &allowed) {
                Ok(plugin) => installed.push(plugin),
                Err(e) => problems.push(e),
            }
        }
        (installed, problems)
    }

    fn allowed(&self) -> Result<BTreeMap<String, String>> {
        let path = self.0.join(ALLOW);
        match std::fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|e| Error::config(format!("{}: {e}", path.display()))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(e) => Err(Error::io("read", path.display(), e)),
        }
    }

    /// Copies a library here, asks it (in a process of its own) what it is, and allows it to run. A plugin of
    /// the same name is replaced. `taken`: names that are built in.
    ///
    /// # Errors
    /// The file is no plugin, breaks down, needs a newer Throughline, or has a name that is taken.
    pub fn install(&self, file: &Path, runner: &Runner, taken: &[&str]) -> Result<Installed> {
        let (bytes, json, described) = look(file, runner)?;
        let sha256 = hex(&Sha256::digest(&bytes));
        if taken.contains(&described.name.as_str()) {
            return Err(Error::config(format!(
                "the plugin is named {:?}, as a built-in connector is",
                described.name
            ))
            .hint("its author must give it another name"));
        }
        if !at_least(HOST, &described.min_host) {
            return Err(Error::unsupported(format!(
                "the plugin {} needs Throughline {}; this is {HOST}",
                described.name, described.min_host
            )));
        }
        let extension = file.extension().and_then(|e| e.to_str()).unwrap_or("so");
        let library = format!("lib{}-{}.{extension}", described.name, &sha256[..8]);
        let manifest = manifest(&described, library.clone(), sha256.clone());
        let folder = self.0.join(&manifest.name);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("make", folder.display(), e))?;
        // A new file for a new content: who has the old one open goes on with it.
        put(&folder.join(&library), &bytes)?;
        put(&folder.join(DESCRIBE), format!("{json:#}\n").as_bytes())?;
        let text = toml::to_string(&manifest).map_err(|e| Error::bug(e.to_string()))?;
        put(&folder.join(MANIFEST), text.as_bytes())?;
        let mut allowed = self.allowed()?;
        allowed.insert(manifest.name.clone(), format!("sha256:{sha256}"));
        self.allow(&allowed)?;
        Installed::read(&folder, &allowed)
    }

    fn allow(&self, allowed: &BTreeMap<String, String>) -> Result<()> {
        let text = toml::to_string(allowed).map_err(|e| Error::bug(e.to_string()))?;
        put(&self.0.join(ALLOW), text.as_bytes())
    }
}

/// A library's content, and what it says of itself.
fn look(file: &Path, runner: &Runner) -> Result<(Vec<u8>, serde_json::Value, Described)> {
    let bytes = std::fs::read(file).map_err(|e| Error::io("read", file.display(), e))?;
    let name = file.display().to_string();
    let json = started(&Start::of_file(file, runner), |session| session.ask(Ask::Manifest))
        .map_err(|f| f.into_error(&name))?;
    let described = Described::read(json.clone()).map_err(|f| f.into_error(&name))?;
    Ok((bytes, json, described))
}

fn manifest(described: &Described, library: String, sha256: String) -> Manifest {
    Manifest {
        name: described.name.clone(),
        kind: described.kind,
        version: described.version.clone(),
        abi: "1.0".into(),
        library,
        sha256,
        license: described.license.clone(),
        min_host: described.min_host.clone(),
        summary: described.summary.clone(),
    }
}

impl Installed {
    fn read(folder: &Path, allowed: &BTreeMap<String, String>) -> Result<Self> {
        let path = folder.join(MANIFEST);
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", path.display(), e))?;
        let manifest: Manifest =
            toml::from_str(&text).map_err(|e| Error::config(format!("{}: {e}", path.display())))?;
        let wrong = |what: &str| Error::config(format!("{}: {what}", path.display()));
        if !is_name(&manifest.name) || folder.file_name().is_none_or(|f| f != manifest.name.as_str()) {
            return Err(wrong("name is not that of its folder"));
        }
        if Path::new(&manifest.library).components().count() != 1 || manifest.library.contains("..") {
            return Err(wrong("library must be a file beside this one"));
        }
        let path = folder.join(DESCRIBE);
        let json = std::fs::read_to_string(&path).map_err(|e| Error::io("read", path.display(), e))?;
        let described: Described =
            serde_json::from_str(&json).map_err(|e| Error::config(format!("{}: {e}", path.display())))?;
        Ok(Self {
            allowed: allowed.get(&manifest.name).cloned(),
            manifest,
            described: Arc::new(described),
            folder: folder.to_path_buf(),
            verified: Arc::default(),
        })
    }

    /// A library as if it were installed, for trying it: whoever names a file trusts it.
    ///
    /// # Errors
    /// It is no plugin, or breaks down.
    pub fn of_file(file: &Path, runner: &Runner) -> Result<Self> {
        let file = file.canonicalize().map_err(|e| Error::io("open", file.display(), e))?;
        let (bytes, _, described) = look(&file, runner)?;
        let sha256 = hex(&Sha256::digest(&bytes));
        let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self {
            manifest: manifest(&described, name, sha256.clone()),
            described: Arc::new(described),
            folder: file.parent().map(Path::to_path_buf).unwrap_or_default(),
            allowed: Some(format!("sha256:{sha256}")),
            verified: Arc::default(),
        })
    }

    pub fn library(&self) -> PathBuf {
        self.folder.join(&self.manifest.library)
    }

    /// Takes the plugin away and off the list. Who has it open goes on with it.
    ///
    /// # Errors
    /// A file or the list cannot be changed.
    pub fn remove(&self) -> Result<()> {
        let parent = Folder(self.folder.parent().map(Path::to_path_buf).unwrap_or_default());
        let mut allowed = parent.allowed()?;
        if allowed.remove(&self.manifest.name).is_some() {
            parent.allow(&allowed)?;
        }
        std::fs::remove_dir_all(&self.folder).map_err(|e| Error::io("remove", self.folder.display(), e))
    }

    /// What the library said of itself when it was installed: options, streams, documentation.
    pub fn readme(&self) -> &str {
        &self.described.readme
    }

    /// The library, when it is the one that was allowed.
    ///
    /// # Errors
    /// It is not allowed, or its content is another than that.
    pub fn verify(&self) -> Result<PathBuf> {
        let library = self.library();
        let refused = |message: String| {
            Err(Error::new(ErrorKind::Config, message)
                .with("plugin", &self.manifest.name)
                .hint(format!("if you trust it: throughline plugin install {}", library.display())))
        };
        match &self.allowed {
            None => return refused("this plugin is not allowed to run (allow.toml does not name it)".into()),
            Some(allowed) if *allowed != format!("sha256:{}", self.manifest.sha256) => {
                return refused(
                    "this plugin is another than the one allowed (allow.toml has another hash)".into(),
                );
            }
            Some(_) => {}
        }
        let about = std::fs::metadata(&library).map_err(|e| Error::io("read", library.display(), e))?;
        let stamp = about.modified().ok().map(|modified| (modified, about.len()));
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if stamp.is_some() && *verified == stamp {
            return Ok(library);
        }
        let bytes = std::fs::read(&library).map_err(|e| Error::io("read", library.display(), e))?;
        if hex(&Sha256::digest(&bytes)) != self.manifest.sha256 {
            return refused(format!(
                "{} is not the file that was installed: its hash differs",
                library.display()
            ));
        }
        *verified = stamp;
        Ok(library)
    }
}

/// Writes a file whole or not at all.
fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes).map_err(|e| Error::io("write", new.display(), e))?;
    std::fs::rename(&new, path).map_err(|e| Error::io("write", path.display(), e))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
