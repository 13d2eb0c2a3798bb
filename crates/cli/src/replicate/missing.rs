//! Databases that are not there and whose replicas are: restored before anything else begins.

use std::sync::Arc;

use ebbtide_config::{Config, Pattern};

use super::empty_disk::restore_pattern;
use super::lost_database::restore_one;
use crate::exit::Failure;
use crate::progress_bar::watch;

/// Has all databases restored that are not there, whatever the configuration says.
pub(super) fn each(config: &mut Config) {
    config.databases.iter_mut().for_each(|database| database.restore_if_missing = true);
    config.patterns.iter_mut().for_each(Pattern::restore_if_missing);
}

/// Restores those for which it is configured.
///
/// # Errors
/// When one cannot be restored, or it is not known whether there is something to restore: nothing may begin to write then.
pub(super) async fn restore_missing(config: &Config) -> Result<(), Failure> {
    for database in &config.databases {
        if database.restore_if_missing && !database.path.exists() {
            let progress = Arc::default();
            watch("restore", false, &progress, restore_one(database, &progress)).await?;
        }
    }
    for pattern in &config.patterns {
        if pattern.restores_if_missing() {
            restore_pattern(pattern).await?;
        }
    }
    Ok(())
}
