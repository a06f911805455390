//! Opening a library and agreeing on a version.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use throughline_plugin_abi as abi;

use crate::failure::Failure;
use crate::services;
use crate::session::Answer;

/// Versions this host speaks, the best first.
const VERSIONS: &[u32] = &[abi::TL_ABI_1_0];

/// A library that is open for good, and its table. Functions of it may be called from any thread; which calls
/// may be at once is said in the header.
pub(crate) struct Loaded {
    table: *mut abi::tl_plugin,
}

// SAFETY: the table is written once, before it is shared; the header asks of plugins that instances may be used
// on several threads at once.
unsafe impl Send for Loaded {}
unsafe impl Sync for Loaded {}

impl Loaded {
    pub fn table(&self) -> &abi::tl_plugin {
        // SAFETY: leaked by `initialise`, never written again.
        unsafe { &*self.table }
    }
    pub fn table_ptr(&self) -> *mut abi::tl_plugin {
        self.table
    }
}

/// Opens a library once in this process. It stays open for ever: threads, thread-locals and batches that live on
/// would be left without code.
pub(crate) fn load(path: &Path) -> Answer<&'static Loaded> {
    static OPEN: LazyLock<Mutex<HashMap<PathBuf, &'static Loaded>>> = LazyLock::new(Mutex::default);
    let path = path.canonicalize().map_err(|e| {
        Failure::new(abi::TL_CONFIG, format!("cannot open the plugin {}: {e}", path.display()))
    })?;
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(loaded) = open.get(&path) {
        return Ok(loaded);
    }
    let loaded = initialise(symbol(&path)?, VERSIONS, size_of::<abi::tl_plugin>())
        .map_err(|f| Failure { message: format!("{}: {}", path.display(), f.message), ..f })?;
    open.insert(path, loaded);
    Ok(loaded)
}

fn symbol(path: &Path) -> Answer<abi::tl_plugin_init> {
    let failed = |e: libloading::Error| {
        Failure::new(abi::TL_CONFIG, format!("cannot load the plugin {}: {e}", path.display()))
    };
    #[cfg(unix)]
    // SAFETY: opening runs the library's initialisers: only what is allowed to run gets here (`folder`).
    let library = unsafe {
        use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
        libloading::Library::from(
            Library::open(Some(path), RTLD_NOW | RTLD_LOCAL | libc::RTLD_NODELETE).map_err(failed)?,
        )
    };
    #[cfg(not(unix))]
    // SAFETY: as above.
    let library = unsafe { libloading::Library::new(path).map_err(failed)? };
    let library: &'static libloading::Library = Box::leak(Box::new(library));
    // SAFETY: the type is that of the header.
    let init = unsafe { library.get::<abi::tl_plugin_init>(abi::INIT_SYMBOL) };
    init.map(|symbol| *symbol).map_err(|e| {
        let hint = "it exports no tl_plugin_init_v1: is this a Throughline plugin?".to_owned();
        Failure { hint, ..failed(e) }
    })
}

/// Offers the versions, the best first, until the plugin takes one. `table_size` is ours to vary in tests only:
/// a later host has a longer table.
pub(crate) fn initialise(
    init: abi::tl_plugin_init,
    versions: &[u32],
    table_size: usize,
) -> Answer<&'static Loaded> {
    let table_size = table_size.max(size_of::<abi::tl_plugin>());
    let mut last = Failure::new(abi::TL_UNSUPPORTED, "no version was offered");
    for version in versions {
        let words: &'static mut [u64] = Box::leak(vec![0_u64; table_size.div_ceil(8)].into_boxed_slice());
        let table = words.as_mut_ptr().cast::<abi::tl_plugin>();
        let mut error = abi::tl_error::empty();
        // SAFETY: zeroed memory of the size that is told; the host's table lives for ever.
        let code = unsafe {
            (*table).struct_size = table_size as u32;
            init(*version, services::host(*version), table, &raw mut error)
        };
        // SAFETY: filled by the call that returned `code`.
        let failure = unsafe { Failure::of(code, &mut error) };
        match code {
            abi::TL_OK => {
                return agreed(table, *version, table_size).map(|()| &*Box::leak(Box::new(Loaded { table })));
            }
            abi::TL_UNSUPPORTED => last = failure,
            _ => return Err(failure),
        }
    }
    let offered: Vec<String> = versions.iter().map(|v| shown(*v)).collect();
    Err(Failure {
        message: format!(
            "the plugin takes none of the interface versions {}: {}",
            offered.join(", "),
            last.message
        ),
        hint: "another release of the plugin, or of Throughline, fits".into(),
        ..last
    })
}

