//! What is to be written, from what the board holds and what the user wants.
//!
//! Parts are written in an order that a broken connection does no harm: the boot record is last. A board without a valid one
//! counts as a board that does not run SPORE, and everything is written anew.

use super::Wanted;
use crate::exit::{Failure, Outcome};
use spore_boot::{Record, State, record};
use spore_image::{FlashMap, Region, SECTOR, Slot};
use spore_lan::flash::Flash;
use spore_node::{Config, store};

/// Bytes from the beginning of the flash that are looked at: the bootloader's header tells the size the board was made for.
pub const HEAD: u32 = 16;

/// Bytes for a place in the flash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What they are.
    pub what: &'static str,
    /// Where they go.
    pub offset: u32,
    /// The bytes; sectors are erased first.
    pub bytes: Vec<u8>,
}

/// What the board holds, as far as it matters.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// The first bytes of the flash.
    pub head: Vec<u8>,
    /// Boot record and configuration.
    pub tail: Vec<u8>,
}

/// What became of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settings {
    /// The board had none.
    New,
    /// They are what they were.
    Kept,
    /// They are what they were, but for these.
    Changed(Vec<&'static str>),
}

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// In the order in which they are written.
    pub parts: Vec<Part>,
    /// What became of the settings.
    pub settings: Settings,
    /// The network the board will look for, if it knows one.
    pub ssid: Option<String>,
    /// Whether SPORE is on the board already.
    pub runs_spore: bool,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// What stands between the boot record and the SDK's part.
pub fn tail(map: &FlashMap) -> Region {
    Region::new(map.record().offset, map.config().end() - map.record().offset)
}

impl Plan {
    /// Decide. `fresh` is a whole chip as it leaves the factory, with this image, for this map; `held` is `None` when what the
    /// board holds is to be forgotten.
    pub fn new(
        fresh: &[u8],
        image_bytes: usize,
        map: &FlashMap,
        held: Option<&Held>,
        wanted: &Wanted,
    ) -> Outcome<Self> {
        let mut flash = Flash::ram(map.bytes());
        if let Some(held) = held {
            burn(&flash, tail(map), &held.tail)?;
        }
        let old = record::read(&mut flash, map).ok().flatten();
        let mut notes = Vec::new();
        let mut parts = Vec::new();

        let (settings, config) = settings(&mut flash, map, wanted, &mut notes)?;
        if settings == Settings::New {
            // Whatever lies there is none of ours, and the storage would not take it for blank.
            flash = Flash::ram(map.bytes());
        }
        if settings != Settings::Kept {
            store::save(&mut flash, map.config().offset..map.config().end(), &config)
                .map_err(|error| Failure::other(format!("the settings cannot be made: {error}")))?;
            parts.push(part("settings", map.config(), &flash.contents()));
        }
        let same_size = held
            .is_some_and(|held| held.head.get(3).map(|byte| byte >> 4) == fresh.get(3).map(|byte| byte >> 4));
        let sdk = map.sdk();
        if old.is_some() && same_size {
            // The SDK's own calibration of the radio, and its settings, stay.
            parts.push(part("radio data", Region::new(sdk.offset + SECTOR, SECTOR), fresh));
        } else {
            parts.push(part("radio data, and the SDK's settings erased", sdk, fresh));
        }
        if old.is_none() {
            // Whatever lies in slot B is not to be started if slot A should fail one day.
            parts.push(part("slot b erased", Region::new(map.slot(Slot::B).offset, SECTOR), fresh));
        }
        let image = Region::new(map.slot(Slot::A).offset, length(image_bytes)?);
        parts.push(part("image", image, fresh));
        parts.push(part("bootloader", map.bootloader(), fresh));
        parts.push(part("boot record", map.record(), &first_record(map, old.as_ref())?));

        let ssid = (!config.wifi_ssid.is_empty()).then(|| config.wifi_ssid.as_str().to_owned());
        Ok(Self { parts, settings, ssid, runs_spore: old.is_some(), notes })
    }
}

