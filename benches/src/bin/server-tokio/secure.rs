//! The servers over TLS: tokio-rustls, with the settings that every system has.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use wharf_benches::mode::Mode;
use wharf_benches::pattern::CHUNK_BYTES;
use wharf_benches::secure;

/// Gives each connection a task of its own, that begins with the handshake.
pub(crate) async fn accept(listener: TcpListener, mode: Mode) -> io::Result<()> {
    let acceptor = TlsAcceptor::from(secure::server()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let stream = acceptor.accept(stream).await?;
            serve(stream, mode).await
        });
    }
}

async fn serve(stream: TlsStream<TcpStream>, mode: Mode) -> io::Result<()> {
    match mode {
        Mode::TlsSink => sink(stream).await,
        Mode::TlsSource => source(stream).await,
        Mode::TlsEcho => echo::<{ 64 * 1024 }, _>(stream).await,
        _ => echo::<4096, _>(stream).await,
    }
}

async fn echo<const SIZE: usize, S>(mut stream: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = vec![0; SIZE];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..count]).await?;
        stream.flush().await?;
    }
}

async fn sink(mut stream: TlsStream<TcpStream>) -> io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Through a `BufWriter` of 64 KiB: without it each chunk would be a record and a system call.
async fn source(stream: TlsStream<TcpStream>) -> io::Result<()> {
    let mut stream = tokio::io::BufWriter::with_capacity(64 * 1024, stream);
    loop {
        stream.write_all(&CHUNK_BYTES).await?;
    }
}
