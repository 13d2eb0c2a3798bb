//! The VFS of our connections: SQLite's own, but for the reads and writes of checkpoints, see [`Copying`].
//!
//! It is a copy of SQLite's VFS with another name and another `xOpen`, which replaces three methods: `xFileControl` of
//! a database's file, by which SQLite announces the beginning and the end of a checkpoint's writes, its `xWrite`, and
//! `xRead` of a log. A checkpoint runs on one thread from beginning to end, so its buffers are thread-local. SQLite's
//! code does everything else, on its own files: its locks, and the file descriptors that it keeps open because of them,
//! are as without this VFS.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use ebbtide_wal::{INDEX_BYTES, Index, IndexError, REGION_BYTES, page_slot};
use rusqlite::ffi;

use crate::copying::Copying;

/// The name of the VFS.
const NAME: &CStr = c"ebbtide";

/// How often to read a torn wal-index header: a change of the header takes less than a microsecond.
const ATTEMPTS: usize = 1000;

/// SQLite's methods of one kind of file, and ours.
struct Methods {
    theirs: &'static ffi::sqlite3_io_methods,
    ours: ffi::sqlite3_io_methods,
}

static DATABASE: OnceLock<Methods> = OnceLock::new();
static LOG: OnceLock<Methods> = OnceLock::new();
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

/// The checkpoint that is running on this thread.
struct Running {
    database: *mut ffi::sqlite3_file,
    copying: Copying,
}

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// The name of the VFS for opening connections; `None` if it cannot be registered, so that SQLite's own must be used.
pub(crate) fn name() -> Option<&'static CStr> {
    THEIRS.get_or_init(register).is_some().then_some(NAME)
}

#[expect(unsafe_code, reason = "a VFS has no safe wrapper")]
fn register() -> Option<Vfs> {
    // SAFETY: a null name asks for the default VFS, which is never unregistered here and therefore stays
    // (sqlite.org/c3ref/vfs_find.html).
    let theirs = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
    // SAFETY: the pointer is null or SQLite's to a VFS. The copy has the same functions, which are told which VFS they
    // belong to only to find their name and what is in `pAppData`, and that is the same, too.
    let ours = unsafe { theirs.as_ref().copied() }?;
    let ours = ffi::sqlite3_vfs {
        zName: NAME.as_ptr(),
        pNext: ptr::null_mut(),
        xOpen: Some(open),
        ..ours
    };
    // SAFETY: the VFS is leaked, so that it stays as long as SQLite may use it; it is not made the default.
    let code = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 0) };
    (code == ffi::SQLITE_OK).then_some(Vfs(theirs))
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let Some(Some(Vfs(theirs))) = THEIRS.get() else { return ffi::SQLITE_CANTOPEN };
    // SAFETY: a registered VFS stays. The arguments are SQLite's for this very function of this very VFS; `file` has room
    // for one of its files, because ours says `szOsFile` as it does.
    unsafe {
        let Some(open) = (**theirs).xOpen else { return ffi::SQLITE_CANTOPEN };
        let code = open(*theirs, name, file, flags, out_flags);
        if code == ffi::SQLITE_OK && flags & ffi::SQLITE_OPEN_MAIN_DB != 0 {
            replace(file, &DATABASE, |theirs| ffi::sqlite3_io_methods {
                xWrite: Some(write),
                xFileControl: Some(control),
                ..theirs
            });
        } else if code == ffi::SQLITE_OK && flags & ffi::SQLITE_OPEN_WAL != 0 {
            replace(file, &LOG, |theirs| ffi::sqlite3_io_methods { xRead: Some(read), ..theirs });
        }
        code
    }
}

/// Replaces the methods of an open file, if they are the methods of the first file of its kind.
///
/// # Safety
/// `file` was opened by SQLite's own VFS.
#[expect(unsafe_code, reason = "a file's methods are a pointer")]
unsafe fn replace(
    file: *mut ffi::sqlite3_file,
    methods: &'static OnceLock<Methods>,
    ours: impl FnOnce(ffi::sqlite3_io_methods) -> ffi::sqlite3_io_methods,
) {
    // SAFETY: an open file has its methods, in a table that SQLite's own VFS has as a constant.
    let Some((file, theirs)) = (unsafe {
        file.as_mut().and_then(|file| file.pMethods.as_ref().map(|theirs| (file, theirs)))
    }) else {
        return;
    };
    let methods = methods.get_or_init(|| Methods { theirs, ours: ours(*theirs) });
    if ptr::eq(methods.theirs, theirs) {
        file.pMethods = &raw const methods.ours;
    }
}

