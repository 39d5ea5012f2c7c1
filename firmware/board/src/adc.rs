//! The analogue input.

use spore_hal::AnalogIn;
use spore_rt::sdk;

/// The one analogue input, TOUT: 0 to 1.0 V at the chip's pin, 10 bits. An ESP-01 does not bring it out. Boards that take up to 3.3 V
/// have a divider before it.
///
/// Byte 107 of the PHY data (`esp_init_data`) chooses what is measured: with 0xFF the chip's own supply, and TOUT must be left open; with
/// anything else TOUT (18 to 36 also tells the radio the supply in tenths of a volt). A reading takes about 100 µs; hundreds in a row
/// disturb WiFi (Espressif, ESP8266 SDK API guide, `system_adc_read`).
#[derive(Debug)]
pub struct Adc(());

impl Adc {
    pub(crate) const fn new() -> Self {
        Self(())
    }
}

impl AnalogIn for Adc {
    fn read(&mut self) -> u16 {
        // SAFETY: no preconditions.
        unsafe { sdk::system_adc_read() }.min(<Self as AnalogIn>::MAX)
    }
}
