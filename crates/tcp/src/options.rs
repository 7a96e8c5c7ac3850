//! The settings that streams have in common, and those that servers have.

/// Gives a builder the setters of the `StreamOptions` in the field that is named.
macro_rules! stream_setters {
    ($($field:ident).+) => {
        /// The limits of the write buffer; 64 KiB and 16 KiB unless said otherwise.
        pub fn write_buffer_limits(mut self, limits: wharf_core::Limits) -> Self {
            self.$($field).+.limits = limits;
            self
        }

        /// How long `close()` may go without progress before it becomes an abort; 30 seconds unless said otherwise,
        /// `None` for ever.
        pub fn close_timeout(mut self, timeout: Option<std::time::Duration>) -> Self {
            self.$($field).+.close_timeout = timeout;
            self
        }

        /// How many bytes are read from one connection before the others get their turn; 256 KiB unless said
        /// otherwise, and never less than one read.
        pub fn read_budget(mut self, bytes: usize) -> Self {
            self.$($field).+.read_budget = bytes.max(1);
            self
        }
    };
}
pub(crate) use stream_setters;

/// Gives a builder with a field `server: ServerOptions` the setters of a server, those of its streams included.
macro_rules! server_setters {
    () => {
        $crate::options::stream_setters!(server.stream);

        /// How many connections the system keeps waiting; 100 unless said otherwise.
        pub fn backlog(mut self, connections: u16) -> Self {
            self.server.backlog = i32::from(connections);
            self
        }

        /// Whether to serve at once. Otherwise the sockets are bound, and listen from
        /// [`Server::start_serving`](crate::Server::start_serving) on.
        pub fn start_serving(mut self, serve: bool) -> Self {
            self.server.serve = serve;
            self
        }

        /// No more connections than this at a time; further clients wait in the backlog.
        pub fn max_connections(mut self, connections: usize) -> Self {
            self.server.max_connections = connections.max(1);
            self
        }

        /// How many connections are accepted before others get their turn; the backlog unless said otherwise.
        pub fn accept_budget(mut self, connections: usize) -> Self {
            self.server.accept_budget = Some(connections.max(1));
            self
        }

        /// Tells `observer` when a connection cannot be accepted.
        pub fn on_accept_error(
            mut self,
            observer: impl FnMut(&$crate::AcceptError) + 'static,
        ) -> Self {
            self.server.observer = Some(Box::new(observer));
            self
        }
    };
}
pub(crate) use server_setters;