/// The settings the board will have.
fn settings(
    flash: &mut Flash,
    map: &FlashMap,
    wanted: &Wanted,
    notes: &mut Vec<String>,
) -> Outcome<(Settings, Config)> {
    let mut config = Config::new();
    let had = store::load(flash, map.config().offset..map.config().end(), &mut config);
    let mut changed = Vec::new();
    if let Some(hostname) = &wanted.hostname
        && config.hostname.as_deref() != Some(hostname)
    {
        set(&mut config, "hostname", hostname, "--hostname")?;
        changed.push("hostname");
    }
    if let Some(network) = &wanted.network {
        let mut other = config.clone();
        set(&mut other, "wifiSsid", &network.ssid, "WIFI_SSID")?;
        set(&mut other, "wifiPassphrase", &network.password, "WIFI_PASSWORD")?;
        if config.wifi_ssid.is_empty() || wanted.replace_network {
            if other != config {
                changed.push("network");
            }
            config = other;
        } else if config.wifi_ssid != other.wifi_ssid {
            notes.push(format!(
                "the board keeps its network {:?}; --wifi gives it {:?}",
                config.wifi_ssid.as_str(),
                network.ssid
            ));
        } else if config != other {
            notes.push(format!(
                "the board keeps its own pass phrase for {:?}; --wifi gives it that of WIFI_PASSWORD",
                network.ssid
            ));
        }
    }
    let settings = match (had, changed.is_empty()) {
        (false, _) => Settings::New,
        (true, true) => Settings::Kept,
        (true, false) => Settings::Changed(changed),
    };
    Ok((settings, config))
}

/// Change a setting; what is wrong with it is said about where it came from, without it.
fn set(config: &mut Config, key: &str, value: &str, origin: &str) -> Outcome {
    config.set(key, value).map_err(|error| Failure::other(format!("{origin}: {error}")))
}

/// A boot record that says slot A is confirmed. Starts of the board go on being counted.
fn first_record(map: &FlashMap, old: Option<&Record>) -> Outcome<Vec<u8>> {
    let mut flash = Flash::ram(map.bytes());
    let boot_count = old.map_or(0, |old| old.boot_count);
    let first = Record { boot_count, active: Slot::A, state: State::Confirmed, last_update: None };
    record::write(&mut flash, map, &first)
        .map_err(|_| Failure::other("the boot record cannot be made: please report it"))?;
    Ok(flash.contents())
}

fn burn(flash: &Flash, region: Region, bytes: &[u8]) -> Outcome {
    let short = || Failure::other("esptool read less of the flash than it was asked for");
    let bytes = bytes.get(..region.length as usize).ok_or_else(short)?;
    flash
        .burn(region.offset, bytes)
        .map_err(|error| Failure::other(format!("cannot copy the flash: {error}")))
}

fn length(bytes: usize) -> Outcome<u32> {
    u32::try_from(bytes).map_err(|_| Failure::other("the image is too large"))
}

