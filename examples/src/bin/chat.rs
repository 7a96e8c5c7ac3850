//! A chat room: what one member writes, line by line, all others read; the first line is the member's name.
//!
//! Handles are keys of the room's map, and anybody's callback may write to anybody's transport.
//! A member who does not read is dropped by the limits of its write buffer, and nobody waits for it.
//! Try `nc 127.0.0.1 8888` in two terminals; another address may be given as the first argument.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Write};
use std::rc::Rc;

use wharf::{EventLoop, Limits, Lost, Protocol, TransportRef, tcp};

/// A longer line ends the connection, so that nobody makes us store without end.
const LONGEST_LINE: usize = 4096;

/// A member with more than this unread is dropped.
const LONGEST_BACKLOG: usize = 256 * 1024;

/// Who is here, by transport.
#[derive(Default)]
struct Room {
    members: HashMap<TransportRef, String>,
}

impl Room {
    /// Tells everybody but `from`. A write never calls back, so the room may be borrowed meanwhile.
    fn tell(&self, from: &TransportRef, text: &str) {
        for member in self.members.keys().filter(|member| *member != from) {
            member.write(text.as_bytes());
        }
    }
}

struct Member {
    room: Rc<RefCell<Room>>,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
}

impl Member {
    fn line(&self, transport: &TransportRef, line: &str) {
        let mut room = self.room.borrow_mut();
        if let Some(name) = room.members.get(transport) {
            room.tell(transport, &format!("{name}: {line}\n"));
        } else {
            room.members.insert(transport.clone(), line.to_owned());
            room.tell(transport, &format!("* {line} has come\n"));
            let count = room.members.len();
            transport.write(format!("* welcome, {line}; here: {count}\n").as_bytes());
        }
    }
}

impl Protocol for Member {
    fn connection_made(&mut self, transport: &TransportRef) {
        transport.write(b"* your name?\n");
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        self.partial.extend_from_slice(data);
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            if end > LONGEST_LINE {
                return transport.fail("the line is too long".into());
            }
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            self.line(transport, String::from_utf8_lossy(&line).trim_end());
        }
        if self.partial.len() > LONGEST_LINE {
            transport.fail("the line is too long".into());
        }
    }

    fn connection_lost(&mut self, transport: &TransportRef, why: &Lost) {
        let mut room = self.room.borrow_mut();
        if let Some(name) = room.members.remove(transport) {
            let _ = writeln!(io::stdout(), "{name} has left: {why}");
            room.tell(transport, &format!("* {name} has left\n"));
        }
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8888".into());
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let room = Rc::new(RefCell::new(Room::default()));
    let factory = move || Member { room: Rc::clone(&room), partial: Vec::new() };
    let limits = Limits::default().max(LONGEST_BACKLOG);
    let server = ev.block_on(async {
        tcp::listen(&handle, address, factory).write_buffer_limits(limits).await
    })?;
    for address in server.addresses() {
        writeln!(io::stdout(), "listening on {address}")?;
        writeln!(io::stdout(), "try: socat - TCP:{address}")?;
    }
    ev.run_forever()
}
