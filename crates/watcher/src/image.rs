//! The whole database as of one position of its log, read concurrently with its writers.
//!
//! A page is read from the newest frame at or before the position, or from the database's file if there is none. That
//! is safe beside a checkpoint, which may be overwriting the file's page at this moment: the checkpoint backfills only
//! frames that every reader may see, and for each of those pages the image reads the frame, never the file. It is safe
//! beside writers, because the log cannot be restarted while the image's own read transaction lasts; or, if that
//! transaction reads the database file alone, because the file then does not change and has every frame of the log. So
//! after frames were read, the image reads the log's header again: if the log was restarted, they may be frames of
//! another WAL generation, and the pages of the file are right.

use std::cell::Cell;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use ebbtide_fault::point;
use ebbtide_wal::{
    Cursor, FRAME_HEADER_BYTES, Header, Index, PageNumber, PageSize, Position, frame_bytes,
    frame_offset, lock_page,
};

use crate::connection::Connection;
use crate::error::{Break, Error};
use crate::files::{Paths, open_wal, read_up_to};
use crate::held_log::HeldLog;
use crate::sqlite_file;
use crate::tail::{Mark, broken, read_header};
use crate::transaction::{Located, newest};
use crate::window::WINDOW_BYTES;

/// A read transaction for an image, which can be read once all commits from before it are captured.
#[derive(Debug)]
pub struct ImagePin {
    connection: Connection,
    end: Index,
    until: Mark,
    token: Arc<()>,
}

/// A database as of one position of its log.
#[derive(Debug)]
pub struct Image {
    connection: Connection,
    wal: File,
    paths: Paths,
    page_size: PageSize,
    database_pages: u32,
    position: Position,
    /// The pages in the log and their frames, in ascending order of pages.
    logged: Vec<Located>,
    /// Whether the log was restarted meanwhile. Then the file has every page.
    restarted: Cell<bool>,
    /// Its reference count tells the follower that an image is being read.
    _token: Arc<()>,
}

/// Counts the images and pins that exist.
#[derive(Debug, Default)]
pub(crate) struct OpenImages(Arc<()>);

