//! Memory in which secrets were, and which others get next.

use std::cell::Cell;

use zeroize::Zeroize as _;

thread_local! {
    /// Whether this thread handles secrets.
    static HANDLES: Cell<bool> = const { Cell::new(false) };
}

/// How much of the stack is overwritten, in words of 8 bytes: more than age takes to wrap a key, without optimisation…
const STACK_WORDS: usize = (128 << 10) / 8;

/// …and more than it takes to encrypt a block, which is done so often that this is small.
const SMALL_STACK_WORDS: usize = (16 << 10) / 8;

/// Runs what handles secrets, and overwrites the stack that it has used. What it frees meanwhile is overwritten by an
/// allocator that asks [`handles_secrets`], as that of the command `ebbtide` does: packages that know nothing of all this
/// leave copies in both.
///
/// A secret that it returns lies on the heap: what is moved leaves a copy.
pub fn scrubbed<T>(run: impl FnOnce() -> T) -> T {
    let _scope = Scope::<STACK_WORDS>(HANDLES.replace(true));
    apart(run)
}

/// The same for what goes less deep.
pub(crate) fn scrubbed_small<T>(run: impl FnOnce() -> T) -> T {
    let _scope = Scope::<SMALL_STACK_WORDS>(HANDLES.replace(true));
    apart(run)
}

/// Whether the thread that asks handles secrets now, so that what it frees has to be overwritten.
#[must_use]
pub fn handles_secrets() -> bool {
    HANDLES.get()
}

/// Where secrets are handled, and whether they were before.
struct Scope<const WORDS: usize>(bool);

impl<const WORDS: usize> Drop for Scope<WORDS> {
    fn drop(&mut self) {
        HANDLES.set(self.0);
        // What surrounds this overwrites more.
        if !self.0 {
            overwrite_stack::<WORDS>();
        }
    }
}

/// With a frame of its own below that of the caller, whatever the compiler would rather do.
#[inline(never)]
fn apart<T>(run: impl FnOnce() -> T) -> T {
    run()
}

/// Its frame lies where those were that have returned.
#[inline(never)]
fn overwrite_stack<const WORDS: usize>() {
    let mut frame = [0_u64; WORDS];
    frame.zeroize();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_handled_until_the_outermost_call_returns_or_panics() {
        assert!(!handles_secrets());
        let inside = scrubbed(|| (scrubbed_small(handles_secrets), handles_secrets()));
        assert_eq!((inside, handles_secrets()), ((true, true), false));
        let panicked = std::panic::catch_unwind(|| scrubbed(|| panic!("on purpose")));
        assert!(panicked.is_err() && !handles_secrets());
    }
}
