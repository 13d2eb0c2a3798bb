//! Named places at which a test makes the process die, or wait: [`point`].
//!
//! What is shipped is built without the feature `failpoints`, and there a place is an empty function. With it, the
//! variable `FAILPOINTS` says what happens:
//!
//! ```text
//! FAILPOINTS=shipper.put.done=3          the process aborts at the third passage of the place of that name
//! FAILPOINTS=shipper.put.done=3:panic    the thread panics there instead
//! FAILPOINTS=shipper.put.done=3:wait     it waits there for a line on standard input
//! FAILPOINTS=trace                       each passage is told on standard error
//! ```
//!
//! A number that a test may set is a [`setting`].
//!
//! The crate `fail` is built for more than that, and brings generators of random numbers into every release for it.
//!
//! The words that are ours are in `docs/glossary.md`.

/// What a process says on standard error before it dies at a place, followed by the name.
pub const DIED: &str = "failpoint died:";

/// What it says at each passage when it traces, followed by the name.
pub const PASSED: &str = "failpoint passed:";

/// What it says before it waits at a place, followed by the name.
pub const WAITS: &str = "failpoint waits:";

/// A place at which a test may make the process die.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn point(_name: &'static str) {}

/// A number that a test sets in place of one that is right for users: `FAILPOINT_SETTINGS=name=7,other=9`.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn setting(_name: &'static str) -> Option<u64> {
    None
}

#[cfg(feature = "failpoints")]
pub use armed::{point, setting};

#[cfg(feature = "failpoints")]
mod armed {
    //! The build for tests.

    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{DIED, PASSED, WAITS};

    /// What the variable says.
    #[derive(Debug)]
    pub(super) enum Order {
        Nothing,
        Trace,
        At { name: String, passages_left: AtomicU64, then: Then },
    }

    /// What happens at the place.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Then {
        Abort,
        Panic,
        Wait,
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
            Order::At { name: at, passages_left, then } => {
                if at == name && passages_left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    then.happen(name);
                }
            }
        }
    }

    /// A number that a test sets in place of one that is right for users.
    pub fn setting(name: &'static str) -> Option<u64> {
        let text = std::env::var("FAILPOINT_SETTINGS").ok()?;
        let mut settings = text.split(',').filter_map(|one| one.split_once('='));
        settings.find(|(set, _)| *set == name)?.1.parse().ok()
    }

    impl Then {
        fn happen(self, name: &str) {
            match self {
                Then::Abort => {
                    eprintln!("{DIED} {name}");
                    std::process::abort();
                }
                Then::Panic => panic!("{DIED} {name}"),
                Then::Wait => {
                    eprintln!("{WAITS} {name}");
                    let read = std::io::stdin().read_line(&mut String::new());
                    read.expect("somebody who ends the waiting");
                }
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
        let (passage, then) = match passage.split_once(':') {
            None => (passage, Then::Abort),
            Some((passage, "panic")) => (passage, Then::Panic),
            Some((passage, "wait")) => (passage, Then::Wait),
            Some(_) => return None,
        };
        let passages_left = AtomicU64::new(passage.parse().ok().filter(|passage| *passage > 0)?);
        Some(Order::At { name: name.to_owned(), passages_left, then })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn an_order_is_a_name_a_passage_and_what_happens() {
            assert!(matches!(parse(""), Some(Order::Nothing)));
            assert!(matches!(parse("trace"), Some(Order::Trace)));
            let cases = [("7", Then::Abort), ("7:panic", Then::Panic), ("7:wait", Then::Wait)];
            for (passage, expected) in cases {
                let Some(Order::At { name, passages_left, then }) =
                    parse(&format!("a.b={passage}"))
                else {
                    panic!("{passage}: an order")
                };
                assert_eq!((name.as_str(), passages_left.into_inner(), then), ("a.b", 7, expected));
            }
            for wrong in ["a.b", "a.b=", "a.b=0", "a.b=x", "a.b=1:x"] {
                assert!(parse(wrong).is_none(), "{wrong}");
            }
        }
    }
}
