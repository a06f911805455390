//! The Rust twin of `include/throughline_plugin.h`, which is the reference: what each field means, and who owns
//! what, is written there. A test holds sizes and offsets of the two equal.
//!
//! Nothing here is safe to use by itself; `throughline-plugin` is the safe kit for plugins and
//! `throughline-plugin-host` the loader.

#![allow(non_camel_case_types, unsafe_code)]

use std::ffi::{c_char, c_void};

/// The header, for tools that write it out.
pub const HEADER: &str = include_str!("../include/throughline_plugin.h");

/// 1_000_000 * major + 1_000 * minor + patch.
pub const TL_ABI_1_0: u32 = 1_000_000;

/// The symbol a plugin exports.
pub const INIT_SYMBOL: &[u8] = b"tl_plugin_init_v1\0";

pub const TL_OK: i32 = 0;
pub const TL_CONFIG: i32 = 1;
pub const TL_AUTH: i32 = 2;
pub const TL_RATE_LIMITED: i32 = 3;
pub const TL_NOT_FOUND: i32 = 4;
pub const TL_PROTOCOL: i32 = 5;
pub const TL_DATA: i32 = 6;
pub const TL_IO: i32 = 7;
pub const TL_UNSUPPORTED: i32 = 8;
pub const TL_CANCELLED: i32 = 9;
pub const TL_PANIC: i32 = 10;

pub const TL_ERROR_TEMPORARY: u32 = 1;

pub const TL_END: i32 = 0;
pub const TL_BATCH: i32 = 1;
pub const TL_CHECKPOINT: i32 = 2;
pub const TL_REJECTED: i32 = 3;
pub const TL_NOTICE: i32 = 4;
pub const TL_COUNT: i32 = 5;
pub const TL_TOTAL: i32 = 6;
pub const TL_WINDOW_BEGIN: i32 = 7;
pub const TL_WINDOW_END: i32 = 8;
pub const TL_REPLACE_BEGIN: i32 = 9;
pub const TL_REPLACE_END: i32 = 10;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct tl_str {
    pub ptr: *const u8,
    pub len: usize,
}

#[repr(C)]
pub struct tl_buf {
    pub ptr: *mut u8,
    pub len: usize,
    pub owner: *mut c_void,
    pub release: Option<unsafe extern "C" fn(*mut tl_buf)>,
}

#[repr(C)]
pub struct tl_error {
    pub struct_size: u32,
    pub code: i32,
    pub http_status: i32,
    pub flags: u32,
    pub retry_after_ms: i64,
    pub message: tl_buf,
    pub hint: tl_buf,
    pub config_pointer: tl_buf,
}

/// `struct ArrowSchema` of the Arrow C Data Interface: bit for bit what every arrow library has.
#[repr(C)]
pub struct ArrowSchema {
    pub format: *const c_char,
    pub name: *const c_char,
    pub metadata: *const c_char,
    pub flags: i64,
    pub n_children: i64,
    pub children: *mut *mut ArrowSchema,
    pub dictionary: *mut ArrowSchema,
    pub release: Option<unsafe extern "C" fn(*mut ArrowSchema)>,
    pub private_data: *mut c_void,
}

/// `struct ArrowArray` of the Arrow C Data Interface.
#[repr(C)]
pub struct ArrowArray {
    pub length: i64,
    pub null_count: i64,
    pub offset: i64,
    pub n_buffers: i64,
    pub n_children: i64,
    pub buffers: *mut *const c_void,
    pub children: *mut *mut ArrowArray,
    pub dictionary: *mut ArrowArray,
    pub release: Option<unsafe extern "C" fn(*mut ArrowArray)>,
    pub private_data: *mut c_void,
}

