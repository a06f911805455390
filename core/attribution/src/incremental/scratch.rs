//! What is known of each row of a table, as numbers of equal width in a file: written once, read in the same order,
//! and none of it in memory, however many rows there are.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use throughline_core::{Error, Result};

const BUFFER_BYTES: usize = 1 << 18;

pub(super) struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Writer {
    pub fn create(path: PathBuf) -> Result<Self> {
        let file = File::create_new(&path).map_err(|e| Error::io("create", path.display(), e))?;
        Ok(Self { path, file: BufWriter::with_capacity(BUFFER_BYTES, file) })
    }

    pub fn write<const WIDTH: usize>(&mut self, number: [u8; WIDTH]) -> Result<()> {
        self.file.write_all(&number).map_err(|e| Error::io("write", self.path.display(), e))
    }

    /// Where the numbers lie.
    pub fn finish(mut self) -> Result<PathBuf> {
        self.file.flush().map_err(|e| Error::io("write", self.path.display(), e))?;
        Ok(self.path)
    }
}

pub(super) struct Reader<'a> {
    path: &'a Path,
    file: BufReader<File>,
}

impl<'a> Reader<'a> {
    pub fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("open", path.display(), e))?;
        Ok(Self { path, file: BufReader::with_capacity(BUFFER_BYTES, file) })
    }

    pub fn next<const WIDTH: usize>(&mut self) -> Result<[u8; WIDTH]> {
        let mut number = [0; WIDTH];
        self.file.read_exact(&mut number).map_err(|e| Error::io("read", self.path.display(), e))?;
        Ok(number)
    }
}
