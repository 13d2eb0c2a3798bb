//! The tail of the log: the frames from the captured position to the last committed one, proved and split into
//! transactions.

use std::fs::File;
use std::sync::Mutex;

use ebbtide_wal::{
    Checksum, Cursor, FRAME_HEADER_BYTES, FrameHeader, HEADER_BYTES, Header, Index, PageSize,
    Position, Salts, Stop, frame_offset, lock_page,
};

use crate::error::{Break, Error};
use crate::files::{Identity, Paths, open_wal, read_up_to};
use crate::mutex::lock;
use crate::observed::Observed;
use crate::transaction::{Images, Located, Transaction, newest};
use crate::window::Window;

/// Whether the sink wants another transaction.
pub(crate) enum Next {
    More,
    Enough,
}

/// Buffers for reading, shared by all databases of one thread.
#[derive(Debug, Default)]
pub struct Scratch {
    window: Window,
    runs: Vec<u8>,
    pages: Vec<Located>,
}

/// Whether the log still has a position that was captured before.
#[derive(Debug)]
pub(crate) enum Resumed {
    /// The log has the position and all frames before it.
    At(Tail),
    /// The log is of the same WAL generation, but lost frames that were captured: the machine lost its last writes, or
    /// was restored to an earlier state.
    Truncated,
    /// The log was restarted since, and proves nothing about the position.
    Restarted,
}

/// The log's end at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    generation: u64,
    frames: u32,
}

/// Reads the log from its last position on.
#[derive(Debug)]
pub(crate) struct Tail {
    /// `None` while the file is closed, see [`Tail::close`].
    file: Option<File>,
    identity: Identity,
    position: Position,
    page_size: PageSize,
    database_pages: u32,
    /// How many WAL generations were entered.
    generation: u64,
    /// `None` while the log is empty: it has no header yet.
    cursor: Option<Cursor>,
}

impl Tail {
    /// At the log's end as of `index`.
    pub(crate) fn at_end(paths: &Paths, index: &Index, page_size: PageSize) -> Result<Tail, Error> {
        let position =
            Position { salts: index.salts, frame: index.frames, checksum: index.checksum };
        let file = open_wal(paths)?;
        if index.frames == 0 {
            return Tail::new(paths, file, position, index, page_size, None);
        }
        let header = read_header(&file, paths, index.salts, index.page_size)?;
        let last = frame_header(&file, paths, &header, position.frame)?;
        let proved = Cursor::resume(&header, position, last.as_ref());
        let zero_header = || Cursor::at_zero_header_end(&header, position, last.as_ref()?);
        let Some(cursor) = proved.or_else(zero_header) else {
            return Err(broken(paths, index.frames, Break::LastFrame));
        };
        Tail::new(paths, file, position, index, page_size, Some(cursor))
    }

    /// At a position that was captured before, if the log proves that no frame before it has changed.
    pub(crate) fn resume(
        paths: &Paths,
        index: &Index,
        position: Position,
    ) -> Result<Resumed, Error> {
        if position.salts != index.salts {
            return Ok(Resumed::Restarted);
        }
        if position.frame > index.frames {
            return Ok(Resumed::Truncated);
        }
        if index.frames == 0 {
            return Ok(Resumed::Restarted);
        }
        let file = open_wal(paths)?;
        let header = read_header(&file, paths, index.salts, index.page_size)?;
        let last = frame_header(&file, paths, &header, position.frame)?;
        let Some(cursor) = Cursor::resume(&header, position, last.as_ref()) else {
            // A zero-header frame has no checksum, so it proves neither that it is the same nor that it is another.
            let is_zero_header =
                last.is_some_and(|last| FrameHeader::parse(&last).is_zero_header());
            return Ok(if is_zero_header { Resumed::Restarted } else { Resumed::Truncated });
        };
        let size = header.page_size;
        Ok(Resumed::At(Tail::new(paths, file, position, index, size, Some(cursor))?))
    }

    /// Goes back to a position in the same WAL generation, if the log still proves it.
    pub(crate) fn rewind(
        &mut self,
        paths: &Paths,
        index: &Index,
        position: Position,
    ) -> Result<bool, Error> {
        if self.position.salts != index.salts {
            return Ok(false);
        }
        let Resumed::At(tail) = Tail::resume(paths, index, position)? else { return Ok(false) };
        // Marks count WAL generations, and this is still the same one.
        *self = Tail { generation: self.generation, ..tail };
        Ok(true)
    }

    fn new(
        paths: &Paths,
        file: File,
        position: Position,
        index: &Index,
        page_size: PageSize,
        cursor: Option<Cursor>,
    ) -> Result<Tail, Error> {
        let identity = Identity::of(&file).map_err(|source| Error::Io {
            doing: "look at",
            path: paths.wal.clone(),
            source,
        })?;
        let database_pages = index.database_pages;
        let file = Some(file);
        Ok(Tail { file, identity, position, page_size, database_pages, generation: 0, cursor })
    }

