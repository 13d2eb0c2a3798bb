//! Where the process shows itself, and whom it tells: as the configuration says, which may be read again.

use std::io::ErrorKind;

use ebbtide_config::{Config, Heartbeat, Listen, Prices, Webhook};
use ebbtide_sidecar::View;
use ebbtide_web::{Answers, Error, Notices, Server};

use crate::exit::{Code, Failure};

/// What a configuration says of it.
#[derive(Debug, Clone, PartialEq)]
struct Wanted {
    listen: Option<Listen>,
    prices: Prices,
    heartbeat: Option<Heartbeat>,
    webhook: Option<Webhook>,
}

/// What is open by now.
#[derive(Debug)]
pub(super) struct Outlets {
    view: View,
    wanted: Wanted,
    server: Option<Server>,
    notices: Notices,
}

/// What is shown and told from now on, once it is taken.
#[derive(Debug)]
pub(super) struct Change {
    wanted: Wanted,
    shown: Shown,
    /// Nothing if the same are told.
    notices: Option<Notices>,
}

/// Where it is shown.
#[derive(Debug)]
enum Shown {
    Here(Answers),
    At(Server),
    Nowhere,
}

impl Wanted {
    fn of(config: &Config) -> Wanted {
        Wanted {
            listen: config.listen.clone(),
            prices: config.prices,
            heartbeat: config.heartbeat.clone(),
            webhook: config.webhook.clone(),
        }
    }

    fn tell(&self, view: &View) -> Result<Notices, Error> {
        Notices::start(self.heartbeat.as_ref(), self.webhook.as_ref(), view)
    }
}

impl Outlets {
    /// Opens what is wanted of a process with this to be seen.
    ///
    /// # Errors
    /// When an address cannot be used, or a token or secret cannot be read.
    pub(super) async fn open(config: &Config, view: View) -> Result<Outlets, Failure> {
        let wanted = Wanted::of(config);
        let usage = |error| Failure::new(code_of(&error), error);
        let server = match &wanted.listen {
            Some(listen) => Some(shown(listen, view.clone(), wanted.prices).await.map_err(usage)?),
            None => None,
        };
        let notices = wanted.tell(&view).map_err(usage)?;
        Ok(Outlets { view, wanted, server, notices })
    }

    /// Prepares for another configuration, and changes nothing yet.
    ///
    /// # Errors
    /// As [`Outlets::open`].
    pub(super) async fn prepare(&self, config: &Config) -> Result<Change, String> {
        let wanted = Wanted::of(config);
        let shown = self.shown(&wanted).await.map_err(|error| error.to_string())?;
        let tells = |wanted: &Wanted| (wanted.heartbeat.clone(), wanted.webhook.clone());
        let is_told = tells(&wanted) != tells(&self.wanted);
        let notices = is_told.then(|| wanted.tell(&self.view)).transpose();
        Ok(Change { shown, notices: notices.map_err(|error| error.to_string())?, wanted })
    }

    /// A token is read again wherever it is shown.
    async fn shown(&self, wanted: &Wanted) -> Result<Shown, Error> {
        let Some(listen) = &wanted.listen else { return Ok(Shown::Nowhere) };
        let view = || self.view.clone();
        if let Some(server) = &self.server
            && let Some(answers) = server.other_answers(listen, view(), wanted.prices)?
        {
            return Ok(Shown::Here(answers));
        }
        shown(listen, view(), wanted.prices).await.map(Shown::At)
    }

    /// Shows and tells it so from now on.
    pub(super) fn take(&mut self, change: Change) {
        let Change { wanted, shown, notices } = change;
        self.wanted = wanted;
        match (shown, &self.server) {
            (Shown::Here(answers), Some(server)) => server.answer(answers),
            (Shown::At(server), _) => self.server = Some(server),
            (Shown::Nowhere, _) => self.server = None,
            // There is one where it is shown.
            (Shown::Here(_), None) => {}
        }
        if let Some(notices) = notices {
            self.notices = notices;
        }
    }
}

/// Shows it there, and says so.
async fn shown(listen: &Listen, view: View, prices: Prices) -> Result<Server, Error> {
    let server = Server::start(listen, view, prices).await?;
    tracing::info!(address = server.address(), "showing metrics and health");
    Ok(server)
}

/// An address that another process has may be free soon, and a supervisor is to try again; everything else is a mistake.
fn code_of(error: &Error) -> Code {
    match error {
        Error::Listen { source, .. } if source.kind() == ErrorKind::AddrInUse => Code::Failed,
        _ => Code::Usage,
    }
}
