//! A SPORE service that switches a relay: endpoints with parameters, a task, labels, events from the whole cluster.
//!
//! The relay itself is anything that implements [`Output`]: a pin of a board, or [`Simulated`].
#![no_std]
#![forbid(unsafe_code)]

use core::cell::{Cell, RefCell};
use spore_node::service::sentence;
use spore_node::service::{Endpoint, Method, Param, Reply, Request, Service, ServiceTask};
use spore_node::{Context, Event};

/// Something with two states.
pub trait Output {
    /// Switches it.
    fn set(&mut self, on: bool);
}

/// An output that remembers its state and drives nothing.
#[derive(Debug, Default)]
pub struct Simulated(bool);

impl Output for Simulated {
    fn set(&mut self, on: bool) {
        self.0 = on;
    }
}

/// The relay service.
///
/// `POST /api/relay` with `state=on|off|toggle` switches, `GET /api/relay/status` tells. The cluster-wide event `relay/set`
/// with the same words switches the relays of all nodes. The task `relay.blink`, off at first, toggles.
#[derive(Debug)]
pub struct Relay<O> {
    output: RefCell<O>,
    on: Cell<bool>,
    switched: Cell<u32>,
}

impl<O: Output> Relay<O> {
    /// Takes over an output and switches it off.
    pub fn new(mut output: O) -> Self {
        output.set(false);
        Self { output: RefCell::new(output), on: Cell::new(false), switched: Cell::new(0) }
    }

    /// Whether the relay is on.
    pub fn is_on(&self) -> bool {
        self.on.get()
    }

    fn switch(&self, ctx: &Context<'_>, on: bool) {
        self.output.borrow_mut().set(on);
        if self.on.replace(on) != on {
            self.switched.set(self.switched.get().wrapping_add(1));
            ctx.fire(&Event::User { name: "relay/switched", data: word(on) });
        }
    }

    /// Carries out a word; false when it is none of the three.
    fn command(&self, ctx: &Context<'_>, word: &str) -> bool {
        let on = match word {
            "on" => true,
            "off" => false,
            "toggle" => !self.on.get(),
            _ => return false,
        };
        self.switch(ctx, on);
        true
    }

    fn tell(&self, reply: &mut Reply<'_>) {
        reply.json(|json| {
            json.field("state", word(self.on.get()))?;
            json.field_number("switched", self.switched.get())
        });
    }
}

const fn word(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

impl<O: Output> Service for Relay<O> {
    fn name(&self) -> &'static str {
        "relay"
    }

    fn endpoints(&self) -> &'static [Endpoint<'static>] {
        const ENDPOINTS: &[Endpoint<'_>] = &[
            Endpoint::get("relay", "/api/relay/status"),
            Endpoint::post("relay", "/api/relay")
                .with(&[Param::body("state").required().one_of(&["on", "off", "toggle"])]),
        ];
        ENDPOINTS
    }

    fn labels(&self) -> &'static [(&'static str, &'static str)] {
        &[("role", "relay")]
    }

    fn tasks(&self) -> &'static [ServiceTask] {
        const TASKS: &[ServiceTask] = &[ServiceTask { name: "blink", interval_ms: 1000, enabled: false }];
        TASKS
    }

    fn handle(&self, ctx: &Context<'_>, request: &Request<'_>, reply: &mut Reply<'_>) {
        if request.method == Method::Post {
            let Some(state) = request.param("state") else {
                return reply.error(422, sentence!("parameter state is missing; give on, off or toggle"));
            };
            if !self.command(ctx, state) {
                return reply.error(422, format_args!("state is '{state}'; give on, off or toggle"));
            }
        }
        self.tell(reply);
    }

    fn run_task(&self, ctx: &Context<'_>, _task: &str) {
        self.switch(ctx, !self.on.get());
    }

    fn on_event(&self, ctx: &Context<'_>, event: &Event<'_>) {
        if let Event::User { name: "relay/set", data } = event {
            self.command(ctx, data);
        }
    }
}
