//! RESP and HTTP on tokio: the applications by hand, and hyper.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wharf_benches::apps::{Application, PAGE};
use wharf_benches::mode::Mode;

thread_local! {
    /// What all connections share; the runtime has one thread.
    static APPLICATION: RefCell<Option<Application>> = const { RefCell::new(None) };
}

/// Chooses what [`serve`] answers.
pub(crate) fn prepare(mode: Mode) {
    APPLICATION.set(Application::of(mode));
}

/// Reads, answers everything that is whole, and writes all answers at once.
pub(crate) async fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut answers = Vec::new();
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..]).await?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        answers.clear();
        let used = APPLICATION.with_borrow_mut(|application| {
            let application = application.as_mut()?;
            application.turn();
            application.serve(&buffer[..filled], &mut answers)
        });
        stream.write_all(&answers).await?;
        let used = used.ok_or(io::ErrorKind::InvalidData)?;
        buffer.copy_within(used..filled, 0);
        filled -= used;
    }
}

/// The page as a user of hyper would serve it.
pub(crate) async fn serve_with_hyper(stream: TcpStream) -> io::Result<()> {
    let service = hyper::service::service_fn(page);
    let connection = hyper::server::conn::http1::Builder::new()
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(stream), service);
    connection.await.map_err(io::Error::other)
}

async fn page(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != "/plaintext" {
        let mut nothing = Response::new(Full::default());
        *nothing.status_mut() = StatusCode::NOT_FOUND;
        return Ok(nothing);
    }
    let mut response = Response::new(Full::from(PAGE));
    let kind = hyper::header::HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}
