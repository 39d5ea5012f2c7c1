//! A node of the lab, virtual or emulated: what both have in common.

use crate::board::BOARD;
use crate::control::PinStatus;
use crate::emulated::Home;
use crate::node::{Body, ExtraService};
use crate::pins::ADC_MAX;
use crate::view::{Order, Orders, Phase, View, chip_id};
use anyhow::{Result, anyhow, ensure};
use embassy_sync::channel::Channel;
use spore_core::hostname;
use spore_lan::Mac;
use spore_lan::air::Air;
use spore_lan::executor::{Spawner, Task};
use spore_lan::flash::Flash;
use spore_lan::switch::SharedCounters;
use spore_node::Config;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A node under power, or not. Dropping it pulls its plug.
pub struct Node {
    /// Hardware address.
    pub mac: Mac,
    /// What can be seen.
    pub view: Rc<View>,
    /// Traffic of all its lives.
    pub counters: SharedCounters,
    orders: Orders,
    kind: Kind,
    _life: Task<()>,
}

/// The world a node runs in.
enum Kind {
    Virtual { flash: Flash, file: Option<PathBuf> },
    Emulated(Rc<Home>),
}

impl Node {
    /// Plugs a virtual node in. `factory` are the settings it starts with as long as it has none stored; `file` is
    /// where its flash is kept, if it is.
    pub fn new_virtual(
        spawner: &Spawner,
        air: &Air,
        mac: Mac,
        (flash, file): (Flash, Option<PathBuf>),
        factory: Config,
        extra: Option<ExtraService>,
        seed: u64,
    ) -> Self {
        let (view, counters, orders) =
            (Rc::new(View::new()), SharedCounters::new(), Orders::new(Channel::new()));
        let body = Body {
            mac,
            flash: flash.clone(),
            view: view.clone(),
            counters: counters.clone(),
            factory,
            air: air.clone(),
            spawner: spawner.clone(),
            extra,
            seed,
        };
        let life = body.live(orders.clone());
        Self { mac, view, counters, orders, kind: Kind::Virtual { flash, file }, _life: life }
    }

    /// Plugs an emulated node in.
    pub(crate) fn new_emulated(spawner: &Spawner, body: crate::emulated::Body) -> Self {
        let (mac, view, counters, home) =
            (body.mac, body.view.clone(), body.counters.clone(), body.home.clone());
        let orders = Orders::new(Channel::new());
        let life = spawner.spawn(crate::emulated::live(body, orders.clone()));
        Self { mac, view, counters, orders, kind: Kind::Emulated(home), _life: life }
    }

    /// The chip id: the low three bytes of the hardware address.
    pub fn chip_id(&self) -> u32 {
        chip_id(self.mac)
    }

    /// The name it has unless it is given another.
    pub fn hostname(&self) -> String {
        hostname::of_chip(self.chip_id()).as_str().to_owned()
    }

    /// The word of the control socket for its world.
    pub fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Virtual { .. } => "virtual",
            Kind::Emulated(_) => "emulated",
        }
    }

    /// The board that images for it must be made for.
    pub fn board(&self) -> &str {
        match &self.kind {
            Kind::Virtual { .. } => BOARD,
            Kind::Emulated(home) => home.board(),
        }
    }

    /// The flash chip of a virtual node.
    pub fn flash(&self) -> Option<&Flash> {
        match &self.kind {
            Kind::Virtual { flash, .. } => Some(flash),
            Kind::Emulated(_) => None,
        }
    }

    /// The file that is its flash, if it has one.
    pub fn flash_file(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Virtual { file, .. } => file.as_deref(),
            Kind::Emulated(home) => Some(home.flash()),
        }
    }

    /// The folder of an emulated node.
    pub(crate) fn home(&self) -> Option<&Rc<Home>> {
        match &self.kind {
            Kind::Virtual { .. } => None,
            Kind::Emulated(home) => Some(home),
        }
    }

    /// Its pins and its analogue input.
    pub fn pins(&self) -> (Vec<PinStatus>, u16) {
        match &self.kind {
            Kind::Virtual { .. } => (self.view.pins.status(), self.view.pins.adc_value()),
            Kind::Emulated(home) => home.pins(self.view.phase.get() == Phase::Running),
        }
    }

    /// Gives a pin a level from outside.
    ///
    /// # Errors
    /// When there is no such pin, the node drives it, or its file cannot be written.
    pub fn set_pin(&self, pin: u8, high: bool) -> Result<()> {
        match &self.kind {
            Kind::Virtual { .. } => self.view.pins.set(pin, high).map_err(|error| anyhow!(error)),
            Kind::Emulated(home) => home.set_pin(pin, high),
        }
    }

    /// Sets what the analogue input measures.
    ///
    /// # Errors
    /// When the value exceeds 10 bits, or the file of an emulated node cannot be written.
    pub fn set_adc(&self, value: u16) -> Result<()> {
        ensure!(value <= ADC_MAX, "the analogue input gives 0 to {ADC_MAX}");
        match &self.kind {
            Kind::Virtual { .. } => {
                self.view.pins.set_adc(value);
                Ok(())
            }
            Kind::Emulated(home) => home.set_adc(value),
        }
    }

    /// Does something to the node; false when it has not yet taken in the last orders.
    pub fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }

    /// Has the power go in the middle of a flash operation, counted from 1: of a virtual node from now; an emulated
    /// node loses its power at once and once more at that operation after the start that follows. False as for
    /// [`Self::order`].
    pub fn cut_at(&self, operation: u32) -> bool {
        match &self.kind {
            Kind::Virtual { flash, .. } => {
                flash.cut_at(u64::from(operation));
                true
            }
            Kind::Emulated(_) => self.order(Order::PowerCutAt(operation)),
        }
    }
}
