//! Files beside the database: private ones, durable names, and names made from words of the user.

use std::fs::{self, File, OpenOptions};
use std::path::Path;

use sha2::{Digest, Sha256};
use throughline_core::{Error, Result};

/// Makes a folder that only its owner may enter: it holds customers' data and tokens.
pub(crate) fn create_private_dir(path: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|e| Error::io("make the folder", path.display(), e))
}

/// Options for a file that only its owner may read.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes names in a folder durable: a file may be safe on disk and its name not.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(path)
            .and_then(|dir| dir.sync_all())
            .map_err(|e| Error::io("make durable the folder", path.display(), e))?;
    }
    Ok(())
}

/// A file name for any text: what can be read of it, and a hash so that no two texts share a name.
pub(crate) fn file_name_for(text: &str) -> String {
    let readable: String = text
        .chars()
        .take(40)
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' })
        .collect();
    format!("{readable}-{}", &hex(&Sha256::digest(text.as_bytes()))[..16])
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}
