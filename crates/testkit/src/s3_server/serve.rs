//! From connections to answers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, HeaderValue, LAST_MODIFIED, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpResponse};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::asked::{Asked, Sent};
use super::backend::{Backend, Unconditional};
use super::fault::Fault;
use super::{ACCESS_KEY, NEXT_ACCESS_KEY, SECRET_KEY, Shared, lock};

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn service(directory: &Path) -> S3Service {
    let files = s3s_fs::FileSystem::new(directory).expect("a directory for the server");
    let mut builder = S3ServiceBuilder::new(Backend::new(files));
    let mut keys = SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY);
    keys.register(NEXT_ACCESS_KEY.to_owned(), SECRET_KEY.into());
    builder.set_auth(keys);
    builder.build()
}

pub(super) fn run(
    listener: std::net::TcpListener,
    service: S3Service,
    shared: Arc<Shared>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the server");
    runtime.block_on(async {
        tokio::select! {
            () = accept(listener, service, shared) => {}
            // The sender is dropped, which is all that it says.
            _ = stopped => {}
        }
    });
    runtime.shutdown_background();
}

async fn accept(listener: std::net::TcpListener, service: S3Service, shared: Arc<Shared>) {
    listener.set_nonblocking(true).expect("a socket that does not block");
    let listener = TcpListener::from_std(listener).expect("a socket for the runtime");
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        shared.connections.fetch_add(1, Ordering::Relaxed);
        socket.set_nodelay(true).expect("a socket without delay");
        let (service, shared) = (service.clone(), Arc::clone(&shared));
        let answer = hyper::service::service_fn(move |request| {
            answer(service.clone(), Arc::clone(&shared), request)
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new());
        let connection = builder.serve_connection(TokioIo::new(socket), answer);
        // A connection ends with an error when a fault ends it, or when the client hangs up.
        tokio::spawn(async move { drop(connection.await) });
    }
}

async fn answer(
    service: S3Service,
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<HttpResponse, Failure> {
    let (mut parts, body) = request.into_parts();
    let fault = shared.judge(Asked::new(&parts));
    let body = match parts.method == Method::PUT && shared.records.load(Ordering::Relaxed) {
        true => Body::from(record(&shared, &parts, body).await?),
        false => Body::from(body),
    };
    match &fault {
        Some(Fault::Dropped) => return Err("dropped".into()),
        Some(Fault::Silence) => std::future::pending::<()>().await,
        Some(Fault::Late(wait)) => tokio::time::sleep(*wait).await,
        Some(Fault::Unconditional) => drop(parts.extensions.insert(Unconditional)),
        Some(Fault::Refused(status, code)) => {
            read_away(body).await?;
            return error(StatusCode::from_u16(*status)?, code);
        }
        Some(Fault::Unchecked) => {
            read_away(body).await?;
            let message = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object \
                           Lock parameters";
            return error_saying(StatusCode::BAD_REQUEST, "InvalidRequest", message);
        }
        Some(Fault::RefusedInBody(code)) => {
            read_away(body).await?;
            return error(StatusCode::OK, code);
        }
        Some(Fault::Redirected(address)) => {
            read_away(body).await?;
            let mut response = error(StatusCode::TEMPORARY_REDIRECT, "TemporaryRedirect")?;
            response.headers_mut().insert(LOCATION, HeaderValue::from_str(address)?);
            return Ok(response);
        }
        Some(Fault::Answered(document)) => {
            read_away(body).await?;
            return Ok(Response::new(Body::from((*document).to_owned())));
        }
        Some(Fault::AnswerLost | Fault::CutOff(_) | Fault::Dated(_)) | None => {}
    }
    let mut response = service.call(Request::from_parts(parts, body)).await?;
    match fault {
        Some(Fault::AnswerLost) => Err("the answer is lost".into()),
        Some(Fault::CutOff(bytes)) => cut_off(response, bytes).await,
        Some(Fault::Dated(time)) => {
            response.headers_mut().insert(LAST_MODIFIED, HeaderValue::from_static(time));
            Ok(response)
        }
        _ => Ok(response),
    }
}

/// Keeps a body as far as it comes.
async fn record(shared: &Shared, parts: &Parts, mut body: Incoming) -> Result<Bytes, Failure> {
    let (mut bytes, mut ended) = (Vec::new(), Ok(()));
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
            Err(error) => {
                ended = Err(error);
                break;
            }
        }
    }
    let (path, query) =
        (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default().to_owned());
    lock(&shared.sent).push(Sent { path, query, body: bytes.clone() });
    ended?;
    Ok(bytes.into())
}

/// A client that still writes when the connection is closed may never see the answer.
async fn read_away(body: Body) -> Result<(), Failure> {
    body.collect().await?;
    Ok(())
}

fn error(status: StatusCode, code: &str) -> Result<HttpResponse, Failure> {
    error_saying(status, code, "as the script says")
}

fn error_saying(status: StatusCode, code: &str, message: &str) -> Result<HttpResponse, Failure> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    Ok(Response::builder().status(status).body(Body::from(body))?)
}

/// The head of the response, the first bytes of its body, and the end of the connection.
async fn cut_off(response: HttpResponse, bytes: usize) -> Result<HttpResponse, Failure> {
    let (mut parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let first = body.slice(..bytes.min(body.len()));
    let frames: [Result<Frame<Bytes>, Failure>; 2] =
        [Ok(Frame::data(first)), Err("the rest is cut off".into())];
    let body = StreamBody::new(futures::stream::iter(frames));
    Ok(Response::from_parts(parts, Body::http_body_unsync(body)))
}
