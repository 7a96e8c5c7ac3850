//! Datagrams on tokio's `UdpSocket`, as its documentation shows it.

use std::io;
use std::net::{Ipv4Addr, UdpSocket as StdSocket};

use tokio::net::UdpSocket;
use wharf_benches::datagrams::{self, Setting};
use wharf_benches::load::datagrams::{RECEIVE_BUFFER, wants_answer};
use wharf_benches::mode::Service;
use wharf_benches::serve as life;

use crate::end_with_standard_input;

/// Serves until standard input closes.
pub(crate) async fn serve(service: Service) -> io::Result<()> {
    let socket = StdSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    datagrams::set(&socket, Setting::ReceiveBuffer(RECEIVE_BUFFER))?;
    let socket = UdpSocket::from_std(socket)?;
    end_with_standard_input()?;
    life::announce(socket.local_addr()?.port())?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (count, from) = socket.recv_from(&mut buffer).await?;
        let data = &buffer[..count];
        match service {
            Service::Echo => drop(socket.send_to(data, from).await?),
            Service::Sink if wants_answer(data) => drop(socket.send_to(&data[..1], from).await?),
            Service::Sink => {}
        }
    }
}
