//! Named places at which a test makes the process die: [`point`].
//!
//! What is shipped is built without the feature `failpoints`, and there a place is an empty function. With it, the
//! variable `FAILPOINTS` says what happens:
//!
//! ```text
//! FAILPOINTS=shipper.put.done=3          the process aborts at the third passage of the place of that name
//! FAILPOINTS=shipper.put.done=3:panic    the thread panics there instead
//! FAILPOINTS=trace                       each passage is told on standard error
//! ```
//!
//! The crate `fail` is built for more than that, and brings generators of random numbers into every release for it.

/// What a process says on standard error before it dies at a place, followed by the name.
pub const DIED: &str = "failpoint died:";

/// What it says at each passage when it traces, followed by the name.
pub const PASSED: &str = "failpoint passed:";

/// A place at which a test may make the process die.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn point(_name: &'static str) {}

#[cfg(feature = "failpoints")]
pub use armed::point;

#[cfg(feature = "failpoints")]
mod armed {
    //! The build for tests.

    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{DIED, PASSED};

    /// What the variable says.
    #[derive(Debug)]
    pub(super) enum Order {
        Nothing,
        Trace,
        Die { name: String, passages_left: AtomicU64, panic: bool },
    }

    static ORDER: OnceLock<Order> = OnceLock::new();

    /// A place at which a test may make the process die.
    ///
    /// # Panics
    /// When that is what was asked for.
    pub fn point(name: &'static str) {
        let order = ORDER.get_or_init(|| {
            let text = std::env::var("FAILPOINTS").unwrap_or_default();
            parse(&text).unwrap_or_else(|| panic!("FAILPOINTS={text} is not NAME=PASSAGE"))
        });
        match order {
            Order::Nothing => {}
            Order::Trace => eprintln!("{PASSED} {name}"),
            Order::Die { name: at, passages_left, panic } => {
                if at != name || passages_left.fetch_sub(1, Ordering::Relaxed) != 1 {
                    return;
                }
                assert!(!panic, "{DIED} {name}");
                eprintln!("{DIED} {name}");
                std::process::abort();
            }
        }
    }

    pub(super) fn parse(text: &str) -> Option<Order> {
        if text.is_empty() {
            return Some(Order::Nothing);
        }
        if text == "trace" {
            return Some(Order::Trace);
        }
        let (name, passage) = text.split_once('=')?;
        let (passage, panic) =
            passage.strip_suffix(":panic").map_or((passage, false), |passage| (passage, true));
        let passages_left = AtomicU64::new(passage.parse().ok().filter(|passage| *passage > 0)?);
        Some(Order::Die { name: name.to_owned(), passages_left, panic })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn an_order_is_a_name_a_passage_and_what_happens() {
            assert!(matches!(parse(""), Some(Order::Nothing)));
            assert!(matches!(parse("trace"), Some(Order::Trace)));
            let Some(Order::Die { name, passages_left, panic }) = parse("a.b=7:panic") else {
                panic!("an order to die")
            };
            assert_eq!((name.as_str(), passages_left.into_inner(), panic), ("a.b", 7, true));
            for wrong in ["a.b", "a.b=", "a.b=0", "a.b=x"] {
                assert!(parse(wrong).is_none(), "{wrong}");
            }
        }
    }
}
