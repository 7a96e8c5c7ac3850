//! [`Side`]: which end of a TLS connection we are, and by which settings.

use std::net::IpAddr;

use rustls::pki_types::ServerName;

use crate::engine::Rustls;
use crate::error::Error;
use crate::info;
use crate::settings::{ClientConfig, ServerConfig, Timeouts};

/// Which end of a TLS connection we are: a [`ServerConfig`], or a [`ClientConfig`] and the server's name.
#[derive(Debug, Clone)]
pub enum Side {
    /// The client's end, which is shown a certificate of this name.
    Client(ClientConfig, Result<ServerName<'static>, Error>),
    /// The server's end.
    Server(ServerConfig),
}

impl Side {
    pub(crate) fn engine(&self) -> Result<Rustls, Error> {
        Ok(match self {
            Self::Client(config, name) => Rustls::client(config, name.clone()?)?,
            Self::Server(config) => Rustls::server(config)?,
        })
    }

    /// The name that a client has asked for.
    pub(crate) fn server_name(&self) -> Option<info::ServerName> {
        match self {
            Self::Client(_, name) => {
                name.as_ref().ok().map(|name| info::ServerName(name.to_str().into_owned()))
            }
            Self::Server(_) => None,
        }
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        match self {
            Self::Client(config, _) => &config.timeouts,
            Self::Server(config) => &config.timeouts,
        }
    }
}

impl<C: Into<ServerConfig>> From<C> for Side {
    fn from(config: C) -> Self {
        Self::Server(config.into())
    }
}

impl<C: Into<ClientConfig>, N: Name> From<(C, N)> for Side {
    fn from((config, name): (C, N)) -> Self {
        Self::Client(config.into(), name.name())
    }
}

/// The name that a server's certificate is to bear: a DNS name or an IP address.
pub trait Name {
    /// The name, or why it is none.
    #[doc(hidden)]
    fn name(self) -> Result<ServerName<'static>, Error>;
}

impl Name for &str {
    fn name(self) -> Result<ServerName<'static>, Error> {
        let name = ServerName::try_from(self);
        name.map(|name| name.to_owned()).map_err(|_| Error::InvalidServerName(self.to_owned()))
    }
}

impl Name for String {
    fn name(self) -> Result<ServerName<'static>, Error> {
        self.as_str().name()
    }
}

impl Name for IpAddr {
    fn name(self) -> Result<ServerName<'static>, Error> {
        Ok(ServerName::IpAddress(self.into()))
    }
}

impl Name for ServerName<'_> {
    fn name(self) -> Result<ServerName<'static>, Error> {
        Ok(self.to_owned())
    }
}