impl OpenImages {
    /// Whether an image of the database or its pin exists.
    pub(crate) fn is_any(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl ImagePin {
    /// Begins a read transaction for an image.
    pub(crate) fn begin(log: &HeldLog, images: &OpenImages) -> Result<ImagePin, Error> {
        let connection = Connection::open(&log.paths().database, log.descriptors())?;
        connection.begin_read().map_err(log.paths().sqlite("begin to read"))?;
        let end = log.index()?;
        point("watcher.image.pinned");
        let until = log.tail().mark(&end);
        Ok(ImagePin { connection, end, until, token: Arc::clone(&images.0) })
    }

    /// The log's end when the read transaction had begun.
    pub(crate) fn end(&self) -> &Index {
        &self.end
    }

    /// The commits from before it end at another mark.
    pub(crate) fn until(&mut self, until: Mark) {
        self.until = until;
    }

    /// The database as of the captured position of `log`, if all commits from before the pin are captured; else the pin.
    pub(crate) fn image(self, log: &HeldLog) -> Result<Result<Image, ImagePin>, Error> {
        let (paths, tail) = (log.paths(), log.tail());
        let position = tail.position();
        if !tail.covers(self.until) {
            return Ok(Err(self));
        }
        let wal = open_wal(paths)?;
        let logged = logged_pages(&wal, paths, position, tail.page_size())?;
        let database_pages = match (tail.database_pages(), position.frame) {
            (0, _) | (_, 0) => pages_of_file(&self.connection, tail.page_size())
                .map_err(paths.sqlite("count the pages of"))?,
            (pages, _) => pages,
        };
        let mut image = Image {
            connection: self.connection,
            wal,
            paths: paths.clone(),
            page_size: tail.page_size(),
            database_pages,
            position,
            logged,
            restarted: Cell::new(false),
            _token: self.token,
        };
        image.logged.retain(|&(page, _)| page.get() <= database_pages);
        point("watcher.image.begun");
        Ok(Ok(image))
    }
}

impl Image {
    /// The position of the log whose state this is.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The size of the database in pages.
    #[must_use]
    pub fn database_pages(&self) -> u32 {
        self.database_pages
    }

    /// The size of the pages.
    #[must_use]
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// Hands every page to `each` in ascending order, without the lock-byte page.
    ///
    /// # Errors
    /// Whatever `each` returns, or what goes wrong while reading.
    pub fn for_each_page<E: From<Error>>(
        &self,
        each: impl FnMut(PageNumber, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.for_pages_in(std::slice::from_ref(&(1..self.database_pages.saturating_add(1))), each)
    }

    /// Hands the pages of some ranges, which ascend, to `each`, without the lock-byte page.
    ///
    /// # Errors
    /// As [`Image::for_each_page`].
    pub fn for_pages_in<E: From<Error>>(
        &self,
        ranges: &[Range<u32>],
        mut each: impl FnMut(PageNumber, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let size = self.page_size;
        let at_once = u32::try_from(WINDOW_BYTES / size.bytes()).unwrap_or(1).max(1);
        let mut buffer = Vec::new();
        for range in ranges {
            let mut first = range.start;
            while first < range.end {
                let end = range.end.min(first.saturating_add(at_once));
                buffer.resize((end - first) as usize * size.bytes(), 0);
                self.read_pages(first..end, &mut buffer)?;
                for (number, image) in (first..end).zip(buffer.chunks_exact(size.bytes())) {
                    match PageNumber::new(number) {
                        Some(page) if page != lock_page(size) => each(page, image)?,
                        _ => {}
                    }
                }
                first = end;
            }
        }
        Ok(())
    }

    /// Reads the pages of a range: all of them from the file, then those in the log from their frames.
    fn read_pages(&self, range: Range<u32>, pages: &mut [u8]) -> Result<(), Error> {
        self.read_file(range.start, pages)?;
        let from = self.logged.partition_point(|&(page, _)| page.get() < range.start);
        let until = self.logged.partition_point(|&(page, _)| page.get() < range.end);
        let logged = &self.logged[from..until];
        if logged.is_empty() || self.restarted.get() {
            return Ok(());
        }
        let read = self.read_log(range.start, logged, pages);
        if header_of(&self.wal, &self.paths, self.position, self.page_size)?.is_some() {
            return read;
        }
        self.restarted.set(true);
        self.read_file(range.start, pages)
    }

    fn read_file(&self, first: u32, pages: &mut [u8]) -> Result<(), Error> {
        let offset = i64::from(first - 1) * i64::from(self.page_size.get());
        let read = sqlite_file::read(self.connection.sqlite(), offset, pages);
        read.map_err(|error| self.paths.sqlite("read")(error))
    }

    fn read_log(&self, first: u32, logged: &[Located], pages: &mut [u8]) -> Result<(), Error> {
        let size = self.page_size;
        for &(page, frame) in logged {
            let at = (page.get() - first) as usize * size.bytes();
            let image = &mut pages[at..at + size.bytes()];
            let offset = frame_offset(frame, size).unwrap_or(0) + FRAME_HEADER_BYTES as u64;
            let read = read_up_to(&self.wal, image, offset).map_err(|source| Error::Io {
                doing: "read",
                path: self.paths.wal.clone(),
                source,
            })?;
            if read < image.len() {
                return Err(broken(&self.paths, frame, Break::Rewound));
            }
        }
        Ok(())
    }
}

/// The header of the log, if it is of the WAL generation of `position`; `None` once the log was restarted.
fn header_of(
    wal: &File,
    paths: &Paths,
    position: Position,
    size: PageSize,
) -> Result<Option<Header>, Error> {
    match read_header(wal, paths, position.salts, Some(size)) {
        Ok(header) => Ok(Some(header)),
        Err(Error::Broken { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The pages in the log up to `position`, with the checksum chain proved from its start. None if the log is of another
/// WAL generation by now: it could only be restarted because all frames of `position`'s generation were backfilled.
fn logged_pages(
    wal: &File,
    paths: &Paths,
    position: Position,
    size: PageSize,
) -> Result<Vec<Located>, Error> {
    if position.frame == 0 {
        return Ok(Vec::new());
    }
    let Some(header) = header_of(wal, paths, position, size)? else {
        return Ok(Vec::new());
    };
    let mut cursor = Cursor::start(&header);
    let mut pages = Vec::new();
    let whole = usize::try_from(frame_bytes(size)).unwrap_or(usize::MAX);
    let mut window = vec![0; (WINDOW_BYTES / whole).max(1) * whole];
    while cursor.position().frame < position.frame {
        let offset = frame_offset(cursor.position().frame + 1, size).unwrap_or(0);
        let left = (position.frame - cursor.position().frame) as usize;
        let wanted = window.len().min(left.saturating_mul(whole));
        let read = read_up_to(wal, &mut window[..wanted], offset).map_err(|source| Error::Io {
            doing: "read",
            path: paths.wal.clone(),
            source,
        })?;
        let before = cursor.position().frame;
        for bytes in window[..read].chunks(whole) {
            match cursor.advance_committed(bytes) {
                Ok(frame) => pages.push((frame.page, frame.number)),
                // The log was restarted while it was being read.
                Err(_) if header_of(wal, paths, position, size)?.is_none() => {
                    return Ok(Vec::new());
                }
                Err(stop) => return Err(broken(paths, before + 1, Break::Frame(stop))),
            }
        }
        if cursor.position().frame == before {
            return Err(broken(paths, before + 1, Break::Rewound));
        }
    }
    cursor.anchor(position.checksum);
    if cursor.position() != position {
        return Err(broken(paths, position.frame, Break::LastFrame));
    }
    newest(&mut pages, u32::MAX);
    Ok(pages)
}

/// The size of a database without a log, which is that of its file: SQLite's next commit states it, also where the header
/// says less, as in a file that grows by chunks (`SQLITE_FCNTL_CHUNK_SIZE`).
fn pages_of_file(connection: &Connection, size: PageSize) -> rusqlite::Result<u32> {
    let connection = connection.sqlite();
    let claimed: u32 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let there = u32::try_from(sqlite_file::size(connection)? / size.offset()).unwrap_or(u32::MAX);
    Ok(claimed.max(there))
}
