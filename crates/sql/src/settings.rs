//! How our connections are set up. What is in a replica may be anybody's, and so may its schema.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// How much SQLite caches by itself: what it drops is still in the cache of blocks.
const CACHE_KIB: i64 = 16 * 1024;

/// How long a statement waits for another writer of a live file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// For every connection.
pub(crate) fn defend(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // Bundled builds have it on by default; a script that gives rows back must behave as it does everywhere else.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)
}

/// For one whose main schema is a live file: the log belongs to the application and to whoever replicates it. No checkpoint
/// of ours, not even by the last close, which would delete the log and cost the history a gap. A statement that asks for a
/// checkpoint, or for another journal, is refused.
pub(crate) fn leave_the_log(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.authorizer(Some(authorize))
}

fn authorize(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Pragma { pragma_name, pragma_value } if empties(pragma_name, pragma_value) => {
            Authorization::Deny
        }
        _ => Authorization::Allow,
    }
}

/// Whether a pragma may empty the log, or have another do it.
fn empties(name: &str, value: Option<&str>) -> bool {
    let is = |other: &&str| name.eq_ignore_ascii_case(other);
    is(&"wal_checkpoint")
        || value.is_some() && ["wal_autocheckpoint", "journal_mode"].iter().any(is)
}
