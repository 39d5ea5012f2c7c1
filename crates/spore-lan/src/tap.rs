//! The host itself as a member of the LAN, through a TAP interface (Linux; needs `CAP_NET_ADMIN`).
#![allow(
    unsafe_code,
    reason = "the kernel makes TAP interfaces by ioctl, for which there is no safe interface"
)]

use crate::executor::{Spawner, Task};
use crate::switch::{MAX_FRAME, Port};
use async_io::Async;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::process::Command;

/// The host's address on the LAN.
pub const HOST_IP: Ipv4Addr = Ipv4Addr::new(10, 4, 0, 2);
/// Bits of the LAN's network part.
pub const PREFIX: u8 = 16;

/// A TAP interface plugged into a switch. Dropping it takes the interface away, unless it was made persistent.
pub struct Tap {
    name: String,
    task: Task<io::Error>,
}

impl Tap {
    /// Makes the interface, or takes an existing one of that name, gives it [`HOST_IP`], brings it up, and carries
    /// frames between it and the port.
    ///
    /// # Errors
    /// `InvalidInput` for a name that is empty or has more than 15 bytes; what the kernel reports, usually for want of
    /// rights; or what the `ip` program says.
    pub fn new(spawner: &Spawner, port: Port, name: &str) -> io::Result<Self> {
        let file = open(name)?;
        let mtu = (MAX_FRAME - 14).to_string();
        // `replace` and not `add`, since a persistent interface has its address already.
        ip(&["address", "replace", &format!("{HOST_IP}/{PREFIX}"), "dev", name])?;
        ip(&["link", "set", "dev", name, "mtu", &mtu, "up"])?;
        let device = Async::new(file)?;
        let task = spawner.spawn(async move {
            let inwards = inwards(&port, &device);
            let outwards = outwards(&port, &device);
            futures_lite::future::or(inwards, outwards).await
        });
        Ok(Self { name: name.to_owned(), task })
    }

    /// Name of the interface.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until the interface fails, as when somebody deletes it.
    pub async fn ended(&mut self) -> io::Error {
        match self.task.join().await {
            Ok(error) => error,
            Err(stopped) => io::Error::other(stopped),
        }
    }
}

fn open(name: &str) -> io::Result<File> {
    let fits = !name.is_empty() && name.len() < libc::IFNAMSIZ && !name.contains(['/', '\0']);
    if !fits {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "an interface's name has 1 to 15 bytes"));
    }
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: `ifreq` is a C structure of integers and arrays, for which all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the descriptor is open for the whole call, and TUNSETIFF reads and writes one `ifreq`, which
    // `request` is.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(file) }
}

fn ip(arguments: &[&str]) -> io::Result<()> {
    let output = Command::new("ip").args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("ip {}: {}", arguments.join(" "), words.trim())))
}

async fn inwards(port: &Port, device: &Async<File>) -> io::Error {
    // One byte more than fits, so that a frame too long is seen as such and refused by the switch.
    let mut buffer = [0; MAX_FRAME + 1];
    loop {
        match device.read_with(|mut file| file.read(&mut buffer)).await {
            Ok(length) => port.send(&buffer[..length]),
            Err(error) => return error,
        }
    }
}

async fn outwards(port: &Port, device: &Async<File>) -> io::Error {
    loop {
        let frame = port.receive().await;
        match device.write_with(|mut file| file.write(&frame)).await {
            Ok(_) => {}
            // The interface is down, as a cable pulled out: the frame is lost.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => {}
            Err(error) => return error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Mode;
    use crate::executor::World;
    use crate::host::{Address, Host};
    use crate::switch::Switch;
    use std::net::{SocketAddrV4, UdpSocket};

    #[test]
    fn names_the_kernel_would_cut_are_refused() {
        for name in ["", "sixteen-letters-", "a/b", "a\0b"] {
            assert_eq!(open(name).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{name:?}");
        }
    }

    #[test]
    fn the_host_joins_the_lan() {
        // SAFETY: moves only this thread to a network namespace of its own, where it can disturb nobody.
        let moved = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0;
        let world = World::new(Mode::Real);
        let switch = Switch::new(1);
        let port = switch.attach([2, 0, 0, 0, 0, 2]);
        let tap = if moved {
            Tap::new(&world.spawner(), port, "spore-test")
        } else {
            Err(io::Error::last_os_error())
        };
        let tap = match tap {
            Ok(tap) => tap,
            Err(error) => {
                println!("skipped: no TAP interface here: {error}");
                return;
            }
        };
        assert_eq!(tap.name(), "spore-test");
        let address = Address::Static(Ipv4Addr::new(10, 4, 0, 1), PREFIX);
        let member = Host::new::<4>(&world.spawner(), switch.attach([2, 0, 0, 0, 0, 1]), address, 1);
        let peer = member.udp(4210);
        world.run_until(async {
            let outside = Async::<UdpSocket>::bind((HOST_IP, 4210)).unwrap();
            peer.send(SocketAddrV4::new(HOST_IP, 4210), b"from the LAN");
            let mut buffer = [0; 64];
            let (len, from) = outside.recv_from(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..len], b"from the LAN");
            outside.send_to(b"from the host", from).await.unwrap();
            assert_eq!(peer.receive().await, (SocketAddrV4::new(HOST_IP, 4210), b"from the host".to_vec()));
        });
    }
}
