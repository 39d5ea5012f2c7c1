//! The folder of an emulated node: the files by which board, chip and air are made for it.
//!
//! | file | what it holds | who writes it |
//! |---|---|---|
//! | `flash.bin` | the flash chip | the lab once, then the chip |
//! | `birth.txt` | what the flash was made from | the lab |
//! | `board.txt` | address, seed, reason of the start, flash operation to tear | the lab at each start |
//! | `air.txt` | the access points in reach | the lab whenever they change |
//! | `alive` | changes as long as the chip runs | the chip |
//! | `serial.log`, `serial.log.1` | the serial line | the lab |
//! | `port.sock` | the LAN | the lab |
//! | `gdb.sock` | where a debugger connects | the emulator |
//! | `debugger` | the process of a debugger | `spore lab gdb` |
//! | `inputs.txt` | levels that something outside gives to pins, and what the analogue input measures | the lab, when told |
//! | `pins.txt` | the pins the firmware uses | the chip |
//! | `work` | how much the chip has done | the chip |

use super::{Emulator, PowerOn};
use crate::control::PinStatus;
use crate::pins::{PINS, driven, level_by_module, no_pin};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use sha2::{Digest as _, Sha256};
use spore_image::{FlashMap, Slot};
use spore_lan::Mac;
use spore_lan::air::AccessPoint;
use spore_lan::flash::Flash;
use spore_lan::switch::PortControl;
use spore_node::{Config, store};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of an emulated node.
pub(crate) struct Home {
    folder: PathBuf,
    flash: PathBuf,
    board: String,
    radio: RefCell<Radio>,
}

/// What of the node's radio the lab decides.
#[derive(Default)]
struct Radio {
    /// Whether an access point of the LAN is there to carry frames.
    on: bool,
    /// The node's place on the switch while it has power.
    port: Option<PortControl>,
}

