//! What the C library's allocator keeps of memory that was given back.
//!
//! glibc has an arena for each few threads and keeps in it what is freed; and each large block that is freed raises
//! the size, up to 32 MB, from which on blocks come from the system alone and go back to it. A run moves batches of
//! megabytes from thread to thread and held three times as much as it used. With two arenas and a size that stays,
//! large blocks go back as they are freed. The environment's own `MALLOC_...` settings have the last word.

/// Blocks of this size and above are the system's alone.
///
/// Of 256 KB, 1, 2 and 4 MB the smallest takes the least memory: a run of a million leads took 224, 239, 252 and 249 MB
/// at the peak, one of a million visits 273 and 283 (256 KB, 1 MB), a hundred pipelines in one daemon 644 and 670. With
/// 1 MB the leads took a tenth less CPU, with 2 and 4 MB no less; system time is that of files in each (18 to 23 s of
/// 67 to 82). The promise is about memory: 300 MB for a million rows through any connector.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const OWN_BLOCKS_BYTES: i32 = 256 << 10;

/// To be called before other threads are there.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn settle() {
    let set = |name: &str, option: i32, value: i32| {
        if std::env::var_os(name).is_none() {
            // SAFETY: mallopt takes two numbers and refuses what it does not know; no other thread runs yet.
            #[allow(unsafe_code)]
            let _ = unsafe { libc::mallopt(option, value) };
        }
    };
    set("MALLOC_ARENA_MAX", libc::M_ARENA_MAX, 2);
    set("MALLOC_MMAP_THRESHOLD_", libc::M_MMAP_THRESHOLD, OWN_BLOCKS_BYTES);
    set("MALLOC_TRIM_THRESHOLD_", libc::M_TRIM_THRESHOLD, 4 * OWN_BLOCKS_BYTES);
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn settle() {}