    /// Whether the file lacks committed frames of `index`, because another program truncated it (`truncate`,
    /// `: > app.db-wal`, the copytruncate of logrotate). SQLite writes the next commit at its offset and leaves a hole
    /// before it, so the file size alone does not prove the contrary.
    pub(crate) fn is_truncated(&self, paths: &Paths, index: &Index) -> Result<bool, Error> {
        if index.frames == 0 {
            return Ok(false);
        }
        let size = match std::fs::metadata(&paths.wal) {
            // `Follower::check_identities` reports a deleted file.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(source) => {
                return Err(Error::Io { doing: "look at", path: paths.wal.clone(), source });
            }
            Ok(metadata) => metadata.len(),
        };
        let next = index.frames.checked_add(1);
        let end = next.and_then(|next| frame_offset(next, self.page_size));
        if end.is_some_and(|end| size < end) {
            return Ok(true);
        }
        let Some(file) = &self.file else { return Ok(false) };
        match read_header(file, paths, index.salts, index.page_size) {
            Ok(_) => Ok(false),
            Err(Error::Broken { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// At the start of a log that was empty when `before` was last read, so that all frames of `index` are to be read.
    pub(crate) fn from_start(before: &Tail, paths: &Paths, index: &Index) -> Result<Tail, Error> {
        let position = Position { salts: index.salts, frame: 0, checksum: Checksum::default() };
        let file = open_wal(paths)?;
        before.identity.check_is(&file, &paths.wal)?;
        let tail = Tail::new(paths, file, position, index, before.page_size, None)?;
        Ok(Tail { generation: before.generation + 1, database_pages: 0, ..tail })
    }

    /// Closes the file until the next read.
    pub(crate) fn close(&mut self) {
        self.file = None;
    }

    /// The file, which is opened again if it was closed. It must be the same file.
    fn reopen(&mut self, paths: &Paths) -> Result<&File, Error> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let file = open_wal(paths)?;
                self.identity.check_is(&file, &paths.wal)?;
                file
            }
        };
        Ok(self.file.insert(file))
    }

    /// The position up to which the log was read.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    pub(crate) fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// The size of the database at the position, in pages; 0 if the log is empty, so that only the database's file
    /// says.
    pub(crate) fn database_pages(&self) -> u32 {
        self.database_pages
    }

    /// Whether [`Tail::enter`] must be called before the frames can be read: the log is of another WAL generation than
    /// the one that was read, or had no header then.
    pub(crate) fn must_enter(&self, index: &Index) -> bool {
        index.frames > 0 && (index.salts != self.position.salts || self.cursor.is_none())
    }

    /// The device and inode of the file.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// The size of the log's file.
    pub(crate) fn file_bytes(&self, paths: &Paths) -> u64 {
        let metadata = match &self.file {
            Some(file) => file.metadata(),
            None => std::fs::metadata(&paths.wal),
        };
        metadata.map_or(0, |metadata| metadata.len())
    }

    /// Whether all committed frames of `index` were read. A new WAL generation without frames has nothing to read, and
    /// a recovery may revert to the one before it (*no-empty-generation*).
    pub(crate) fn has_read(&self, index: &Index) -> bool {
        if index.salts == self.position.salts {
            index.frames == self.position.frame
        } else {
            index.frames == 0
        }
    }

    /// How many committed frames were not read.
    pub(crate) fn unread(&self, index: &Index) -> u32 {
        let read = if self.must_enter(index) { 0 } else { self.position.frame };
        index.frames.saturating_sub(read)
    }

    /// Marks the log's end as of `index`. While the log is held there is at most one WAL generation with frames after
    /// the one that is being read.
    pub(crate) fn mark(&self, index: &Index) -> Mark {
        let generation = self.generation + u64::from(self.must_enter(index));
        let frames = if index.salts == self.position.salts || self.must_enter(index) {
            index.frames
        } else {
            0
        };
        Mark { generation, frames }
    }

    /// Whether all frames up to the mark were read.
    pub(crate) fn covers(&self, mark: Mark) -> bool {
        self.generation > mark.generation
            || self.generation == mark.generation && self.position.frame >= mark.frames
    }

    /// Enters the WAL generation of `index`, which has frames. The caller has checked that the restart was allowed.
    pub(crate) fn enter(&mut self, paths: &Paths, index: &Index) -> Result<(), Error> {
        debug_assert!(index.frames > 0, "no-empty-generation");
        let header = read_header(self.reopen(paths)?, paths, index.salts, index.page_size)?;
        let cursor = Cursor::start(&header);
        (self.position, self.cursor) = (cursor.position(), Some(cursor));
        self.generation += 1;
        Ok(())
    }

