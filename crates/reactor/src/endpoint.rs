//! Where to listen, to bind and to connect: addresses, names, and lists of them. What every transport over IP takes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::handle::LoopHandle;

/// One place: an address, a name to be resolved, or every interface.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Endpoint {
    Addr(SocketAddr),
    Name(String, u16),
    /// Both families.
    Everywhere(u16),
}

/// One or several places, as they are written in code.
///
/// A string is `host:port`, with IPv6 addresses in brackets; an empty host or `*` is every interface in both families.
/// Names are resolved by the loop, IP addresses are not.
pub trait Endpoints {
    /// The places.
    ///
    /// # Errors
    /// `InvalidInput` when they cannot be read.
    fn endpoints(self) -> io::Result<EndpointList>;
}

/// What an [`Endpoints`] amounts to.
#[derive(Debug, Clone)]
pub struct EndpointList(Vec<Endpoint>);

impl EndpointList {
    fn one(endpoint: Endpoint) -> io::Result<Self> {
        Ok(Self(vec![endpoint]))
    }

    /// The addresses, each once, in the order in which they were given.
    ///
    /// # Errors
    /// When a name cannot be resolved, or nothing was given.
    pub async fn resolve(&self, handle: &LoopHandle) -> io::Result<Vec<SocketAddr>> {
        let mut addresses = Vec::new();
        for endpoint in &self.0 {
            match endpoint {
                Endpoint::Addr(address) => addresses.push(*address),
                Endpoint::Name(host, port) => addresses.extend(handle.resolve(host, *port).await?),
                Endpoint::Everywhere(port) => {
                    addresses.push(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), *port));
                    addresses.push(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), *port));
                }
            }
        }
        let mut distinct: Vec<SocketAddr> = Vec::with_capacity(addresses.len());
        for address in addresses {
            if !distinct.contains(&address) {
                distinct.push(address);
            }
        }
        if distinct.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no address was given"));
        }
        Ok(distinct)
    }
}

fn host_and_port(host: &str, port: u16) -> Endpoint {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(ip) => Endpoint::Addr(SocketAddr::new(ip, port)),
        Err(_) if host.is_empty() || host == "*" => Endpoint::Everywhere(port),
        Err(_) => Endpoint::Name(bare.to_owned(), port),
    }
}

impl Endpoints for &str {
    fn endpoints(self) -> io::Result<EndpointList> {
        if let Ok(address) = self.parse() {
            return EndpointList::one(Endpoint::Addr(address));
        }
        let parsed =
            self.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parsed {
            // An IPv6 address without brackets: its last group would be taken for the port.
            Some((host, port)) if !host.contains(':') || host.starts_with('[') => {
                EndpointList::one(host_and_port(host, port))
            }
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{self:?} is not of the form host:port"),
            )),
        }
    }
}

impl Endpoints for String {
    fn endpoints(self) -> io::Result<EndpointList> {
        self.as_str().endpoints()
    }
}

impl Endpoints for &String {
    fn endpoints(self) -> io::Result<EndpointList> {
        self.as_str().endpoints()
    }
}

impl Endpoints for SocketAddr {
    fn endpoints(self) -> io::Result<EndpointList> {
        EndpointList::one(Endpoint::Addr(self))
    }
}

impl Endpoints for (IpAddr, u16) {
    fn endpoints(self) -> io::Result<EndpointList> {
        SocketAddr::from(self).endpoints()
    }
}

impl Endpoints for (Ipv4Addr, u16) {
    fn endpoints(self) -> io::Result<EndpointList> {
        SocketAddr::from(self).endpoints()
    }
}

impl Endpoints for (Ipv6Addr, u16) {
    fn endpoints(self) -> io::Result<EndpointList> {
        SocketAddr::from(self).endpoints()
    }
}

impl Endpoints for (&str, u16) {
    fn endpoints(self) -> io::Result<EndpointList> {
        EndpointList::one(host_and_port(self.0, self.1))
    }
}

impl Endpoints for (String, u16) {
    fn endpoints(self) -> io::Result<EndpointList> {
        (self.0.as_str(), self.1).endpoints()
    }
}

fn all<T: Endpoints>(list: impl IntoIterator<Item = T>) -> io::Result<EndpointList> {
    let lists = list.into_iter().map(Endpoints::endpoints).collect::<io::Result<Vec<_>>>()?;
    Ok(EndpointList(lists.into_iter().flat_map(|list| list.0).collect()))
}

impl<T: Endpoints> Endpoints for Vec<T> {
    fn endpoints(self) -> io::Result<EndpointList> {
        all(self)
    }
}

impl<T: Endpoints, const N: usize> Endpoints for [T; N] {
    fn endpoints(self) -> io::Result<EndpointList> {
        all(self)
    }
}

impl<T: Endpoints + Clone> Endpoints for &[T] {
    fn endpoints(self) -> io::Result<EndpointList> {
        all(self.iter().cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_read_as_people_write_them() {
        let read = |text: &str| text.endpoints().map(|mut list| list.0.remove(0));
        let v4 = Endpoint::Addr("127.0.0.1:80".parse().unwrap());
        assert_eq!(read("127.0.0.1:80").unwrap(), v4);
        assert_eq!(read("[::1]:80").unwrap(), Endpoint::Addr("[::1]:80".parse().unwrap()));
        assert_eq!(read("example.org:443").unwrap(), Endpoint::Name("example.org".into(), 443));
        assert_eq!(read(":80").unwrap(), Endpoint::Everywhere(80));
        assert_eq!(read("*:80").unwrap(), Endpoint::Everywhere(80));
        for wrong in ["", "example.org", "example.org:", "example.org:http", "a:99999", "::1:80"] {
            assert_eq!(read(wrong).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{wrong:?}");
        }
    }

    #[test]
    fn a_list_may_mix_addresses_and_names() {
        let list = ["127.0.0.1:80", "localhost:81"].endpoints().unwrap();
        assert_eq!(list.0.len(), 2);
        assert_eq!(
            ("::1", 80).endpoints().unwrap().0,
            [Endpoint::Addr("[::1]:80".parse().unwrap())]
        );
    }
}
