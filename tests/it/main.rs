//! Tests of the whole: the `ebbtide` binary against real databases and stores, and the tree against its own rules.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod exact;
mod support;
mod tidy;
