//! The table of C functions behind a [`crate::Source`] or [`crate::Sink`]. Called by the macros only.
//!
//! Every function catches panics: none may cross into the host. After one the instance is poisoned, and whatever
//! is asked of it fails, since nobody knows what state it is in.

mod sink;
mod source;

use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use throughline_plugin_abi as abi;

use crate::catalog::Manifest;
use crate::error::{Error, ErrorKind, Result};
use crate::host::Host;

pub use sink::init_sink;
pub use source::init_source;

/// The host's table, as every instance gets it.
static HOST: OnceLock<HostTable> = OnceLock::new();

struct HostTable(*const abi::tl_host);
// SAFETY: the host promises that its table lives for ever and may be used from any thread.
unsafe impl Send for HostTable {}
unsafe impl Sync for HostTable {}

/// A plugin's instance, and whether it still can be asked.
struct Opened<T> {
    plugin: T,
    poisoned: Arc<AtomicBool>,
}

/// A reader or writer, with the host it was opened with.
struct Working<T: ?Sized> {
    work: Box<T>,
    host: Host,
    poisoned: Arc<AtomicBool>,
}

fn host(scope: *mut c_void) -> Host {
    Host::new(HOST.get().map_or(std::ptr::null(), |h| h.0), scope)
}

/// Agrees on the version and notes the host; the caller fills the rest of the table.
unsafe fn agree(
    host_abi: u32,
    host: *const abi::tl_host,
    out: *mut abi::tl_plugin,
    error: *mut abi::tl_error,
) -> i32 {
    let fits = host_abi / 1_000_000 == abi::TL_ABI_1_0 / 1_000_000
        && !host.is_null()
        && !out.is_null()
        // SAFETY: not NULL; the size comes first in every version.
        && unsafe { (*out).struct_size as usize } >= size_of::<abi::tl_plugin>();
    if !fits {
        let message = format!("this plugin speaks version 1.0 of the interface, not {host_abi}");
        // SAFETY: given by the host.
        return unsafe { Error::new(ErrorKind::Unsupported, message).tell(error) };
    }
    let _ = HOST.set(HostTable(host));
    // SAFETY: large enough, see above.
    unsafe {
        (*out).struct_size = size_of::<abi::tl_plugin>() as u32;
        (*out).abi = abi::TL_ABI_1_0;
    }
    abi::TL_OK
}

/// Runs one function of the plugin; what it panics with becomes an error.
unsafe fn guarded(
    poisoned: Option<&AtomicBool>,
    error: *mut abi::tl_error,
    run: impl FnOnce() -> Result<()>,
) -> i32 {
    if poisoned.is_some_and(|p| p.load(Ordering::SeqCst)) {
        // SAFETY: given by the host.
        return unsafe { Error::new(ErrorKind::Bug, "the plugin panicked before").tell(error) };
    }
    let failed = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => return abi::TL_OK,
        Ok(Err(failed)) => failed,
        Err(panic) => {
            if let Some(poisoned) = poisoned {
                poisoned.store(true, Ordering::SeqCst);
            }
            Error::new(ErrorKind::Bug, format!("the plugin panicked: {}", said(panic.as_ref())))
        }
    };
    // SAFETY: given by the host.
    unsafe { failed.tell(error) }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}

/// Writes JSON into the caller's buffer.
unsafe fn give(out: *mut abi::tl_buf, value: &impl serde::Serialize) -> Result<()> {
    let json = serde_json::to_vec(value)?;
    if out.is_null() {
        return Err(Error::new(ErrorKind::Bug, "no place for the answer"));
    }
    // SAFETY: not NULL, and the host's for us to fill.
    unsafe { *out = abi::tl_buf::of(json) };
    Ok(())
}

/// JSON the host lends.
unsafe fn lent<T: DeserializeOwned>(what: &str, json: abi::tl_str) -> Result<T> {
    // SAFETY: lent for the call.
    let bytes = unsafe { json.bytes() };
    serde_json::from_slice(bytes).map_err(|e| Error::new(ErrorKind::Bug, format!("the host's {what}: {e}")))
}

unsafe fn text(from: abi::tl_str) -> String {
    // SAFETY: lent for the call.
    String::from_utf8_lossy(unsafe { from.bytes() }).into_owned()
}

/// The options; what is wrong with them is pointed at.
unsafe fn config<T: DeserializeOwned>(json: abi::tl_str) -> Result<T> {
    // SAFETY: lent for the call.
    let bytes = unsafe { json.bytes() };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut reader).map_err(|e| {
        let mut pointer = String::new();
        for segment in e.path() {
            use serde_path_to_error::Segment;
            match segment {
                Segment::Seq { index } => pointer += &format!("/{index}"),
                Segment::Map { key } => pointer += &format!("/{}", key.replace('~', "~0").replace('/', "~1")),
                Segment::Enum { variant } => pointer += &format!("/{variant}"),
                Segment::Unknown => {}
            }
        }
        // serde_json adds a place in a text that the user never saw.
        let message = e.inner().to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        if let Some(missing) = message.strip_prefix("missing field `").and_then(|m| m.strip_suffix('`')) {
            pointer += &format!("/{missing}");
        }
        Error::option(pointer, message)
    })
}

fn manifest_json(manifest: Manifest, kind: &str) -> Value {
    json!({
        "name": manifest.name,
        "kind": kind,
        "version": manifest.version,
        "summary": manifest.summary,
        "readme": manifest.readme,
        "license": manifest.license,
        "min_host": env!("CARGO_PKG_VERSION"),
        "config_schema": manifest.config_schema,
        "streams": manifest.streams,
        "guarantee": manifest.guarantee,
    })
}

/// The instance behind a pointer that `open` gave.
unsafe fn opened<'a, T>(instance: *mut abi::tl_instance) -> &'a Opened<T> {
    // SAFETY: made by `open` of the same table, not closed yet.
    unsafe { &*instance.cast::<Opened<T>>() }
}
