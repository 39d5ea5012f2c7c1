//! From a request to an answer: driven by the tables of routes and services.

use super::documents::Document;
use super::params::{Announced, ParamsError};
use super::routes::{ROUTES, Route};
use super::start::{Chunk, Lines, Start, Takes};
use super::text::Text;
use super::ws::{self, accept};
use super::{KEEP, READ, Shared, WRITE, small, update};
use crate::context::Context;
use crate::limits::{BODY, HTTP_BUFFER};
use crate::network::ACCESS_POINT_ADDRESS;
use crate::page::Page;
use crate::service::{Endpoint, Method, Reply, Request as ServiceRequest, Service};
use core::cell::RefCell;
use core::fmt::{self, Write as _};
use core::future::poll_fn;
use core::net::Ipv4Addr;
use core::pin::{Pin, pin};
use core::task::Poll;
use embassy_net::tcp::TcpSocket;
use embassy_time::{Duration, Instant, with_deadline, with_timeout};
use embedded_storage::nor_flash::NorFlash;
use spore_sentence::{Sentence, sentence};
use spore_wire::http_head::{self, Fault, Head};

/// Room in a buffer for an answer's head and a chunk's length; the body follows.
pub(super) const ROOM: usize = 256;
const _: () = assert!(HTTP_BUFFER >= ROOM + Reply::CAPACITY);
/// A buffer's bytes after a chunk: its end, and the last chunk.
const CHUNK_END: usize = 7;
/// What a client that expects it waits for (RFC 9110, 10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The other end of a connection.
pub struct Client<'c, 'a, 's, F> {
    /// The node.
    pub ctx: &'c Context<'a>,
    /// Its flash.
    pub flash: &'c RefCell<F>,
    /// What all connections share.
    pub shared: &'c Shared,
    /// The connection.
    pub socket: TcpSocket<'s>,
    /// Holds the request, then the answer.
    pub buffer: &'c mut [u8],
}

/// The connection broke off or was too slow, or what it waited for is over.
pub struct Gone;

/// What a path and method lead to.
#[derive(Clone, Copy)]
enum Target<'a> {
    Own(Route),
    Service(&'a dyn Service, &'static Endpoint<'static>),
    /// The path exists, for these methods.
    WrongMethod(&'static str),
    /// Whatever a guest of the own access point looks for: he is led to the choice of a network.
    Elsewhere,
    Nothing,
}

/// What is needed of a head once the body takes its place.
#[derive(Clone, Copy)]
struct Request<'a> {
    target: Target<'a>,
    /// Bytes of the query, which is moved to the start of the buffer.
    query: u16,
    /// Bytes of the body.
    length: u32,
    announced: Announced,
    /// The client has the page already.
    not_modified: bool,
    /// It waits for `100 Continue`.
    expects: bool,
}

/// How an answer is sent.
#[derive(Clone, Copy)]
struct Style {
    /// The connection stays open after it.
    persistent: bool,
    /// The client understands chunks.
    chunks: bool,
}

/// A body that is whole in the buffer.
pub struct Small {
    status: u16,
    content_type: &'static str,
    allow: Option<&'static str>,
    /// Bytes of the body, from [`ROOM`] on.
    length: usize,
}

