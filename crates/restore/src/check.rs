//! A check of the caller's on a restored file, before it appears.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Looks at a file whose bytes are proved, and says what else is wrong with it.
#[derive(Clone)]
pub struct Check(Arc<Look>);

type Look = dyn Fn(&Path) -> Result<(), String> + Send + Sync;

impl Check {
    /// Any function will do. It must leave nothing beside the file.
    pub fn new(check: impl Fn(&Path) -> Result<(), String> + Send + Sync + 'static) -> Check {
        Check(Arc::new(check))
    }

    pub(crate) fn run(&self, path: &Path) -> Result<(), String> {
        (self.0)(path)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check(..)")
    }
}
