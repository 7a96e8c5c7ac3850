//! Servers that know nothing of the benches: wharf's examples as they are, and programs that are installed.

use std::env;
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::{fs, process};

/// A server and how it is told where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// `examples/src/bin/redis`.
    ExampleRedis,
    /// `examples/src/bin/http`.
    ExampleHttp,
    /// Redis itself.
    Redis,
    /// nginx, as one process.
    Nginx,
}

impl Foreign {
    /// The one that is called so.
    #[must_use]
    pub fn named(binary: &str) -> Option<Self> {
        Some(match binary {
            "redis" => Self::ExampleRedis,
            "http" => Self::ExampleHttp,
            "redis-server" => Self::Redis,
            "nginx" => Self::Nginx,
            _ => return None,
        })
    }

    /// Where the program lies: beside this one, or where the system looks for programs.
    ///
    /// # Errors
    ///
    /// It is not there.
    pub fn path(self) -> io::Result<PathBuf> {
        match self {
            Self::ExampleRedis => crate::child::sibling("redis"),
            Self::ExampleHttp => crate::child::sibling("http"),
            Self::Redis => installed("redis-server"),
            Self::Nginx => installed("nginx"),
        }
    }

    /// Its arguments, to listen on `port` and to keep its files in `folder`.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub fn arguments(self, port: u16, folder: &Path) -> io::Result<Vec<OsString>> {
        let words = |words: &str| words.split_ascii_whitespace().map(OsString::from).collect();
        Ok(match self {
            Self::ExampleRedis | Self::ExampleHttp => words(&format!("127.0.0.1:{port}")),
            Self::Redis => {
                let mut arguments: Vec<OsString> = words(&format!(
                    "--port {port} --bind 127.0.0.1 --appendonly no --loglevel warning --dir"
                ));
                arguments.extend([folder.into(), "--save".into(), "".into()]);
                arguments
            }
            Self::Nginx => {
                let file = folder.join("nginx.conf");
                fs::write(&file, nginx(port))?;
                vec!["-p".into(), folder.into(), "-c".into(), file.into()]
            }
        })
    }
}

/// One process, no log, connections that stay, one page.
fn nginx(port: u16) -> String {
    let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {name};"))
        .concat();
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr crit;\n\
         events {{ worker_connections 4096; multi_accept on; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; {places}\n\
         server {{ listen 127.0.0.1:{port} backlog=1024;\n\
         location = /plaintext {{ default_type text/plain; return 200 \"{}\"; }} }} }}\n",
        crate::apps::PAGE
    )
}

/// A port that nobody listens on now.
///
/// # Errors
///
/// There is none.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A folder that is gone when the value is.
#[derive(Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    /// A new one.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn new() -> io::Result<Self> {
        let path = env::temp_dir().join(format!("wharf-compare-{}", process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Not there is as good as removed.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where the system finds a program; some stand where only an administrator's shell looks.
///
/// # Errors
///
/// It is not installed.
pub fn installed(program: &str) -> io::Result<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&folders).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("{program} is not installed"))
    })
}
