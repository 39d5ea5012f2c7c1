//! HTTP on port 80: a fixed number of connections, and a polite refusal when all are busy.
//!
//! Made for little memory: a connection keeps one buffer, which holds the request and then the answer; whatever is needed
//! only while nobody waits lies once in [`Shared`]; nothing large is a value that moves.

mod documents;
mod exchange;
mod members;
pub mod params;
mod routes;
mod services;
mod settings;
mod small;
mod start;
pub mod text;
mod update;
mod ws;

use crate::context::{Context, EventBuffer};
use crate::later::Later;
use crate::limits::{HTTP_BUFFER, HTTP_RX, HTTP_TX, REFUSER_RX, REFUSERS};
use crate::store;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use embassy_futures::select::{Either, select};
use embassy_net::Stack;
use embassy_net::tcp::{State, TcpSocket};
use embassy_sync::waitqueue::MultiWakerRegistration;
use embassy_time::{Duration, Instant, Timer, with_deadline, with_timeout};
use embedded_storage::nor_flash::NorFlash;
use exchange::Client;
use params::Params;
use spore_core::config::Config;

pub(crate) use exchange::apart;
pub use routes::{ROUTES, Route};

/// Port of the API.
pub const PORT: u16 = 80;
/// How long a client may take to send the first byte of its first request, and then all of a request.
const READ: Duration = Duration::from_secs(3);
/// How long a connection is kept open for another request.
const KEEP: Duration = Duration::from_millis(1500);
/// How long a client may take to make room for the next bytes of an answer.
const WRITE: Duration = Duration::from_secs(5);
/// A connection that was closed is waited for as long as bytes come, but not longer than this.
const LINGER: Duration = Duration::from_secs(6);
/// A client that sends nothing for so long after the end of its connection is not waited for any more.
const SILENCE: Duration = Duration::from_millis(500);

/// Buffers of one connection.
pub struct Connection {
    rx: [u8; HTTP_RX],
    tx: [u8; HTTP_TX],
    buffer: [u8; HTTP_BUFFER],
}

impl Connection {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self { rx: [0; HTTP_RX], tx: [0; HTTP_TX], buffer: [0; HTTP_BUFFER] }
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

/// Buffers of a connection that refuses.
pub struct Overflow {
    rx: [u8; REFUSER_RX],
    tx: [u8; 256],
}

impl Overflow {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self { rx: [0; REFUSER_RX], tx: [0; 256] }
    }
}

impl Default for Overflow {
    fn default() -> Self {
        Self::new()
    }
}

/// What all connections of a node share: nothing but zero bytes at first.
pub struct Shared {
    vacancy: Vacancy,
    scratch: RefCell<Scratch>,
    upload: update::Place,
}

impl Shared {
    /// Nobody is connected.
    pub const fn new() -> Self {
        Self { vacancy: Vacancy::new(), scratch: RefCell::new(Scratch::new()), upload: update::Place::new() }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}

/// Room to work in. It is borrowed only while nobody waits.
struct Scratch {
    params: Params,
    /// Settings that are worked on until they are acceptable.
    config: Later<Config>,
}

const _: () = assert!(params::BYTES >= store::ROOM);

impl Scratch {
    const fn new() -> Self {
        Self { params: Params::new(), config: Later::new() }
    }

    /// Room for an event.
    fn event(&mut self) -> Option<&mut EventBuffer> {
        self.params.room().first_chunk_mut()
    }

    /// Room for two texts of `N` bytes.
    fn texts<const N: usize>(&mut self) -> (&mut [u8], &mut [u8]) {
        let (one, two) = self.params.room().split_at_mut_checked(N).unwrap_or_default();
        (one, two.get_mut(..N).unwrap_or_default())
    }
}

/// How many connections wait for a client.
struct Vacancy {
    listening: Cell<usize>,
    waiters: RefCell<MultiWakerRegistration<{ REFUSERS }>>,
}

impl Vacancy {
    const fn new() -> Self {
        Self { listening: Cell::new(0), waiters: RefCell::new(MultiWakerRegistration::new()) }
    }

    fn set(&self, listening: usize) {
        self.listening.set(listening);
        self.waiters.borrow_mut().wake();
    }