impl Home {
    /// Makes the folder and its chip. A chip that is there keeps what it holds, unless the firmware given is another
    /// than the one it was made from: then it is flashed anew, and only its settings stay, as on a desk. `factory` are
    /// the settings a new chip is given; the network of an old one is replaced if it is the one it was given.
    ///
    /// # Errors
    /// When a file cannot be read or written, or the chip given is none.
    pub fn make(folder: &Path, emulator: &Emulator, factory: &Config) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // The emulator's working directory is this folder, wherever the lab's is.
        let folder = folder.canonicalize().with_context(|| format!("cannot use {}", folder.display()))?;
        let chip = fs::read(&emulator.chip)
            .with_context(|| format!("cannot read the chip {}", emulator.chip.display()))?;
        let home = Self {
            flash: folder.join("flash.bin"),
            board: board_of(&chip)?,
            folder,
            radio: RefCell::default(),
        };
        home.fill(&chip, factory).with_context(|| format!("cannot make {}", home.flash.display()))?;
        Ok(home)
    }

    fn fill(&self, chip: &[u8], factory: &Config) -> Result<()> {
        let bytes = u32::try_from(chip.len())?;
        let map = FlashMap::for_size(bytes).map_err(|error| anyhow!("{error}"))?;
        let born = Birth::of(chip, factory);
        let birth =
            fs::read_to_string(self.folder.join("birth.txt")).ok().and_then(|text| Birth::parse(&text));
        let old = fs::read(&self.flash).ok().filter(|old| old.len() == chip.len());
        let keep = old.is_some() && birth.as_ref().is_some_and(|birth| birth.chip == born.chip);
        if !keep {
            let mut fresh = chip.to_vec();
            if let Some(old) = &old {
                for region in [map.config(), map.sdk()] {
                    let range = region.offset as usize..region.end() as usize;
                    fresh[range.clone()].copy_from_slice(&old[range]);
                }
            }
            self.write("flash.bin", &fresh)?;
        }
        let mut flash = Flash::file(&self.flash, bytes)?;
        let area = map.config().offset..map.config().end();
        let mut stored = factory.clone();
        let settings = if store::load(&mut flash, area.clone(), &mut stored) {
            let given = birth.is_some_and(|birth| {
                birth.ssid == stored.wifi_ssid.as_str() && birth.passphrase == stored.wifi_passphrase.as_str()
            });
            let same =
                stored.wifi_ssid == factory.wifi_ssid && stored.wifi_passphrase == factory.wifi_passphrase;
            (given && !same).then(|| Config {
                wifi_ssid: factory.wifi_ssid.clone(),
                wifi_passphrase: factory.wifi_passphrase.clone(),
                ..stored
            })
        } else {
            Some(factory.clone())
        };
        if let Some(settings) = settings {
            store::save(&mut flash, area, &settings).map_err(|error| anyhow!("{error}"))?;
        }
        Ok(self.write("birth.txt", born.text().as_bytes())?)
    }

    /// The board that images for this node must be made for.
    pub fn board(&self) -> &str {
        &self.board
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file that is its flash chip.
    pub fn flash(&self) -> &Path {
        &self.flash
    }

    /// Says what is on the air: the access points of the LAN that send.
    ///
    /// # Errors
    /// When the file cannot be written; the frames stop or go on in any case.
    pub fn hear(&self, networks: &[AccessPoint]) -> io::Result<()> {
        let on = networks.iter().any(|network| network.on);
        let port = {
            let mut radio = self.radio.borrow_mut();
            radio.on = on;
            radio.port.clone()
        };
        if let Some(port) = port {
            port.set_link(on);
        }
        self.write("air.txt", air(networks).as_bytes())
    }

    /// Connects the node's radio to its place on the switch.
    pub fn plug(&self, port: PortControl) {
        port.set_link(self.radio.borrow().on);
        self.radio.borrow_mut().port = Some(port);
    }

    /// Says what the board is like at this start, and forgets signs of life of the last one.
    pub fn power_on(&self, mac: Mac, seed: u32, power: &PowerOn) -> io::Result<()> {
        let [a, b, c, d, e, f] = mac;
        let mut text = format!("mac={a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}\nseed={seed}\n");
        // Writing to a String cannot fail.
        if let Some(reset) = power.reset {
            let _ = writeln!(text, "reset={reset}");
        }
        if let Some(operation) = power.cut {
            let _ = writeln!(text, "cut={operation}");
        }
        for sign in ["alive", "pins.txt"] {
            let _ = fs::remove_file(self.folder.join(sign));
        }
        self.write("board.txt", text.as_bytes())
    }

    /// The pins as the chip shows them, if it runs, and what the analogue input measures.
    pub fn pins(&self, runs: bool) -> (Vec<PinStatus>, u16) {
        let shown = if runs { self.text("pins.txt") } else { String::new() };
        let inputs = Inputs::parse(&self.text("inputs.txt"));
        let pins = PINS.iter().map(|pin| {
            let name = format!("GPIO{pin}");
            let shown = shown.lines().map(|line| line.split(' ').collect::<Vec<_>>());
            match shown.into_iter().find(|words| words.first() == Some(&name.as_str())).as_deref() {
                Some([_, direction @ ("output" | "open-drain"), level, rest @ ..]) => {
                    let duty = rest.first().and_then(|duty| duty.parse().ok());
                    PinStatus::new(*pin, direction, *level == "high", duty)
                }
                // The chip writes an input's level when it uses its pins; what is outside is newer.
                Some([_, direction, level, ..]) => {
                    let high = inputs.levels.get(pin).copied().unwrap_or(*level == "high");
                    PinStatus::new(*pin, direction, high, None)
                }
                _ => {
                    let high = inputs.levels.get(pin).copied().unwrap_or(level_by_module(*pin));
                    PinStatus::new(*pin, "unused", high, None)
                }
            }
        });
        (pins.collect(), inputs.adc)
    }

    /// Gives a pin a level from outside.
    ///
    /// # Errors
    /// When there is no such pin, the chip drives it, or the file cannot be written.
    pub fn set_pin(&self, pin: u8, high: bool) -> Result<()> {
        let (pins, _) = self.pins(true);
        let Some(status) = pins.iter().find(|status| status.name == format!("GPIO{pin}")) else {
            bail!(no_pin(pin))
        };
        ensure!(status.direction != "output", driven(pin));
        self.set_inputs(|inputs| {
            inputs.levels.insert(pin, high);
        })
    }

    /// Sets what the analogue input measures.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_adc(&self, value: u16) -> Result<()> {
        self.set_inputs(|inputs| inputs.adc = value)
    }

    fn set_inputs(&self, change: impl FnOnce(&mut Inputs)) -> Result<()> {
        let mut inputs = Inputs::parse(&self.text("inputs.txt"));
        change(&mut inputs);
        self.write("inputs.txt", inputs.text().as_bytes()).context("cannot write inputs.txt")
    }

    /// A file as text; none is as an empty one.
    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    /// A value that changes as long as the chip runs; `None` while the chip has given no sign.
    pub fn pulse(&self) -> Option<(Vec<u8>, Option<std::time::SystemTime>)> {
        let file = self.folder.join("alive");
        let time = fs::metadata(&file).and_then(|data| data.modified()).ok();
        Some((fs::read(file).ok()?, time))
    }

    /// The process that debugs the chip, or did so last.
    pub fn debugger(&self) -> Option<u32> {
        fs::read_to_string(self.folder.join("debugger")).ok()?.trim().parse().ok()
    }

    /// Writes a file so that a reader sees the old or the new one, never a half.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = self.folder.join(format!("{name}.new"));
        fs::write(&new, bytes)?;
        fs::rename(new, self.folder.join(name))
    }
}

