//! The smallest SPORE service: one endpoint, one parameter, one event.
//!
//! Copy this folder, rename it, and hand your service to the node beside the others (`spore_node::Start`).
#![no_std]
#![forbid(unsafe_code)]

use core::cell::Cell;
use spore_node::service::sentence;
use spore_node::service::{Endpoint, Param, Reply, Request, Service};
use spore_node::{Context, Event};

/// Greets whoever asks and counts the greetings.
#[derive(Debug, Default)]
pub struct Hello {
    greeted: Cell<u32>,
}

impl Hello {
    /// A service that has greeted nobody yet.
    pub const fn new() -> Self {
        Self { greeted: Cell::new(0) }
    }
}

impl Service for Hello {
    fn name(&self) -> &'static str {
        "hello"
    }

    fn endpoints(&self) -> &'static [Endpoint<'static>] {
        const ENDPOINTS: &[Endpoint<'_>] =
            &[Endpoint::get("hello", "/api/hello").with(&[Param::query("name")])];
        ENDPOINTS
    }

    fn handle(&self, ctx: &Context<'_>, request: &Request<'_>, reply: &mut Reply<'_>) {
        let name = request.param("name").unwrap_or("world");
        if name.len() > 64 {
            return reply.error(422, sentence!("name is longer than 64 bytes; take a shorter one"));
        }
        self.greeted.set(self.greeted.get().wrapping_add(1));
        // Anyone on this node may listen: `ctx.on("hello/greeted", …)`, a service's `on_event`, or a browser on /ws.
        ctx.fire(&Event::User { name: "hello/greeted", data: name });
        reply.json(|json| {
            json.field("hello", name)?;
            json.field("from", ctx.hostname().as_str())?;
            json.field_number("greeted", self.greeted.get())
        });
    }
}
