//! Where a file sink's tables go: a folder, or a bucket. To the sink it is all one.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use throughline_core::{
    BatchStream, CheckReport, Committable, ConfigErrors, Context, Receipt, Result, Table, TxnId,
};

use crate::bucket::{Bucket, StoreOptions, is_address};
use crate::epoch_folder::{self, EpochFolder, Owner};
use crate::files::{LocalFiles, TableFiles};
use crate::staging::{self, TableWriter};

pub(crate) enum Destination {
    Folder(Arc<EpochFolder>),
    Bucket(Bucket),
}

impl Destination {
    /// `path` is relative to `base` unless it is a bucket's address.
    pub(crate) fn new(
        path: &str,
        stores: StoreOptions,
        owner: Owner,
        keep_epochs: usize,
        base: &Path,
    ) -> Result<Self, ConfigErrors> {
        let mut errors = epoch_folder::option_errors(path, keep_epochs);
        let place = if is_address(path) {
            stores.place(path).map(Some)
        } else {
            let unused = stores.unused(None);
            if unused.is_empty() { Ok(None) } else { Err(unused) }
        };
        let place = match place {
            Ok(place) => place,
            Err(more) => {
                errors.extend(more);
                None
            }
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(match place {
            Some(place) => Self::Bucket(Bucket::new(place, owner, keep_epochs)),
            None => Self::Folder(Arc::new(EpochFolder::new(base.join(path), owner, keep_epochs))),
        })
    }

    pub(crate) fn is_bucket(&self) -> bool {
        matches!(self, Self::Bucket(_))
    }

    pub(crate) async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        match self {
            Self::Folder(folder) => staging::blocking(folder, EpochFolder::check).await,
            Self::Bucket(bucket) => bucket.check(ctx).await,
        }
    }

    /// Stages `table` as `item`, a file or folder that begins with the table's name.
    pub(crate) async fn stage<W: TableWriter>(
        &self,
        ctx: &Context,
        table: &Table,
        rows: BatchStream,
        txn: &TxnId,
        item: String,
        open: impl FnOnce(Box<dyn TableFiles>, &SchemaRef) -> Result<W> + Send + 'static,
    ) -> Result<Committable> {
        match self {
            Self::Folder(folder) => {
                let open = |path: &Path, schema: &SchemaRef| open(LocalFiles::at(path), schema);
                staging::stage(folder, ctx, table, rows, txn, item, open).await
            }
            Self::Bucket(bucket) => bucket.stage(ctx, table, rows, txn, &item, open).await,
        }
    }

    pub(crate) async fn commit(&self, ctx: &Context, txn: &TxnId, staged: &[Committable]) -> Result<Receipt> {
        match self {
            Self::Folder(folder) => {
                let (txn, staged, now_us) = (txn.clone(), staged.to_vec(), ctx.clock.now_us());
                staging::blocking(folder, move |folder| folder.commit(&txn, &staged, now_us)).await
            }
            Self::Bucket(bucket) => bucket.commit(ctx, txn, staged).await,
        }
    }

    pub(crate) async fn drop_older(&self, ctx: &Context, txn: &TxnId) -> Result<u64> {
        match self {
            Self::Folder(folder) => {
                let txn = txn.clone();
                staging::blocking(folder, move |folder| folder.drop_older(&txn)).await
            }
            Self::Bucket(bucket) => bucket.drop_older(ctx, txn).await,
        }
    }

    pub(crate) async fn abort(&self, ctx: &Context, txn: &TxnId) -> Result<()> {
        match self {
            Self::Folder(folder) => {
                let txn = txn.clone();
                staging::blocking(folder, move |folder| folder.abort(&txn)).await
            }
            Self::Bucket(bucket) => bucket.abort(ctx, txn).await,
        }
    }
}

/// What is wrong with other options beside what is wrong with the destination.
pub(crate) fn both(
    destination: Result<Destination, ConfigErrors>,
    mut errors: ConfigErrors,
) -> Result<Destination, ConfigErrors> {
    match destination {
        Ok(destination) if errors.is_empty() => Ok(destination),
        Ok(_) => Err(errors),
        Err(mut more) => {
            more.append(&mut errors);
            Err(more)
        }
    }
}