/// The lines of `air.txt`. Names with a tab or a line feed in them cannot be said there and are left out.
fn air(networks: &[AccessPoint]) -> String {
    let fine = |text: &str| !text.contains(['\t', '\n', '\r']);
    let heard =
        networks.iter().filter(|network| network.on && fine(&network.ssid) && fine(&network.passphrase));
    heard.fold(String::new(), |mut text, network| {
        let (ssid, passphrase) = (network.ssid.as_str(), network.passphrase.as_str());
        let _ = writeln!(text, "{ssid}\t{passphrase}\t{}\t{}", network.channel, network.rssi);
        text
    })
}

/// The board of the image in slot A.
fn board_of(chip: &[u8]) -> Result<String> {
    let bytes = u32::try_from(chip.len())?;
    let map = FlashMap::for_size(bytes).map_err(|error| anyhow!("{error}"))?;
    let header = chip.get(map.slot(Slot::A).offset as usize..).unwrap_or_default();
    let header =
        spore_image::Header::parse(header).map_err(|error| anyhow!("slot a of the chip: {error}"))?;
    Ok(header.board.as_str().to_owned())
}

/// What is outside of the chip.
#[derive(Debug, Default, PartialEq, Eq)]
struct Inputs {
    levels: BTreeMap<u8, bool>,
    adc: u16,
}

impl Inputs {
    fn parse(text: &str) -> Self {
        let mut inputs = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match (key.parse(), value) {
                (Ok(pin), level) => {
                    inputs.levels.insert(pin, level == "high");
                }
                (Err(_), value) if key == "adc" => inputs.adc = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        inputs
    }

    fn text(&self) -> String {
        let levels = self.levels.iter();
        levels.fold(format!("adc={}\n", self.adc), |mut text, (pin, high)| {
            let _ = writeln!(text, "{pin}={}", if *high { "high" } else { "low" });
            text
        })
    }
}

/// What a flash was made from.
#[derive(Debug, PartialEq, Eq)]
struct Birth {
    chip: String,
    ssid: String,
    passphrase: String,
}

impl Birth {
    fn of(chip: &[u8], factory: &Config) -> Self {
        let hash = Sha256::digest(chip).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let (ssid, passphrase) = (factory.wifi_ssid.as_str(), factory.wifi_passphrase.as_str());
        Self { chip: hash, ssid: ssid.to_owned(), passphrase: passphrase.to_owned() }
    }

