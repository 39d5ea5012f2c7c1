//! HTTP on port 80: a fixed number of connections, and a polite refusal when all are busy.

mod answer;
mod dispatch;
mod members;
pub mod params;
mod routes;
mod services;
mod settings;
mod small;
mod socket;
mod stream;
mod update;
mod ws;

use crate::context::Context;
use crate::limits::{HTTP_BUFFER, HTTP_RX, HTTP_TX, REFUSERS};
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::Poll;
use embassy_futures::select::{Either, select};
use embassy_net::Stack;
use embassy_net::tcp::{State, TcpSocket};
use embassy_sync::waitqueue::MultiWakerRegistration;
use embassy_time::{Duration, Timer, with_timeout};
use embedded_io_async::Write as _;
use embedded_storage::nor_flash::NorFlash;
use picoserve::Router;
use socket::{Ending, GuardedSocket};
use spore_wire::http_head::HeadGuard;

use dispatch::Api;
pub use routes::{ROUTES, Route};

/// Port of the API.
pub const PORT: u16 = 80;

/// Buffers of one connection.
pub struct Connection {
    rx: [u8; HTTP_RX],
    tx: [u8; HTTP_TX],
    http: [u8; HTTP_BUFFER],
    guard: RefCell<HeadGuard>,
    ending: Ending,
}

impl Connection {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self {
            rx: [0; HTTP_RX],
            tx: [0; HTTP_TX],
            http: [0; HTTP_BUFFER],
            guard: RefCell::new(HeadGuard::new()),
            ending: Ending::new(),
        }
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

/// Buffers of a connection that refuses.
pub struct Overflow {
    rx: [u8; 512],
    tx: [u8; 256],
}

impl Overflow {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self { rx: [0; 512], tx: [0; 256] }
    }
}

impl Default for Overflow {
    fn default() -> Self {
        Self::new()
    }
}

/// How many connections wait for a client.
pub struct Vacancy {
    listening: Cell<usize>,
    waiters: RefCell<MultiWakerRegistration<{ REFUSERS }>>,
}

impl Vacancy {
    /// Nobody listens yet.
    pub const fn new() -> Self {
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

impl Default for Vacancy {
    fn default() -> Self {
        Self::new()
    }
}

const CONFIG: picoserve::Config = picoserve::Config {
    timeouts: picoserve::Timeouts {
        start_read_request: picoserve::time::Duration::from_secs(3),
        persistent_start_read_request: picoserve::time::Duration::from_millis(1500),
        read_request: picoserve::time::Duration::from_secs(3),
        write: picoserve::time::Duration::from_secs(5),
    },
    connection: picoserve::KeepAlive::KeepAlive,
};

/// Serves one connection after the other, for ever.
pub(crate) async fn serve<F: NorFlash>(
    ctx: &Context<'_>,
    flash: &RefCell<F>,
    stack: Stack<'_>,
    vacancy: &Vacancy,
    memory: &mut Connection,
) -> ! {
    let Connection { rx, tx, http, guard, ending } = memory;
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
        *guard.borrow_mut() = HeadGuard::new();
        *ending = Ending::new();
        let peer = peer(&socket);
        let app = Router::from_service(Api { ctx, flash, guard, ending, peer });
        // A broken connection is the client's affair; the next client gets a fresh one.
        let _ = picoserve::Server::custom(&app, picoserve::time::EmbassyTimer, &CONFIG, http)
            .with_graceful_shutdown(ending.ordered(), CONFIG.timeouts.write)
            .serve(GuardedSocket::new(socket, guard, ending))
            .await;
    }
}

fn peer(socket: &TcpSocket<'_>) -> Option<core::net::Ipv4Addr> {
    match socket.remote_endpoint()?.addr {
        embassy_net::IpAddress::Ipv4(ip) => Some(ip),
    }
}

const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n\
Connection: close\r\nContent-Length: 52\r\n\r\n{\"error\":\"all connections are busy; try again soon\"}";

/// Listens only while all connections are busy, and tells whoever comes to come again.
pub(crate) async fn refuse(stack: Stack<'_>, vacancy: &Vacancy, memory: &mut Overflow) -> ! {
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
        // The request's head is read first and the rest after the answer: closing with unread bytes would reset
        // the connection and lose the answer.
        let _ = with_timeout(Duration::from_millis(500), async {
            let mut piece = [0u8; 256];
            let mut last = [0u8; 4];
            let mut ended = false;
            while !ended {
                let Ok(count @ 1..) = socket.read(&mut piece).await else { return };
                for byte in piece.iter().take(count) {
                    last.rotate_left(1);
                    last[3] = *byte;
                    ended |= last == *b"\r\n\r\n";
                }
            }
            let _ = socket.write_all(BUSY).await;
            socket.close();
            while matches!(socket.read(&mut piece).await, Ok(1..)) {}
            let _ = socket.flush().await;
        })
        .await;
        if !matches!(socket.state(), State::Closed | State::TimeWait) {
            socket.abort();
            // Lets the reset out: a client that was not answered shall not wait for ever.
            let _ = with_timeout(Duration::from_millis(100), socket.flush()).await;
        }
    }
}
