//! Who sends everything back: the same server in each style.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use wharf::codec::{BytesCodec, Framed, FramedProtocol, FramedTransport};
use wharf::streams::{self, Stream};
use wharf::{Flow, IntoProtocol, Protocol, StreamProtocol, TransportRef};

/// How the server is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Style {
    /// A protocol with callbacks.
    Callbacks,
    /// A protocol of frames.
    Frames,
    /// A task with a reader and a writer.
    Task,
    /// Another program.
    Child,
}

/// Runs tasks on the loop of the carrier.
pub(crate) type Spawn = Rc<dyn Fn(Pin<Box<dyn Future<Output = ()>>>)>;

impl Style {
    /// Those that live in this process.
    pub(crate) const ALL: [Self; 3] = [Self::Callbacks, Self::Frames, Self::Task];

    /// The server of one connection.
    pub(crate) fn protocol(self, spawn: &Spawn) -> StreamProtocol {
        match self {
            Self::Callbacks => Echo.share().1,
            Self::Frames => Framed::new(BytesCodec::new(), Echo).share().1,
            Self::Task => {
                let spawn = Rc::clone(spawn);
                streams::each(move |stream| spawn(Box::pin(echo(stream))))().share().1
            }
            Self::Child => panic!("a child is started by its carrier"),
        }
    }
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        if transport.write(data) == Flow::Full {
            transport.pause_reading();
        }
    }

    fn resume_writing(&mut self, transport: &TransportRef) {
        transport.resume_reading();
    }
}

impl FramedProtocol<BytesCodec> for Echo {
    fn frame_received(&mut self, transport: &FramedTransport<BytesCodec>, frame: bytes::BytesMut) {
        let flow = transport.write_frame(frame.freeze()).expect("bytes are bytes");
        if flow == Flow::Full {
            transport.pause_reading();
        }
    }

    fn resume_writing(&mut self, transport: &FramedTransport<BytesCodec>) {
        transport.resume_reading();
    }
}

/// The same as a task. What fails it is the prober's end, which the prober knows best.
async fn echo(stream: Stream) {
    let Stream { mut reader, writer } = stream;
    while let Ok(data) = reader.read(64 * 1024).await {
        if data.is_empty() || writer.write_all(&data).await.is_err() {
            break;
        }
    }
}
