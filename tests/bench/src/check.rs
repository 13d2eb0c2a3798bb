//! Whether two databases have the same rows.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::Result;

/// What the application has in a database: its rows, hashed in order. A tool's own tables do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// How many rows there are.
    pub(crate) rows: u64,
    hash: blake3::Hash,
}

/// Reads all rows of the application's table.
pub(crate) fn content(path: &Path) -> Result<Content> {
    let sql = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut query = sql.prepare("SELECT id, at, body FROM t ORDER BY id")?;
    let mut rows = query.query([])?;
    let (mut count, mut hasher) = (0, blake3::Hasher::new());
    while let Some(row) = rows.next()? {
        count += 1;
        for column in 0..3 {
            match row.get_ref(column)? {
                ValueRef::Integer(value) => hasher.update(&value.to_le_bytes()),
                ValueRef::Blob(bytes) => hasher.update(bytes),
                other => return Err(format!("a row with {other:?}").into()),
            };
        }
    }
    Ok(Content { rows: count, hash: hasher.finalize() })
}

/// Fails unless `restored` has what `original` has.
pub(crate) fn equal(original: &Path, restored: &Path) -> Result<()> {
    let (original, restored) = (content(original)?, content(restored)?);
    if original == restored {
        return Ok(());
    }
    Err(format!("restored {} rows instead of {}, or others", restored.rows, original.rows).into())
}