/// A part of a whole chip.
fn part(what: &'static str, region: Region, chip: &[u8]) -> Part {
    let bytes = chip.get(region.offset as usize..region.end() as usize).unwrap_or_default();
    Part { what, offset: region.offset, bytes: bytes.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::super::Network;
    use super::*;

    const ERASED: u8 = 0xFF;

    fn map() -> FlashMap {
        FlashMap::for_size(1 << 20).unwrap()
    }

    fn fresh() -> Vec<u8> {
        let mut chip = vec![ERASED; 1 << 20];
        chip[..4].copy_from_slice(&[0xE9, 1, 3, 0x20]);
        chip[0xFC000..0xFC004].copy_from_slice(b"phy!");
        chip
    }

    fn wanted(ssid: &str) -> Wanted {
        let network = (!ssid.is_empty()).then(|| Network { ssid: ssid.into(), password: "12345678".into() });
        Wanted { network, ..Wanted::default() }
    }

    /// The board after a plan was carried out.
    fn done(plan: &Plan, held: Option<&Held>) -> Held {
        let mut chip = vec![ERASED; 1 << 20];
        if let Some(held) = held {
            chip[..held.head.len()].copy_from_slice(&held.head);
            chip[0xF6000..0xFB000].copy_from_slice(&held.tail);
        }
        for part in &plan.parts {
            chip[part.offset as usize..][..part.bytes.len()].copy_from_slice(&part.bytes);
        }
        Held { head: chip[..16].to_vec(), tail: chip[0xF6000..0xFB000].to_vec() }
    }

    fn names(plan: &Plan) -> Vec<&'static str> {
        plan.parts.iter().map(|part| part.what).collect()
    }

    #[test]
    fn a_new_board_gets_everything_and_the_record_last() {
        let foreign = Held { head: vec![0x5A; 16], tail: vec![0x5A; 0x5000] };
        for held in [None, Some(&foreign)] {
            let plan = Plan::new(&fresh(), 5000, &map(), held, &wanted("home")).unwrap();
            assert_eq!(
                names(&plan),
                [
                    "settings",
                    "radio data, and the SDK's settings erased",
                    "slot b erased",
                    "image",
                    "bootloader",
                    "boot record"
                ]
            );
            assert_eq!(
                (&plan.settings, plan.ssid.as_deref(), plan.runs_spore),
                (&Settings::New, Some("home"), false)
            );
            assert_eq!((plan.parts[1].offset, plan.parts[1].bytes.len()), (0xFB000, 0x5000));
        }
    }

    #[test]
    fn a_board_that_runs_spore_keeps_what_is_its_own() {
        let first = Plan::new(&fresh(), 5000, &map(), None, &wanted("home")).unwrap();
        let held = done(&first, None);
        let again = Plan::new(&fresh(), 5000, &map(), Some(&held), &wanted("home")).unwrap();
        assert_eq!(names(&again), ["radio data", "image", "bootloader", "boot record"]);
        assert_eq!((again.settings, again.runs_spore, again.notes.len()), (Settings::Kept, true, 0));
        assert_eq!((again.parts[0].offset, again.parts[0].bytes.len()), (0xFC000, 0x1000));

        let other = Plan::new(&fresh(), 5000, &map(), Some(&held), &wanted("away")).unwrap();
        assert_eq!((&other.settings, other.ssid.as_deref()), (&Settings::Kept, Some("home")));
        assert!(other.notes[0].contains("--wifi"), "{:?}", other.notes);

        let replace = Wanted { replace_network: true, hostname: Some("kitchen".into()), ..wanted("away") };
        let replaced = Plan::new(&fresh(), 5000, &map(), Some(&held), &replace).unwrap();
        assert_eq!(replaced.settings, Settings::Changed(vec!["hostname", "network"]));
        let mut flash = Flash::ram(1 << 20);
        burn(&flash, tail(&map()), &done(&replaced, Some(&held)).tail).unwrap();
        let mut config = Config::new();
        assert!(store::load(&mut flash, 0xF8000..0xFB000, &mut config));
        assert_eq!((config.wifi_ssid.as_str(), config.hostname.as_deref()), ("away", Some("kitchen")));
    }

    #[test]
    fn starts_go_on_being_counted() {
        let mut flash = Flash::ram(1 << 20);
        let old = Record { boot_count: 77, active: Slot::B, state: State::Confirmed, last_update: None };
        record::write(&mut flash, &map(), &old).unwrap();
        let held = Held { head: fresh()[..16].to_vec(), tail: flash.contents()[0xF6000..0xFB000].to_vec() };
        let plan = Plan::new(&fresh(), 5000, &map(), Some(&held), &wanted("")).unwrap();
        let held = done(&plan, Some(&held));
        burn(&flash, tail(&map()), &held.tail).unwrap();
        let new = record::read(&mut flash, &map()).unwrap().unwrap();
        assert_eq!((new.boot_count, new.active), (77, Slot::A));
    }

    #[test]
    fn another_size_moves_the_sdks_part() {
        let first = Plan::new(&fresh(), 5000, &map(), None, &wanted("home")).unwrap();
        let held = done(&first, None);
        let mut large = vec![ERASED; 4 << 20];
        large[..4].copy_from_slice(&[0xE9, 1, 3, 0x40]);
        let map = FlashMap::for_size(4 << 20).unwrap();
        let plan = Plan::new(&large, 5000, &map, Some(&held), &wanted("home")).unwrap();
        assert!(plan.parts.iter().any(|part| part.offset == 0x3F_B000 && part.bytes.len() == 0x5000));
        assert_eq!(plan.settings, Settings::Kept);
    }

    #[test]
    fn what_is_wrong_with_credentials_is_said_without_them() {
        let mut wanted = wanted("home");
        wanted.network = Some(Network { ssid: "home".into(), password: "hidden".into() });
        let failure = Plan::new(&fresh(), 5000, &map(), None, &wanted).unwrap_err();
        assert!(failure.message.starts_with("WIFI_PASSWORD: ") && !failure.message.contains("hidden"));
    }
}
