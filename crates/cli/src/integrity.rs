//! SQLite's own checks of a restored file. Its bytes are proved by then; this asks whether the application's database
//! was sound in the first place.

use std::path::Path;

use ebbtide_restore::Check;
use rusqlite::{Connection, OpenFlags};

use crate::args::Integrity;

/// The check that was asked for, if one was.
pub(crate) fn check_of(integrity: Integrity) -> Option<Check> {
    let pragma = match integrity {
        Integrity::None => return None,
        Integrity::Quick => "quick_check",
        Integrity::Full => "integrity_check",
    };
    Some(Check::new(move |path| check(path, pragma)))
}

/// Runs the pragma on a file that nobody else has open. Nothing is written beside it.
fn check(path: &Path, pragma: &str) -> Result<(), String> {
    let fail = |error: rusqlite::Error| format!("cannot check it: {error}");
    let url =
        url::Url::from_file_path(std::path::absolute(path).map_err(|error| error.to_string())?)
            .map_err(|()| "its path is no URL".to_owned())?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let database =
        Connection::open_with_flags(format!("{url}?immutable=1"), flags).map_err(fail)?;
    // The file may be anybody's: nothing in its schema is run that need not be.
    database
        .execute_batch("PRAGMA trusted_schema = 0; PRAGMA cell_size_check = 1")
        .map_err(fail)?;
    let mut found = Vec::new();
    database
        .pragma_query(None, pragma, |row| {
            found.push(row.get::<_, String>(0)?);
            Ok(())
        })
        .map_err(fail)?;
    match found.as_slice() {
        [ok] if ok == "ok" => Ok(()),
        found => Err(format!("SQLite's {pragma} says: {}", found.join("; "))),
    }
}