/// `xFileControl` of a database's file.
#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn control(
    file: *mut ffi::sqlite3_file,
    operation: c_int,
    argument: *mut c_void,
) -> c_int {
    let Some(theirs) = DATABASE.get().map(|methods| methods.theirs) else {
        return ffi::SQLITE_NOTFOUND;
    };
    match operation {
        ffi::SQLITE_FCNTL_CKPT_START => begin(file, theirs),
        ffi::SQLITE_FCNTL_CKPT_DONE => end(file, theirs),
        _ => {}
    }
    let Some(control) = theirs.xFileControl else { return ffi::SQLITE_NOTFOUND };
    // SAFETY: the file is one of SQLite's own VFS, and this is what it would have been asked.
    unsafe { control(file, operation, argument) }
}

fn begin(file: *mut ffi::sqlite3_file, theirs: &ffi::sqlite3_io_methods) {
    let copying = WalIndex::new(file, theirs)
        .and_then(|wal_index| Copying::new(&wal_index.head, |frame| wal_index.page_of(frame)));
    RUNNING.set(copying.map(|copying| Running { database: file, copying }));
}

fn end(file: *mut ffi::sqlite3_file, theirs: &ffi::sqlite3_io_methods) {
    let Some(mut running) = RUNNING.take() else { return };
    if let Err(code) = running.copying.flush(|bytes, at| write_through(file, theirs, bytes, at)) {
        // SQLite ignores errors of this call, and would then publish `nBackfill`, so that readers read stale pages from
        // the file. Before it is published the end of this process does no harm.
        tracing::error!(code, "the last pages of a checkpoint cannot be written into the database");
        std::process::abort();
    }
}

/// `xWrite` of a database's file.
#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    count: c_int,
    at: i64,
) -> c_int {
    let (Some(methods), Ok(length)) = (DATABASE.get(), usize::try_from(count)) else {
        return ffi::SQLITE_IOERR_WRITE;
    };
    // SAFETY: SQLite passes as many bytes as it says.
    let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) };
    let through = |bytes: &[u8], at| write_through(file, methods.theirs, bytes, at);
    let written = RUNNING.with_borrow_mut(|running| match running {
        Some(running) if ptr::eq(running.database, file) => {
            running.copying.write(bytes, at, through)
        }
        _ => through(bytes, at),
    });
    written.err().unwrap_or(ffi::SQLITE_OK)
}

#[expect(unsafe_code, reason = "the file's xWrite has no safe wrapper")]
fn write_through(
    file: *mut ffi::sqlite3_file,
    theirs: &ffi::sqlite3_io_methods,
    bytes: &[u8],
    at: i64,
) -> Result<(), c_int> {
    let (Some(write), Ok(count)) = (theirs.xWrite, c_int::try_from(bytes.len())) else {
        return Err(ffi::SQLITE_IOERR_WRITE);
    };
    // SAFETY: the file is an open one of SQLite's own VFS, to which SQLite is just writing or telling something.
    match unsafe { write(file, bytes.as_ptr().cast::<c_void>(), count, at) } {
        ffi::SQLITE_OK => Ok(()),
        code => Err(code),
    }
}

/// `xRead` of a log.
#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    bytes: *mut c_void,
    count: c_int,
    at: i64,
) -> c_int {
    let (Some(methods), Ok(length)) = (LOG.get(), usize::try_from(count)) else {
        return ffi::SQLITE_IOERR_READ;
    };
    // SAFETY: SQLite passes room for as many bytes as it says, which it has set up: it reads into pages of its cache and
    // into memory from its allocator, and looks at neither before this returns.
    let bytes = unsafe { std::slice::from_raw_parts_mut(bytes.cast::<u8>(), length) };
    let through = |bytes: &mut [u8], at| read_through(file, methods.theirs, bytes, at);
    let read = RUNNING.with_borrow_mut(|running| match running {
        Some(running) => running.copying.read(bytes, at, through),
        None => through(bytes, at),
    });
    read.err().unwrap_or(ffi::SQLITE_OK)
}

