//! The VFS by which SQLite opens moments: a copy of the default VFS with another name, which opens the names of
//! [`attach`](crate::attach) itself and leaves everything else to the default VFS: temporary files, the output of
//! `VACUUM INTO`, a live database with its log.
//!
//! A moment's file is read-only and *immutable* (`SQLITE_IOCAP_IMMUTABLE`): SQLite then takes no locks, looks for no
//! journal and no log, and does not care that the header of page 1 speaks of a write-ahead log.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Arc, OnceLock};

use rusqlite::ffi;

use crate::attach::{PREFIX, find};
use crate::clock::note_clock_read;
use crate::opened::{Opened, Read};

/// The name of the VFS.
pub(crate) const NAME: &CStr = c"ebbtide-moment";

/// Pages are at least that long, so that no header is read in pieces.
const SECTOR_BYTES: c_int = 512;

/// SQLite's own VFS.
static THEIRS: OnceLock<Option<Vfs>> = OnceLock::new();

/// A registered VFS. It is never moved or freed.
#[derive(Clone, Copy)]
struct Vfs(*mut ffi::sqlite3_vfs);

// SAFETY: only SQLite's own list of them is ever changed, by SQLite, under its mutex; what is read here is not.
#[expect(unsafe_code, reason = "a pointer to what never changes")]
unsafe impl Send for Vfs {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "a pointer to what never changes")]
unsafe impl Sync for Vfs {}

/// An open moment, as SQLite holds it: its own part first.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    /// From [`Arc::into_raw`], until it is closed.
    opened: *const Opened,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // Version 1: no shared memory and no memory map.
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// The name of the VFS for opening connections; `None` if it cannot be registered.
pub(crate) fn name() -> Option<&'static CStr> {
    THEIRS.get_or_init(register).is_some().then_some(NAME)
}

#[expect(unsafe_code, reason = "a VFS has no safe wrapper")]
fn register() -> Option<Vfs> {
    // SAFETY: a null name asks for the default VFS, which is never unregistered here and therefore stays
    // (sqlite.org/c3ref/vfs_find.html).
    let theirs = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
    // SAFETY: the pointer is null or SQLite's to a VFS. The copy has the same functions but for those below, which are told
    // which VFS they belong to only to find their name and what is in `pAppData`, and that is the same, too.
    let ours = unsafe { theirs.as_ref().copied() }?;
    let room = c_int::try_from(size_of::<File>()).ok()?;
    let ours = ffi::sqlite3_vfs {
        zName: NAME.as_ptr(),
        pNext: ptr::null_mut(),
        // Files of either kind have room.
        szOsFile: ours.szOsFile.max(room),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_path_name),
        xCurrentTimeInt64: Some(current_time),
        ..ours
    };
    // SAFETY: the VFS is leaked, so that it stays as long as SQLite may use it; it is not made the default.
    let code = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 0) };
    (code == ffi::SQLITE_OK).then_some(Vfs(theirs))
}

