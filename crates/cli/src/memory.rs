//! How the allocator keeps memory.

#[cfg(target_env = "gnu")]
use nix::libc;

/// From this size on a buffer is mapped by itself, and goes back to the system when it is dropped.
#[cfg(target_env = "gnu")]
const MAPPED_BYTES: std::ffi::c_int = 256 << 10;

/// So much free memory at the end of a heap is kept.
#[cfg(target_env = "gnu")]
const KEPT_BYTES: std::ffi::c_int = 1 << 20;

/// Has large buffers go back to the system at once. By itself glibc, once it has seen a buffer of some megabytes freed,
/// keeps those of that size in the heap of each thread that ever asked for one, which is most of what a busy process
/// would take.
#[cfg_attr(target_env = "gnu", expect(unsafe_code, reason = "mallopt has no safe wrapper"))]
pub(crate) fn give_back_large_buffers() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in
        [(libc::M_MMAP_THRESHOLD, MAPPED_BYTES), (libc::M_TRIM_THRESHOLD, KEPT_BYTES)]
    {
        // SAFETY: mallopt takes two ints, may be called at any time, and refuses what it does not know (mallopt(3)).
        let taken = unsafe { libc::mallopt(parameter, value) };
        if taken == 0 {
            tracing::debug!(parameter, value, "the allocator refuses a setting");
        }
    }
}

/// Gives everything back that is free: after work that leaves many small holes.
#[cfg_attr(target_env = "gnu", expect(unsafe_code, reason = "malloc_trim has no safe wrapper"))]
pub(crate) fn give_back_free() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes a size and may be called by any thread at any time (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}
