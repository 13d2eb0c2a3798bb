//! How an application has set up its database.

use std::fmt;
use std::str::FromStr;

use ebbtide_wal::PageSize;

use crate::random::Random;

/// Everything about an application that stays the same while it runs.
///
/// As text it is one line of `name=value` words, so that a failing run can be told and a writer in another process be
/// started with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The size of a page.
    pub page_size: PageSize,
    /// What happens to pages that become free.
    pub auto_vacuum: AutoVacuum,
    /// Pages each connection may keep in memory. With few of them a transaction spills to the log before it commits.
    pub cache_pages: u32,
    /// What the log is truncated to when it restarts. `None`: it is left as it is.
    pub journal_size_limit: Option<u32>,
    /// Frames in the log at which a commit checkpoints; 0 for never.
    pub autocheckpoint: u32,
    /// What is synced.
    pub synchronous: Synchronous,
    /// False where a torn write may damage what lies beside it: SQLite then repeats the commit frame up to the end of
    /// the sector when `synchronous` is full.
    pub powersafe_overwrite: bool,
    /// Connections that write, in turn.
    pub connections: u32,
    /// Above this the application deletes more than it inserts.
    pub database_bytes_max: u32,
}

/// `PRAGMA auto_vacuum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoVacuum {
    /// Free pages stay in the file.
    None,
    /// Every commit moves pages and cuts the file.
    Full,
    /// As full, but only when told to.
    Incremental,
}

/// `PRAGMA synchronous`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// Nothing is synced.
    Off,
    /// Checkpoints are.
    Normal,
    /// Commits are, too.
    Full,
}

impl Options {
    /// What most applications have: SQLite's defaults, with pages of `page_size`.
    #[must_use]
    pub const fn plain(page_size: PageSize) -> Options {
        Options {
            page_size,
            auto_vacuum: AutoVacuum::None,
            cache_pages: 2000,
            journal_size_limit: None,
            autocheckpoint: 1000,
            synchronous: Synchronous::Normal,
            powersafe_overwrite: true,
            connections: 1,
            database_bytes_max: 2 << 20,
        }
    }

    /// Any of what applications have, all eight page sizes included.
    pub fn random(random: &mut Random) -> Options {
        let page_size = PageSize::new(512 << random.below(8)).expect("512 shifted by 0 to 7");
        let modes = [Synchronous::Off, Synchronous::Off, Synchronous::Normal, Synchronous::Full];
        Options {
            page_size,
            auto_vacuum: *random.choose(&[
                AutoVacuum::None,
                AutoVacuum::Full,
                AutoVacuum::Incremental,
            ]),
            cache_pages: *random.choose(&[3, 10, 50, 2000]),
            journal_size_limit: *random.choose(&[None, None, Some(0), Some(20_000)]),
            autocheckpoint: *random.choose(&[1000, 1000, 100, 1, 0]),
            synchronous: *random.choose(&modes),
            powersafe_overwrite: !random.one_in(4),
            connections: random.between(1, 3),
            database_bytes_max: (120 * page_size.get()).max(256 << 10),
        }
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "page_size={} auto_vacuum={} ", self.page_size, self.auto_vacuum.name())?;
        write!(f, "cache_pages={} ", self.cache_pages)?;
        if let Some(bytes) = self.journal_size_limit {
            write!(f, "journal_size_limit={bytes} ")?;
        }
        write!(
            f,
            "autocheckpoint={} synchronous={} powersafe_overwrite={} connections={} \
             database_bytes_max={}",
            self.autocheckpoint,
            self.synchronous.name(),
            self.powersafe_overwrite,
            self.connections,
            self.database_bytes_max,
        )
    }
}

impl FromStr for Options {
    type Err = String;

    /// Words that are left out are as in [`Options::plain`] with pages of 4096 bytes.
    fn from_str(text: &str) -> Result<Options, String> {
        let mut options = Options::plain(PageSize::new(4096).expect("a power of two"));
        for word in text.split_whitespace() {
            let (name, value) = word.split_once('=').ok_or_else(|| format!("no = in {word}"))?;
            options.set(name, value).ok_or_else(|| format!("no option is {word}"))?;
        }
        Ok(options)
    }
}

impl Options {
    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "page_size" => self.page_size = PageSize::new(value.parse().ok()?)?,
            "auto_vacuum" => self.auto_vacuum = AutoVacuum::named(value)?,
            "cache_pages" => self.cache_pages = value.parse().ok()?,
            "journal_size_limit" => self.journal_size_limit = Some(value.parse().ok()?),
            "autocheckpoint" => self.autocheckpoint = value.parse().ok()?,
            "synchronous" => self.synchronous = Synchronous::named(value)?,
            "powersafe_overwrite" => self.powersafe_overwrite = value.parse().ok()?,
            "connections" => self.connections = value.parse().ok()?,
            "database_bytes_max" => self.database_bytes_max = value.parse().ok()?,
            _ => return None,
        }
        Some(())
    }
}

impl AutoVacuum {
    /// As SQLite spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            AutoVacuum::None => "none",
            AutoVacuum::Full => "full",
            AutoVacuum::Incremental => "incremental",
        }
    }

    fn named(name: &str) -> Option<AutoVacuum> {
        [AutoVacuum::None, AutoVacuum::Full, AutoVacuum::Incremental]
            .into_iter()
            .find(|mode| mode.name() == name)
    }
}

impl Synchronous {
    /// As SQLite spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Synchronous::Off => "off",
            Synchronous::Normal => "normal",
            Synchronous::Full => "full",
        }
    }

    fn named(name: &str) -> Option<Synchronous> {
        [Synchronous::Off, Synchronous::Normal, Synchronous::Full]
            .into_iter()
            .find(|mode| mode.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_back_as_they_were_written() {
        let mut random = Random::new(3);
        for _ in 0..200 {
            let options = Options::random(&mut random);
            assert_eq!(options.to_string().parse(), Ok(options));
        }
        assert!("page_size=1000".parse::<Options>().is_err());
        assert!("pages=1024".parse::<Options>().is_err());
    }
}
