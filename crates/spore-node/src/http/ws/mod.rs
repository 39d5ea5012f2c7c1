//! The WebSocket: every event of the node to every client, events from clients to the node or the cluster.

pub mod accept;
mod frames;

use super::Scratch;
use super::text::Text;
use crate::context::Context;
use crate::limits::HTTP_TX;
use crate::service;
use core::cell::RefCell;
use core::fmt::Write as _;
use core::ops::Range;
use embassy_futures::select::{Either3, select3};
use embassy_net::tcp::TcpSocket;
use embassy_time::{Duration, Timer, with_timeout};
use frames::{CLOSE, Frames, PING, PONG, Received, TEXT};
use spore_core::events::{Cursor, Event, Origin, Refusal};
use spore_core::limits::EVENT_DATA;
use spore_sentence::{Sentence, sentence};
use spore_wire::event::{self, EventBody, EventError};

/// Event whose payload is an event for the whole cluster, as C++ SPORE has it.
pub const BROADCAST: &str = "cluster/broadcast";
/// A client that says nothing for so long is asked whether it is still there, and once more. Well below the time-out of the
/// connection's socket: smoltcp ends a connection on which nothing came for that long, even if nothing was said either.
const SILENCE: Duration = Duration::from_secs(5);
/// Questions without an answer after which a client is given up: 15 s in all, for one that is busy with something else.
const QUESTIONS: u8 = 2;
/// Largest text to a client in bytes: an event whose payload is all escapes is cut. It leaves in one piece.
const OUTGOING: usize = if HTTP_TX < 1400 + FRAME_HEAD { HTTP_TX - FRAME_HEAD } else { 1400 };
/// Bytes in front of a text: the frame's head.
const FRAME_HEAD: usize = 4;
/// Largest answer to a message, in bytes.
const ANSWER: usize = 256;

const _: () = assert!(crate::limits::HTTP_BUFFER >= frames::BUFFER + ANSWER);

/// One client.
pub struct Client<'c, 'a, 's> {
    /// The node.
    pub ctx: &'c Context<'a>,
    /// Room to work in.
    pub scratch: &'c RefCell<Scratch>,
    /// The connection.
    pub socket: &'c mut TcpSocket<'s>,
    /// Room for a message.
    pub buffer: &'c mut [u8],
}

/// What is sent.
enum Send {
    /// The next event from there on, unless that client has fired it.
    Event(Cursor, Origin),
    /// A frame of that kind, its payload in that place of the buffer.
    Frame(u8, Range<usize>),
    /// The end, with a status and why.
    Close(u16, Sentence),
}

/// The connection is gone.
struct Gone;

impl Client<'_, '_, '_> {
    /// Serves the client until one side ends it.
    pub async fn run(&mut self) {
        // A client that has gone needs no farewell.
        let _ = self.converse().await;
    }

    async fn converse(&mut self) -> Result<(), Gone> {
        let origin = self.ctx.new_client();
        let mut cursor = self.ctx.log_position();
        let mut frames = Frames::new();
        let mut asked = 0;
        loop {
            let (ctx, buffer) = (self.ctx, &mut *self.buffer);
            let read = self.socket.read_with(|bytes| frames.feed(bytes, buffer));
            match select3(read, ctx.event_at(cursor), Timer::after(SILENCE)).await {
                Either3::First(Err(_)) => return Err(Gone),
                Either3::First(Ok(None)) => asked = 0,
                Either3::First(Ok(Some(received))) => {
                    asked = 0;
                    let (answer, last) = match received {
                        Received::Text(range) => match self.take(range, origin) {
                            Some(answer) => (Send::Frame(TEXT, answer), false),
                            None => (Send::Close(1007, sentence!("no UTF-8")), true),
                        },
                        Received::Binary => (Send::Close(1003, sentence!("send text")), true),
                        Received::Ping(range) => (Send::Frame(PONG, range), false),
                        Received::Pong => continue,
                        Received::Close => (Send::Frame(CLOSE, 0..0), true),
                        Received::Fault(1009) => {
                            (Send::Close(1009, sentence!("at most 700 bytes a message")), true)
                        }
                        Received::Fault(status) => (Send::Close(status, sentence!("protocol error")), true),
                    };
                    self.send(answer).await?;
                    if last {
                        return Ok(());
                    }
                }
                Either3::Second(()) => {
                    cursor = self.send(Send::Event(cursor, origin)).await?.unwrap_or(cursor);
                }
                Either3::Third(()) if asked >= QUESTIONS => {
                    self.send(Send::Close(1001, sentence!("no answer to ping"))).await?;
                    return Ok(());
                }
                Either3::Third(()) => {
                    asked += 1;
                    self.send(Send::Frame(PING, 0..0)).await?;
                }
            }
        }
    }

    /// Carries out a message and writes its acknowledgement behind it; `None` when it is no text.
    fn take(&mut self, message: Range<usize>, origin: Origin) -> Option<Range<usize>> {
        let (messages, answer) = self.buffer.split_at_mut_checked(frames::BUFFER)?;
        let message = core::str::from_utf8(messages.get(message)?).ok()?;
        let mut answer = Text::new(answer);
        match carry_out(self.ctx, &mut self.scratch.borrow_mut(), message, origin) {
            Ok(()) => {
                let _ = answer.write_str("{\"ok\":true}");
            }
            Err(Fault::Event(error)) => service::write_error(&mut answer, &error),
            Err(Fault::Refused(refusal)) => service::write_error(&mut answer, &refusal),
        }
        Some(frames::BUFFER..frames::BUFFER + answer.len())
    }

    /// Writes something into the socket's own buffer, in one piece; waits until there is room. Gives what [`Send::Event`]
    /// goes on with.
    async fn send(&mut self, what: Send) -> Result<Option<Cursor>, Gone> {
        loop {
            let Self { ctx, scratch, socket, buffer } = &mut *self;
            let room = OUTGOING + FRAME_HEAD;
            let step = socket.write_with(|free| {
                // A piece that begins near the end of the ring waits until the ring is empty, and begins at its start.
                let fits = free.len() >= room.min(what.most());
                if fits { what.write(ctx, scratch, buffer, free) } else { (0, None) }
            });
            match with_timeout(super::WRITE, step).await {
                Ok(Ok(Some(next))) => return Ok(next),
                Ok(Ok(None)) => {}
                _ => return Err(Gone),
            }
            match with_timeout(super::WRITE, self.socket.flush()).await {
                Ok(Ok(())) => {}
                _ => return Err(Gone),
            }
        }
    }
}

