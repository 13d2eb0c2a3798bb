//! A check of the caller's on a restored file, before it appears.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Looks at a file whose bytes are proved, and says what else is wrong with it.
#[derive(Clone)]
pub struct Check(Arc<Look>);

type Look = dyn Fn(&Path) -> Result<Checked, String> + Send + Sync;

/// What a check found that found nothing wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// All is well.
    Sound,
    /// All of it, or some, could not be checked, for this reason. The file is exact nevertheless.
    Unchecked(String),
}

impl Check {
    /// Any function will do. It must leave nothing beside the file.
    pub fn new(check: impl Fn(&Path) -> Result<Checked, String> + Send + Sync + 'static) -> Check {
        Check(Arc::new(check))
    }

    pub(crate) fn run(&self, path: &Path) -> Result<Checked, String> {
        (self.0)(path)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check(..)")
    }
}
