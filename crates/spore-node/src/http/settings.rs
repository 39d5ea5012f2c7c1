//! Settings over HTTP: shown, changed all or none, stored before they take effect.

use super::Scratch;
use super::documents::{Json, address, labels};
use super::small::done;
use crate::context::Context;
use crate::network::after_answer;
use crate::scheduler;
use crate::service::Reply;
use crate::store;
use core::cell::RefCell;
use core::fmt;
use core::ops::Range;
use embedded_storage::nor_flash::NorFlash;
use spore_core::config::{Config, ConfigError, Value};
use spore_image::FlashMap;
use spore_sentence::{say, sentence};
use spore_wire::json::Members;

pub(super) fn settings(json: &mut Json<'_, '_>, config: &Config) -> fmt::Result {
    for (key, value) in config.iter() {
        json.key(key)?;
        match value {
            Value::Text(text) => json.string(text)?,
            Value::Number(number) => json.number(number)?,
            Value::Flag(flag) => json.bool(flag)?,
            Value::Address(ip) => address(json, Some(ip).filter(|ip| !ip.is_unspecified()))?,
            Value::Labels(all) => labels(json, &mut all.iter())?,
        }
    }
    Ok(())
}

/// The configuration area of the node's flash.
pub(super) fn config_area(ctx: &Context<'_>) -> Option<Range<u32>> {
    let map = FlashMap::for_size(ctx.with(|state| state.identity.flash_bytes)).ok()?;
    Some(map.config().offset..map.config().end())
}

/// Stores the settings that were worked on, then takes them over; says on the reply what went wrong.
#[inline(never)]
fn take_over<F: NorFlash>(
    ctx: &Context<'_>,
    flash: &RefCell<F>,
    scratch: &mut Scratch,
    reply: &mut Reply<'_>,
) -> bool {
    let Scratch { params, config } = scratch;
    let stored = match config_area(ctx) {
        Some(area) => store::save_in(&mut *flash.borrow_mut(), area, config, params.room()),
        None => Err(store::StoreError::Flash),
    };
    if let Err(error) = stored {
        reply.error(503, error);
        return false;
    }
    ctx.apply(config);
    scheduler::apply_intervals(ctx);
    true
}

/// Takes the present settings, to be worked on.
#[inline(never)]
fn work_on(ctx: &Context<'_>, scratch: &mut Scratch) {
    ctx.with(|state| scratch.config.set(state.config.clone()));
}

#[inline(never)]
pub(super) fn set_config<F: NorFlash>(
    ctx: &Context<'_>,
    flash: &RefCell<F>,
    scratch: &mut Scratch,
    reply: &mut Reply<'_>,
) {
    work_on(ctx, scratch);
    let Scratch { params, config } = &mut *scratch;
    let config = &mut **config;
    for (key, value, raw) in params.iter() {
        let result = if key == "labels" && raw {
            set_labels(config, value)
        } else if raw && !key.ends_with("Ms") {
            // All settings but the times are texts.
            Err(Wrong::NotText)
        } else {
            config.set(key, value).map_err(Wrong::Setting)
        };
        if let Err(wrong) = result {
            return reply.error(422, format_args!("{key}: {wrong} (nothing was changed)"));
        }
    }
    if let Err(error) = config.check() {
        return reply.error(422, format_args!("{error} (nothing was changed)"));
    }
    let rejoin = ctx.with(|state| {
        let before = &state.config;
        before.wifi_ssid != config.wifi_ssid || before.wifi_passphrase != config.wifi_passphrase
    });
    if !take_over(ctx, flash, scratch, reply) {
        return;
    }
    if rejoin {
        ctx.rejoin.signal(after_answer());
    }
    reply.json(|json| ctx.with(|state| settings(json, &state.config)));
}

enum Wrong {
    Setting(ConfigError),
    Labels,
    NotText,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(error) => error.fmt(f),
            Self::Labels => say!(f, "labels must be an object of texts"),
            Self::NotText => say!(f, "must be a text"),
        }
    }
}

/// Replaces all labels by those of a JSON object.
fn set_labels(config: &mut Config, json: &str) -> Result<(), Wrong> {
    config.labels.clear();
    for (key, value) in Members::new(json).map_err(|_| Wrong::Labels)? {
        let (mut key_text, mut value_text) = ([0u8; 64], [0u8; 64]);
        let key = key.unescape(&mut key_text).map_err(|_| Wrong::Labels)?;
        let spore_wire::json::Value::Str(value) = value else { return Err(Wrong::Labels) };
        let value = value.unescape(&mut value_text).map_err(|_| Wrong::Labels)?;
        config.labels.set(key, value).map_err(|error| Wrong::Setting(ConfigError::Label(error)))?;
    }
    Ok(())
}

#[inline(never)]
pub(super) fn set_wifi<F: NorFlash>(
    ctx: &Context<'_>,
    flash: &RefCell<F>,
    scratch: &mut Scratch,
    reply: &mut Reply<'_>,
) {
    work_on(ctx, scratch);
    let Scratch { params, config } = &mut *scratch;
    let config = &mut **config;
    let Some(ssid) = params.text("ssid").filter(|ssid| !ssid.is_empty()) else {
        return reply.error(422, sentence!("ssid is missing; give the network's name, 1 to 32 bytes"));
    };
    let set = config
        .set("wifiSsid", ssid)
        .and_then(|()| config.set("wifiPassphrase", params.text("password").unwrap_or_default()));
    if let Err(error) = set {
        return reply.error(422, format_args!("{error} (nothing was changed)"));
    }
    if take_over(ctx, flash, scratch, reply) {
        ctx.rejoin.signal(after_answer());
        done(reply, format_args!("stored; connecting to {}", scratch.config.wifi_ssid));
    }
}
