//! How the allocator keeps memory, and what it leaves in it.

use std::alloc::{GlobalAlloc, Layout, System};
#[cfg(target_env = "gnu")]
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::slice;

use ebbtide_seal::handles_secrets;
#[cfg(target_env = "gnu")]
use nix::libc;
use zeroize::Zeroize as _;

/// From this size on a buffer is mapped by itself, and goes back to the system when it is dropped.
#[cfg(target_env = "gnu")]
const MAPPED_BYTES: c_int = 256 << 10;

/// So much free memory at the end of a heap is kept.
#[cfg(target_env = "gnu")]
const KEPT_BYTES: c_int = 1 << 20;

/// Up to this size a buffer comes from a heap; glibc takes no more.
#[cfg(target_env = "gnu")]
const REUSED_BYTES: c_int = 32 << 20;

/// How many heaps there are then.
#[cfg(target_env = "gnu")]
const HEAPS: c_int = 2;

#[global_allocator]
static ALLOCATOR: Scrubbing = Scrubbing;

/// The allocator of the system. What is freed by a thread that handles secrets is overwritten before: packages that know
/// nothing of secrets, and buffers that grow, leave copies of them.
struct Scrubbing;

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait")]
// SAFETY: whatever is asked for is asked of the system's allocator, and nothing here panics or allocates.
unsafe impl GlobalAlloc for Scrubbing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps to what both ask of him.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if handles_secrets() {
            // SAFETY: the whole block is the caller's until it is given back below, whether it was written or not.
            unsafe { slice::from_raw_parts_mut(block.cast::<MaybeUninit<u8>>(), layout.size()) }
                .zeroize();
        }
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !handles_secrets() {
            // SAFETY: as above.
            return unsafe { System.realloc(block, layout, new_size) };
        }
        // The system would free the old place without a word.
        // SAFETY: the caller vouches that the new size is not zero, and not too large for this alignment.
        let new =
            unsafe { self.alloc(Layout::from_size_align_unchecked(new_size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both blocks have so many bytes, and the new one is another one.
            unsafe {
                block.copy_to_nonoverlapping(new, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
        }
        new
    }
}

/// Has large buffers go back to the system at once. By itself glibc, once it has seen a buffer of some megabytes freed,
/// keeps those of that size in the heap of each thread that ever asked for one, which is most of what a busy process
/// would take.
pub(crate) fn give_back_large_buffers() {
    #[cfg(target_env = "gnu")]
    set(&[(libc::M_MMAP_THRESHOLD, MAPPED_BYTES), (libc::M_TRIM_THRESHOLD, KEPT_BYTES)]);
}

/// Keeps what is freed for the next buffer of its size, in a few heaps for all threads: who takes megabytes again and
/// again would otherwise have the system clear them each time, which is a quarter of the time of a large restore.
pub(crate) fn keep_large_buffers() {
    #[cfg(target_env = "gnu")]
    set(&[
        (libc::M_MMAP_THRESHOLD, REUSED_BYTES),
        (libc::M_TRIM_THRESHOLD, 4 * REUSED_BYTES),
        (libc::M_ARENA_MAX, HEAPS),
    ]);
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "mallopt has no safe wrapper")]
fn set(settings: &[(c_int, c_int)]) {
    for &(parameter, value) in settings {
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
