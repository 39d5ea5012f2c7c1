//! The TCP socket as picoserve sees it: guarded on the way in, unhurried on the way out.
//!
//! *In*: every byte passes [`HeadGuard`], which defuses `Content-Length` values that overflow picoserve 0.20.1.
//! *Out*: `flush` returns at once. embassy-net's own waits until the peer has acknowledged everything, which after each
//! response head costs a delayed ACK (40 to 500 ms); bytes leave in full segments without it.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::Poll;
use embassy_net::tcp::{Error, TcpReader, TcpSocket, TcpWriter};
use embassy_time::{Duration, with_timeout};
use picoserve::io::{ErrorType, Read, Write};
use picoserve::mem::BorrowedCursor;
use spore_wire::http_head::HeadGuard;

/// Tag that ties socket and timer to one runtime, as picoserve wants it.
pub use picoserve::EmbassyRuntime as Runtime;

/// A client that sends nothing for so long after the end of its connection is not waited for any more.
const SILENCE: Duration = Duration::from_millis(500);

/// Whether a connection ends after the answer at hand. Where the next request would begin is not known then.
pub struct Ending(Cell<bool>);

impl Ending {
    /// Not yet.
    pub const fn new() -> Self {
        Self(Cell::new(false))
    }

    /// From now on nothing is read from the client any more.
    pub fn order(&self) {
        self.0.set(true);
    }

    /// Ready once it is ordered. Wakes nobody: to be polled with what orders it.
    pub async fn ordered(&self) {
        poll_fn(|_| if self.0.get() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// A connected socket and the guard of its requests.
pub struct GuardedSocket<'s> {
    socket: TcpSocket<'s>,
    guard: &'s RefCell<HeadGuard>,
    ending: &'s Ending,
}

impl<'s> GuardedSocket<'s> {
    /// Wraps a connected socket.
    pub fn new(socket: TcpSocket<'s>, guard: &'s RefCell<HeadGuard>, ending: &'s Ending) -> Self {
        Self { socket, guard, ending }
    }
}

impl<'s> picoserve::io::Socket<Runtime> for GuardedSocket<'s> {
    type Error = Error;
    type ReadHalf<'a>
        = GuardedReader<'a>
    where
        's: 'a;
    type WriteHalf<'a>
        = PromptWriter<'a>
    where
        's: 'a;

    fn split(&mut self) -> (Self::ReadHalf<'_>, Self::WriteHalf<'_>) {
        let (reader, writer) = self.socket.split();
        (GuardedReader { reader, guard: self.guard, ending: self.ending }, PromptWriter { writer })
    }

    /// Ends a connection whose request was not read to its end. The answer leaves first, and what the client still sends is
    /// read away for a while: a reset at once would destroy the answer on its way, and the client would never learn why.
    async fn abort<T: picoserve::Timer<Runtime>>(
        mut self,
        timeouts: &picoserve::Timeouts,
        timer: &T,
    ) -> Result<(), picoserve::Error<Self::Error>> {
        self.socket.close();
        let linger = async {
            let mut away = [0u8; 64];
            while matches!(with_timeout(SILENCE, self.socket.read(&mut away)).await, Ok(Ok(1..))) {}
            self.socket.flush().await
        };
        // A client that goes on for longer has had its time.
        let _ = timer.run_with_timeout(timeouts.read_request, linger).await;
        picoserve::io::Socket::abort(self.socket, timeouts, timer).await
    }

    async fn shutdown<T: picoserve::Timer<Runtime>>(
        self,
        timeouts: &picoserve::Timeouts,
        timer: &T,
    ) -> Result<(), picoserve::Error<Self::Error>> {
        if self.ending.0.get() {
            return picoserve::io::Socket::abort(self, timeouts, timer).await;
        }
        picoserve::io::Socket::shutdown(self.socket, timeouts, timer).await
    }
}

/// Read half behind the guard.
pub struct GuardedReader<'a> {
    reader: TcpReader<'a>,
    guard: &'a RefCell<HeadGuard>,
    ending: &'a Ending,
}

impl ErrorType for GuardedReader<'_> {
    type Error = Error;
}

impl Read for GuardedReader<'_> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        if self.ending.0.get() {
            return Ok(0);
        }
        let count = self.reader.read(buf).await?;
        if let Some(bytes) = buf.get_mut(..count) {
            self.guard.borrow_mut().filter(bytes);
        }
        Ok(count)
    }
}

/// Write half that does not wait for acknowledgements.
pub struct PromptWriter<'a> {
    writer: TcpWriter<'a>,
}

impl ErrorType for PromptWriter<'_> {
    type Error = Error;
}

impl picoserve::io::BaseWrite for PromptWriter<'_> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        self.writer.write(buf).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl Write for PromptWriter<'_> {
    fn write_with<F: FnOnce(BorrowedCursor<'_>) -> R, R>(
        &mut self,
        f: F,
    ) -> impl Future<Output = Result<R, Self::Error>> {
        Write::write_with(&mut self.writer, f)
    }
}
