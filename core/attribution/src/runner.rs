//! Runs steps in order: each SELECT into a fresh folder, then known to the next by its name.

use std::path::PathBuf;

use arrow::datatypes::SchemaRef;
use throughline_core::{BatchStream, Param, Result};
use throughline_sql::{SqlEngine, TableRef, Written};

use crate::job::Progress;

pub(crate) struct Runner<'a> {
    engine: &'a dyn SqlEngine,
    work: PathBuf,
    params: Vec<(String, Param)>,
    progress: Option<&'a Progress<'a>>,
    done: usize,
}

impl<'a> Runner<'a> {
    pub fn new(engine: &'a dyn SqlEngine, work: PathBuf, progress: Option<&'a Progress<'a>>) -> Self {
        Self { engine, work, params: Vec::new(), progress, done: 0 }
    }

    pub fn set(&mut self, name: &str, value: Param) {
        self.params.retain(|(n, _)| n != name);
        self.params.push((name.to_string(), value));
    }

    /// Gives the value set as `from` to the placeholder `to`.
    pub fn rename_param(&mut self, from: &str, to: &str) {
        if let Some((_, value)) = self.params.iter().find(|(n, _)| n == from).cloned() {
            self.set(to, value);
        }
    }

    /// A folder that nothing has written to yet.
    pub fn folder(&mut self, name: &str) -> PathBuf {
        self.done += 1;
        self.work.join(format!("{:03}_{name}", self.done))
    }

    /// Says that a step begins; an error when the run is to stop.
    pub fn begin(&self, name: &str) -> Result<()> {
        self.progress.map_or(Ok(()), |progress| progress(name))
    }

    /// Runs a step and binds its result under `name`, for the steps that follow.
    pub async fn step(&mut self, name: &str, select: &str) -> Result<()> {
        let held = self.hold(name, select).await?;
        self.engine.bind(name, &held).await
    }

    /// Runs a step without binding what it gives.
    pub async fn hold(&mut self, name: &str, select: &str) -> Result<TableRef> {
        self.begin(name)?;
        let folder = self.folder(name);
        self.engine.hold(name, select, &self.params, &folder).await
    }

    /// The same for a table that stays.
    pub async fn publish(&mut self, name: &str, select: &str) -> Result<Written> {
        self.begin(name)?;
        let folder = self.folder(name);
        let written = self.engine.write(name, select, &self.params, &folder).await?;
        self.engine.bind(name, &written.table()).await?;
        Ok(written)
    }

    /// Makes a step's SELECT known without writing it: for what one reader uses once.
    pub async fn view(&self, name: &str, select: &str) -> Result<()> {
        self.engine.bind_view(name, select, &self.params).await.map_err(|e| e.with("view", name))
    }

    pub async fn bind(&self, name: &str, table: &TableRef) -> Result<()> {
        self.engine.bind(name, table).await
    }

    pub async fn read(&self, select: &str) -> Result<BatchStream> {
        self.engine.read(select, &self.params).await
    }

    /// The columns that a query gives.
    pub async fn describe(&self, select: &str) -> Result<SchemaRef> {
        self.engine.describe(select, &self.params).await
    }

    pub async fn number(&self, select: &str) -> Result<i64> {
        self.engine.scalar_i64(select).await
    }
}
