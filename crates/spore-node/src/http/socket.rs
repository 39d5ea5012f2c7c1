//! The TCP socket as picoserve sees it: guarded on the way in, unhurried on the way out.
//!
//! *In*: every byte passes [`HeadGuard`], which defuses `Content-Length` values that overflow picoserve 0.20.1.
//! *Out*: `flush` returns at once. embassy-net's own waits until the peer has acknowledged everything, which after each
//! response head costs a delayed ACK (40 to 500 ms); bytes leave in full segments without it.

use core::cell::RefCell;
use embassy_net::tcp::{Error, TcpReader, TcpSocket, TcpWriter};
use picoserve::io::{ErrorType, Read, Write};
use picoserve::mem::BorrowedCursor;
use spore_wire::http_head::HeadGuard;

/// Tag that ties socket and timer to one runtime, as picoserve wants it.
pub use picoserve::EmbassyRuntime as Runtime;

/// A connected socket and the guard of its requests.
pub struct GuardedSocket<'s> {
    socket: TcpSocket<'s>,
    guard: &'s RefCell<HeadGuard>,
}

impl<'s> GuardedSocket<'s> {
    /// Wraps a connected socket.
    pub fn new(socket: TcpSocket<'s>, guard: &'s RefCell<HeadGuard>) -> Self {
        Self { socket, guard }
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
        (GuardedReader { reader, guard: self.guard }, PromptWriter { writer })
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
            while matches!(self.socket.read(&mut away).await, Ok(1..)) {}
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
        picoserve::io::Socket::shutdown(self.socket, timeouts, timer).await
    }
}

/// Read half behind the guard.
pub struct GuardedReader<'a> {
    reader: TcpReader<'a>,
    guard: &'a RefCell<HeadGuard>,
}

impl ErrorType for GuardedReader<'_> {
    type Error = Error;
}

impl Read for GuardedReader<'_> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
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
