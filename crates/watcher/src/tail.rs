//! The log's tail: from the position captured to the last committed frame, proved and split into transactions.

use std::fs::File;
use std::sync::{Mutex, PoisonError};

use ebbtide_wal::{
    Checksum, Cursor, FRAME_HEADER_BYTES, FrameHeader, HEADER_BYTES, Header, Index, PageSize,
    Position, Salts, Stop, frame_offset, lock_page,
};

use crate::error::{Break, Error};
use crate::files::{Identity, Paths, open_wal, read_up_to};
use crate::observed::Observed;
use crate::transaction::{Images, Located, Transaction, newest};

/// How much of the log is in memory at once.
pub(crate) const WINDOW_BYTES: usize = 1 << 20;

/// What a reader of transactions wants after each: whether to go on.
pub(crate) enum Next {
    More,
    Enough,
}

/// Buffers for reading, shared by all databases that one thread looks after.
#[derive(Debug, Default)]
pub struct Scratch {
    window: Window,
    runs: Vec<u8>,
    pages: Vec<Located>,
}

/// A stretch of the log in memory: whole frames, the first of them numbered `first`.
#[derive(Debug, Default)]
struct Window {
    first: u32,
    bytes: Vec<u8>,
}

impl Window {
    /// The frames from `frame` on, if they are here.
    fn from(&self, frame: u32, whole: usize) -> &[u8] {
        let skip = frame.checked_sub(self.first).map(|frames| frames as usize * whole);
        skip.and_then(|skip| self.bytes.get(skip..)).unwrap_or_default()
    }

    /// Reads frames from `first` up to `last`, as many as a window holds.
    fn fill(
        &mut self,
        file: &File,
        paths: &Paths,
        size: PageSize,
        first: u32,
        last: u32,
    ) -> Result<(), Error> {
        let whole = FRAME_HEADER_BYTES + size.bytes();
        let frames = (last.saturating_sub(first) as usize + 1).min((WINDOW_BYTES / whole).max(1));
        self.first = first;
        self.bytes.resize(frames * whole, 0);
        let offset = frame_offset(first, size).unwrap_or(0);
        let read = read_up_to(file, &mut self.bytes, offset).map_err(|source| Error::Io {
            doing: "read",
            path: paths.wal.clone(),
            source,
        })?;
        self.bytes.truncate(read);
        Ok(())
    }
}

/// What a log says of a position that was held before.
#[derive(Debug)]
pub(crate) enum Resumed {
    /// It is still there, and everything before it with it.
    At(Tail),
    /// The log is of the same generation, but what was captured is not in it any more: the machine lost its last writes,
    /// or was set back.
    Truncated,
    /// The log was begun anew since, and says nothing about the position.
    Restarted,
}

/// What had been committed at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    generation: u64,
    frames: u32,
}

/// Reads the log from where it was last left.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Nothing while the log rests.
    file: Option<File>,
    identity: Identity,
    position: Position,
    page_size: PageSize,
    database_pages: u32,
    /// How many generations were entered.
    generation: u64,
    /// Nothing while the log is empty: it has no header yet.
    cursor: Option<Cursor>,
}

impl Tail {
    /// At the log's present end, which `index` names: everything before it counts as known.
    pub(crate) fn at_end(paths: &Paths, index: &Index, page_size: PageSize) -> Result<Tail, Error> {
        let position =
            Position { salts: index.salts, frame: index.frames, checksum: index.checksum };
        let file = open_wal(paths)?;
        if index.frames == 0 {
            return Tail::new(paths, file, position, index, page_size, None);
        }
        let header = read_header(&file, paths, index.salts, index.page_size)?;
        let last = frame_header(&file, paths, &header, position.frame)?;
        let sealed = Cursor::resume(&header, position, last.as_ref());
        let unsealed = || Cursor::at_zero_header_end(&header, position, last.as_ref()?);
        let Some(cursor) = sealed.or_else(unsealed) else {
            return Err(broken(paths, index.frames, Break::LastFrame));
        };
        Tail::new(paths, file, position, index, page_size, Some(cursor))
    }

