//! Sends what comes by one FIFO out by another, as much at a time as its reader takes.
//!
//! asyncio's `connect_read_pipe` and `connect_write_pipe`. The FIFOs are made beside the path that is given as the first
//! argument; a command to try is printed. For stdin and stdout there are `subprocess::pipe_stdin` and `pipe_stdout`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};

use wharf::{
    EventLoop, Flow, LoopHandle, Lost, ReadPipeProtocol, ReadTransportRef, WritePipeProtocol,
    WriteTransportRef, pipe, subprocess,
};

struct Source(WriteTransportRef);

impl ReadPipeProtocol for Source {
    fn data_received(&mut self, source: &ReadTransportRef, data: &[u8]) {
        if self.0.write(data) == Flow::Full {
            source.pause_reading();
        }
    }

    fn eof_received(&mut self, _: &ReadTransportRef) {
        self.0.close();
    }
}

struct Sink(LoopHandle, Option<ReadTransportRef>);

impl WritePipeProtocol for Sink {
    fn resume_writing(&mut self, _: &WriteTransportRef) {
        self.1.iter().for_each(|source| source.resume_reading());
    }

    fn connection_lost(&mut self, _: &WriteTransportRef, why: &Lost) {
        let _ = writeln!(io::stdout(), "Nothing more is written: {why}");
        self.0.stop();
    }
}

fn main() -> io::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "/tmp/wharf-pipe".into());
    let paths = [format!("{path}.in"), format!("{path}.out")];
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    ev.block_on(async {
        subprocess::run(&handle, "mkfifo", &paths).await.map_err(io::Error::other)?;
        // Open for reading as well, so that it may be opened before there is a reader.
        let out = OpenOptions::new().read(true).write(true).open(&paths[1])?;
        let (sink, written) = pipe::connect_write(&handle, out, Sink(handle.clone(), None)).await?;
        let from = subprocess::open_fifo_read(&paths[0])?;
        let (source, _) = pipe::connect_read(&handle, from, Source(sink)).await?;
        written.borrow_mut().1 = Some(source);
        writeln!(io::stdout(), "listening on {}", paths[0])?;
        writeln!(io::stdout(), "try: {{ echo hello > {}; cat; }} < {}", paths[0], paths[1])
    })?;
    ev.run_forever()?;
    paths.iter().try_for_each(fs::remove_file)
}
