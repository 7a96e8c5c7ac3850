//! Name resolution behind a trait, and the system's resolver on the loop's threads.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;

use crate::handle::LoopHandle;
use crate::task::TaskError;

/// The addresses of a name, in the order in which they are to be tried.
pub type Resolution = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>>>>;

/// Turns a host name into addresses.
///
/// The loop asks it for names only: an IP address never gets here.
pub trait Resolver: 'static {
    /// Starts looking `host` up; each address gets `port`.
    fn resolve(&self, handle: &LoopHandle, host: &str, port: u16) -> Resolution;
}

/// The system's resolver (`getaddrinfo`): the hosts file, DNS, and whatever else the machine is set up for.
///
/// A lookup cannot be taken back; the answer of one that nobody waits for is dropped.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, handle: &LoopHandle, host: &str, port: u16) -> Resolution {
        let host = host.to_owned();
        let lookup = handle
            .spawn_blocking(move || (host.as_str(), port).to_socket_addrs().map(Vec::from_iter));
        Box::pin(async move {
            match lookup.await {
                Ok(addresses) => addresses,
                Err(TaskError::Cancelled) => {
                    Err(io::Error::other("the lookup was given up with its loop"))
                }
                Err(TaskError::Fault(fault)) => Err(io::Error::other(fault)),
            }
        })
    }
}

impl LoopHandle {
    /// The addresses of `host` with `port`, by the loop's resolver; an IP address is itself, without asking anybody.
    ///
    /// # Errors
    /// When the name cannot be resolved; `NotFound` when it has no address.
    #[doc(alias = "getaddrinfo")]
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(ip) = bare.parse() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let mut addresses = self.resolver().resolve(self, bare, port).await?;
        let mut seen = Vec::with_capacity(addresses.len());
        addresses.retain(|address| {
            !seen.contains(address) && {
                seen.push(*address);
                true
            }
        });
        if addresses.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("the name {host} has no address"),
            ));
        }
        Ok(addresses)
    }
}
