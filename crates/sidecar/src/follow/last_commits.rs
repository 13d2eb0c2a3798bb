//! The last commits of a database whose file was deleted or moved away: they are in files that are still open here, and
//! nowhere else soon.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use ebbtide_shipper::{Blocking, Safety};

use super::error::FollowError;
use super::session::Session;
use super::start::Started;
use crate::clock::now;

/// How long the store may take for them.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether a directory that is being deleted has lost the database, too…
const DELETION_LOOKS: u32 = 20;

/// …and the pause after each look.
const DELETION_PAUSE: Duration = Duration::from_millis(10);

impl Session<'_> {
    /// Ships what was committed and is not durable yet, if that can be done.
    pub(super) async fn ship_the_rest(&mut self) {
        let database = self.job.database.path.display().to_string();
        let is_away = self.started.shipper.presence().store_health().outage().is_some();
        // Another file has its name, and is followed without delay.
        if is_away && !self.is_deleted() {
            return;
        }
        match tokio::time::timeout(PATIENCE, self.ship_last_commits()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(database, %error, "the database is gone, and its last commits cannot be read");
            }
            Err(_) => {
                tracing::warn!(
                    database,
                    "the database is gone, and the store does not take its last commits"
                );
            }
        }
    }

    async fn ship_last_commits(&mut self) -> Result<(), FollowError> {
        if !self.held.follower.is_resting() && self.is_deleted() {
            loop {
                let frames = self.held.follower.observe(now())?;
                if frames == 0 || !self.capture(frames)? {
                    break;
                }
                if !self.started.shipper.has_room(Blocking::Allowed) {
                    self.land().await?;
                }
            }
            // If there is another database of the name by now, the log may have been written by its application.
            if !self.is_deleted() {
                return Ok(());
            }
        }
        while self.started.shipper.safety() != Safety::Durable {
            self.land().await?;
        }
        let last = self.started.shipper.position().state;
        self.job.status.durable(last.point, last.chain);
        Ok(())
    }

    async fn land(&mut self) -> Result<(), FollowError> {
        let is_deleted = self.is_deleted();
        let Started { shipper, .. } = &mut self.started;
        shipper.flush()?;
        match shipper.landed().await {
            Ok(landed) => self.job.status.durable(landed, shipper.durable().state.chain),
            // The local state went with the directory of the database. The store has the commits, and nothing goes on here.
            Err(ebbtide_shipper::Error::State(error)) if is_deleted => {
                tracing::debug!(%error, "the local state is gone, too");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Whether the database is being deleted with its directory: then the local state may be missed first.
    pub(super) async fn goes_with_its_directory(&mut self, error: &FollowError) -> bool {
        let is_of_state = matches!(
            error,
            FollowError::State(_) | FollowError::Ship(ebbtide_shipper::Error::State(_))
        );
        let mut looks = if is_of_state { DELETION_LOOKS } else { 0 };
        while looks > 0 && !self.is_deleted() {
            looks -= 1;
            tokio::time::sleep(DELETION_PAUSE).await;
        }
        self.is_deleted()
    }

    fn is_deleted(&self) -> bool {
        is_missing(&self.job.database.path)
    }
}

/// Whether nothing has this name any more.
pub(super) fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}
