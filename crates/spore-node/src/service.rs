//! The trait users write against: a service offers endpoints, tasks and labels to the cluster.
//!
//! ```
//! use spore_node::service::{Endpoint, Reply, Request, Service};
//! use spore_node::Context;
//!
//! struct Hello;
//!
//! impl Service for Hello {
//!     fn name(&self) -> &'static str {
//!         "hello"
//!     }
//!     fn endpoints(&self) -> &'static [Endpoint<'static>] {
//!         const { &[Endpoint::get("hello", "/api/hello")] }
//!     }
//!     fn handle(&self, _ctx: &Context<'_>, _request: &Request<'_>, reply: &mut Reply<'_>) {
//!         reply.json(|json| json.field("greeting", "hello"));
//!     }
//! }
//! ```

use crate::context::Context;
use crate::http::params::Params;
pub use crate::http::text::Text;
use core::fmt::{self, Write as _};
use core::net::Ipv4Addr;
use spore_core::events::Event;
use spore_wire::json::JsonWriter;

pub use spore_core::catalogue::{Endpoint, Location, Param};
pub use spore_sentence::{Sentence, sentence};
pub use spore_wire::Method;

/// A periodic task of a service. In the API it is called `<service>.<name>`.
#[derive(Debug, Clone, Copy)]
pub struct ServiceTask {
    /// Name within the service, at most 12 bytes.
    pub name: &'static str,
    /// Milliseconds between runs, 10 to 3,600,000.
    pub interval_ms: u32,
    /// Whether it runs from the start.
    pub enabled: bool,
}

/// Something a node offers. All methods take `&self`: state lives in `Cell`s, because a service is shared between the
/// connections of its node (all on one thread).
pub trait Service {
    /// Name, unique on the node, at most 11 bytes of `a-z0-9-`.
    fn name(&self) -> &'static str;

    /// What can be called, with parameters.
    fn endpoints(&self) -> &'static [Endpoint<'static>];

    /// Labels this service adds to the node's own, for instance `role=relay`. A label set by the user wins.
    fn labels(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Tasks to be run by the node's scheduler.
    fn tasks(&self) -> &'static [ServiceTask] {
        &[]
    }

    /// Called once, before anything else: the place for `ctx.on(name, callback)`.
    fn start<'a>(&'a self, ctx: &Context<'a>) {
        let _ = ctx;
    }

    /// Answers a request to one of the endpoints. Runs to completion without waiting: keep it below a millisecond.
    fn handle(&self, ctx: &Context<'_>, request: &Request<'_>, reply: &mut Reply<'_>);

    /// Runs a task of [`Service::tasks`].
    fn run_task(&self, ctx: &Context<'_>, task: &str) {
        let _ = (ctx, task);
    }

    /// Hears every event fired on this node, cluster-wide ones included.
    fn on_event(&self, ctx: &Context<'_>, event: &Event<'_>) {
        let _ = (ctx, event);
    }
}

/// A request to a service's endpoint.
pub struct Request<'r> {
    /// Method of the endpoint that matched.
    pub method: Method,
    /// Path of the endpoint that matched.
    pub uri: &'r str,
    /// Who asks.
    pub from: Option<Ipv4Addr>,
    pub(crate) params: &'r Params,
}

impl<'r> Request<'r> {
    /// A parameter of the body (form or JSON) or of the query, decoded. `None` when it is missing.
    pub fn param(&self, name: &str) -> Option<&'r str> {
        self.params.get(name)
    }
}

/// The answer under construction: a status and a body of at most [`Reply::CAPACITY`] bytes.
pub struct Reply<'b> {
    pub(crate) status: u16,
    pub(crate) body: Text<'b>,
    pub(crate) content_type: &'static str,
}

impl<'b> Reply<'b> {
    /// Size of the largest body in bytes. A longer one is answered with 500, never cut.
    pub const CAPACITY: usize = 1024;

    pub(crate) const fn new(body: Text<'b>) -> Self {
        Self { status: 200, body, content_type: JSON }
    }

    /// Answers 200 with a JSON object whose fields the closure writes.
    pub fn json(&mut self, fill: impl FnOnce(&mut JsonWriter<&mut Text<'b>>) -> fmt::Result) {
        self.begin(JSON);
        if object(&mut self.body, fill).is_err() {
            self.overflow();
        }
    }

    /// Answers with an error; the sentence says what is wrong and what to do. A constant one costs no RAM as [`sentence!`].
    pub fn error(&mut self, status: u16, message: impl fmt::Display) {
        self.fail(status, &message);
    }

    /// Answers 200 with plain text.
    pub fn text(&mut self, text: impl fmt::Display) {
        self.begin("text/plain; charset=utf-8");
        if write!(self.body, "{text}").is_err() {
            self.overflow();
        }
    }

    fn begin(&mut self, content_type: &'static str) {
        self.body.truncate(0);
        self.status = 200;
        self.content_type = content_type;
    }

    fn overflow(&mut self) {
        self.fail(500, &sentence!("the answer does not fit into 1024 bytes"));
    }

    fn fail(&mut self, status: u16, message: &dyn fmt::Display) {
        self.status = status;
        self.content_type = JSON;
        write_error(&mut self.body, message);
    }
}

const JSON: &str = "application/json";

/// Writes `{"error": message}` in place of what the body holds.
#[inline(never)]
pub(crate) fn write_error(body: &mut Text<'_>, message: &dyn fmt::Display) {
    let mut text = heapless::String::<256>::new();
    // A message that is too long is cut, which is better than losing it.
    let _ = write!(text, "{message}");
    body.truncate(0);
    if object(body, |json| json.field("error", &text)).is_err() {
        body.truncate(0);
        let _ = body.write_str("{\"error\":\"\"}");
    }
}

/// Writes one JSON object whose members the closure gives.
fn object<'b>(
    out: &mut Text<'b>,
    fill: impl FnOnce(&mut JsonWriter<&mut Text<'b>>) -> fmt::Result,
) -> fmt::Result {
    let mut json = JsonWriter::new(out);
    json.begin_object()?;
    fill(&mut json)?;
    json.end_object()
}