    /// Proves the frames up to `index` and hands each transaction to `sink`, until `sink` returns [`Next::Enough`].
    pub(crate) fn read<E: From<Error>>(
        &mut self,
        paths: &Paths,
        index: &Index,
        observed: &Mutex<Observed>,
        scratch: &mut Scratch,
        mut sink: impl FnMut(&mut Transaction<'_>) -> Result<Next, E>,
    ) -> Result<(), E> {
        let fail = |frame, cause| broken(paths, frame, cause);
        if index.frames < self.position.frame {
            return Err(fail(index.frames, Break::Rewound).into());
        }
        scratch.window.clear();
        self.reopen(paths)?;
        while let Some(file) = &self.file
            && self.position.frame < index.frames
        {
            let Some(mut cursor) = self.cursor else {
                return Err(fail(1, Break::Header(None)).into());
            };
            let scanned = scan(file, paths, &mut cursor, index, scratch)?;
            if cursor.position().frame == index.frames {
                cursor.anchor(index.checksum);
            }
            let position = cursor.position();
            newest(&mut scratch.pages, scanned.database_pages);
            if let Some(&(page, frame)) =
                scratch.pages.iter().find(|&&(page, _)| page == lock_page(self.page_size))
            {
                return Err(fail(frame, Break::Page(page.get())).into());
            }
            let images = match scanned.in_window {
                true => {
                    Images::Memory { first: scratch.window.first(), bytes: scratch.window.bytes() }
                }
                false => Images::Log { file, paths, buffer: &mut scratch.runs },
            };
            let mut transaction = Transaction {
                time: lock(observed).time_of(position.salts, position.frame),
                database_pages: scanned.database_pages,
                position,
                page_size: self.page_size,
                pages: &scratch.pages,
                images,
            };
            if position.frame == index.frames
                && (position.checksum != index.checksum
                    || scanned.database_pages != index.database_pages)
            {
                return Err(fail(position.frame, Break::LastFrame).into());
            }
            let next = sink(&mut transaction)?;
            if !scanned.in_window {
                // Its pages were read a second time, unproved, so the log must still be of the WAL generation that was
                // proved.
                read_header(file, paths, index.salts, index.page_size)?;
            }
            (self.position, self.cursor) = (position, Some(cursor));
            self.database_pages = scanned.database_pages;
            if matches!(next, Next::Enough) {
                break;
            }
        }
        Ok(())
    }
}

/// The proved frames of one transaction; `scratch.pages` has its pages and their frames.
struct Scanned {
    database_pages: u32,
    /// Whether all its frames are in `scratch.window`.
    in_window: bool,
}

/// Steps the cursor over one transaction.
fn scan(
    file: &File,
    paths: &Paths,
    cursor: &mut Cursor,
    index: &Index,
    scratch: &mut Scratch,
) -> Result<Scanned, Error> {
    let size = cursor.page_size();
    let whole = FRAME_HEADER_BYTES + size.bytes();
    let first = cursor.position().frame + 1;
    scratch.pages.clear();
    loop {
        let next = cursor.position().frame + 1;
        for bytes in scratch.window.from(next, whole).chunks(whole) {
            let frame = cursor
                .advance_committed(bytes)
                .map_err(|stop| broken(paths, cursor.position().frame + 1, Break::Frame(stop)))?;
            scratch.pages.push((frame.page, frame.number));
            if let Some(database_pages) = frame.commit {
                let in_window = scratch.window.first() <= first;
                return Ok(Scanned { database_pages, in_window });
            }
        }
        let next = cursor.position().frame + 1;
        if next > index.frames {
            return Err(broken(paths, next, Break::Frame(Stop::Short)));
        }
        // A transaction that began within the window is read again from its start, so that all of it is in memory; one
        // that fills the window passes through it.
        let begun = next > first && scratch.window.first() < first;
        let from = if begun { first } else { next };
        scratch.window.fill(file, paths, size, from, index.frames)?;
        if scratch.window.from(next, whole).len() < whole {
            return Err(broken(paths, next, Break::Frame(Stop::Short)));
        }
    }
}

/// The log's header, which must have these salts, and this page size if it is known.
pub(crate) fn read_header(
    file: &File,
    paths: &Paths,
    salts: Salts,
    size: Option<PageSize>,
) -> Result<Header, Error> {
    let mut bytes = [0; HEADER_BYTES];
    let read = read_up_to(file, &mut bytes, 0).map_err(|source| Error::Io {
        doing: "read",
        path: paths.wal.clone(),
        source,
    })?;
    let header = Header::parse(&bytes[..read])
        .map_err(|reason| broken(paths, 0, Break::Header(Some(reason))))?;
    if header.salts != salts || size.is_some_and(|size| size != header.page_size) {
        return Err(broken(paths, 0, Break::Header(None)));
    }
    Ok(header)
}

/// The header of frame `number`, if the file has it.
fn frame_header(
    file: &File,
    paths: &Paths,
    header: &Header,
    number: u32,
) -> Result<Option<[u8; FRAME_HEADER_BYTES]>, Error> {
    let mut bytes = [0; FRAME_HEADER_BYTES];
    let Some(offset) = frame_offset(number, header.page_size) else { return Ok(None) };
    let read = read_up_to(file, &mut bytes, offset).map_err(|source| Error::Io {
        doing: "read",
        path: paths.wal.clone(),
        source,
    })?;
    Ok((read == bytes.len()).then_some(bytes))
}

pub(crate) fn broken(paths: &Paths, frame: u32, cause: Break) -> Error {
    Error::Broken { path: paths.database.clone(), frame, cause }
}
