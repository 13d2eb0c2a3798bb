//! The catalog against replicas in memory.
