//! A connection to the past.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;

use ebbtide_moment::Moment;
use rusqlite::{Connection, OpenFlags};

use crate::attach::Named;
use crate::cancel::{Cancel, Canceller};
use crate::encoding::encoding;
use crate::error::{Error, Result};
use crate::opened::Opened;
use crate::settings::{defend, leave_the_log};
use crate::vfs;

/// A connection with one or more moments, to be used as the [`Connection`] that it is.
#[derive(Debug)]
pub struct Past {
    /// Dropped first.
    connection: Connection,
    /// The moments, each with the name of its schema.
    moments: Vec<(String, Named)>,
    cancel: Cancel,
}

impl Past {
    /// A read-only connection whose `main` is this moment. Not on a thread of the runtime that serves its tasks.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn connect(moment: &Moment) -> Result<Past> {
        let cancel = Cancel::default();
        let named = Named::new(Opened::new(moment.clone(), cancel.clone()));
        // Opening reads the header, and the settings read the schema: either may be what is damaged.
        let connection = open(Path::new(&named.name()), OpenFlags::SQLITE_OPEN_READ_ONLY);
        let connection =
            connection.map_err(|error| named.opened.take_failure().map_or(error, Error::Moment))?;
        let past = Past { connection, moments: vec![("main".to_owned(), named)], cancel };
        defend(&past).map_err(|error| past.explain(error))?;
        Ok(past)
    }

    /// A connection whose `main` is the live database at `path`, to which moments can be attached. Unless it is to be
    /// written, SQLite has neither the database nor its log open for writing; the wal-index alone it may have to make. The
    /// log is left as it is in either case: no checkpoint, not even on demand, and none at the close.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn beside(path: &Path, is_writable: bool) -> Result<Past> {
        let path = match path.is_absolute() {
            true => path.to_path_buf(),
            // `file:app.db` and `:memory:` are names like any other.
            false => Path::new(".").join(path),
        };
        let flags = match is_writable {
            true => OpenFlags::SQLITE_OPEN_READ_WRITE,
            false => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let mut connection = open(&path, flags)?;
        defend(&connection)?;
        leave_the_log(&mut connection)?;
        connection.pragma_update(None, "query_only", !is_writable)?;
        let (moments, cancel) = (Vec::new(), Cancel::default());
        Ok(Past { connection, moments, cancel })
    }

    /// Attaches another moment as the schema `name`.
    ///
    /// # Errors
    /// When its text is encoded otherwise than that of `main`, or SQLite refuses.
    pub fn attach(&mut self, name: &str, moment: &Moment) -> Result<()> {
        let theirs = moment.replica().runtime().block_on(encoding(moment))?;
        let ours = self.connection.pragma_query_value(None, "encoding", |row| row.get(0));
        let ours: String = ours.map_err(|error| self.explain(error))?;
        if let Some(theirs) = theirs.filter(|theirs| *theirs != ours) {
            return Err(Error::Encoding { name: name.to_owned(), theirs, ours });
        }
        let named = Named::new(Opened::new(moment.clone(), self.cancel.clone()));
        let attached = self.connection.execute("ATTACH ?1 AS ?2", [&named.name(), name]);
        // Kept in any case: SQLite may have opened it before it failed.
        self.moments.push((name.to_owned(), named));
        attached.map(drop).map_err(|error| self.explain(error))
    }

    /// The moments and the names of their schemas.
    pub fn moments(&self) -> impl Iterator<Item = (&str, &Arc<Opened>)> {
        self.moments.iter().map(|(name, named)| (name.as_str(), &named.opened))
    }

    /// The moment that [`Past::connect`] began with, or the first that was attached.
    ///
    /// # Panics
    /// When [`Past::beside`] began and nothing is attached.
    #[must_use]
    pub fn main(&self) -> &Arc<Opened> {
        &self.moments.first().expect("a connection without a moment was asked for it").1.opened
    }

    /// By which another thread ends what is being done here.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        let interrupt = self.connection.get_interrupt_handle();
        Canceller { cancel: self.cancel.clone(), interrupt }
    }

    /// Whether what is done here is to end.
    #[must_use]
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// The cause of an error: what of the replica could not be read, if that is what SQLite failed for.
    pub fn explain(&self, error: rusqlite::Error) -> Error {
        if self.cancel.is_cancelled() {
            return Error::Cancelled;
        }
        let mut failures = self.moments.iter().filter_map(|(_, named)| named.opened.take_failure());
        match failures.next() {
            Some(cause) => Error::Moment(cause),
            None => Error::Sqlite(error),
        }
    }
}

impl Deref for Past {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Past {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// Whether text ends with a complete statement, so that it need not go on in the next line.
#[must_use]
pub fn is_complete(sql: &str) -> bool {
    vfs::is_complete(sql)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let vfs = vfs::name().ok_or(Error::NoVfs)?;
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags_and_vfs(path, flags, vfs)?)
}
