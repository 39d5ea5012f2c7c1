//! The way from the host's loopback to the LAN, in real time.

use embassy_net::tcp::TcpSocket;
use embassy_time::Duration;
use spore_lan::bridge::Target;
use spore_lan::clock::Mode;
use spore_lan::executor::World;
use spore_lan::gateway::Gateway;
use spore_lan::host::{Address, Host};
use spore_lan::switch::Switch;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;

const NODE: [u8; 6] = [2, 0, 0, 0, 1, 1];

/// Runs a LAN with an echoing node until `client`, on a thread of its own, is done.
fn with_lan<T: Send + 'static>(client: impl FnOnce(SocketAddr) -> T + Send + 'static) -> T {
    let world = World::new(Mode::Real);
    let switch = Switch::new(1);
    let gateway = Gateway::new(&world.spawner(), &switch, 1);
    let node = Rc::new(Host::new::<12>(&world.spawner(), switch.attach(NODE), Address::Dhcp, 1));
    for _ in 0..10 {
        let node = node.clone();
        world.spawn(async move { echo(&node).await }).detach();
    }
    let loopback = "127.0.0.1:0".parse().unwrap();
    let bridge = gateway.bridge(loopback, Target::Node(NODE, 80)).unwrap();
    let address = bridge.local();
    world.run_until(node.up());
    let (done, wait) = futures_channel();
    let thread = std::thread::spawn(move || {
        let result = client(address);
        done.shutdown(Shutdown::Both).unwrap();
        result
    });
    world.run_until(wait);
    thread.join().unwrap()
}

/// Something the LAN can wait for and a thread can trigger: the end of a socket pair's stream.
fn futures_channel() -> (std::os::unix::net::UnixStream, impl Future<Output = ()>) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let wait = async move {
        let ours = async_io::Async::new(ours).unwrap();
        ours.readable().await.unwrap();
    };
    (theirs, wait)
}

/// Sends back what comes, closes when the other side has.
async fn echo(node: &Host) {
    let (mut rx, mut tx) = (vec![0; 4_096], vec![0; 4_096]);
    loop {
        let mut socket = TcpSocket::new(node.stack(), &mut rx, &mut tx);
        if socket.accept(80).await.is_err() {
            continue;
        }
        let mut buffer = [0; 1_024];
        'connection: while let Ok(n) = socket.read(&mut buffer).await {
            if n == 0 {
                break;
            }
            let mut rest = &buffer[..n];
            while !rest.is_empty() {
                match socket.write(rest).await {
                    Ok(n) => rest = &rest[n..],
                    Err(_) => break 'connection,
                }
            }
        }
        socket.close();
        let _ = embassy_time::with_timeout(Duration::from_secs(5), socket.flush()).await;
    }
}

#[test]
fn a_megabyte_goes_there_and_back_and_half_closes() {
    let (sent, received) = with_lan(|address| {
        let mut stream = TcpStream::connect(address).unwrap();
        let data: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
        let mut writer = stream.try_clone().unwrap();
        let copy = data.clone();
        let writing = std::thread::spawn(move || {
            writer.write_all(&copy).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        writing.join().unwrap();
        (data, received)
    });
    assert_eq!(sent.len(), received.len());
    assert!(sent == received);
}

#[test]
fn many_connections_at_once() {
    let answers = with_lan(|address| {
        let streams: Vec<_> = (0..10u8)
            .map(|n| {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(&[n; 3_000]).unwrap();
                stream
            })
            .collect();
        let read = |mut stream: TcpStream| {
            let mut answer = [0; 3_000];
            stream.read_exact(&mut answer).map(|()| answer[2_999])
        };
        streams.into_iter().map(|stream| read(stream).unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(answers, (0..10).collect::<Vec<_>>());
}

#[test]
fn a_closed_port_resets_the_client() {
    let world = World::new(Mode::Real);
    let switch = Switch::new(1);
    let gateway = Gateway::new(&world.spawner(), &switch, 1);
    let node = Host::new::<4>(&world.spawner(), switch.attach(NODE), Address::Dhcp, 1);
    world.run_until(node.up());
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let refused = gateway.bridge(loopback, Target::Node(NODE, 81)).unwrap();
    let unknown = gateway.bridge(loopback, Target::Node([9; 6], 80)).unwrap();
    for bridge in [refused, unknown] {
        let address = bridge.local();
        let (done, wait) = futures_channel();
        let thread = std::thread::spawn(move || {
            let result = TcpStream::connect(address).and_then(|mut stream| stream.read(&mut [0; 1]));
            done.shutdown(Shutdown::Both).unwrap();
            result
        });
        world.run_until(wait);
        assert_eq!(thread.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(gateway.connections(), 0);
}
