//! A SPORE service that switches a relay: endpoints with parameters, a task, labels, events from the whole cluster.
//!
//! The relay itself is any output pin of embedded-hal 1.0 that is high when the relay is on; for a module that switches at low,
//! `spore_hal::Inverted` turns the pin round. A board says which pin it is where it makes its services.
#![no_std]
#![forbid(unsafe_code)]

use core::cell::{Cell, RefCell};
use spore_hal::embedded_hal::digital::OutputPin;
use spore_node::service::sentence;
use spore_node::service::{Endpoint, Method, Param, Reply, Request, Service, ServiceTask};
use spore_node::{Context, Event};

/// The relay service.
///
/// `POST /api/relay` with `state=on|off|toggle` switches, `GET /api/relay/status` tells. The cluster-wide event `relay/set`
/// with the same words switches the relays of all nodes. The task `relay.blink`, off at first, toggles.
#[derive(Debug)]
pub struct Relay<P> {
    pin: RefCell<P>,
    on: Cell<bool>,
    switched: Cell<u32>,
}

/// Why the relay was not switched.
enum Refused {
    Word,
    Pin,
}

impl<P: OutputPin> Relay<P> {
    /// Takes over a pin and switches the relay off.
    pub fn new(mut pin: P) -> Self {
        // A pin that fails now fails again when somebody switches, and it is told then.
        let _ = pin.set_low();
        Self { pin: RefCell::new(pin), on: Cell::new(false), switched: Cell::new(0) }
    }

    /// Whether the relay is on.
    pub fn is_on(&self) -> bool {
        self.on.get()
    }

    fn switch(&self, ctx: &Context<'_>, on: bool) -> Result<(), Refused> {
        self.pin.borrow_mut().set_state(on.into()).map_err(|_| Refused::Pin)?;
        if self.on.replace(on) != on {
            self.switched.set(self.switched.get().wrapping_add(1));
            ctx.fire(&Event::User { name: "relay/switched", data: word(on) });
        }
        Ok(())
    }

    /// Carries out a word.
    fn command(&self, ctx: &Context<'_>, word: &str) -> Result<(), Refused> {
        let on = match word {
            "on" => true,
            "off" => false,
            "toggle" => !self.on.get(),
            _ => return Err(Refused::Word),
        };
        self.switch(ctx, on)
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

impl<P: OutputPin> Service for Relay<P> {
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
            match self.command(ctx, state) {
                Ok(()) => {}
                Err(Refused::Word) => {
                    return reply.error(422, format_args!("state is '{state}'; give on, off or toggle"));
                }
                Err(Refused::Pin) => return reply.error(500, sentence!("the pin does not obey")),
            }
        }
        self.tell(reply);
    }

    fn run_task(&self, ctx: &Context<'_>, _task: &str) {
        // A pin that failed stays as it is; the next run tries again.
        let _ = self.switch(ctx, !self.on.get());
    }

    fn on_event(&self, ctx: &Context<'_>, event: &Event<'_>) {
        if let Event::User { name: "relay/set", data } = event {
            // Who fires an event hears no answer.
            let _ = self.command(ctx, data);
        }
    }
}
