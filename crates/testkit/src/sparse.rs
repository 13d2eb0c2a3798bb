//! Large databases that take no room.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ebbtide_wal::{PageSize, lock_page};
use rusqlite::Connection;

/// Makes a hollow database with `room` pages left before the page of SQLite's locks, at one gibibyte.
///
/// # Errors
///
/// When SQLite or the file system refuses.
pub fn below_the_lock_page(path: &Path, size: PageSize, room: u32) -> io::Result<()> {
    hollow(path, size, lock_page(size).get() - 1 - room)
}

/// Makes a database of `pages` pages in WAL mode with a table `t (id INTEGER PRIMARY KEY, body BLOB)`. Almost all of it is
/// a hole in the file: pages that nothing refers to. SQLite does not mind, but `PRAGMA integrity_check` counts them.
///
/// # Errors
///
/// When SQLite or the file system refuses.
pub fn hollow(path: &Path, size: PageSize, pages: u32) -> io::Result<()> {
    let create = || {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "page_size", size.get())?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)")?;
        connection.close().map_err(|(_, error)| error)
    };
    create().map_err(io::Error::other)?;
    // No connection of this process is open any more, so no lock is lost when this is closed.
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    // The size in the header counts where the two change counters agree (fileformat2.html, 1.3.8).
    let mut counters = [[0; 4]; 2];
    file.read_exact_at(&mut counters[0], 24)?;
    file.read_exact_at(&mut counters[1], 92)?;
    if counters[0] != counters[1] {
        return Err(io::Error::other("SQLite left a header without a size"));
    }
    file.write_all_at(&pages.to_be_bytes(), 28)?;
    file.set_len(u64::from(pages) * size.offset())
}
