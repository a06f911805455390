//! The functions of a source.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_array::{Array, StructArray};
use arrow_schema::SchemaRef;
use serde_json::json;
use throughline_plugin_abi as abi;

use super::{Opened, agree, config, give, guarded, host, lent, manifest_json, opened, text};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Rows};
use crate::source::{ReadRequest, Reader, Source};

struct Reading {
    work: super::Working<dyn Reader>,
    /// Of the batch before: the host is told only what changes.
    schema: Option<SchemaRef>,
}

/// # Safety
/// As `tl_plugin_init_v1` in the header.
pub unsafe fn init_source<S: Source>(
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
    table.catalog = Some(catalog::<S>);
    table.discover = if S::DISCOVERS { Some(discover::<S>) } else { None };
    table.mappings = Some(mappings::<S>);
    table.read_open = Some(read_open::<S>);
    table.read_next = Some(read_next);
    table.read_close = Some(read_close);
    table.committed = if S::ACKNOWLEDGES { Some(committed::<S>) } else { None };
    table.close = Some(close::<S>);
    abi::TL_OK
}

// SAFETY of all that follows: the host calls as the header says, with pointers that this table gave it.

unsafe extern "C" fn manifest<S: Source>(
    _: *mut abi::tl_plugin,
    out: *mut abi::tl_buf,
    error: *mut abi::tl_error,
) -> i32 {
    unsafe { guarded(None, error, || give(out, &manifest_json(S::manifest(), "source"))) }
}

unsafe extern "C" fn open<S: Source>(
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

unsafe extern "C" fn check<S: Source>(
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

unsafe extern "C" fn catalog<S: Source>(
    instance: *mut abi::tl_instance,
    out: *mut abi::tl_buf,
    error: *mut abi::tl_error,
) -> i32 {
    unsafe {
        let o = opened::<S>(instance);
        guarded(Some(&o.poisoned), error, || give(out, &json!({ "streams": o.plugin.catalog() })))
    }
}

unsafe extern "C" fn discover<S: Source>(
    instance: *mut abi::tl_instance,
    scope: *mut c_void,
    out: *mut abi::tl_buf,
    error: *mut abi::tl_error,
) -> i32 {
    unsafe {
        let o = opened::<S>(instance);
        guarded(Some(&o.poisoned), error, || {
            give(out, &json!({ "streams": o.plugin.discover(&host(scope))? }))
        })
    }
}

unsafe extern "C" fn mappings<S: Source>(
    instance: *mut abi::tl_instance,
    out: *mut abi::tl_buf,
    error: *mut abi::tl_error,
) -> i32 {
    unsafe {
        let o = opened::<S>(instance);
        guarded(Some(&o.poisoned), error, || give(out, &o.plugin.mappings()))
    }
}

unsafe extern "C" fn read_open<S: Source>(
    instance: *mut abi::tl_instance,
    scope: *mut c_void,
    request: abi::tl_str,
    checkpoint: abi::tl_str,
    out: *mut *mut abi::tl_reader,
    error: *mut abi::tl_error,
) -> i32 {
    unsafe {
        let o = opened::<S>(instance);
        guarded(Some(&o.poisoned), error, || {
            let mut request: ReadRequest = lent("request", request)?;
            if checkpoint.len > 0 {
                request.checkpoint = Some(lent("checkpoint", checkpoint)?);
            }
            let host = host(scope);
            let work = o.plugin.read(&host, request)?;
            let work = super::Working { work, host, poisoned: o.poisoned.clone() };
            *out = Box::into_raw(Box::new(Reading { work, schema: None })).cast();
            Ok(())
        })
    }
}

unsafe extern "C" fn read_next(
    reader: *mut abi::tl_reader,
    out: *mut abi::tl_event,
    error: *mut abi::tl_error,
) -> i32 {
    unsafe {
        let reading = &mut *reader.cast::<Reading>();
        let poisoned = reading.work.poisoned.clone();
        guarded(Some(&poisoned), error, || {
            if out.is_null() || ((*out).struct_size as usize) < size_of::<abi::tl_event>() {
                return Err(Error::new(ErrorKind::Bug, "no place for an event"));
            }
            let event = reading.work.work.next(&reading.work.host)?;
            if let Event::Rows(rows) = &event {
                export(rows, &mut reading.schema, &mut *out)?;
            }
            let (kind, json) = event.parts();
            (*out).kind = kind;
            if !json.is_null() {
                give(&raw mut (*out).json, &json)?;
            }
            Ok(())
        })
    }
}

/// Rows as a struct array; the schema only when it is another than before.
unsafe fn export(rows: &Rows, known: &mut Option<SchemaRef>, out: &mut abi::tl_event) -> Result<()> {
    let schema = rows.batch.schema();
    if known.as_ref() != Some(&schema) {
        let ffi = FFI_ArrowSchema::try_from(schema.as_ref())?;
        // SAFETY: the same struct by another name; it moves to the host.
        out.schema = unsafe { std::mem::transmute::<FFI_ArrowSchema, abi::ArrowSchema>(ffi) };
        *known = Some(schema);
    }
    let table = StructArray::from(rows.batch.clone());
    let ffi = FFI_ArrowArray::new(&table.into_data());
    // SAFETY: as above.
    out.array = unsafe { std::mem::transmute::<FFI_ArrowArray, abi::ArrowArray>(ffi) };
    Ok(())
}

unsafe extern "C" fn read_close(reader: *mut abi::tl_reader) {
    if reader.is_null() {
        return;
    }
    unsafe {
        // A panic in a destructor must not cross either.
        guarded(None, std::ptr::null_mut(), || {
            drop(Box::from_raw(reader.cast::<Reading>()));
            Ok(())
        });
    }
}

unsafe extern "C" fn committed<S: Source>(
    instance: *mut abi::tl_instance,
    scope: *mut c_void,
    stream: abi::tl_str,
    checkpoint: abi::tl_str,
    error: *mut abi::tl_error,
) -> i32 {
    unsafe {
        let o = opened::<S>(instance);
        guarded(Some(&o.poisoned), error, || {
            o.plugin.committed(&host(scope), &text(stream), &lent("checkpoint", checkpoint)?)
        })
    }
}

unsafe extern "C" fn close<S: Source>(instance: *mut abi::tl_instance) {
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
