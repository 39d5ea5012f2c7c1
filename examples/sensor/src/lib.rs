//! A SPORE service that measures: the analogue input, and which sensor answers on an I2C bus. It tells the whole cluster, and can have
//! its node sleep until the next time.
//!
//! Analogue input and bus are generic, so the same service runs on an ESP8266's pins and in the lab.
#![no_std]
#![forbid(unsafe_code)]

use core::cell::RefCell;
use core::fmt::Write as _;
use core::time::Duration;
use spore_hal::AnalogIn;
use spore_hal::embedded_hal::i2c::I2c;
use spore_node::Context;
use spore_node::service::{Endpoint, Reply, Request, Service, ServiceTask, sentence};

/// Register of a Bosch sensor that says what it is (BME280 data sheet, 5.4.1).
const ID: u8 = 0xD0;
/// The addresses such a sensor can have.
const ADDRESSES: [u8; 2] = [0x76, 0x77];

/// What one measurement gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// The analogue input, 0 to 1023.
    pub adc: u16,
    /// Identity of the first sensor that answers: 0x60 is a BME280, 0x58 a BMP280.
    pub chip: Option<u8>,
}

/// The sensor service.
///
/// `GET /api/sensor` measures and tells. The task `sensor.report` fires the cluster-wide event `sensor/measured` every ten seconds, with
/// the analogue value as data; then the node sleeps, if it was told to.
#[derive(Debug)]
pub struct Sensor<A, I> {
    adc: RefCell<A>,
    bus: RefCell<I>,
    sleep: Option<Duration>,
}

impl<A: AnalogIn, I: I2c> Sensor<A, I> {
    /// Takes over an analogue input and a bus; with `sleep` the node is off for that long after each report.
    pub const fn new(adc: A, bus: I, sleep: Option<Duration>) -> Self {
        Self { adc: RefCell::new(adc), bus: RefCell::new(bus), sleep }
    }

    /// Measures: takes about a millisecond.
    pub fn measure(&self) -> Measured {
        let mut bus = self.bus.borrow_mut();
        let chip = ADDRESSES.iter().find_map(|address| {
            let mut id = [0];
            // Nobody there is no error of ours.
            bus.write_read(*address, &[ID], &mut id).ok().map(|()| id[0])
        });
        Measured { adc: self.adc.borrow_mut().read(), chip }
    }
}

impl<A: AnalogIn, I: I2c> Service for Sensor<A, I> {
    fn name(&self) -> &'static str {
        "sensor"
    }

    fn endpoints(&self) -> &'static [Endpoint<'static>] {
        const { &[Endpoint::get("sensor", "/api/sensor")] }
    }

    fn labels(&self) -> &'static [(&'static str, &'static str)] {
        &[("role", "sensor")]
    }

    fn tasks(&self) -> &'static [ServiceTask] {
        const TASKS: &[ServiceTask] = &[ServiceTask { name: "report", interval_ms: 10_000, enabled: true }];
        TASKS
    }

    fn handle(&self, _ctx: &Context<'_>, _request: &Request<'_>, reply: &mut Reply<'_>) {
        let Measured { adc, chip } = self.measure();
        reply.json(|json| {
            json.field_number("adc", adc)?;
            json.field_number("chip", chip.unwrap_or(0))
        });
    }

    fn run_task(&self, ctx: &Context<'_>, _task: &str) {
        // The first run is at the start, before there is a network: nobody would hear it.
        if ctx.ip().is_none() {
            return;
        }
        let mut value = heapless::String::<5>::new();
        // Five digits fit.
        let _ = write!(value, "{}", self.measure().adc);
        if ctx.fire_cluster("sensor/measured", &value).is_err() {
            ctx.log(format_args!("{}", sentence!("sensor: too many events")));
        }
        if let Some(time) = self.sleep {
            // On trial the node stays awake; the next report tries again.
            let _ = ctx.sleep(time);
        }
    }
}

/// The examples of the page about services, compiled as documentation tests are.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/services.md")]
mod page {}
