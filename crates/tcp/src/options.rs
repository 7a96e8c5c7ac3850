//! The settings that every way of making a stream has in common.

/// Gives a builder with a field `stream: StreamOptions` the setters of a stream.
macro_rules! stream_setters {
    () => {
        /// The limits of the write buffer; 64 KiB and 16 KiB unless said otherwise.
        pub fn write_buffer_limits(mut self, limits: wharf_core::Limits) -> Self {
            self.stream.limits = limits;
            self
        }

        /// How long `close()` may go without progress before it becomes an abort; 30 seconds unless said otherwise,
        /// `None` for ever.
        pub fn close_timeout(mut self, timeout: Option<std::time::Duration>) -> Self {
            self.stream.close_timeout = timeout;
            self
        }

        /// How many bytes are read from one connection before the others get their turn; 256 KiB unless said
        /// otherwise, and never less than one read.
        pub fn read_budget(mut self, bytes: usize) -> Self {
            self.stream.read_budget = bytes.max(1);
            self
        }
    };
}
pub(crate) use stream_setters;
