//! What a command works on: an address of a replica, or a database that the configuration knows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ebbtide_replica::store::{Location, Store};

use crate::exit::{Code, Failure};
use ebbtide_config::Config;

/// A replica, and the database that it is of, where that is known.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) location: Location,
    pub(crate) database: Option<PathBuf>,
}

impl Source {
    /// Finds out what `text` names. A path that the configuration has as a database stands for that database's replica.
    pub(crate) fn find(text: &str, config: &Path) -> Result<Source, Failure> {
        if let Some(found) = Source::in_configuration(text, config)? {
            return Ok(found);
        }
        Ok(Source { location: address(text)?, database: None })
    }

    fn in_configuration(text: &str, config: &Path) -> Result<Option<Source>, Failure> {
        if !config.exists() || text.contains("://") {
            return Ok(None);
        }
        let config = Config::read(config)?;
        let same = |path: &Path| path == Path::new(text) || same_file(path, Path::new(text));
        let known = config.databases.into_iter().find(|database| same(&database.path));
        Ok(known.map(|known| Source { location: known.location, database: Some(known.path) }))
    }

    pub(crate) async fn open(&self) -> Result<Arc<dyn Store>, Failure> {
        self.location.open().await.map_err(|error| Failure::new(Code::Failed, error))
    }
}

/// The replica at this address, as it was given on the command line. What a shell would have expanded it has not, so it
/// is not meant as it stands.
pub(crate) fn address(text: &str) -> Result<Location, Failure> {
    if text.starts_with('~') || text.contains("${") {
        let why = format!(
            "{text}: ~ and ${{…}} are the shell's to expand, and it has not: write \"$HOME/…\", or ./{text} for a \
             folder of that name"
        );
        return Err(Failure::new(Code::Usage, why));
    }
    text.parse::<Location>().map_err(|error| Failure::new(Code::Usage, error))
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (std::path::absolute(a), std::path::absolute(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}