    /// Waits until a connection is free, or until all are busy.
    async fn until(&self, free: bool) {
        poll_fn(|task| {
            if (self.listening.get() > 0) == free {
                return Poll::Ready(());
            }
            self.waiters.borrow_mut().register(task.waker());
            Poll::Pending
        })
        .await;
    }
}

/// Serves one connection after the other, for ever.
pub(crate) async fn serve<F: NorFlash>(
    ctx: &Context<'_>,
    flash: &RefCell<F>,
    stack: Stack<'_>,
    shared: &Shared,
    memory: &mut Connection,
) -> ! {
    let Connection { rx, tx, buffer } = memory;
    let vacancy = &shared.vacancy;
    loop {
        let mut socket = TcpSocket::new(stack, rx, tx);
        socket.set_nagle_enabled(false);
        socket.set_timeout(Some(Duration::from_secs(15)));
        vacancy.set(vacancy.listening.get().saturating_add(1));
        let accepted = socket.accept(PORT).await;
        vacancy.set(vacancy.listening.get().saturating_sub(1));
        if accepted.is_err() {
            // The stack has no socket to give at the moment; do not spin.
            Timer::after(Duration::from_millis(100)).await;
            continue;
        }
        let mut client = Client { ctx, flash, shared, socket, buffer };
        apart(pin!(client.serve())).await;
        hang_up(&mut client.socket).await;
    }
}

/// Ends a connection. What was written leaves first, and what the client still sends is read away for a while: a reset at
/// once would destroy the answer on its way, and the client would never learn why.
async fn hang_up(socket: &mut TcpSocket<'_>) {
    socket.close();
    let deadline = Instant::now() + LINGER;
    while let Ok(Ok(())) = with_timeout(SILENCE, socket.read_with(|bytes| (bytes.len(), ()))).await {
        if Instant::now() >= deadline {
            break;
        }
    }
    let _ = with_deadline(deadline.min(Instant::now() + READ), socket.flush()).await;
    if !matches!(socket.state(), State::Closed | State::TimeWait) {
        socket.abort();
        // Lets the reset out: a client that was not answered shall not wait for ever.
        let _ = with_timeout(Duration::from_millis(100), socket.flush()).await;
    }
}

const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n\
Connection: close\r\nContent-Length: 52\r\n\r\n{\"error\":\"all connections are busy; try again soon\"}";

/// Listens only while all connections are busy, and tells whoever comes to come again.
pub(crate) async fn refuse(stack: Stack<'_>, shared: &Shared, memory: &mut Overflow) -> ! {
    let vacancy = &shared.vacancy;
    loop {
        vacancy.until(false).await;
        let mut socket = TcpSocket::new(stack, &mut memory.rx, &mut memory.tx);
        socket.set_timeout(Some(Duration::from_secs(3)));
        match select(socket.accept(PORT), vacancy.until(true)).await {
            Either::First(Ok(())) => {}
            Either::First(Err(_)) => {
                Timer::after(Duration::from_millis(100)).await;
                continue;
            }
            Either::Second(()) if socket.state() == State::Listen => continue,
            // A client was quicker than the connection that has become free.
            Either::Second(()) => {
                let _ = with_timeout(Duration::from_millis(500), socket.wait_write_ready()).await;
            }
        }
        let _ = with_timeout(Duration::from_millis(500), tell_busy(&mut socket)).await;
        if !matches!(socket.state(), State::Closed | State::TimeWait) {
            socket.abort();
            // Lets the reset out: a client that was not answered shall not wait for ever.
            let _ = with_timeout(Duration::from_millis(100), socket.flush()).await;
        }
    }
}

/// The request's head is read first and the rest after the answer: closing with unread bytes would reset the connection and
/// lose the answer.
async fn tell_busy(socket: &mut TcpSocket<'_>) {
    let mut last = [0u8; 4];
    let mut ended = false;
    while !ended {
        let look = |bytes: &mut [u8]| {
            for byte in bytes.iter() {
                last.rotate_left(1);
                last[3] = *byte;
                ended |= last == *b"\r\n\r\n";
            }
            (bytes.len(), ())
        };
        if socket.read_with(look).await.is_err() {
            return;
        }
    }
    // It fits into the empty buffer.
    let _ = socket.write(BUSY).await;
    socket.close();
    while socket.read_with(|bytes| (bytes.len(), ())).await.is_ok() {}
    let _ = socket.flush().await;
}
