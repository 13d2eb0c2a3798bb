//! What a process tells others by itself, without being asked: that everything is durable, and what needs attention.

mod attention;
mod client;
mod durable;
mod heartbeat;
mod webhook;

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
        let mut tasks = Vec::new();
        if let Some(heartbeat) = heartbeat {
            let client = Client::new("heartbeat-url", &heartbeat.url)?;
            tasks.push(tokio::spawn(heartbeat::beat(client, heartbeat.interval, view.clone())));
        }
        if let Some(webhook) = webhook {
            let client = Client::new("webhook-url", &webhook.url)?;
            let secret = webhook.secret_file.as_deref().map(ebbtide_config::read_secret);
            let secret = secret.transpose().map_err(Error::Secret)?;
            tasks.push(tokio::spawn(webhook::watch(client, secret, view.clone())));
        }
        Ok(Notices { tasks })
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
