//! The functions of a sink.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi_and_data_type};
use arrow_array::{Array, RecordBatch, RecordBatchOptions, StructArray};
use arrow_schema::{DataType, Schema, SchemaRef};
use serde_json::json;
use throughline_plugin_abi as abi;

use super::{Opened, agree, config, give, guarded, host, lent, manifest_json, opened, text};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Committable, Sink, Table, Writer};

struct Writing {
    work: super::Working<dyn Writer>,
    schema: SchemaRef,
    rows: u64,
}

/// # Safety
/// As `tl_plugin_init_v1` in the header.
pub unsafe fn init_sink<S: Sink>(
    host_abi: u32,
    host: *const abi::tl_host,
    out: *mut abi::tl_plugin,
    error: *mut abi::tl_error,
) -> i32 {
    // SAFETY: passed on as it came.
    let code = unsafe { agree(host_abi, host, out, error) };
    if code != abi::TL_OK {
        return code;
    }
    // SAFETY: checked by `agree`.
    let table = unsafe { &mut *out };
    table.manifest = Some(manifest::<S>);
    table.open = Some(open::<S>);
    table.check = Some(check::<S>);
    table.write_open = Some(write_open::<S>);
    table.write_batch = Some(write_batch);
    table.write_prepare = Some(write_prepare);
    table.write_close = Some(write_close);
    table.commit = Some(commit::<S>);
    table.abort = Some(abort::<S>);
    table.close = Some(close::<S>);
    abi::TL_OK
}

// SAFETY of all that follows: the host calls as the header says, with pointers that this table gave it.

unsafe extern "C" fn manifest<S: Sink>(
    _: *mut abi::tl_plugin,
    out: *mut abi::tl_buf,
    error: *mut abi::tl_error,
) -> i32 {
    unsafe { guarded(None, error, || give(out, &manifest_json(S::manifest(), "sink"))) }
}

unsafe extern "C" fn open<S: Sink>(
    _: *mut abi::tl_plugin,
    scope: *mut c_void,
    json: abi::tl_str,
    out: *mut *mut abi::tl_instance,
    error: *mut abi::tl_error,
) -> i32 {
    unsafe {
        guarded(None, error, || {
            let plugin = S::open(config(json)?, &host(scope))?;
            let opened = Box::new(Opened { plugin, poisoned: Arc::new(AtomicBool::new(false)) });
            *out = Box::into_raw(opened).cast();
            Ok(())
        })
    }
}

unsafe extern "C" fn check<S: Sink>(
    instance: *mut abi::tl_instance,
    scope: *mut c_void,
    out: *mut abi::tl_buf,
    error: *mut abi::tl_error,
) -> i32 {
    unsafe {
        let o = opened::<S>(instance);
        guarded(Some(&o.poisoned), error, || give(out, &o.plugin.check(&host(scope))?))
    }
}

unsafe extern "C" fn write_open<S: Sink>(
    instance: *mut abi::tl_instance,
    scope: *mut c_void,
    about: abi::tl_str,
    schema: *const abi::ArrowSchema,
    txn: abi::tl_str,
    out: *mut *mut abi::tl_writer,
    error: *mut abi::tl_error,
) -> i32 {
    unsafe {
        let o = opened::<S>(instance);
        guarded(Some(&o.poisoned), error, || {
            let about: Table = lent("table", about)?;
            if schema.is_null() {
                return Err(Error::new(ErrorKind::Bug, "a table without a schema"));
            }
            let schema = Arc::new(Schema::try_from(&*schema.cast::<FFI_ArrowSchema>())?);
            let host = host(scope);
            let work = o.plugin.write(&host, about, schema.clone(), &text(txn))?;
            let work = super::Working { work, host, poisoned: o.poisoned.clone() };
            *out = Box::into_raw(Box::new(Writing { work, schema, rows: 0 })).cast();
            Ok(())
        })
    }
}

unsafe extern "C" fn write_batch(
    writer: *mut abi::tl_writer,
    array: *mut abi::ArrowArray,
    rejects: *mut abi::tl_buf,
    error: *mut abi::tl_error,
) -> i32 {
    unsafe {
        let writing = &mut *writer.cast::<Writing>();
        let poisoned = writing.work.poisoned.clone();
        // Taken over first of all: whatever happens, it is ours to release.
        let array = FFI_ArrowArray::from_raw(array.cast::<FFI_ArrowArray>());
        guarded(Some(&poisoned), error, || {
            let rows = import(array, &writing.schema)?;
            let refused = writing.work.work.write(&writing.work.host, &rows)?;
            writing.rows += rows.num_rows() as u64;
            if refused.is_empty() { Ok(()) } else { give(rejects, &refused) }
        })
    }
}

unsafe fn import(array: FFI_ArrowArray, schema: &SchemaRef) -> Result<RecordBatch> {
    // SAFETY: the host sends what it said it would.
    let data = unsafe { from_ffi_and_data_type(array, DataType::Struct(schema.fields().clone())) }?;
    let table = StructArray::from(data);
    let options = RecordBatchOptions::new().with_row_count(Some(table.len()));
    let (_, columns, _) = table.into_parts();
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

unsafe extern "C" fn write_prepare(
    writer: *mut abi::tl_writer,
    out: *mut abi::tl_buf,
    error: *mut abi::tl_error,
) -> i32 {
    unsafe {
        let writing = &mut *writer.cast::<Writing>();
        let poisoned = writing.work.poisoned.clone();
        guarded(Some(&poisoned), error, || {
            let detail = writing.work.work.prepare(&writing.work.host)?;
            give(out, &json!({ "rows": writing.rows, "detail": detail }))
        })
    }
}

unsafe extern "C" fn write_close(writer: *mut abi::tl_writer) {
    if writer.is_null() {
        return;
    }
    unsafe {
        guarded(None, std::ptr::null_mut(), || {
            drop(Box::from_raw(writer.cast::<Writing>()));
            Ok(())
        });
    }
}

unsafe extern "C" fn commit<S: Sink>(
    instance: *mut abi::tl_instance,
    scope: *mut c_void,
    txn: abi::tl_str,
    committables: abi::tl_str,
    out: *mut abi::tl_buf,
    error: *mut abi::tl_error,
) -> i32 {
    unsafe {
        let o = opened::<S>(instance);
        guarded(Some(&o.poisoned), error, || {
            let tables: Vec<Committable> = lent("committables", committables)?;
            give(out, &o.plugin.commit(&host(scope), &text(txn), &tables)?)
        })
    }
}

unsafe extern "C" fn abort<S: Sink>(
    instance: *mut abi::tl_instance,
    scope: *mut c_void,
    txn: abi::tl_str,
    error: *mut abi::tl_error,
) -> i32 {
    unsafe {
        let o = opened::<S>(instance);
        guarded(Some(&o.poisoned), error, || o.plugin.abort(&host(scope), &text(txn)))
    }
}

unsafe extern "C" fn close<S: Sink>(instance: *mut abi::tl_instance) {
    if instance.is_null() {
        return;
    }
    unsafe {
        guarded(None, std::ptr::null_mut(), || {
            drop(Box::from_raw(instance.cast::<Opened<S>>()));
            Ok(())
        });
    }
}