/// What the plugin wrote must make sense before anything of it is called.
fn agreed(table: *mut abi::tl_plugin, version: u32, table_size: usize) -> Answer<()> {
    // SAFETY: our memory.
    let (size, own) = unsafe { ((*table).struct_size as usize, (*table).abi) };
    let wrong =
        |what: String| Err(Failure::new(abi::TL_PANIC, format!("the plugin broke the interface: {what}")));
    if own / 1_000_000 != version / 1_000_000 || own > version {
        return wrong(format!("asked for version {}, it says {}", shown(version), shown(own)));
    }
    // The functions every plugin has end with `close`, the last of 1.0.
    if size < size_of::<abi::tl_plugin>() || size > table_size {
        return wrong(format!("its table has {size} bytes of {table_size}"));
    }
    // SAFETY: as above; the fields are within `size`.
    let complete =
        unsafe { (*table).manifest.is_some() && (*table).open.is_some() && (*table).close.is_some() };
    if complete { Ok(()) } else { wrong("manifest, open and close must not be NULL".into()) }
}

pub(crate) fn shown(version: u32) -> String {
    format!("{}.{}", version / 1_000_000, version / 1_000 % 1_000)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    unsafe extern "C" fn nothing(_: *mut abi::tl_plugin, _: *mut abi::tl_buf, _: *mut abi::tl_error) -> i32 {
        abi::TL_OK
    }
    unsafe extern "C" fn open(
        _: *mut abi::tl_plugin,
        _: *mut std::ffi::c_void,
        _: abi::tl_str,
        _: *mut *mut abi::tl_instance,
        _: *mut abi::tl_error,
    ) -> i32 {
        abi::TL_OK
    }
    unsafe extern "C" fn close(_: *mut abi::tl_instance) {}

    /// A plugin that was written when 1.0 was all there was.
    unsafe extern "C" fn old(
        version: u32,
        host: *const abi::tl_host,
        out: *mut abi::tl_plugin,
        _: *mut abi::tl_error,
    ) -> i32 {
        // SAFETY: given by the loader.
        unsafe {
            if version != abi::TL_ABI_1_0 {
                return abi::TL_UNSUPPORTED;
            }
            assert_eq!((*host).abi, abi::TL_ABI_1_0);
            (*out).struct_size = size_of::<abi::tl_plugin>() as u32;
            (*out).abi = abi::TL_ABI_1_0;
            (*out).manifest = Some(nothing);
            (*out).open = Some(open);
            (*out).close = Some(close);
        }
        abi::TL_OK
    }

    #[test]
    fn an_old_plugin_serves_a_later_host() {
        let longer = size_of::<abi::tl_plugin>() + 64;
        let loaded = initialise(old, &[1_002_000, 1_001_000, abi::TL_ABI_1_0], longer).unwrap();
        assert_eq!(loaded.table().abi, abi::TL_ABI_1_0);
        // What the plugin does not know of is absent.
        let end = loaded.table_ptr().cast::<u8>();
        // SAFETY: within the memory the loader made.
        let beyond = unsafe { std::slice::from_raw_parts(end.add(size_of::<abi::tl_plugin>()), 64) };
        assert!(beyond.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn versions_that_nobody_shares_are_named() {
        let failure = initialise(old, &[1_002_000, 1_001_000], 0).map(|_| ()).unwrap_err();
        assert!(failure.message.contains("1.2, 1.1"), "{}", failure.message);
    }
}