    /// At a position held from before, if the log proves that nothing before it has changed.
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
            // A frame without a checksum proves nothing, neither that it is the same nor that it is another.
            let is_zero_header =
                last.is_some_and(|last| FrameHeader::parse(&last).is_zero_header());
            return Ok(if is_zero_header { Resumed::Restarted } else { Resumed::Truncated });
        };
        let size = header.page_size;
        Ok(Resumed::At(Tail::new(paths, file, position, index, size, Some(cursor))?))
    }

    /// Goes back to a position in the same generation, if the log still proves it.
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
        // Marks count generations, and this is still the same one.
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

    /// Whether the file lacks what `index` says is committed: somebody has cut it (`truncate`, `: > app.db-wal`, the
    /// copytruncate of a rotation). The next commit is written where it belongs, and leaves a hole before it, so the
    /// size alone does not tell for long.
    pub(crate) fn is_truncated(&self, paths: &Paths, index: &Index) -> Result<bool, Error> {
        if index.frames == 0 {
            return Ok(false);
        }
        let size = match std::fs::metadata(&paths.wal) {
            // Another look tells of that.
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

    /// At the start of a log that was empty when `before` was last read: whatever `index` names is still to be read.
    pub(crate) fn from_start(before: &Tail, paths: &Paths, index: &Index) -> Result<Tail, Error> {
        let position = Position { salts: index.salts, frame: 0, checksum: Checksum::default() };
        let file = open_wal(paths)?;
        before.identity.check_is(&file, &paths.wal)?;
        let tail = Tail::new(paths, file, position, index, before.page_size, None)?;
        Ok(Tail { generation: before.generation + 1, database_pages: 0, ..tail })
    }

    /// Closes the file until the log is read again.
    pub(crate) fn close(&mut self) {
        self.file = None;
    }

    /// Takes the descriptor again, if it was given back. It must be that of the same file.
    fn awake(&mut self, paths: &Paths) -> Result<&File, Error> {
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

    /// How far the log was read.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    pub(crate) fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// The size of the database there, in pages; 0 where an empty log leaves it to the database's file.
    pub(crate) fn database_pages(&self) -> u32 {
        self.database_pages
    }

    /// Whether the log has to be entered before its frames can be read: it is another generation than the one that
    /// was read, or had no header then.
    pub(crate) fn must_enter(&self, index: &Index) -> bool {
        index.frames > 0 && (index.salts != self.position.salts || self.cursor.is_none())
    }

    /// Which file the log is.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// The length of the log's file.
    pub(crate) fn file_bytes(&self, paths: &Paths) -> u64 {
        let metadata = match &self.file {
            Some(file) => file.metadata(),
            None => std::fs::metadata(&paths.wal),
        };
        metadata.map_or(0, |metadata| metadata.len())
    }

    /// Whether everything that `index` names was read. An empty new generation brings nothing to read: it may yet be
    /// taken back (Rule 1).
    pub(crate) fn has_read(&self, index: &Index) -> bool {
        if index.salts == self.position.salts {
            index.frames == self.position.frame
        } else {
            index.frames == 0
        }
    }

    /// How many committed frames are still to be read.
    pub(crate) fn unread(&self, index: &Index) -> u32 {
        let read = if self.must_enter(index) { 0 } else { self.position.frame };
        index.frames.saturating_sub(read)
    }

    /// Remembers what `index` names as committed. While the log is held there is at most one generation with frames
    /// behind the one that is being read.
    pub(crate) fn mark(&self, index: &Index) -> Mark {
        let generation = self.generation + u64::from(self.must_enter(index));
        let frames = if index.salts == self.position.salts || self.must_enter(index) {
            index.frames
        } else {
            0
        };
        Mark { generation, frames }
    }

    /// Whether everything up to the mark was read.
    pub(crate) fn covers(&self, mark: Mark) -> bool {
        self.generation > mark.generation
            || self.generation == mark.generation && self.position.frame >= mark.frames
    }

    /// Enters the generation of `index`, whose frames are there. The caller knows that it may have begun.
    pub(crate) fn enter(&mut self, paths: &Paths, index: &Index) -> Result<(), Error> {
        let header = read_header(self.awake(paths)?, paths, index.salts, index.page_size)?;
        let cursor = Cursor::start(&header);
        (self.position, self.cursor) = (cursor.position(), Some(cursor));
        self.generation += 1;
        Ok(())
    }

    /// Proves the frames up to `index` and hands each transaction to `sink`, until that has enough.
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
        scratch.window.bytes.clear();
        self.awake(paths)?;
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
                    Images::Memory { first: scratch.window.first, bytes: &scratch.window.bytes }
                }
                false => Images::Log { file, paths, buffer: &mut scratch.runs },
            };
            let mut transaction = Transaction {
                time: observed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .time_of(position.salts, position.frame),
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
                // Its pages were read a second time, unproved: the log must still be the one that was proved.
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

/// One transaction's frames, proved; `scratch.pages` holds where its pages are.
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
                let in_window = scratch.window.first <= first;
                return Ok(Scanned { database_pages, in_window });
            }
        }
        let next = cursor.position().frame + 1;
        if next > index.frames {
            return Err(broken(paths, next, Break::Frame(Stop::Short)));
        }
        // A transaction that began within the window is read again from its start, so that all of it is in memory; one
        // that fills the window passes through it.
        let begun = next > first && scratch.window.first < first;
        let from = if begun { first } else { next };
        scratch.window.fill(file, paths, size, from, index.frames)?;
        if scratch.window.from(next, whole).len() < whole {
            return Err(broken(paths, next, Break::Frame(Stop::Short)));
        }
    }
}

/// The log's header, which must be of the generation with these salts, and of this page size if that is known.
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

/// What stands before the page of frame `number`, if there is one.
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
