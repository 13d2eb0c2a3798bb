//! The defaults of all that can be configured, beside what they mean. None of them is anywhere else.

use std::time::Duration;

use crate::puts::Puts;

/// One put a second in the long run, and five minutes' worth at once after a rest.
pub const PUTS: Puts = Puts { per_second: 1.0, burst: 300.0 };
/// The log waits for the store up to this size…
pub const LOG_BYTES_MAX: u64 = 256 << 20;
/// …then so much is spooled, compressed, on the local disk; then the log is let go.
pub const SPOOL_BYTES_MAX: u64 = 1 << 30;
/// The log is kept at about 4 MB while a database is written at leisure, as SQLite keeps it by itself.
pub const CHECKPOINT_FRAMES: u32 = 1000;
/// How long the last sync of a stopping process may take.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
