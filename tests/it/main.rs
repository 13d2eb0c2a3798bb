//! Tests of the whole: the `ebbtide` binary against real databases and stores, and the tree against its own rules.

mod tidy;
