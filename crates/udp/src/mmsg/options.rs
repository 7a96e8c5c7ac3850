//! The socket options by which a system is asked to say more about each datagram.

use std::io;
use std::os::fd::BorrowedFd;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;

use super::channel::{Facts, Family};

/// Asks for all that `facts` names.
pub(super) fn ask_for(fd: BorrowedFd<'_>, family: Family, facts: Facts) -> io::Result<()> {
    if facts.timestamp {
        ask_for_timestamps(fd)?;
    }
    match family {
        Family::V4 => ask_for_v4(fd, facts),
        Family::V6 => {
            // Of IPv4 datagrams on a dual-stack socket IPv4's options tell; a socket without them has no such datagrams.
            let _ = ask_for_v4(fd, facts);
            if facts.destination {
                setsockopt(&fd, sockopt::Ipv6RecvPacketInfo, &true)?;
            }
            if facts.ecn {
                SockRef::from(&fd).set_recv_tclass_v6(true)?;
            }
            Ok(())
        }
        // A Unix datagram has a sender and nothing else.
        Family::Unix => Ok(()),
    }
}

fn ask_for_v4(fd: BorrowedFd<'_>, facts: Facts) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    if facts.destination {
        setsockopt(&fd, sockopt::Ipv4PacketInfo, &true)?;
    }
    if facts.ecn {
        SockRef::from(&fd).set_recv_tos_v4(true)?;
    }
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn ask_for_timestamps(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(setsockopt(&fd, sockopt::ReceiveTimestampns, &true)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn ask_for_timestamps(_fd: BorrowedFd<'_>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
