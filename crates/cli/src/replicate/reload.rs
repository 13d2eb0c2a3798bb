//! The configuration that is read again.

use std::path::PathBuf;
use std::time::Duration;

use ebbtide_config::{Config, Listen};
use ebbtide_sidecar::{DatabaseSet, Reloaded};
use tokio::sync::oneshot;
use tokio::task::block_in_place;

use super::missing;
use super::outlets::Outlets;

/// What it is read from, and what of it holds for the whole process.
#[derive(Debug)]
pub(super) struct Reloading {
    /// Nothing where the command line names the database.
    file: Option<PathBuf>,
    /// What the command line says in the place of the file: where it listens…
    listen: Option<Listen>,
    /// …and whether each database is restored that is not there.
    restores_each: bool,
    outlets: Outlets,
    pub(super) shutdown_timeout: Duration,
}

impl Reloading {
    pub(super) fn new(
        file: Option<PathBuf>,
        (listen, restores_each): (Option<Listen>, bool),
        config: &Config,
        outlets: Outlets,
    ) -> Reloading {
        let shutdown_timeout = config.shutdown_timeout;
        Reloading { file, listen, restores_each, outlets, shutdown_timeout }
    }

    pub(super) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Does it because a command says so.
    pub(super) async fn answer(
        &mut self,
        set: &mut DatabaseSet,
        reply: oneshot::Sender<Result<Reloaded, String>>,
    ) {
        let reloaded = self.hear(set).await;
        if reply.send(reloaded).is_err() {
            tracing::debug!("whoever wanted the configuration read again does not wait for it");
        }
    }

    /// Does it, and says what came of it.
    pub(super) async fn hear(&mut self, set: &mut DatabaseSet) -> Result<Reloaded, String> {
        let result = self.read(set).await;
        match &result {
            Ok(Reloaded { unchanged, added, restarted, removed }) => tracing::info!(
                unchanged,
                added,
                restarted,
                removed,
                "the configuration was read again"
            ),
            Err(error) => {
                tracing::error!(error, "the configuration was not taken; going on as before");
            }
        }
        result
    }

    async fn read(&mut self, set: &mut DatabaseSet) -> Result<Reloaded, String> {
        let Some(file) = &self.file else {
            return Err("this process was begun without a configuration file".to_owned());
        };
        let config = block_in_place(|| Config::read(file)).map_err(|error| error.to_string())?;
        let listen = self.listen.clone().or(config.listen);
        let mut config = Config { listen, ..config };
        if self.restores_each {
            missing::each(&mut config);
        }
        let change = self.outlets.prepare(&config).await?;
        let reloaded = set.reload(&config).await?;
        self.outlets.take(change);
        self.shutdown_timeout = config.shutdown_timeout;
        Ok(reloaded)
    }
}