/// What is answered.
enum Outcome {
    Small(Small),
    /// The document that was handed along.
    Stream,
    Page(&'static Page),
    NotModified(&'static Page),
    Elsewhere,
}

/// What a head leads to at once.
enum Step<'a> {
    /// The body is to be read, then the request answered.
    Body(Request<'a>),
    /// An image comes in, of so many bytes with what is around it; the client may wait for `100 Continue`.
    Update(u32, bool),
    /// The answer is in the buffer.
    Refused(Small),
    /// The connection becomes a WebSocket; the answer to that is in the buffer, with so many bytes.
    WebSocket(usize),
}

/// A refusal: status and sentence.
type Refusal = (u16, Sentence);

impl<'a, F: NorFlash> Client<'_, 'a, '_, F> {
    /// Answers requests until the connection is to be closed.
    pub async fn serve(&mut self) {
        let mut patience = READ;
        while apart(pin!(self.exchange(patience))).await.is_ok_and(|persistent| persistent) {
            patience = KEEP;
        }
    }

    /// One request and its answer; true when another may follow.
    async fn exchange(&mut self, patience: Duration) -> Result<bool, Gone> {
        let mut style = Style { persistent: false, chunks: true };
        let deadline;
        let step = match self.read_head(patience).await? {
            (0, _) => {
                return self.refuse(400, sentence!("malformed request; the node speaks HTTP/1.1")).await;
            }
            (length, until) => {
                deadline = until;
                self.examine(length, &mut style)
            }
        };
        let request = match step {
            Err((status, message)) => return self.refuse(status, message).await,
            Ok(Step::WebSocket(length)) => {
                self.send(0, length).await?;
                let Self { ctx, shared, socket, buffer, .. } = self;
                let mut client = ws::Client { ctx, scratch: &shared.scratch, socket, buffer };
                apart(pin!(client.run())).await;
                return Ok(false);
            }
            Ok(Step::Refused(small)) => {
                style.persistent = false;
                return self.send_small(&small, style).await.map(|()| false);
            }
            Ok(Step::Update(length, expects)) => {
                if expects {
                    send(&mut self.socket, CONTINUE).await?;
                }
                let Self { ctx, flash, shared, socket, buffer } = self;
                let (small, whole) =
                    update::receive(ctx, flash, &shared.upload, length, socket, buffer).await;
                // What is left of a body is not the next request.
                style.persistent &= whole;
                return self.send_small(&small, style).await.map(|()| style.persistent);
            }
            Ok(Step::Body(request)) => request,
        };
        if request.expects && request.length > 0 {
            send(&mut self.socket, CONTINUE).await?;
        }
        if self.read_body(&request, deadline).await.is_err() {
            return self.refuse(400, sentence!("the body broke off; send the request again")).await;
        }
        let mut document = Document::Status(0);
        match self.answer(&request, &mut document) {
            Outcome::Small(small) => self.send_small(&small, style).await?,
            Outcome::Stream => {
                // Without chunks the document ends where the connection does.
                style.persistent &= style.chunks;
                apart(pin!(self.send_document(&mut document, style))).await?;
            }
            Outcome::Page(page) => self.send_page(page, style).await?,
            Outcome::NotModified(page) => {
                let start = self.head(304, style, Lines::NotModified(page));
                self.send(start, ROOM).await?;
            }
            Outcome::Elsewhere => {
                let start = self.head(302, style, Lines::Elsewhere);
                self.send(start, ROOM).await?;
            }
        }
        Ok(style.persistent)
    }

    /// Reads a head to the start of the buffer: its length, 0 when it is none, and until when the rest must have come.
    async fn read_head(&mut self, patience: Duration) -> Result<(usize, Instant), Gone> {
        let Self { socket, buffer, .. } = self;
        let mut filled = 0;
        let mut deadline = Instant::now() + patience;
        loop {
            let first = filled == 0;
            let collect = |bytes: &mut [u8]| http_head::collect(buffer, &mut filled, bytes);
            match with_deadline(deadline, socket.read_with(collect)).await {
                Ok(Ok(true)) => return Ok((filled, deadline)),
                Ok(Ok(false)) if filled == buffer.len() => return Ok((0, deadline)),
                Ok(Ok(false)) if !buffer.first().is_some_and(u8::is_ascii_graphic) => {
                    // Not even a word: TLS, most likely.
                    return Ok((0, deadline));
                }
                Ok(Ok(false)) => {
                    if first {
                        deadline = Instant::now() + READ;
                    }
                }
                Ok(Err(_)) if filled > 0 => return Ok((0, deadline)),
                _ => return Err(Gone),
            }
        }
    }

    /// Looks at the head in the buffer.
    #[inline(never)]
    fn examine(&mut self, length: usize, style: &mut Style) -> Result<Step<'a>, Refusal> {
        self.ctx.with(|state| {
            state.counters.requests = state.counters.requests.wrapping_add(1);
            // Whoever asks has heard this node; that is what a trial waits for.
            state.trial.heard();
        });
        let bytes = self.buffer.get(..length).unwrap_or_default();
        let head = Head::parse(bytes).map_err(|fault| match fault {
            Fault::Malformed => (
                400,
                sentence!(
                    "malformed request head; send one Content-Length and no Transfer-Encoding with a body"
                ),
            ),
            Fault::Length => (413, sentence!("Content-Length is larger than anything this node takes")),
        })?;
        // What asks for HEAD does not expect the body that every answer of this node has.
        let persistent = head.persistent && head.method != "HEAD";
        let target = self.find(head.method, head.path);
        let expects = head.has("expect", "100-continue");
        match target {
            Target::Own(Route::WebSocket) => {
                let proof = handshake(&head)?;
                return Ok(Step::WebSocket(self.upgrade(&proof)));
            }
            Target::Own(Route::Update) => {
                let content_type = head.header("content-type");
                let length = head.length;
                *style = Style { persistent, chunks: true };
                let begun = update::begin(self.ctx, self.flash, &self.shared.upload, content_type, length);
                return Ok(match begun {
                    Ok(()) => Step::Update(length, expects),
                    Err(error) => Step::Refused(update::refused(&error, self.buffer)),
                });
            }
            _ => {}
        }
        if usize::try_from(head.length).map_or(true, |length| length > BODY) {
            return Err((413, sentence!("the body is larger than 1024 bytes")));
        }
        *style = Style { persistent, chunks: !head.old };
        let mut request = Request {
            target,
            query: 0,
            length: head.length,
            announced: Announced::by(head.header("content-type")),
            not_modified: match target {
                Target::Own(route) => {
                    route.page().is_some_and(|page| head.header("if-none-match") == Some(page.tag))
                }
                _ => false,
            },
            expects,
        };
        // The query moves to the start, so that there is room for the body.
        let (start, end) = (head.query_at, head.query_at + head.query.len());
        if start < end && end <= length {
            self.buffer.copy_within(start..end, 0);
            request.query = u16::try_from(end - start).unwrap_or(0);
        }
        if usize::from(request.query) + request.length as usize > self.buffer.len() {
            return Err((413, sentence!("query and body are too long together")));
        }
        Ok(Step::Body(request))
    }

    /// Looks a request up.
    fn find(&self, method: &str, path: &str) -> Target<'a> {
        // HEAD is GET without a body, which a streamed answer cannot promise; it is not offered.
        let wanted = Method::from_name(method);
        let (mut get, mut post) = (false, false);
        let mut note = |endpoint: &Endpoint<'_>| {
            if endpoint.uri != path {
                return false;
            }
            get |= endpoint.method == Method::Get;
            post |= endpoint.method == Method::Post;
            Some(endpoint.method) == wanted
        };
        if let Some((_, route)) = ROUTES.iter().find(|(endpoint, _)| note(endpoint)) {
            return Target::Own(*route);
        }
        for service in self.ctx.services() {
            if let Some(endpoint) = service.endpoints().iter().find(|endpoint| note(endpoint)) {
                return Target::Service(*service, endpoint);
            }
        }
        match (get, post) {
            (true, true) => Target::WrongMethod("GET, POST"),
            (true, false) => Target::WrongMethod("GET"),
            (false, true) => Target::WrongMethod("POST"),
            (false, false) if wanted == Some(Method::Get) && self.hosts() && !path.starts_with("/api/") => {
                Target::Elsewhere
            }
            (false, false) => Target::Nothing,
        }
    }

    /// Whether the node is on its own access point, so that whoever asks is a guest there.
    fn hosts(&self) -> bool {
        self.ctx.with(|state| state.address.is_some_and(|own| own.ip == ACCESS_POINT_ADDRESS))
    }

    /// Reads the body to its place behind the query.
    async fn read_body(&mut self, request: &Request<'_>, deadline: Instant) -> Result<(), Gone> {
        let Self { socket, buffer, .. } = self;
        let start = usize::from(request.query);
        let mut rest = buffer.get_mut(start..start + request.length as usize).ok_or(Gone)?;
        while !rest.is_empty() {
            match with_deadline(deadline, socket.read(rest)).await {
                Ok(Ok(count @ 1..)) => rest = rest.get_mut(count..).unwrap_or_default(),
                _ => return Err(Gone),
            }
        }
        Ok(())
    }

    /// Answers a request whose body has been read.
    #[inline(never)]
    fn answer(&mut self, request: &Request<'a>, document: &mut Document) -> Outcome {
        let from = peer(&self.socket);
        let Self { ctx, flash, shared, buffer, .. } = self;
        let scratch = &mut *shared.scratch.borrow_mut();
        let params = &mut scratch.params;
        params.clear();
        let (query, rest) = buffer.split_at_checked(request.query.into()).unwrap_or_default();
        let query = core::str::from_utf8(query).unwrap_or_default();
        let body = rest.get(..request.length as usize).unwrap_or_default();
        let read = params.add_form(query).and_then(|()| params.add_body(request.announced.kind(body), body));
        // From here on the answer has the place of the request.
        let mut reply = reply(buffer);
        let mut allow = None;
        match (request.target, read) {
            (Target::Nothing, _) => {
                reply.error(
                    404,
                    sentence!("no such path; GET /api/node/endpoints lists what this node offers"),
                );
            }
            (Target::Elsewhere, _) => return Outcome::Elsewhere,
            (Target::WrongMethod(methods), _) => {
                allow = Some(methods);
                reply.error(405, Takes(methods));
            }
            (_, Err(ParamsError::Malformed)) => {
                reply.error(400, sentence!("the parameters are neither a form nor a JSON object in UTF-8"));
            }
            (_, Err(ParamsError::TooMany)) => reply.error(413, sentence!("too many parameters")),
            (Target::Own(route), Ok(())) => match route {
                Route::Page | Route::Wifi => match route.page() {
                    Some(page) if request.not_modified => return Outcome::NotModified(page),
                    Some(page) => return Outcome::Page(page),
                    None => {}
                },
                Route::Status | Route::Endpoints | Route::Tasks | Route::Members | Route::Services => {
                    match document.begin(route, params) {
                        Ok(()) => return Outcome::Stream,
                        Err(message) => reply.error(422, message),
                    }
                }
                route => small::answer(ctx, flash, route, scratch, &mut reply),
            },
            (Target::Service(service, endpoint), Ok(())) => {
                let request = ServiceRequest { method: endpoint.method, uri: endpoint.uri, from, params };
                service.handle(ctx, &request, &mut reply);
            }
        }
        Outcome::Small(Small::of(reply, allow))
    }

    /// Refuses a request; the connection ends with that.
    async fn refuse(&mut self, status: u16, message: Sentence) -> Result<bool, Gone> {
        let mut reply = reply(self.buffer);
        reply.error(status, message);
        let small = Small::of(reply, None);
        self.send_small(&small, Style { persistent: false, chunks: true }).await.map(|()| false)
    }

    /// Writes an answer's head so that it ends at [`ROOM`]; gives where it begins.
    fn head(&mut self, status: u16, style: Style, lines: Lines) -> usize {
        self.prefix(&Start { status, persistent: style.persistent, lines })
    }

    /// Writes text so that it ends at [`ROOM`]; gives where it begins.
    #[inline(never)]
    fn prefix(&mut self, text: &dyn fmt::Display) -> usize {
        let mut prefix = Text::new(self.buffer.get_mut(..ROOM).unwrap_or_default());
        let fits = write!(prefix, "{text}").is_ok();
        debug_assert!(fits, "an answer's head is larger than its room");
        let length = prefix.len();
        self.buffer.copy_within(..length, ROOM - length);
        ROOM - length
    }

    async fn send_small(&mut self, small: &Small, style: Style) -> Result<(), Gone> {
        let Small { content_type, allow, length, .. } = *small;
        let start = self.head(small.status, style, Lines::Small { content_type, allow, length });
        self.send(start, ROOM + small.length).await
    }

    async fn send_page(&mut self, page: &'static Page, style: Style) -> Result<(), Gone> {
        let mut start = self.head(200, style, Lines::Page(page));
        let mut at = 0;
        while at < page.length {
            let count = page.read(at, self.buffer.get_mut(ROOM..).unwrap_or_default());
            self.send(start, ROOM + count).await?;
            at += count;
            start = ROOM;
        }
        Ok(())
    }

    async fn send_document(&mut self, document: &mut Document, style: Style) -> Result<(), Gone> {
        let mut comma = false;
        let mut first = true;
        loop {
            let (start, end, last) = self.fill(document, &mut comma, first, style);
            self.send(start, end).await?;
            if last {
                return Ok(());
            }
            first = false;
        }
    }

    /// Fills the buffer with as many pieces of a document as it takes: where they lie, and whether they are the last.
    #[inline(never)]
    fn fill(
        &mut self,
        document: &mut Document,
        comma: &mut bool,
        first: bool,
        style: Style,
    ) -> (usize, usize, bool) {
        let room = ROOM..self.buffer.len() - CHUNK_END;
        let (length, more) = document.fill(self.ctx, self.buffer.get_mut(room).unwrap_or_default(), comma);
        let chunk = Chunk(style.chunks.then_some(length));
        let start = match (first, style.chunks) {
            (true, _) => self.head(200, style, Lines::Document(chunk)),
            (false, true) => self.prefix(&chunk),
            (false, false) => ROOM,
        };
        let mut end = Text::new(self.buffer.get_mut(ROOM + length..).unwrap_or_default());
        if style.chunks {
            let _ = end.write_str(if more { "\r\n" } else { "\r\n0\r\n\r\n" });
        }
        let end = ROOM + length + end.len();
        (start, end, !more)
    }

    /// Sends a part of the buffer.
    async fn send(&mut self, start: usize, end: usize) -> Result<(), Gone> {
        send(&mut self.socket, self.buffer.get(start..end).unwrap_or_default()).await
    }

    /// Writes the answer to a WebSocket's handshake to the start of the buffer; gives its length.
    fn upgrade(&mut self, proof: &[u8; accept::PROOF]) -> usize {
        let mut answer = Text::new(self.buffer);
        let proof = core::str::from_utf8(proof).unwrap_or_default();
        let switching = sentence!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
        );
        let _ = write!(answer, "{switching}{proof}\r\n\r\n");
        answer.len()
    }
}

