//! What transport handles are for, one program each: `chat`, `proxy`, `idle_timeout`.
//!
//! The programs stand in `src/bin` and share nothing; read them from the top.

#![forbid(unsafe_code)]
