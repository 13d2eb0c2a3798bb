//! Functions of SQLite that rusqlite does not wrap, but for the VFS.
//!
//! The database's file is read through SQLite's own file descriptor. One of our own would have to stay open for ever:
//! closing it would drop the locks of all connections of this process to the database.

use std::ffi::{c_int, c_void};
use std::ptr;

use rusqlite::{Connection, Result, ffi};

/// Reads `bytes` at `offset` of the main database file, below SQLite's cache and log. Bytes beyond the end of the file
/// read as zeros.
#[expect(unsafe_code, reason = "the file's xRead has no safe wrapper")]
pub(crate) fn read(connection: &Connection, offset: i64, bytes: &mut [u8]) -> Result<()> {
    let length = c_int::try_from(bytes.len()).map_err(|_| failure(ffi::SQLITE_TOOBIG))?;
    let (file, methods) = main_file(connection)?;
    let Some(read) = methods.xRead else { return Err(failure(ffi::SQLITE_MISUSE)) };
    // SAFETY: the file and its methods are from `main_file`. xRead fills exactly `length` bytes of the buffer or fails; on
    // a short read it fills the rest with zeros (sqlite.org/c3ref/io_methods.html).
    let code = unsafe { read(file, bytes.as_mut_ptr().cast::<c_void>(), length, offset) };
    match code {
        ffi::SQLITE_OK | ffi::SQLITE_IOERR_SHORT_READ => Ok(()),
        code => Err(failure(code)),
    }
}

/// The size of the main database file in bytes.
#[expect(unsafe_code, reason = "the file's xFileSize has no safe wrapper")]
pub(crate) fn size(connection: &Connection) -> Result<u64> {
    let (file, methods) = main_file(connection)?;
    let Some(file_size) = methods.xFileSize else { return Err(failure(ffi::SQLITE_MISUSE)) };
    let mut bytes: ffi::sqlite3_int64 = 0;
    // SAFETY: the file and its methods are from `main_file`; xFileSize writes one integer to where it is told.
    match unsafe { file_size(file, &raw mut bytes) } {
        ffi::SQLITE_OK => Ok(bytes.unsigned_abs()),
        code => Err(failure(code)),
    }
}

/// Runs fsync on the main database file, as a checkpoint that completes does.
#[expect(unsafe_code, reason = "the file's xSync has no safe wrapper")]
pub(crate) fn sync(connection: &Connection) -> Result<()> {
    let (file, methods) = main_file(connection)?;
    let Some(sync) = methods.xSync else { return Err(failure(ffi::SQLITE_MISUSE)) };
    // SAFETY: the file and its methods are from `main_file`; xSync takes no memory of ours.
    match unsafe { sync(file, ffi::SQLITE_SYNC_NORMAL) } {
        ffi::SQLITE_OK => Ok(()),
        code => Err(failure(code)),
    }
}

fn failure(code: c_int) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}

/// SQLite's own file of the main database, and its methods. Both are valid while the connection is open.
#[expect(unsafe_code, reason = "sqlite3_file_control has no safe wrapper")]
fn main_file(
    connection: &Connection,
) -> Result<(*mut ffi::sqlite3_file, &ffi::sqlite3_io_methods)> {
    let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
    // SAFETY: the handle is that of an open connection, which `connection` keeps open for this call, and `&Connection`
    // is not shared between threads (`Connection` is not `Sync`). With SQLITE_FCNTL_FILE_POINTER the argument is a
    // pointer to a pointer to a file, which SQLite sets, or leaves null where there is none
    // (sqlite.org/c3ref/c_fcntl_begin_atomic_write.html).
    let code = unsafe {
        ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_FILE_POINTER,
            (&raw mut file).cast::<c_void>(),
        )
    };
    if code != ffi::SQLITE_OK {
        return Err(failure(code));
    }
    // SAFETY: a non-null file from SQLITE_FCNTL_FILE_POINTER is the connection's own, valid while the connection is open,
    // which the result's lifetime is bound to; its method table is null only when it is closed.
    let methods = unsafe { file.as_ref().and_then(|file| file.pMethods.as_ref()) };
    methods.map(|methods| (file, methods)).ok_or_else(|| failure(ffi::SQLITE_MISUSE))
}

/// Frees the lookaside memory of a connection, 48 KiB, which is most of the memory of an idle connection. The
/// connection uses the allocator from here on.
#[expect(unsafe_code, reason = "sqlite3_db_config with numbers has no safe wrapper")]
pub(crate) fn drop_lookaside(connection: &Connection) {
    let none: *mut c_void = ptr::null_mut();
    // SAFETY: the handle is that of an open connection, as above. SQLITE_DBCONFIG_LOOKASIDE takes a pointer to memory,
    // which may be null, and two ints (sqlite.org/c3ref/c_dbconfig_defensive.html); with no slots none is used. If some
    // of it is in use SQLite leaves everything as it is.
    let code = unsafe {
        let (size, count): (c_int, c_int) = (0, 0);
        ffi::sqlite3_db_config(
            connection.handle(),
            ffi::SQLITE_DBCONFIG_LOOKASIDE,
            none,
            size,
            count,
        )
    };
    if code != ffi::SQLITE_OK {
        tracing::debug!(code, "the connection keeps its memory for small allocations");
    }
}
