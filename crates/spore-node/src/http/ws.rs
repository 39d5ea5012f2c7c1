//! The WebSocket: every event of the node to every client, events from clients to the node or the cluster.

use crate::context::{Context, EventBuffer};
use embassy_time::{Duration, Timer};
use picoserve::io::{Read, Write};
use picoserve::response::ws::{
    Message, ReadFrameError, ReadMessageError, SocketRx, SocketTx, WebSocketCallback,
};
use spore_core::events::{Event, Origin, Refusal};
use spore_core::limits::{EVENT_DATA, EVENT_NAME};
use spore_wire::event::{self, EventBody, EventError};

/// Event whose payload is an event for the whole cluster, as C++ SPORE has it.
pub const BROADCAST: &str = "cluster/broadcast";
/// A client that says nothing for so long is asked whether it is still there; after as long again it is given up. Well
/// below the time-out of the connection's socket: smoltcp ends a connection on which nothing came for that long, even if
/// nothing was said either.
const PING: Duration = Duration::from_secs(5);

/// One client.
pub struct Client<'c, 'a> {
    /// The node.
    pub ctx: &'c Context<'a>,
}

/// Largest frame to a client: an event whose payload is all escapes is cut.
type Outgoing = heapless::String<1400>;

impl WebSocketCallback for Client<'_, '_> {
    async fn run<R: Read, W: Write<Error = R::Error>>(
        self,
        mut rx: SocketRx<R>,
        mut tx: SocketTx<W>,
    ) -> Result<(), W::Error> {
        let origin = self.ctx.new_client();
        let mut cursor = self.ctx.log_position();
        let mut buffer: EventBuffer = [0; EVENT_NAME + EVENT_DATA];
        let mut incoming = [0u8; 700];
        let mut silent = false;
        let reason = loop {
            let next = cursor;
            let wait = async move {
                embassy_futures::select::select(self.ctx.event_at(next), Timer::after(PING)).await;
            };
            match rx.next_message(&mut incoming, core::pin::pin!(wait)).await? {
                picoserve::futures::Either::Second(()) => {
                    let mut sent = false;
                    while let Some((entry, next)) = self.ctx.read_event(cursor, &mut buffer) {
                        cursor = next;
                        sent = true;
                        if entry.origin == origin {
                            continue;
                        }
                        let mut frame = Outgoing::new();
                        write_cut(&mut frame, entry.name, entry.payload);
                        tx.send_text(&frame).await?;
                    }
                    if !sent {
                        if silent {
                            break Some((1001, "no answer to ping"));
                        }
                        silent = true;
                        tx.send_ping(&[]).await?;
                    }
                }
                picoserve::futures::Either::First(Ok(message)) => {
                    silent = false;
                    match message {
                        Message::Text(text) => {
                            let mut answer = heapless::String::<256>::new();
                            self.take(text, origin, &mut answer);
                            tx.send_text(&answer).await?;
                        }
                        Message::Binary(_) => break Some((1003, "send text")),
                        Message::Close(_) => break None,
                        Message::Ping(data) => tx.send_pong(data).await?,
                        Message::Pong(_) => {}
                    }
                }
                picoserve::futures::Either::First(Err(error)) => {
                    break match error {
                        ReadMessageError::ReadFrameError(ReadFrameError::OutOfSpace) => {
                            Some((1009, "at most 700 bytes a message"))
                        }
                        ReadMessageError::ReadFrameError(ReadFrameError::UnexpectedEof) => return Ok(()),
                        error => Some((error.code(), "protocol error")),
                    };
                }
            }
        };
        tx.close(reason).await
    }
}

impl Client<'_, '_> {
    /// Carries out a message and writes its acknowledgement.
    fn take(&self, text: &str, origin: Origin, answer: &mut heapless::String<256>) {
        match self.carry_out(text, origin) {
            Ok(()) => {
                let _ = answer.push_str("{\"ok\":true}");
            }
            Err(Fault::Event(error)) => crate::service::write_error(answer, error),
            Err(Fault::Refused(refusal)) => crate::service::write_error(answer, refusal),
        }
    }

    fn carry_out(&self, text: &str, origin: Origin) -> Result<(), Fault> {
        let mut data = [0u8; EVENT_DATA];
        let body = EventBody::parse(text)?;
        let data = body.text(&mut data).map_err(|_| EventError::Data)?;
        if body.name.as_str() != BROADCAST {
            self.ctx.fire_from(&Event::User { name: &body.name, data }, origin);
            return Ok(());
        }
        let mut inner = [0u8; EVENT_DATA];
        let body = EventBody::parse(data)?;
        let data = body.text(&mut inner).map_err(|_| EventError::Data)?;
        self.ctx.fire_cluster_from(&body.name, data, origin).map(|_| ()).map_err(Fault::Refused)
    }
}

/// Why a message was not carried out.
enum Fault {
    Event(EventError),
    Refused(Refusal),
}

impl From<EventError> for Fault {
    fn from(error: EventError) -> Self {
        Self::Event(error)
    }
}

/// Writes an event, its payload cut to what fits.
fn write_cut(frame: &mut Outgoing, name: &str, payload: &str) {
    let mut end = payload.len();
    loop {
        frame.clear();
        let data = payload.get(..end).unwrap_or_default();
        if (event::Event { name, data, id: None }).write_message(&mut *frame).is_ok() || end == 0 {
            return;
        }
        end = payload.floor_char_boundary(end.saturating_sub(32));
    }
}
