//! The policy and what it keeps, against an oracle that looks at every state of every hour.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod select;