/// The name, if it is one of a moment.
///
/// # Safety
/// `name` is null, or ends with a zero and stays as it is while the result is used.
#[expect(unsafe_code, reason = "SQLite hands out names as pointers")]
unsafe fn name_of<'a>(name: *const c_char) -> Option<&'a str> {
    if name.is_null() {
        return None;
    }
    // SAFETY: it is not null, and the caller promises the rest.
    let name = unsafe { CStr::from_ptr(name) };
    name.to_str().ok().filter(|name| name.starts_with(PREFIX))
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's names end with a zero and stay during the call.
    if let Some(name) = unsafe { name_of(name) }
        && flags & ffi::SQLITE_OPEN_MAIN_DB != 0
    {
        let opened = find(name);
        let methods = if opened.is_some() { &raw const METHODS } else { ptr::null() };
        let code = if opened.is_some() { ffi::SQLITE_OK } else { ffi::SQLITE_CANTOPEN };
        let opened = opened.map_or(ptr::null(), Arc::into_raw);
        // SAFETY: SQLite passes room for `szOsFile` bytes, which are no fewer than ours, aligned for any file of a VFS: with
        // null methods it takes the file as not open, otherwise it calls `xClose` once (sqlite.org/c3ref/vfs.html).
        unsafe {
            file.cast::<File>()
                .write(File { base: ffi::sqlite3_file { pMethods: methods }, opened });
            if let Some(out) = out_flags.as_mut() {
                *out = ffi::SQLITE_OPEN_READONLY | ffi::SQLITE_OPEN_MAIN_DB;
            }
        }
        return code;
    }
    let Some(Some(Vfs(theirs))) = THEIRS.get() else { return ffi::SQLITE_CANTOPEN };
    // SAFETY: a registered VFS stays. The arguments are SQLite's for this very function of this very VFS; `file` has room
    // for one of its files, because ours says `szOsFile` as it does, or more.
    unsafe {
        match (**theirs).xOpen {
            Some(open) => open(*theirs, name, file, flags, out_flags),
            None => ffi::SQLITE_CANTOPEN,
        }
    }
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: as in `open`.
    if unsafe { name_of(name) }.is_some() {
        return ffi::SQLITE_READONLY;
    }
    let Some(Some(Vfs(theirs))) = THEIRS.get() else { return ffi::SQLITE_IOERR_DELETE };
    // SAFETY: a registered VFS stays; the arguments are SQLite's for this very function.
    unsafe {
        match (**theirs).xDelete {
            Some(delete) => delete(*theirs, name, sync),
            None => ffi::SQLITE_IOERR_DELETE,
        }
    }
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn access(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: as in `open`. What is asked for beside a moment is its journal or its log, and it has neither.
    if unsafe { name_of(name) }.is_some() {
        // SAFETY: SQLite passes where the answer goes.
        if let Some(out) = unsafe { out.as_mut() } {
            *out = 0;
        }
        return ffi::SQLITE_OK;
    }
    let Some(Some(Vfs(theirs))) = THEIRS.get() else { return ffi::SQLITE_IOERR_ACCESS };
    // SAFETY: a registered VFS stays; the arguments are SQLite's for this very function.
    unsafe {
        match (**theirs).xAccess {
            Some(access) => access(*theirs, name, flags, out),
            None => ffi::SQLITE_IOERR_ACCESS,
        }
    }
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn current_time(_: *mut ffi::sqlite3_vfs, out: *mut ffi::sqlite3_int64) -> c_int {
    note_clock_read();
    let Some(Some(Vfs(theirs))) = THEIRS.get() else { return ffi::SQLITE_ERROR };
    // SAFETY: a registered VFS stays; the arguments are SQLite's for this very function, which a VFS has from version 2 on.
    unsafe {
        match (**theirs).xCurrentTimeInt64 {
            Some(current_time) if (**theirs).iVersion >= 2 => current_time(*theirs, out),
            _ => ffi::SQLITE_ERROR,
        }
    }
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn full_path_name(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: as in `open`. The name of a moment is no path, and stays as it is.
    if let Some(name) = unsafe { name_of(name) } {
        let room = usize::try_from(room).unwrap_or(0);
        if name.len() >= room {
            return ffi::SQLITE_CANTOPEN;
        }
        // SAFETY: SQLite passes room for so many bytes, which the name and its zero do not exceed; they do not overlap,
        // because the one is SQLite's argument and the other its buffer.
        unsafe {
            ptr::copy_nonoverlapping(name.as_ptr().cast::<c_char>(), out, name.len());
            out.add(name.len()).write(0);
        }
        return ffi::SQLITE_OK;
    }
    let Some(Some(Vfs(theirs))) = THEIRS.get() else { return ffi::SQLITE_CANTOPEN };
    // SAFETY: a registered VFS stays; the arguments are SQLite's for this very function.
    unsafe {
        match (**theirs).xFullPathname {
            Some(full_path_name) => full_path_name(*theirs, name, room, out),
            None => ffi::SQLITE_CANTOPEN,
        }
    }
}

/// The moment of an open file.
///
/// # Safety
/// `file` is one that [`open`] made and that is not closed.
#[expect(unsafe_code, reason = "a file is a pointer")]
unsafe fn opened<'a>(file: *mut ffi::sqlite3_file) -> Option<&'a Opened> {
    // SAFETY: its methods are ours, so `open` wrote all of it, and the share in the moment is given up by `close` alone.
    unsafe { file.cast::<File>().as_ref().and_then(|file| file.opened.as_ref()) }
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: the file is an open one of ours, which SQLite closes once and does not use any more.
    unsafe {
        if let Some(file) = file.cast::<File>().as_mut() {
            let opened = std::mem::replace(&mut file.opened, ptr::null());
            if !opened.is_null() {
                drop(Arc::from_raw(opened));
            }
        }
    }
    ffi::SQLITE_OK
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    bytes: *mut c_void,
    count: c_int,
    at: i64,
) -> c_int {
    let (Ok(length), Ok(at)) = (usize::try_from(count), u64::try_from(at)) else {
        return ffi::SQLITE_IOERR_READ;
    };
    // SAFETY: the file is an open one of ours.
    let Some(opened) = (unsafe { opened(file) }) else { return ffi::SQLITE_IOERR_READ };
    // SAFETY: SQLite passes room for as many bytes as it says, which it has set up: it reads into pages of its cache and
    // into memory from its allocator, and looks at neither before this returns.
    let bytes = unsafe { std::slice::from_raw_parts_mut(bytes.cast::<u8>(), length) };
    match opened.read(bytes, at) {
        Read::Whole => ffi::SQLITE_OK,
        Read::Short => ffi::SQLITE_IOERR_SHORT_READ,
        Read::Cancelled => ffi::SQLITE_INTERRUPT,
        Read::Failed => ffi::SQLITE_IOERR_READ,
    }
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn write(_: *mut ffi::sqlite3_file, _: *const c_void, _: c_int, _: i64) -> c_int {
    ffi::SQLITE_READONLY
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn truncate(_: *mut ffi::sqlite3_file, _: i64) -> c_int {
    ffi::SQLITE_READONLY
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn sync(_: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    ffi::SQLITE_OK
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    // SAFETY: the file is an open one of ours, and SQLite passes where the answer goes.
    let (opened, size) = unsafe { (opened(file), size.as_mut()) };
    match (opened.and_then(|opened| i64::try_from(opened.moment().bytes()).ok()), size) {
        (Some(bytes), Some(size)) => {
            *size = bytes;
            ffi::SQLITE_OK
        }
        _ => ffi::SQLITE_IOERR_FSTAT,
    }
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn lock(_: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    ffi::SQLITE_OK
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn unlock(_: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    ffi::SQLITE_OK
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn check_reserved_lock(_: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: SQLite passes where the answer goes.
    if let Some(out) = unsafe { out.as_mut() } {
        *out = 0;
    }
    ffi::SQLITE_OK
}

/// Answers `PRAGMA ebbtide`.
#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn control(
    file: *mut ffi::sqlite3_file,
    operation: c_int,
    argument: *mut c_void,
) -> c_int {
    if operation != ffi::SQLITE_FCNTL_PRAGMA {
        return ffi::SQLITE_NOTFOUND;
    }
    let words = argument.cast::<*mut c_char>();
    // SAFETY: with this operation SQLite passes three pointers: for the answer, to the pragma's name, and to its argument or
    // null (sqlite.org/c3ref/c_fcntl_begin_atomic_write.html). The name ends with a zero.
    let is_ours = unsafe {
        let name = *words.add(1);
        !name.is_null() && CStr::from_ptr(name).to_bytes().eq_ignore_ascii_case(b"ebbtide")
    };
    // SAFETY: the file is an open one of ours.
    let Some(opened) = (unsafe { opened(file) }).filter(|_| is_ours) else {
        return ffi::SQLITE_NOTFOUND;
    };
    let Ok(answer) = std::ffi::CString::new(opened.describe()) else {
        return ffi::SQLITE_NOTFOUND;
    };
    // SAFETY: the answer comes from SQLite's own allocator, as it must, because SQLite frees it; `%s` has its argument.
    unsafe {
        *words = ffi::sqlite3_mprintf(c"%s".as_ptr(), answer.as_ptr());
    }
    ffi::SQLITE_OK
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    SECTOR_BYTES
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_IMMUTABLE
}

/// Whether text ends with a complete statement, as SQLite's shell asks it. It has nothing to do with files, but is the one
/// other call that rusqlite does not wrap.
#[expect(unsafe_code, reason = "it has no safe wrapper")]
pub(crate) fn is_complete(sql: &str) -> bool {
    let Ok(sql) = std::ffi::CString::new(sql) else { return true };
    // SAFETY: the text ends with a zero, and is only read.
    unsafe { ffi::sqlite3_complete(sql.as_ptr()) != 0 }
}