impl Send {
    /// Room that the largest of its kind takes.
    fn most(&self) -> usize {
        FRAME_HEAD
            + match self {
                Self::Event(..) => OUTGOING,
                Self::Frame(_, range) => range.len(),
                Self::Close(..) => frames::CONTROL,
            }
    }

    /// Writes the frame; gives its length, and the cursor of the next event.
    fn write(
        &self,
        ctx: &Context<'_>,
        scratch: &RefCell<Scratch>,
        buffer: &[u8],
        free: &mut [u8],
    ) -> (usize, Option<Option<Cursor>>) {
        let Some((head, body)) = free.split_first_chunk_mut::<FRAME_HEAD>() else { return (0, None) };
        let mut next = None;
        let (kind, length) = match self {
            Self::Event(cursor, origin) => {
                let mut scratch = scratch.borrow_mut();
                let entry = scratch.event().and_then(|room| ctx.read_event(*cursor, room));
                let Some((entry, after)) = entry else { return (0, Some(None)) };
                next = Some(after);
                if entry.origin == *origin {
                    return (0, Some(next));
                }
                (TEXT, write_cut(body.get_mut(..OUTGOING).unwrap_or_default(), entry.name, entry.payload))
            }
            Self::Frame(kind, range) => {
                let payload = buffer.get(range.clone()).unwrap_or_default();
                body.iter_mut().zip(payload).for_each(|(place, byte)| *place = *byte);
                (*kind, payload.len())
            }
            Self::Close(status, reason) => {
                let Some((code, room)) = body.split_first_chunk_mut::<2>() else { return (0, None) };
                *code = status.to_be_bytes();
                let mut text = Text::new(room);
                // The longest reason has 26 bytes.
                let _ = write!(text, "{reason}");
                (CLOSE, 2 + text.len())
            }
        };
        // The longer of the two forms of a length is for lengths from 126 on; the shorter has two bytes less.
        let whole = 0x80 | kind;
        match u8::try_from(length) {
            Ok(short @ 0..=125) => {
                [head[0], head[1]] = [whole, short];
                free.copy_within(FRAME_HEAD..FRAME_HEAD + length, 2);
                (2 + length, Some(next))
            }
            _ => {
                let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
                *head = [whole, 126, high, low];
                (FRAME_HEAD + length, Some(next))
            }
        }
    }
}

fn carry_out(ctx: &Context<'_>, scratch: &mut Scratch, text: &str, origin: Origin) -> Result<(), Fault> {
    let (outer, inner) = scratch.texts::<EVENT_DATA>();
    let body = EventBody::parse(text)?;
    let data = body.text(outer).map_err(|_| EventError::Data)?;
    if body.name.as_str() != BROADCAST {
        ctx.fire_from(&Event::User { name: &body.name, data }, origin);
        return Ok(());
    }
    let body = EventBody::parse(data)?;
    let data = body.text(inner).map_err(|_| EventError::Data)?;
    ctx.fire_cluster_from(&body.name, data, origin).map(|_| ()).map_err(Fault::Refused)
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

/// Writes an event, its payload cut to what fits; gives its length.
fn write_cut(room: &mut [u8], name: &str, payload: &str) -> usize {
    let mut end = payload.len();
    loop {
        let mut text = Text::new(room);
        let data = payload.get(..end).unwrap_or_default();
        if (event::Event { name, data, id: None }).write_message(&mut text).is_ok() || end == 0 {
            return text.len();
        }
        end = payload.floor_char_boundary(end.saturating_sub(32));
    }
}
