//! What a command works on: an address of a replica, or a database that the configuration knows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ebbtide_retention::Keep;
use ebbtide_seal::{Keys, SecretKey, Unwrap};
use ebbtide_state::{Position, index_keys, peek, state_directory};
use ebbtide_store::{KeyedStore, Keyring, Location, Store};

use crate::args::Access;
use crate::exit::{Code, Failure};
use ebbtide_config::Config;

/// A replica, and the database that it is of, where that is known.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) location: Location,
    pub(crate) database: Option<PathBuf>,
    /// Where the configuration has the database's local state.
    pub(crate) state: Option<PathBuf>,
    /// Which history the configuration has it keep.
    pub(crate) keep: Option<Keep>,
    /// What opens its secret keys, if anything was named.
    unwrap: Option<Arc<dyn Unwrap>>,
}

impl Source {
    /// Finds out what `text` names. The path of a database stands for its replica, which the configuration knows, or else
    /// the local state beside the database.
    pub(crate) fn find(text: &str, access: &Access) -> Result<Source, Failure> {
        let found = Source::lookup(text, &access.config)?;
        Ok(Source { unwrap: access.identity.opener(), ..found })
    }

    /// A database and its replica, as they were named.
    pub(crate) fn of_database(database: PathBuf, location: Location, access: &Access) -> Source {
        let (database, unwrap) = (Some(database), access.identity.opener());
        Source { location, database, state: None, keep: None, unwrap }
    }

    fn lookup(text: &str, config: &Path) -> Result<Source, Failure> {
        if let Some(found) = Source::in_configuration(text, config)? {
            return Ok(found);
        }
        if !text.contains("://")
            && let Some(found) = Source::beside(Path::new(text), config)?
        {
            return Ok(found);
        }
        Ok(Source {
            location: address(text)?,
            database: None,
            state: None,
            keep: None,
            unwrap: None,
        })
    }

    fn in_configuration(text: &str, config: &Path) -> Result<Option<Source>, Failure> {
        // A directory is a replica and no database, and a configuration that is broken is no reason not to read it.
        if !config.exists() || text.contains("://") || Path::new(text).is_dir() {
            return Ok(None);
        }
        let config = Config::read(config)?;
        let known =
            config.database(Path::new(text)).map_err(|why| Failure::new(Code::Usage, why))?;
        Ok(known.map(|known| Source {
            location: known.location,
            database: Some(known.path),
            state: known.state,
            keep: known.keep,
            unwrap: None,
        }))
    }

    /// The replica that the local state beside a database knows. The database itself may be lost.
    fn beside(path: &Path, config: &Path) -> Result<Option<Source>, Failure> {
        if path.is_dir() {
            return Ok(None);
        }
        let directory = state_directory(path);
        let known = peek(&directory).map_err(|error| Failure::new(Code::Failed, error))?;
        if let Some(Position { location, .. }) = known {
            let failed = |error| {
                let why = format!(
                    "{} has \"{location}\" as the address of its replica, which is none: {error}",
                    directory.display()
                );
                Failure::new(Code::Failed, why)
            };
            tracing::debug!(location, "the local state knows the replica");
            let location = location.parse::<Location>().map_err(failed)?;
            let database = Some(path.to_path_buf());
            return Ok(Some(Source { location, database, state: None, keep: None, unwrap: None }));
        }
        if !path.is_file() {
            return Ok(None);
        }
        let why = format!(
            "{} is a file and no replica, and no local state beside it says where its replica lies: name the replica, or \
             a configuration that has this database (--config FILE; {} has not)",
            path.display(),
            config.display()
        );
        Err(Failure::new(Code::Usage, why))
    }

    /// The replica that the local state beside a database knows, and nothing else.
    pub(crate) fn beside_database(path: &Path, config: &Path) -> Result<Source, Failure> {
        Source::beside(path, config)?.ok_or_else(|| {
            let why = format!(
                "{}: there is no such database, and nothing says where its replica lies: name DB and REPLICA, or a \
                 configuration (--config FILE)",
                path.display()
            );
            Failure::new(Code::Usage, why)
        })
    }

    /// Where the database's local state is, if the database is known.
    pub(crate) fn state_directory(&self) -> Option<PathBuf> {
        let beside = || self.database.as_deref().map(state_directory);
        self.state.clone().or_else(beside)
    }

    /// Opens the replica. Of an encrypted one, what the identity opens can be read, and what the index key of this host
    /// opens, if the database is followed here.
    pub(crate) async fn open(&self) -> Result<Arc<dyn Store>, Failure> {
        self.open_with(self.index_keys()?.into_iter().collect()).await
    }

    /// The same with the identity alone.
    pub(crate) async fn open_as_owner(&self) -> Result<Arc<dyn Store>, Failure> {
        self.open_with(Keys::default()).await
    }

    /// The same of another place that has the replica, with these keys besides.
    pub(crate) async fn open_elsewhere(
        &self,
        location: &Location,
        keys: impl IntoIterator<Item = SecretKey>,
    ) -> Result<Arc<dyn Store>, Failure> {
        let mut known = self.index_keys()?;
        known.extend(keys);
        self.open_at(location, known.into_iter().collect()).await
    }

    async fn open_with(&self, keys: Keys) -> Result<Arc<dyn Store>, Failure> {
        self.open_at(&self.location, keys).await
    }

    async fn open_at(&self, location: &Location, keys: Keys) -> Result<Arc<dyn Store>, Failure> {
        let store = location.open().await;
        let store = store.map_err(|error| Failure::new(Code::Failed, error))?;
        let keyring = Arc::new(Keyring::new(keys, self.unwrap.clone()));
        Ok(Arc::new(KeyedStore::new(store, keyring)))
    }

    /// The index keys of this host, if the database is followed here. Without them there is the identity, and what needs a key
    /// says so.
    fn index_keys(&self) -> Result<Vec<SecretKey>, Failure> {
        let known = self.state_directory().map(|directory| index_keys(&directory)).transpose();
        Ok(known.map_err(|error| Failure::new(Code::Failed, error))?.unwrap_or_default())
    }
}

/// The replica at this address, as it was given on the command line. What a shell would have expanded it has not, so it
/// is not meant as it stands.
pub(crate) fn address(text: &str) -> Result<Location, Failure> {
    if text.starts_with('~') || text.contains("${") {
        let why = format!(
            "{text}: ~ and ${{…}} are the shell's to expand, and it has not: write \"$HOME/…\", or ./{text} for a \
             directory of that name"
        );
        return Err(Failure::new(Code::Usage, why));
    }
    text.parse::<Location>().map_err(|error| Failure::new(Code::Usage, error))
}

/// Whether two paths are the same, but for the directory that they are relative to.
pub(crate) fn same_file(a: &Path, b: &Path) -> bool {
    match (std::path::absolute(a), std::path::absolute(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}
