//! A store that does as it is told, and says otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use serde_json::Value;
use throughline_core::http::{HttpClient, HttpRequest, HttpResponse};
use throughline_core::{Error, NoteStore, TokenLease, TokenPair, TokenStore};

type Make = fn() -> object_store::Error;

#[derive(Debug)]
pub(super) struct Rule {
    what: &'static str,
    /// Part of an object's name.
    name: &'static str,
    times: AtomicU32,
    first: u32,
    /// The error comes after the work is done.
    after: bool,
    make: Option<Make>,
}

impl Rule {
    fn new(what: &'static str, name: &'static str, times: u32, after: bool, make: Option<Make>) -> Self {
        Self { what, name, times: AtomicU32::new(times), first: times, after, make }
    }
    pub(super) fn before(what: &'static str, name: &'static str, times: u32, make: Make) -> Self {
        Self::new(what, name, times, false, Some(make))
    }
    pub(super) fn after(what: &'static str, name: &'static str, times: u32, make: Make) -> Self {
        Self::new(what, name, times, true, Some(make))
    }
    /// Puts in place of a version that was read.
    pub(super) fn update(name: &'static str, make: Make) -> Self {
        Self::new("update", name, u32::MAX, false, Some(make))
    }
    /// Conditions are taken and not looked at.
    pub(super) fn unconditional() -> Self {
        Self::new("conditions", "", u32::MAX, false, None)
    }
    pub(super) fn again(&self) -> Self {
        Self::new(self.what, self.name, self.first, self.after, self.make)
    }

    fn meets(&self, what: &str, name: &str, after: bool) -> Option<object_store::Error> {
        let make =
            self.make.filter(|_| self.what == what && self.after == after && name.contains(self.name))?;
        let left = self.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        left.ok().map(|_| make())
    }
}

#[derive(Debug)]
pub(super) struct Broken {
    inner: Arc<dyn ObjectStore>,
    rules: Vec<Rule>,
}

impl Broken {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, rules: Vec<Rule>) -> Self {
        Self { inner, rules }
    }
    fn fault(&self, what: &str, name: &str, after: bool) -> Result<()> {
        self.rules.iter().find_map(|rule| rule.meets(what, name, after)).map_or(Ok(()), Err)
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Broken")
    }
}

#[async_trait]
impl ObjectStore for Broken {
    async fn put_opts(&self, at: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Update(_)) {
            self.fault("update", at.as_ref(), false)?;
        }
        if self.rules.iter().any(|rule| rule.what == "conditions") {
            options.mode = PutMode::Overwrite;
        }
        self.fault("put", at.as_ref(), false)?;
        let done = self.inner.put_opts(at, payload, options).await;
        self.fault("put", at.as_ref(), true)?;
        done
    }
    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.fault("multipart", at.as_ref(), false)?;
        self.inner.put_multipart_opts(at, options).await
    }
    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.fault("get", at.as_ref(), false)?;
        self.inner.get_opts(at, options).await
    }
    fn delete_stream(&self, names: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.fault("delete", "", false) {
            Ok(()) => self.inner.delete_stream(names),
            Err(e) => futures::stream::iter([Err(e)]).boxed(),
        }
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// What a sink of files has no need of.
pub(super) struct Nothing;

fn unused<T>() -> throughline_core::Result<T> {
    Err(Error::bug("a file sink asked for what it has no need of"))
}

#[async_trait]
impl HttpClient for Nothing {
    async fn send(&self, _: HttpRequest) -> throughline_core::Result<HttpResponse> {
        unused()
    }
    async fn stream(&self, _: HttpRequest) -> throughline_core::Result<HttpResponse> {
        unused()
    }
}
#[async_trait]
impl TokenStore for Nothing {
    async fn load(&self, _: &str) -> throughline_core::Result<Option<TokenPair>> {
        unused()
    }
    async fn lease(&self, _: &str) -> throughline_core::Result<Box<dyn TokenLease>> {
        unused()
    }
}
#[async_trait]
impl NoteStore for Nothing {
    async fn get(&self, _: &str) -> throughline_core::Result<Option<Value>> {
        unused()
    }
    async fn put(&self, _: &str, _: Option<Value>) -> throughline_core::Result<()> {
        unused()
    }
    async fn list(&self, _: &str) -> throughline_core::Result<Vec<(String, Value)>> {
        unused()
    }
}
