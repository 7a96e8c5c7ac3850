//! What a task of the tokio server does with its connection.

use std::cell::RefCell;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::net::TcpStream;
use wharf_benches::pattern::CHUNK_BYTES;
use wharf_benches::request::{PIECE, REQUEST};

/// Reads into a buffer of `SIZE` and writes it back.
pub(crate) async fn echo<const SIZE: usize>(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; SIZE];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}

thread_local! {
    /// The one buffer that [`echo_lean`] reads into.
    static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
}

/// The same with no buffer of its own while it waits: as lean as tokio gets by hand.
pub(crate) async fn echo_lean(stream: TcpStream) -> io::Result<()> {
    loop {
        stream.readable().await?;
        let rest = SHARED.with_borrow_mut(|buffer| {
            let count = match stream.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Some(Vec::new()));
                }
                other => other?,
            };
            if count == 0 {
                return Ok(None);
            }
            let sent = stream.try_write(&buffer[..count])?;
            Ok::<_, io::Error>(Some(buffer[sent..count].to_vec()))
        })?;
        let Some(rest) = rest else { return Ok(()) };
        if !rest.is_empty() {
            // An idle connection's message always fits; more than that is not this variant's business.
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
}

/// The answer in eight plain writes.
pub(crate) async fn chatty(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..]).await?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        let complete = filled - filled % REQUEST;
        for piece in buffer[..complete].chunks_exact(PIECE) {
            stream.write_all(piece).await?;
        }
        buffer.copy_within(complete..filled, 0);
        filled -= complete;
    }
}

/// The answer through a `BufWriter`, flushed once for what one read brought.
pub(crate) async fn chatty_buffered(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufWriter::new(stream);
    let mut buffer = vec![0; 64 * 1024];
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..]).await?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        let complete = filled - filled % REQUEST;
        for piece in buffer[..complete].chunks_exact(PIECE) {
            stream.write_all(piece).await?;
        }
        stream.flush().await?;
        buffer.copy_within(complete..filled, 0);
        filled -= complete;
    }
}

/// Reads and discards.
pub(crate) async fn sink(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// One plain write for each chunk.
pub(crate) async fn source(mut stream: TcpStream) -> io::Result<()> {
    loop {
        stream.write_all(&CHUNK_BYTES).await?;
    }
}

/// The chunks through a `BufWriter` of 64 KiB.
pub(crate) async fn source_buffered(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufWriter::with_capacity(64 * 1024, stream);
    loop {
        stream.write_all(&CHUNK_BYTES).await?;
    }
}
