//! The server: accepts, and serves each connection with time-outs.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use ebbtide_config::{Listen, ListenAddress, Prices};
use ebbtide_fleet::Open;
use ebbtide_sidecar::View;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::address::listen;
use crate::connections::Connections;
use crate::error::Error;
use crate::guard::Guard;
use crate::listener::{Listener, Stream};
use crate::routes::routes;
use crate::site::{Elsewhere, Site};
use crate::token::Token;

/// How long a client may take for the headers of a request, and be silent between two.
const HEADER_PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection is open at most; what is being answered then has a little longer.
const LIFETIME: Duration = Duration::from_secs(120);
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// The headers of a request are no larger than this.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// When no connection can be accepted: until the next attempt.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves until it is dropped.
#[derive(Debug)]
pub struct Server {
    task: JoinHandle<Infallible>,
    listener: Arc<Listener>,
    address: String,
    /// Where it was told to listen, by the name that it was told.
    listens_at: ListenAddress,
    routes: watch::Sender<Router>,
}

/// What a server answers from now on, once it is told so.
#[derive(Debug)]
pub struct Answers(Router);

impl Server {
    /// Begins to serve what there is to be seen of a sidecar, whose stores have these prices.
    ///
    /// # Errors
    /// When there is no listening at the address, or the token cannot be used.
    pub async fn start(listen_at: &Listen, view: View, prices: Prices) -> Result<Server, Error> {
        Server::serve(listen_at, view, prices, None).await
    }

    /// Begins to show what nobody follows here; replicas are opened by `open`.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn show(
        listen_at: &Listen,
        elsewhere: Elsewhere,
        open: Arc<Open>,
    ) -> Result<Server, Error> {
        let shown = Some((elsewhere, open));
        Server::serve(listen_at, View::nothing(), Prices::default(), shown).await
    }

    async fn serve(
        listen_at: &Listen,
        view: View,
        prices: Prices,
        elsewhere: Option<(Elsewhere, Arc<Open>)>,
    ) -> Result<Server, Error> {
        let Answers(answers) = answers(listen_at, view, prices, elsewhere)?;
        let listener = Arc::new(listen(&listen_at.address).await?);
        let address = listener.describe();
        let (routes, answers) = watch::channel(answers);
        let task = tokio::spawn(accept(Arc::clone(&listener), answers));
        Ok(Server { task, listener, address, listens_at: listen_at.address.clone(), routes })
    }

    /// What this server can answer to whoever shows what `listen_at` says now. Nothing if it does not listen there.
    ///
    /// # Errors
    /// When the token cannot be used.
    pub fn other_answers(
        &self,
        listen_at: &Listen,
        view: View,
        prices: Prices,
    ) -> Result<Option<Answers>, Error> {
        let is_here = self.listens_at == listen_at.address;
        is_here.then(|| answers(listen_at, view, prices, None)).transpose()
    }

    /// Answers so from the next connection on.
    pub fn answer(&self, Answers(answers): Answers) {
        drop(self.routes.send_replace(answers));
    }

    /// Where it listens, with the port that the system has chosen.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        // The task ends when its thread comes to it, and the process may be gone before.
        self.listener.give_up_name();
    }
}

fn answers(
    listen_at: &Listen,
    view: View,
    prices: Prices,
    elsewhere: Option<(Elsewhere, Arc<Open>)>,
) -> Result<Answers, Error> {
    let token = listen_at.token_file.as_deref().map(Token::read).transpose()?;
    let is_local = match listen_at.address {
        ListenAddress::Tcp(address) => address.ip().is_loopback(),
        // No page of a browser gets there.
        ListenAddress::Unix(_) => false,
    };
    let site = Site::new(view, prices, Guard { is_local, token }, elsewhere);
    Ok(Answers(routes(Arc::new(site))))
}

async fn accept(listener: Arc<Listener>, routes: watch::Receiver<Router>) -> Infallible {
    let mut connections = Connections::default();
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let routes = routes.borrow().clone();
                connections.open(async move {
                    if let Err(error) = serve(stream, routes).await {
                        tracing::debug!(%error, "a client went away");
                    }
                });
            }
            // It has gone already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(stream: Box<dyn Stream>, routes: Router) -> Result<(), hyper::Error> {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    tokio::pin!(connection);
    if let Ok(ended) = tokio::time::timeout(LIFETIME, &mut connection).await {
        return ended;
    }
    connection.as_mut().graceful_shutdown();
    // Whoever does not take the last answer is hung up on.
    tokio::time::timeout(LAST_ANSWER, connection).await.unwrap_or(Ok(()))
}