    fn text(&self) -> String {
        format!("chip={}\nssid={}\npassphrase={}\n", self.chip, self.ssid, self.passphrase)
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned)
        };
        Some(Self { chip: value("chip")?, ssid: value("ssid")?, passphrase: value("passphrase")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spore_image::Behaviour;

    fn chip(version: &str) -> Vec<u8> {
        let mut chip = vec![0xff; 1 << 20];
        let image =
            spore_image::build::virtual_image("spore", version.parse().unwrap(), Behaviour::default(), 4_000)
                .unwrap();
        chip[0x2000..0x2000 + image.len()].copy_from_slice(&image);
        chip
    }

    fn factory(ssid: &str) -> Config {
        let mut config = Config::new();
        config.set("wifiSsid", ssid).unwrap();
        config.set("wifiPassphrase", "12345678").unwrap();
        config
    }

    fn settings(home: &Home) -> Config {
        let mut flash = Flash::file(home.flash(), 1 << 20).unwrap();
        let mut settings = Config::new();
        assert!(store::load(&mut flash, 0xF8000..0xFB000, &mut settings));
        settings
    }

    #[test]
    fn a_chip_keeps_what_it_holds_until_the_firmware_is_another() {
        let temp = tempfile::tempdir().unwrap();
        let emulator = Emulator {
            program: "none".into(),
            rom: "none".into(),
            chip: temp.path().join("chip.bin"),
            arguments: Vec::new(),
        };
        let folder = temp.path().join("node-1");
        fs::write(&emulator.chip, chip("1.0.0")).unwrap();
        let home = Home::make(&folder, &emulator, &factory("one")).unwrap();
        assert_eq!((home.board(), settings(&home).wifi_ssid.as_str()), (spore_image::VIRTUAL_BOARD, "one"));

        // An update into slot B, and settings of the user's.
        let mut flash = Flash::file(home.flash(), 1 << 20).unwrap();
        flash.burn(0x7C000, b"update").unwrap();
        let mut own = settings(&home);
        own.set("label.role", "relay").unwrap();
        store::save(&mut flash, 0xF8000..0xFB000, &own).unwrap();
        let home = Home::make(&folder, &emulator, &factory("two")).unwrap();
        let kept = settings(&home);
        assert_eq!(&fs::read(home.flash()).unwrap()[0x7C000..0x7C006], b"update");
        assert_eq!(kept.wifi_ssid.as_str(), "two", "the network the lab gave it, the lab may change");
        assert!(kept.labels == own.labels);

        fs::write(&emulator.chip, chip("1.1.0")).unwrap();
        let mut own = kept;
        own.set("wifiSsid", "mine").unwrap();
        store::save(&mut Flash::file(home.flash(), 1 << 20).unwrap(), 0xF8000..0xFB000, &own).unwrap();
        let home = Home::make(&folder, &emulator, &factory("three")).unwrap();
        let bytes = fs::read(home.flash()).unwrap();
        assert_eq!((&bytes[0x2000..0x3000], bytes[0x7C000]), (&chip("1.1.0")[0x2000..0x3000], 0xff));
        assert_eq!(settings(&home).wifi_ssid.as_str(), "mine", "the user's own network stays");
    }

    #[test]
    fn what_is_no_chip_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let emulator = Emulator {
            program: "none".into(),
            rom: "none".into(),
            chip: temp.path().join("chip.bin"),
            arguments: Vec::new(),
        };
        let make = || Home::make(&temp.path().join("node-1"), &emulator, &factory("one")).map(drop);
        assert!(make().is_err());
        for bytes in [vec![], vec![0xff; 1000], vec![0xff; 1 << 20]] {
            fs::write(&emulator.chip, bytes).unwrap();
            assert!(make().is_err());
        }
    }

    #[test]
    fn pins_are_shown_and_set_through_files() {
        let temp = tempfile::tempdir().unwrap();
        let emulator = Emulator {
            program: "none".into(),
            rom: "none".into(),
            chip: temp.path().join("chip.bin"),
            arguments: Vec::new(),
        };
        fs::write(&emulator.chip, chip("1.0.0")).unwrap();
        let home = Home::make(&temp.path().join("node-1"), &emulator, &factory("one")).unwrap();
        let seen = |pin: &str, runs| {
            let (pins, _) = home.pins(runs);
            let status = pins.into_iter().find(|status| status.name == pin).unwrap();
            format!("{} {} {:?}", status.direction, status.level, status.duty)
        };
        assert_eq!(seen("GPIO0", true), "unused high None");
        home.write("pins.txt", b"GPIO0 output low\nGPIO2 output high 37\nGPIO12 input low\n").unwrap();
        assert_eq!(seen("GPIO0", true), "output low None");
        assert_eq!(seen("GPIO2", true), "output high Some(37)");
        assert_eq!(seen("GPIO0", false), "unused high None", "a chip without power drives nothing");
        home.set_pin(12, true).unwrap();
        home.set_adc(700).unwrap();
        assert_eq!((seen("GPIO12", true).as_str(), home.pins(true).1), ("input high None", 700));
        assert_eq!(home.text("inputs.txt"), "adc=700\n12=high\n");
        assert!(home.set_pin(0, true).unwrap_err().to_string().contains("driven"));
        assert!(home.set_pin(3, true).unwrap_err().to_string().contains("no pin 3"));
    }

    #[test]
    fn the_air_in_lines() {
        let network = |ssid: &str, on| AccessPoint {
            ssid: ssid.try_into().unwrap(),
            passphrase: "secret 123".try_into().unwrap(),
            channel: 6,
            rssi: -50,
            bssid: [2; 6],
            on,
        };
        let networks = [network("lab", true), network("off", false), network("a\tb", true)];
        assert_eq!(air(&networks), "lab\tsecret 123\t6\t-50\n");
        let birth = Birth::of(b"x", &factory("one"));
        assert_eq!(Birth::parse(&birth.text()), Some(birth));
    }
}