#[expect(unsafe_code, reason = "the file's xRead has no safe wrapper")]
fn read_through(
    file: *mut ffi::sqlite3_file,
    theirs: &ffi::sqlite3_io_methods,
    bytes: &mut [u8],
    at: i64,
) -> Result<(), c_int> {
    let (Some(read), Ok(count)) = (theirs.xRead, c_int::try_from(bytes.len())) else {
        return Err(ffi::SQLITE_IOERR_READ);
    };
    // SAFETY: the file is an open one of SQLite's own VFS, which SQLite is just reading.
    match unsafe { read(file, bytes.as_mut_ptr().cast::<c_void>(), count, at) } {
        ffi::SQLITE_OK => Ok(()),
        code => Err(code),
    }
}

/// The wal-index, mapped by the connection that runs the checkpoint. While this connection has the checkpoint lock and
/// an exclusive `WAL_READ_LOCK(0)`, the log cannot be restarted, so committed frames keep their pages.
struct WalIndex {
    head: Index,
    regions: Vec<*const u32>,
}

impl WalIndex {
    fn new(file: *mut ffi::sqlite3_file, theirs: &ffi::sqlite3_io_methods) -> Option<WalIndex> {
        let head = head(region(file, theirs, 0)?)?;
        let last = page_slot(head.frames.max(head.backfill_attempted)).0;
        let regions =
            (0..=last).map(|number| region(file, theirs, number)).collect::<Option<_>>()?;
        Some(WalIndex { head, regions })
    }

    /// The page of a committed frame.
    #[expect(unsafe_code, reason = "SQLite hands out shared memory as a pointer")]
    fn page_of(&self, frame: u32) -> u32 {
        let (region, byte) = page_slot(frame);
        let Some(region) = self.regions.get(region) else { return u32::MAX };
        // SAFETY: a slot lies in the first half of its region, which stays mapped as long as the connection is open;
        // others may write to other slots meanwhile, so it is read as what it is, volatile.
        unsafe { region.add(byte / 4).read_volatile() }
    }
}

/// The address of a region of the wal-index, if it is mapped.
#[expect(unsafe_code, reason = "the file's xShmMap has no safe wrapper")]
fn region(
    file: *mut ffi::sqlite3_file,
    theirs: &ffi::sqlite3_io_methods,
    number: usize,
) -> Option<*const u32> {
    let (number, size) = (c_int::try_from(number).ok()?, c_int::try_from(REGION_BYTES).ok()?);
    let mut region: *mut c_void = ptr::null_mut();
    // SAFETY: the file is the open one of a database in WAL mode, whose regions all have this size. The third argument
    // says that none is to be made; then the pointer is left null (sqlite.org/c3ref/io_methods.html).
    let code = unsafe { theirs.xShmMap?(file, number, size, 0, &raw mut region) };
    (code == ffi::SQLITE_OK && !region.is_null()).then_some(region.cast_const().cast::<u32>())
}

/// Reads the header in the first region, with retries while it is torn.
#[expect(unsafe_code, reason = "SQLite hands out shared memory as a pointer")]
fn head(region: *const u32) -> Option<Index> {
    let mut bytes = [0; INDEX_BYTES];
    for _ in 0..ATTEMPTS {
        for (at, word) in bytes.as_chunks_mut().0.iter_mut().enumerate() {
            // SAFETY: the first region is mapped and larger than the head; others may be writing to it, so it is read as
            // what it is, volatile, and taken only if it agrees with itself.
            *word = unsafe { region.add(at).read_volatile() }.to_ne_bytes();
        }
        match Index::parse(&bytes) {
            Err(IndexError::Torn) => std::hint::spin_loop(),
            parsed => return parsed.ok(),
        }
    }
    None
}
