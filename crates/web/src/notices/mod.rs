//! What a process tells others by itself, without being asked: that everything is durable, and what needs attention.

mod attention;
mod client;
mod durable;
mod heartbeat;
mod webhook;

use std::time::Duration;

use ebbtide_config::{Heartbeat, Webhook};
use ebbtide_sidecar::View;
use tokio::task::JoinHandle;

use crate::error::Error;
use client::Client;

/// Tells others until it is dropped.
#[derive(Debug)]
pub struct Notices {
    tasks: Vec<JoinHandle<()>>,
}

impl Notices {
    /// Begins to tell whoever wants to hear.
    ///
    /// # Errors
    /// When an address cannot be used, there are no certificates, or the secret cannot be read.
    pub fn start(
        heartbeat: Option<&Heartbeat>,
        webhook: Option<&Webhook>,
        view: &View,
    ) -> Result<Notices, Error> {
        let Means { heartbeat, webhook } = Means::of(heartbeat, webhook)?;
        let mut tasks = Vec::new();
        if let Some((client, interval)) = heartbeat {
            tasks.push(tokio::spawn(heartbeat::beat(client, interval, view.clone())));
        }
        if let Some((client, secret)) = webhook {
            tasks.push(tokio::spawn(webhook::watch(client, secret, view.clone())));
        }
        Ok(Notices { tasks })
    }

    /// Whether they could begin; nobody is told anything.
    ///
    /// # Errors
    /// As [`Notices::start`].
    pub fn check(heartbeat: Option<&Heartbeat>, webhook: Option<&Webhook>) -> Result<(), Error> {
        Means::of(heartbeat, webhook).map(drop)
    }
}

/// What is needed to tell others.
struct Means {
    heartbeat: Option<(Client, Duration)>,
    /// With the secret that signs.
    webhook: Option<(Client, Option<Vec<u8>>)>,
}

impl Means {
    fn of(heartbeat: Option<&Heartbeat>, webhook: Option<&Webhook>) -> Result<Means, Error> {
        let beat = |heartbeat: &Heartbeat| {
            Ok((Client::new("heartbeat-url", &heartbeat.url)?, heartbeat.interval))
        };
        let hook = |webhook: &Webhook| {
            let client = Client::new("webhook-url", &webhook.url)?;
            let secret = webhook.secret_file.as_deref().map(ebbtide_config::read_secret);
            Ok((client, secret.transpose().map_err(Error::Secret)?))
        };
        let heartbeat = heartbeat.map(beat).transpose()?;
        Ok(Means { heartbeat, webhook: webhook.map(hook).transpose()? })
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
