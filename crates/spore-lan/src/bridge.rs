//! TCP from the host's loopback to a node and back.
//!
//! Bytes stream both ways without a buffer in between: each is written straight from one side's receive buffer to
//! the other's send buffer, and read only as fast as it can be written. A node that does not answer, or that dies,
//! looks to the host's client like any such host: the connection is reset.

use crate::Mac;
use crate::dhcp::DhcpServer;
use crate::executor::{Spawner, Task};
use async_io::Async;
use embassy_net::tcp::{State, TcpSocket};
use embassy_net::{IpEndpoint, Stack};
use embassy_time::{Duration, with_timeout};
use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Bytes of each of a connection's two buffers on the LAN's side.
const BUFFER: usize = 16 * 1024;
/// How long a node may take to accept.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an idle connection goes without a sign of life before one is asked for.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long a node may owe an answer until it is given up.
const SILENCE: Duration = Duration::from_secs(15);
/// How long a client may go on saying nothing after the node has closed.
const LINGER: Duration = Duration::from_secs(10);
/// Turns of copying before other tasks may run.
const TURNS: usize = 8;

/// Where a bridge leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// To this address.
    Address(SocketAddrV4),
    /// To this port of whoever has this hardware address, once it has an IP address.
    Node(Mac, u16),
}

impl Target {
    pub(crate) fn resolve(self, dhcp: &DhcpServer) -> Option<SocketAddrV4> {
        match self {
            Self::Address(address) => Some(address),
            Self::Node(mac, port) => Some(SocketAddrV4::new(dhcp.address(mac)?, port)),
        }
    }
}

/// How to reach a node: through which stack, and where.
#[derive(Clone, Copy)]
pub struct Way {
    /// Stack of a host on the node's LAN.
    pub stack: Stack<'static>,
    /// The node's address and port there.
    pub to: SocketAddrV4,
}

type Connections = Rc<RefCell<Vec<Task<()>>>>;

/// A way from the host to a node. Dropping it ends its connections and frees the host's port.
pub struct Bridge {
    local: SocketAddr,
    connections: Connections,
    _accepting: Task<()>,
}

impl Bridge {
    pub(crate) fn open(
        spawner: &Spawner,
        listen: SocketAddr,
        resolve: impl Fn() -> Option<Way> + 'static,
        room: Room,
    ) -> io::Result<Self> {
        let listener = Async::<TcpListener>::bind(listen)?;
        let local = listener.get_ref().local_addr()?;
        let connections = Connections::default();
        let (all, tasks) = (connections.clone(), spawner.clone());
        let accepting = spawner.spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    // Out of descriptors, most likely; others have to end first.
                    embassy_time::Timer::after_millis(100).await;
                    continue;
                };
                all.borrow_mut().retain(|task| !task.is_finished());
                let target = resolve();
                let (Some(Way { stack, to }), Some(place)) = (target, room.enter()) else {
                    reset(&stream);
                    continue;
                };
                let task = tasks.spawn(async move {
                    let _place = place;
                    carry(stack, &stream, to).await;
                });
                all.borrow_mut().push(task);
            }
        });
        Ok(Self { local, connections, _accepting: accepting })
    }

    /// The host's address that leads to the node.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Breaks all connections at once, as when the node's plug is pulled in sight of the client.
    pub fn disconnect(&self) {
        let tasks = self.connections.take();
        drop(tasks);
    }
}

/// Room for the connections of all bridges of a gateway.
#[derive(Clone)]
pub(crate) struct Room {
    taken: Rc<Cell<usize>>,
    places: usize,
}

impl Room {
    pub(crate) fn new(places: usize) -> Self {
        Self { taken: Rc::default(), places }
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.get()
    }

    fn enter(&self) -> Option<Place> {
        let taken = self.taken.get();
        (taken < self.places).then(|| {
            self.taken.set(taken + 1);
            Place(self.taken.clone())
        })
    }
}

/// One connection's place, given back when dropped.
struct Place(Rc<Cell<usize>>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Makes the stream end in a reset instead of an orderly close.
fn reset(stream: &Async<TcpStream>) {
    // Should that fail, the client sees an orderly close, which is the lesser evil.
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(std::time::Duration::ZERO));
}

