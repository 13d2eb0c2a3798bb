//! Commits in, objects out, in order.
