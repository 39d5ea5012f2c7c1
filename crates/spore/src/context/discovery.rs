//! Finding nodes when nothing else is known: one broadcast, and whoever answers within two seconds.

use crate::dotenv::Env;
use crate::exit::{Failure, Outcome};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

/// UDP port of SPORE.
const PORT: u16 = 4210;
/// How long to collect answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// A node that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its hostname.
    pub hostname: String,
    /// Where the answer came from.
    pub ip: IpAddr,
}

/// Ask the network who is there, each node once, in the order of their answers. `SPORE_BROADCAST` (`ip:port`) replaces
/// the address asked, so that tests stay on loopback; `SPORE_BROADCAST=off` asks nobody. With `wanted`, stop at
/// the first answer it accepts.
pub fn discover(env: &Env, wanted: impl Fn(&Found) -> bool) -> Outcome<Vec<Found>> {
    let address = match env.get("SPORE_BROADCAST") {
        None => SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::BROADCAST, PORT)),
        Some(setting) if setting.value == "off" => return Ok(Vec::new()),
        Some(setting) => setting.value.parse().map_err(|_| {
            Failure::other(format!("{} is not an address with a port: {}", setting.origin, setting.value))
        })?,
    };
    ask(address, wanted).or_else(|error| match error.kind() {
        // No network at all: nobody is there.
        std::io::ErrorKind::NetworkUnreachable | std::io::ErrorKind::HostUnreachable => Ok(Vec::new()),
        _ => Err(Failure::other(format!("cannot look for nodes by broadcast to {address}: {error}"))),
    })
}

fn ask(address: SocketAddr, wanted: impl Fn(&Found) -> bool) -> std::io::Result<Vec<Found>> {
    let socket = if address.ip().is_loopback() {
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?
    } else {
        // C++ nodes may answer to the port of SPORE instead of the asker's: listen there when it is free.
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))
            .or_else(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?
    };
    socket.set_broadcast(true)?;
    socket.send_to(b"CLUSTER_DISCOVERY", address)?;
    let end = Instant::now() + PATIENCE;
    let mut found: Vec<Found> = Vec::new();
    let mut buffer = [0; 1500];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(found);
        }
        socket.set_read_timeout(Some(left))?;
        let (count, from) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(found),
            // A refusal (ICMP) to our datagram says nothing about other nodes.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => continue,
            Err(error) => return Err(error),
        };
        let Some(hostname) = parse(&buffer[..count]) else { continue };
        let node = Found { hostname, ip: from.ip() };
        if found.contains(&node) {
            continue;
        }
        let enough = wanted(&node);
        found.push(node);
        if enough {
            return Ok(found);
        }
    }
}

/// The hostname in `CLUSTER_RESPONSE:<hostname>`; other datagrams are somebody else's.
fn parse(datagram: &[u8]) -> Option<String> {
    let hostname =
        std::str::from_utf8(datagram).ok()?.strip_prefix("CLUSTER_RESPONSE:")?.trim_end_matches(['\0', '\n']);
    let fine = !hostname.is_empty() && hostname.len() <= 63;
    (fine && hostname.chars().all(|c| c.is_ascii_graphic())).then(|| hostname.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_responses_count() {
        assert_eq!(parse(b"CLUSTER_RESPONSE:esp_1"), Some("esp_1".to_owned()));
        for other in
            [&b"CLUSTER_RESPONSE:"[..], b"CLUSTER_DISCOVERY", b"CLUSTER_RESPONSE:a\x1b[2J", b"\xff", b""]
        {
            assert_eq!(parse(other), None);
        }
    }

    #[test]
    fn answers_are_collected_once_until_the_wanted_one() {
        let node = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = node.local_addr().unwrap().to_string();
        let asked = std::thread::spawn(move || {
            let mut buffer = [0; 64];
            let (count, from) = node.recv_from(&mut buffer).unwrap();
            for answer in
                ["noise", "CLUSTER_RESPONSE:esp_1", "CLUSTER_RESPONSE:esp_1", "CLUSTER_RESPONSE:esp_2"]
            {
                node.send_to(answer.as_bytes(), from).unwrap();
            }
            buffer[..count].to_vec()
        });
        let env = Env::of(&[("SPORE_BROADCAST", &address)]);
        let found = discover(&env, |node| node.hostname == "esp_2").unwrap();
        let names: Vec<_> = found.iter().map(|node| node.hostname.as_str()).collect();
        assert_eq!(names, ["esp_1", "esp_2"]);
        assert_eq!(asked.join().unwrap(), b"CLUSTER_DISCOVERY");
    }

    #[test]
    fn off_asks_nobody_and_nonsense_is_told() {
        assert_eq!(discover(&Env::of(&[("SPORE_BROADCAST", "off")]), |_| true), Ok(vec![]));
        assert!(discover(&Env::of(&[("SPORE_BROADCAST", "lan")]), |_| true).is_err());
    }
}
