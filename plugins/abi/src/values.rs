//! The few helpers both sides need: empty structs, and bytes given away.

use std::ffi::c_void;
use std::ptr::{null, null_mut};

use crate::{ArrowArray, ArrowSchema, tl_buf, tl_error, tl_event, tl_plugin, tl_str};

impl tl_str {
    pub const EMPTY: Self = Self { ptr: null(), len: 0 };

    /// Borrows; valid as long as `text` is.
    pub fn of(text: &str) -> Self {
        Self { ptr: text.as_ptr(), len: text.len() }
    }

    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }

    /// The bytes it stands for.
    ///
    /// # Safety
    /// `ptr` is NULL with `len` 0, or `len` readable bytes that outlive `'a`.
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.ptr.is_null() || self.len == 0 {
            return &[];
        }
        // SAFETY: as the caller promises.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }
}

impl tl_buf {
    pub const EMPTY: Self = Self { ptr: null_mut(), len: 0, owner: null_mut(), release: None };

    /// Gives bytes away; whoever receives them calls `release`.
    pub fn of(bytes: Vec<u8>) -> Self {
        unsafe extern "C" fn release(buf: *mut tl_buf) {
            // SAFETY: called once by the receiver with the buffer made below.
            unsafe {
                if !(*buf).owner.is_null() {
                    drop(Box::from_raw((*buf).owner.cast::<Vec<u8>>()));
                }
                *buf = tl_buf::EMPTY;
            }
        }
        let mut owner = Box::new(bytes);
        let (ptr, len) = (owner.as_mut_ptr(), owner.len());
        Self { ptr, len, owner: Box::into_raw(owner).cast::<c_void>(), release: Some(release) }
    }

    /// A copy of the bytes; the buffer is released.
    ///
    /// # Safety
    /// Filled by the other side as the header says, or empty; not used by anybody else.
    pub unsafe fn take(&mut self) -> Vec<u8> {
        // SAFETY: as the caller promises.
        unsafe {
            let bytes = tl_str { ptr: self.ptr, len: self.len }.bytes().to_vec();
            self.free();
            bytes
        }
    }

    /// Releases what the other side gave, if anything.
    ///
    /// # Safety
    /// As [`tl_buf::take`].
    pub unsafe fn free(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: as the caller promises.
            unsafe { release(self) };
        }
        *self = Self::EMPTY;
    }
}

impl ArrowSchema {
    /// Released: holds nothing.
    pub const EMPTY: Self = Self {
        format: null(),
        name: null(),
        metadata: null(),
        flags: 0,
        n_children: 0,
        children: null_mut(),
        dictionary: null_mut(),
        release: None,
        private_data: null_mut(),
    };
}

impl ArrowArray {
    /// Released: holds nothing.
    pub const EMPTY: Self = Self {
        length: 0,
        null_count: 0,
        offset: 0,
        n_buffers: 0,
        n_children: 0,
        buffers: null_mut(),
        children: null_mut(),
        dictionary: null_mut(),
        release: None,
        private_data: null_mut(),
    };
}

impl tl_error {
    pub fn empty() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            code: 0,
            http_status: 0,
            flags: 0,
            retry_after_ms: -1,
            message: tl_buf::EMPTY,
            hint: tl_buf::EMPTY,
            config_pointer: tl_buf::EMPTY,
        }
    }
}

impl tl_event {
    pub fn empty() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            kind: 0,
            array: ArrowArray::EMPTY,
            schema: ArrowSchema::EMPTY,
            json: tl_buf::EMPTY,
        }
    }
}

impl tl_plugin {
    /// A table as the host hands it to a plugin.
    pub fn empty() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            abi: 0,
            priv_: null_mut(),
            manifest: None,
            open: None,
            check: None,
            catalog: None,
            discover: None,
            mappings: None,
            read_open: None,
            read_next: None,
            read_close: None,
            committed: None,
            write_open: None,
            write_batch: None,
            write_prepare: None,
            write_close: None,
            commit: None,
            abort: None,
            cancel: None,
            close: None,
        }
    }
}
