//! The settings that UDP and Unix endpoints have in common.

use std::io;

/// How much the system keeps for a socket, where that is said.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Buffers {
    pub(crate) receive: Option<usize>,
    pub(crate) send: Option<usize>,
}

impl Buffers {
    pub(crate) fn set(self, socket: &socket2::Socket) -> io::Result<()> {
        if let Some(bytes) = self.receive {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send {
            socket.set_send_buffer_size(bytes)?;
        }
        Ok(())
    }
}

/// Gives a builder with the fields `options: DatagramOptions`, `buffers: Buffers` and `wishes: Wishes` its setters.
macro_rules! endpoint_setters {
    () => {
        /// The limits of the queue in bytes; 64 KiB, 16 KiB and a ceiling of 16 MiB unless said otherwise. Each datagram
        /// counts eight bytes more than it has.
        pub fn write_buffer_limits(mut self, limits: wharf_core::Limits) -> Self {
            self.options.limits.bytes = limits;
            self
        }

        /// The limits of the queue in datagrams; none unless said otherwise.
        pub fn datagram_limits(mut self, limits: wharf_core::Limits) -> Self {
            self.options.limits.datagrams = limits;
            self
        }

        /// What happens to a send that finds the queue above its ceiling; it is refused unless said otherwise.
        pub fn drop_policy(mut self, policy: $crate::DropPolicy) -> Self {
            self.options.drop_policy = policy;
            self
        }

        /// How long `close()` may go without progress before it becomes an abort; 30 seconds unless said otherwise,
        /// `None` for ever.
        pub fn close_timeout(mut self, timeout: Option<std::time::Duration>) -> Self {
            self.options.close_timeout = timeout;
            self
        }

        /// How many datagrams are received before others get their turn; 256 unless said otherwise, and never less than
        /// what one system call brings.
        pub fn read_budget(mut self, datagrams: usize) -> Self {
            self.options.read_budget = datagrams.max(1);
            self
        }

        /// The size of the system's receive buffer, in bytes (`SO_RCVBUF`); what does not fit while nobody receives is
        /// lost. The system may give less.
        pub fn receive_buffer_size(mut self, bytes: usize) -> Self {
            self.buffers.receive = Some(bytes);
            self
        }

        /// The size of the system's send buffer, in bytes (`SO_SNDBUF`). The system may give less.
        pub fn send_buffer_size(mut self, bytes: usize) -> Self {
            self.buffers.send = Some(bytes);
            self
        }

        /// Takes the system to lack something, for tests of what is done in its place.
        #[doc(hidden)]
        pub fn missing(mut self, missing: $crate::Missing) -> Self {
            self.wishes.missing = missing;
            self
        }
    };
}
pub(crate) use endpoint_setters;

/// Gives a builder with the field `wishes: Wishes` the setters for what is told of each datagram.
macro_rules! fact_setters {
    () => {
        /// Whether each datagram tells its congestion mark.
        pub fn ecn(mut self, tell: bool) -> Self {
            self.wishes.ecn = tell;
            self
        }

        /// Whether each datagram tells when the system received it.
        pub fn timestamps(mut self, tell: bool) -> Self {
            self.wishes.timestamps = tell;
            self
        }

        /// Whether each datagram tells which address of ours, and which interface, it came to. Unless said otherwise that is
        /// so where an endpoint has more than one, which is bound to everywhere and not connected: answers leave from that
        /// address.
        pub fn packet_info(mut self, tell: bool) -> Self {
            self.wishes.destination = Some(tell);
            self
        }
    };
}
pub(crate) use fact_setters;