async fn carry(stack: Stack<'static>, stream: &Async<TcpStream>, target: SocketAddrV4) {
    let (mut rx, mut tx) = (vec![0; BUFFER], vec![0; BUFFER]);
    let mut socket = TcpSocket::new(stack, &mut rx, &mut tx);
    socket.set_nagle_enabled(false);
    let _ = stream.get_ref().set_nodelay(true);
    let endpoint = IpEndpoint::new((*target.ip()).into(), target.port());
    let connected = with_timeout(CONNECT, socket.connect(endpoint)).await;
    if !matches!(connected, Ok(Ok(()))) {
        reset(stream);
        return;
    }
    socket.set_keep_alive(Some(KEEP_ALIVE));
    socket.set_timeout(Some(SILENCE));
    let mut session = Session::default();
    loop {
        match session.turn(&mut socket, stream.get_ref()).await {
            Ok(Progress::Done) => {
                // The last bytes and the FIN still have to go out.
                let _ = with_timeout(CONNECT, socket.flush()).await;
                return;
            }
            Ok(Progress::More) => futures_lite::future::yield_now().await,
            Ok(Progress::Stuck) => {
                // A client that keeps a finished connection would keep one of the node's few sockets.
                let waiting = wait(&socket, stream, &session);
                if !session.lan_ended {
                    waiting.await;
                } else if with_timeout(LINGER, waiting).await.is_err() {
                    break;
                }
            }
            Err(Broken) => break,
        }
    }
    socket.abort();
    let _ = with_timeout(CONNECT, socket.flush()).await;
    reset(stream);
}

/// One side broke the connection.
struct Broken;

enum Progress {
    More,
    Stuck,
    Done,
}

/// How far the two directions have come.
#[derive(Default)]
struct Session {
    /// The host's client has sent all it wants to.
    host_ended: bool,
    /// The node has.
    lan_ended: bool,
    /// Nothing to read from the host at the moment.
    host_empty: bool,
    /// The host takes no more at the moment.
    host_full: bool,
}

impl Session {
    /// Copies what can be copied now.
    async fn turn(&mut self, socket: &mut TcpSocket<'_>, mut stream: &TcpStream) -> Result<Progress, Broken> {
        (self.host_empty, self.host_full) = (false, false);
        for _ in 0..TURNS {
            let mut moved = false;
            if socket.can_recv() {
                let result = socket.read_with(|bytes| hand_over(stream.write(bytes))).await;
                match result.map_err(|_| Broken)? {
                    Ok(0) => self.host_full = true,
                    Ok(_) => moved = true,
                    Err(_) => return Err(Broken),
                }
            } else if !self.lan_ended && !socket.may_recv() {
                if socket.state() == State::Closed {
                    return Err(Broken);
                }
                self.lan_ended = true;
                stream.shutdown(Shutdown::Write).map_err(|_| Broken)?;
            }
            if !self.host_ended && socket.can_send() {
                let mut ended = false;
                let result = socket
                    .write_with(|space| {
                        let read = stream.read(space);
                        ended = matches!(read, Ok(0));
                        hand_over(read)
                    })
                    .await;
                match result.map_err(|_| Broken)? {
                    _ if ended => {
                        self.host_ended = true;
                        socket.close();
                        moved = true;
                    }
                    Ok(0) => self.host_empty = true,
                    Ok(_) => moved = true,
                    Err(_) => return Err(Broken),
                }
            }
            if self.host_ended && self.lan_ended {
                return Ok(Progress::Done);
            }
            // An end reached only by a reset or a time-out.
            if socket.state() == State::Closed && !socket.can_recv() {
                return Err(Broken);
            }
            if !moved {
                return Ok(Progress::Stuck);
            }
        }
        Ok(Progress::More)
    }
}

/// The result of moving bytes as embassy-net wants it: how many, and what it was. "Not now" is 0 bytes.
fn hand_over(result: io::Result<usize>) -> (usize, io::Result<usize>) {
    match result {
        Ok(n) => (n, Ok(n)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => (0, Ok(0)),
        Err(error) => (0, Err(error)),
    }
}

/// Waits until another turn may get further.
async fn wait(socket: &TcpSocket<'_>, stream: &Async<TcpStream>, session: &Session) {
    let look = |socket: &TcpSocket<'_>| (socket.state(), socket.recv_queue(), socket.send_queue());
    let before = look(socket);
    poll_fn(|cx: &mut Context<'_>| {
        // These leave the task's waker with the socket, which wakes it for every change.
        let _ = pin!(socket.wait_read_ready()).poll(cx);
        let _ = pin!(socket.wait_write_ready()).poll(cx);
        let host_ready = session.host_empty && stream.poll_readable(cx).is_ready()
            || session.host_full && stream.poll_writable(cx).is_ready();
        if host_ready || look(socket) != before { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
