//! The objects below one prefix of one bucket.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectStore, PutMode, UpdateVersion};
use throughline_core::secret::Redactor;
use throughline_core::{Error, Result};

use super::address::Address;
use super::failure::{failed, knows_no_conditions};

/// Of a manifest or a marker that is read back, 256 MB.
const LARGEST: u64 = 256 << 20;

#[derive(Clone)]
pub(crate) struct Place {
    store: Arc<dyn ObjectStore>,
    address: Address,
    /// Hides what the sink signs in with.
    redactor: Redactor,
}

/// What became of a put that must not replace anything.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Created {
    Made,
    /// An object of that name is there: another's, or ours from a try whose answer was lost.
    Taken,
}

impl Place {
    pub(super) fn new(store: Arc<dyn ObjectStore>, address: Address, redactor: Redactor) -> Self {
        Self { store, address, redactor }
    }

    pub(super) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The address of an object by its name below the prefix.
    pub(super) fn url(&self, name: &str) -> String {
        self.address.url(name)
    }

    pub(super) fn key(&self, name: &str) -> Result<Path> {
        let whole = match self.address.prefix.as_str() {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        };
        Path::parse(&whole).map_err(|e| Error::data(format!("{whole:?} cannot be an object's name: {e}")))
    }

    pub(super) fn failed(&self, doing: &str, name: &str, error: &object_store::Error) -> Error {
        failed(doing, self.url(name), error, &self.redactor)
    }

    /// An object and its version; `None` when there is none.
    pub(super) async fn read(&self, name: &str) -> Result<Option<(Bytes, UpdateVersion)>> {
        let got = match self.store.get_opts(&self.key(name)?, Default::default()).await {
            Ok(got) => got,
            // A bucket that is not there is told where its objects are listed.
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(self.failed("read", name, &e)),
        };
        if got.meta.size > LARGEST {
            return Err(Error::data(format!("{} has {} bytes", self.url(name), got.meta.size))
                .hint("something outside has changed the sink's objects"));
        }
        let version = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
        let bytes = got.bytes().await.map_err(|e| self.failed("read", name, &e))?;
        Ok(Some((bytes, version)))
    }

    /// Puts an object on condition that there is none of that name. The one place where epochs are decided.
    ///
    /// # Errors
    /// An error tells nothing of whether the object is there now, or will be in a moment.
    pub(super) async fn create(&self, name: &str, content: Vec<u8>) -> Result<Created> {
        match self.store.put_opts(&self.key(name)?, content.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(Created::Made),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::Taken),
            Err(e) if knows_no_conditions(&e) => {
                Err(no_conditions(&self.url("")).with("said", self.failed("write", name, &e).message()))
            }
            Err(e) => Err(self.failed("write", name, &e)),
        }
    }

    /// Puts an object in place of the version that was read; false when another has been there since.
    pub(super) async fn replace(
        &self,
        name: &str,
        content: Vec<u8>,
        read: Option<UpdateVersion>,
    ) -> Result<bool> {
        let key = self.key(name)?;
        let mode = read.map_or(PutMode::Create, PutMode::Update);
        let conditional = !matches!(mode, PutMode::Create);
        match self.store.put_opts(&key, content.clone().into(), mode.into()).await {
            Ok(_) => Ok(true),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. }
                | object_store::Error::NotModified { .. },
            ) => Ok(false),
            // `If-None-Match` decides epochs and is there; `If-Match` is a help here, and not every store has it.
            Err(e) if conditional && knows_no_conditions(&e) => {
                let put = self.store.put_opts(&key, content.into(), PutMode::Overwrite.into()).await;
                put.map(|_| true).map_err(|e| self.failed("write", name, &e))
            }
            Err(e) => Err(self.failed("write", name, &e)),
        }
    }

    /// Names below the prefix and sizes of all objects in a folder.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let found: Vec<_> = self
            .store
            .list(Some(&self.key(folder)?))
            .try_collect()
            .await
            .map_err(|e| self.failed("list", folder, &e))?;
        found.into_iter().map(|meta| Ok((self.name(&meta.location)?, meta.size))).collect()
    }

    /// The first objects of the place, whosever they are.
    pub(super) async fn first(&self, count: usize) -> Result<Vec<String>> {
        let root = self.key("")?;
        let found: Vec<_> = self
            .store
            .list((!root.is_root()).then_some(&root))
            .take(count)
            .try_collect()
            .await
            .map_err(|e| self.failed("list", "", &e))?;
        found.into_iter().map(|meta| self.name(&meta.location)).collect()
    }

    fn name(&self, key: &Path) -> Result<String> {
        let whole = key.as_ref();
        let below = match self.address.prefix.as_str() {
            "" => Some(whole),
            prefix => whole.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')),
        };
        below
            .map(str::to_owned)
            .ok_or_else(|| Error::protocol(format!("{} was asked for and {whole:?} came", self.url(""))))
    }

    /// Deletes objects; those that are gone already count as deleted.
    pub(super) async fn delete(&self, names: Vec<String>) -> Result<()> {
        let keys = names.iter().map(|name| self.key(name)).collect::<Result<Vec<_>>>()?;
        let mut done = self.store.delete_stream(futures::stream::iter(keys.into_iter().map(Ok)).boxed());
        while let Some(one) = done.next().await {
            match one {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(self.failed("delete below", "", &e)),
            }
        }
        Ok(())
    }
}

pub(super) fn no_conditions(place: &str) -> Error {
    Error::unsupported(format!("the store of {place} does not honour conditional puts (If-None-Match: *)"))
        .hint(
            "epochs are decided by them, and without them two runs could overwrite each other unseen: \
             use a store or a version of it that has them, or write to a local folder and copy `current` yourself",
        )
}