#[repr(C)]
pub struct tl_host {
    pub struct_size: u32,
    pub abi: u32,
    pub ctx: *mut c_void,
    pub log: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, i32, tl_str, tl_str)>,
    pub metric: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, tl_str, i32, f64, tl_str)>,
    pub cancelled: Option<unsafe extern "C" fn(*mut c_void, *mut c_void) -> i32>,
    pub sleep_ms: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, u64) -> i32>,
    pub now_ms: Option<unsafe extern "C" fn(*mut c_void, *mut c_void) -> i64>,
    pub secret:
        Option<unsafe extern "C" fn(*mut c_void, *mut c_void, tl_str, *mut tl_buf, *mut tl_error) -> i32>,
    pub http: Option<
        unsafe extern "C" fn(
            *mut c_void,
            *mut c_void,
            tl_str,
            tl_str,
            *mut tl_buf,
            *mut tl_buf,
            *mut tl_error,
        ) -> i32,
    >,
}

#[repr(C)]
pub struct tl_event {
    pub struct_size: u32,
    pub kind: i32,
    pub array: ArrowArray,
    pub schema: ArrowSchema,
    pub json: tl_buf,
}

#[repr(C)]
pub struct tl_instance {
    _private: [u8; 0],
}
#[repr(C)]
pub struct tl_reader {
    _private: [u8; 0],
}
#[repr(C)]
pub struct tl_writer {
    _private: [u8; 0],
}

#[repr(C)]
pub struct tl_plugin {
    pub struct_size: u32,
    pub abi: u32,
    pub priv_: *mut c_void,
    pub manifest: Option<unsafe extern "C" fn(*mut tl_plugin, *mut tl_buf, *mut tl_error) -> i32>,
    pub open: Option<
        unsafe extern "C" fn(
            *mut tl_plugin,
            *mut c_void,
            tl_str,
            *mut *mut tl_instance,
            *mut tl_error,
        ) -> i32,
    >,
    pub check: Option<unsafe extern "C" fn(*mut tl_instance, *mut c_void, *mut tl_buf, *mut tl_error) -> i32>,
    pub catalog: Option<unsafe extern "C" fn(*mut tl_instance, *mut tl_buf, *mut tl_error) -> i32>,
    pub discover:
        Option<unsafe extern "C" fn(*mut tl_instance, *mut c_void, *mut tl_buf, *mut tl_error) -> i32>,
    pub mappings: Option<unsafe extern "C" fn(*mut tl_instance, *mut tl_buf, *mut tl_error) -> i32>,
    pub read_open: Option<
        unsafe extern "C" fn(
            *mut tl_instance,
            *mut c_void,
            tl_str,
            tl_str,
            *mut *mut tl_reader,
            *mut tl_error,
        ) -> i32,
    >,
    pub read_next: Option<unsafe extern "C" fn(*mut tl_reader, *mut tl_event, *mut tl_error) -> i32>,
    pub read_close: Option<unsafe extern "C" fn(*mut tl_reader)>,
    pub committed:
        Option<unsafe extern "C" fn(*mut tl_instance, *mut c_void, tl_str, tl_str, *mut tl_error) -> i32>,
    pub write_open: Option<
        unsafe extern "C" fn(
            *mut tl_instance,
            *mut c_void,
            tl_str,
            *const ArrowSchema,
            tl_str,
            *mut *mut tl_writer,
            *mut tl_error,
        ) -> i32,
    >,
    pub write_batch:
        Option<unsafe extern "C" fn(*mut tl_writer, *mut ArrowArray, *mut tl_buf, *mut tl_error) -> i32>,
    pub write_prepare: Option<unsafe extern "C" fn(*mut tl_writer, *mut tl_buf, *mut tl_error) -> i32>,
    pub write_close: Option<unsafe extern "C" fn(*mut tl_writer)>,
    pub commit: Option<
        unsafe extern "C" fn(
            *mut tl_instance,
            *mut c_void,
            tl_str,
            tl_str,
            *mut tl_buf,
            *mut tl_error,
        ) -> i32,
    >,
    pub abort: Option<unsafe extern "C" fn(*mut tl_instance, *mut c_void, tl_str, *mut tl_error) -> i32>,
    pub cancel: Option<unsafe extern "C" fn(*mut tl_instance)>,
    pub close: Option<unsafe extern "C" fn(*mut tl_instance)>,
}

/// Type of the exported symbol.
pub type tl_plugin_init = unsafe extern "C" fn(u32, *const tl_host, *mut tl_plugin, *mut tl_error) -> i32;

mod values;