/// Checks a WebSocket's handshake (RFC 6455, 4.2.1); gives its proof.
fn handshake(head: &Head<'_>) -> Result<[u8; accept::PROOF], Refusal> {
    if !head.has("upgrade", "websocket") || !head.has("connection", "upgrade") {
        return Err((
            400,
            sentence!("this path is a WebSocket; ask with Connection: Upgrade and Upgrade: websocket"),
        ));
    }
    if head.header("sec-websocket-version") != Some("13") || head.length > 0 {
        return Err((400, sentence!("the node speaks version 13 of the WebSocket protocol")));
    }
    let proof = head.header("sec-websocket-key").and_then(accept::proof);
    proof.ok_or((400, sentence!("Sec-WebSocket-Key is missing or has not 24 bytes")))
}

impl Small {
    /// What was written with [`reply`].
    pub fn of(reply: Reply<'_>, allow: Option<&'static str>) -> Self {
        let Reply { status, body, content_type } = reply;
        Self { status, content_type, allow, length: body.len() }
    }
}

/// An answer to be written to its place in a connection's buffer.
pub fn reply(buffer: &mut [u8]) -> Reply<'_> {
    Reply::new(Text::new(buffer.get_mut(ROOM..ROOM + Reply::CAPACITY).unwrap_or_default()))
}

/// Polls a part in a function of its own, so that its stack is not that of all parts together.
#[inline(never)]
fn poll_apart<T: Future>(part: Pin<&mut T>, task: &mut core::task::Context<'_>) -> Poll<T::Output> {
    part.poll(task)
}

/// Waits for a part. It is pinned where it is made, because `.await` alone may move it there over the stack.
pub async fn apart<T: Future>(mut part: Pin<&mut T>) -> T::Output {
    poll_fn(|task| poll_apart(part.as_mut(), task)).await
}

/// Writes all of `bytes`.
async fn send(socket: &mut TcpSocket<'_>, bytes: &[u8]) -> Result<(), Gone> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match with_timeout(WRITE, socket.write(rest)).await {
            Ok(Ok(count @ 1..)) => rest = rest.get(count..).unwrap_or_default(),
            _ => return Err(Gone),
        }
    }
    Ok(())
}

fn peer(socket: &TcpSocket<'_>) -> Option<Ipv4Addr> {
    match socket.remote_endpoint()?.addr {
        embassy_net::IpAddress::Ipv4(ip) => Some(ip),
    }
}
