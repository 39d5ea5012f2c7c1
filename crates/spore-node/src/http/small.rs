//! The answers that fit into one buffer, and what their requests change.

use super::Scratch;
use super::documents::{Hex, address, last_update, one_task};
use super::params::Params;
use super::routes::Route;
use super::settings::{config_area, set_config, set_wifi, settings};
use crate::context::Context;
use crate::network::ACCESS_POINT_ADDRESS;
use crate::service::Reply;
use crate::state::Update;
use crate::store;
use core::cell::RefCell;
use core::fmt::{self, Write as _};
use embedded_storage::nor_flash::NorFlash;
use spore_core::events::{Event, Origin, Refusal};
use spore_core::limits::EVENT_DATA;
use spore_core::wifi::State as WifiState;
use spore_image::{FlashMap, Header, Slot};
use spore_sentence::sentence;
use spore_wire::event::check_name;
use spore_wire::json::key;

/// Answers one of the routes whose answer is small.
pub(super) fn answer<F: NorFlash>(
    ctx: &Context<'_>,
    flash: &RefCell<F>,
    route: Route,
    scratch: &mut Scratch,
    reply: &mut Reply<'_>,
) {
    let params = &mut scratch.params;
    match route {
        Route::Config => reply.json(|json| ctx.with(|state| settings(json, &state.config))),
        Route::SetConfig => set_config(ctx, flash, scratch, reply),
        Route::UpdateStatus => update_status(ctx, flash, reply),
        Route::Restart => {
            done(reply, "restarting");
            ctx.restart();
        }
        Route::NodeEvent => fire(ctx, params, reply, false),
        Route::ClusterEvent => fire(ctx, params, reply, true),
        Route::ControlTask => control_task(ctx, params, reply),
        Route::Network => network(ctx, reply),
        Route::ScanResult => scan_result(ctx, reply),
        Route::Scan => {
            ctx.scan.signal(());
            done(reply, "scan started");
        }
        Route::SetWifi => set_wifi(ctx, flash, scratch, reply),
        Route::Resources => resources(ctx, params, reply),
        // Answered elsewhere: streamed, or by the connection itself.
        Route::Page
        | Route::Wifi
        | Route::Status
        | Route::Endpoints
        | Route::Update
        | Route::Tasks
        | Route::Members
        | Route::Services
        | Route::WebSocket => reply.error(500, sentence!("this path is not answered here")),
    }
}

pub(super) fn done(reply: &mut Reply<'_>, message: impl fmt::Display) {
    reply.json(|json| {
        json.field_bool(key!("success"), true)?;
        json.key(key!("message"))?;
        json.display(&message)
    });
}

/// The answer to a successful upload.
pub(super) fn installed(reply: &mut Reply<'_>, slot: Slot, header: &Header) {
    reply.json(|json| {
        json.field_bool(key!("success"), true)?;
        json.key(key!("message"))?;
        json.display(&format_args!("installed into slot {slot}, restarting"))?;
        json.field(key!("version"), header.version.as_str())?;
        json.key(key!("sha256"))?;
        json.display(&Hex(&header.sha256))?;
        json.field_number(key!("size"), header.image_length())?;
        json.field(key!("slot"), slot.as_str())
    });
}

#[inline(never)]
fn update_status<F: NorFlash>(ctx: &Context<'_>, flash: &RefCell<F>, reply: &mut Reply<'_>) {
    let map = FlashMap::for_size(ctx.with(|state| state.identity.flash_bytes));
    let flash = &mut *flash.borrow_mut();
    let slots = map.ok().and_then(|map| {
        let record = spore_boot::record::read(flash, &map).ok()?;
        let mut slot = |slot| spore_boot::slot_version(flash, &map, slot, record.as_ref()).ok();
        Some(([slot(Slot::A)?, slot(Slot::B)?], record.and_then(|record| record.last_update)))
    });
    let Some((slots, last)) = slots else {
        return reply.error(503, sentence!("the boot record cannot be read at the moment; try again"));
    };
    let (word, received, size) = match ctx.with(|state| state.update) {
        Update::Idle => ("idle", 0, 0),
        Update::Receiving { received, size } => ("receiving", received, size),
        Update::Restarting => ("restarting", 0, 0),
    };
    reply.json(|json| {
        json.field(key!("state"), word)?;
        json.field_number(key!("received"), received)?;
        json.field_number(key!("size"), size)?;
        json.key(key!("slots"))?;
        json.begin_array()?;
        for (slot, (state, version)) in Slot::BOTH.iter().zip(&slots) {
            json.begin_object()?;
            json.field(key!("slot"), slot.as_str())?;
            json.field(key!("state"), state.as_str())?;
            json.key(key!("version"))?;
            match version {
                Some(version) => json.string(version.as_str())?,
                None => json.null()?,
            }
            json.end_object()?;
        }
        json.end_array()?;
        json.key(key!("lastUpdate"))?;
        last_update(json, last.as_ref())
    });
}

#[inline(never)]
fn fire(ctx: &Context<'_>, params: &Params, reply: &mut Reply<'_>, cluster: bool) {
    let Some(name) = params.text("event") else {
        return reply.error(422, sentence!("event is missing; give its name, 1 to 32 bytes"));
    };
    if let Err(error) = check_name(name) {
        return reply.error(422, error);
    }
    let data = params.get_json("data").or_else(|| params.get_json("payload")).unwrap_or_default();
    if name.len() + data.len() > EVENT_DATA {
        return reply.error(413, format_args!("name and data exceed {EVENT_DATA} bytes"));
    }
    if !cluster {
        ctx.fire_from(&Event::User { name, data }, Origin::NODE);
        return reply.json(|json| {
            json.field_bool(key!("success"), true)?;
            json.field(key!("event"), name)
        });
    }
    match ctx.fire_cluster(name, data) {
        Ok(id) => reply.json(|json| {
            json.field_bool(key!("success"), true)?;
            json.field(key!("event"), name)?;
            json.key(key!("id"))?;
            json.display(&id)
        }),
        Err(error) => {
            let status = match error {
                Refusal::TooFast | Refusal::Full => 503,
                Refusal::TooLarge => 413,
                Refusal::Name => 422,
            };
            reply.error(status, error);
        }
    }
}

#[inline(never)]
fn control_task(ctx: &Context<'_>, params: &Params, reply: &mut Reply<'_>) {
    let (Some(name), Some(action)) = (params.text("task"), params.text("action")) else {
        return reply
            .error(422, sentence!("task and action are needed; GET /api/tasks/status lists the tasks"));
    };
    let Some(id) = ctx.with(|state| state.tasks.find(name)) else {
        return reply.error(404, sentence!("no such task; GET /api/tasks/status lists them"));
    };
    let interval = match params.get_json("interval").map(|interval| interval.trim_ascii().parse::<u32>()) {
        None => None,
        Some(Ok(interval)) => Some(interval),
        Some(Err(_)) => {
            return reply.error(422, sentence!("interval must be a whole number of ms, 10 to 3600000"));
        }
    };
    let enabled = match (action, interval) {
        ("enable" | "start", _) => Some(true),
        ("disable" | "stop", _) => Some(false),
        ("set", Some(_)) | ("status", None) => None,
        ("set", None) => return reply.error(422, sentence!("interval is missing; give 10 to 3600000 ms")),
        ("status", Some(_)) => {
            return reply.error(422, sentence!("status changes nothing; use set to change the interval"));
        }
        _ => {
            return reply
                .error(422, sentence!("no such action; give enable, disable, start, stop, status or set"));
        }
    };
    let now = ctx.now();
    let result = ctx.with(|state| {
        // The interval first, because it alone can be refused.
        if let Some(interval) = interval {
            state.tasks.set_interval(now, id, interval)?;
        }
        enabled.map_or(Ok(()), |enabled| state.tasks.enable(now, id, enabled))
    });
    if let Err(error) = result {
        return reply.error(422, error);
    }
    ctx.schedule.signal(());
    let Some(task) = ctx.with(|state| state.tasks.get(id).cloned()) else {
        return reply.error(404, sentence!("no such task; GET /api/tasks/status lists them"));
    };
    let mut message = heapless::String::<64>::new();
    let word = if task.enabled() { "enabled" } else { "disabled" };
    // 24 bytes of name and some words fit.
    let _ = write!(message, "{} is {word}, every {} ms", task.name(), task.interval_ms());
    reply.json(|json| {
        json.field_bool(key!("success"), true)?;
        json.field(key!("message"), &message)?;
        json.key(key!("task"))?;
        one_task(json, &task)
    });
}

fn hardware_address(bytes: &[u8; 6]) -> impl fmt::Display + '_ {
    struct Mac<'b>(&'b [u8; 6]);
    impl fmt::Display for Mac<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let [a, b, c, d, e, g] = self.0;
            write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
        }
    }
    Mac(bytes)
}

#[inline(never)]
fn network(ctx: &Context<'_>, reply: &mut Reply<'_>) {
    let now = ctx.now();
    reply.json(|json| {
        ctx.with(|state| {
            let wifi = &state.wifi;
            json.field(key!("hostname"), &state.hostname)?;
            json.key(key!("wifi"))?;
            json.begin_object()?;
            json.field(key!("mode"), wifi.mode())?;
            json.field(key!("state"), wifi.state().as_str())?;
            json.field_bool(key!("connected"), wifi.state() == WifiState::Connected)?;
            json.field(key!("ssid"), &state.config.wifi_ssid)?;
            let signal = state.signal;
            json.key(key!("rssi"))?;
            json.signed(signal.map_or(0, |signal| signal.rssi.into()))?;
            json.field_number(key!("channel"), signal.map_or(0, |signal| signal.channel))?;
            json.key(key!("bssid"))?;
            match &signal {
                Some(signal) => json.display(&hardware_address(&signal.bssid))?,
                None => json.string("")?,
            }
            json.field_number(key!("attempts"), wifi.attempts())?;
            json.key(key!("retryInMs"))?;
            match wifi.retry_in(now) {
                Some(wait) => json.number(wait.as_millis())?,
                None => json.null()?,
            }
            json.key(key!("lastError"))?;
            match wifi.last_error() {
                Some(error) => json.string(error.as_str())?,
                None => json.null()?,
            }
            json.key(key!("lastDisconnect"))?;
            match wifi.last_disconnect() {
                Some(error) => {
                    json.begin_object()?;
                    json.field(key!("reason"), error.as_str())?;
                    json.field_number(key!("code"), state.disconnect_code)?;
                    json.end_object()?;
                }
                None => json.null()?,
            }
            json.end_object()?;
            let own = state.address;
            json.key(key!("ip"))?;
            address(json, own.map(|own| own.ip))?;
            json.key(key!("netmask"))?;
            address(json, own.map(|own| own.netmask))?;
            json.key(key!("gateway"))?;
            address(json, own.and_then(|own| own.gateway()))?;
            json.key(key!("dns"))?;
            address(json, own.and_then(|own| own.dns()))?;
            json.key(key!("mac"))?;
            json.display(&hardware_address(&state.identity.mac))?;
            json.key(key!("accessPoint"))?;
            json.begin_object()?;
            json.field_bool(key!("active"), wifi.access_point_open())?;
            json.field(key!("ssid"), wifi.access_point_ssid())?;
            json.key(key!("ip"))?;
            json.display(&ACCESS_POINT_ADDRESS)?;
            json.field_number(key!("clients"), state.access_point_clients)?;
            json.end_object()
        })
    });
}

#[inline(never)]
fn scan_result(ctx: &Context<'_>, reply: &mut Reply<'_>) {
    // Sixteen networks of the longest names do not fit; the strongest that do are shown.
    let count = ctx.with(|state| state.networks.len());
    for shown in (0..=count).rev() {
        reply.json(|json| {
            ctx.with(|state| {
                json.field_bool(key!("scanning"), state.scanning)?;
                json.key(key!("networks"))?;
                json.begin_array()?;
                for network in state.networks.iter().take(shown) {
                    json.begin_object()?;
                    json.field(key!("ssid"), &network.ssid)?;
                    json.key(key!("bssid"))?;
                    json.display(&hardware_address(&network.bssid))?;
                    json.key(key!("rssi"))?;
                    json.signed(network.rssi.into())?;
                    json.field_number(key!("channel"), network.channel)?;
                    json.field_bool(key!("secured"), network.secured)?;
                    json.end_object()?;
                }
                json.end_array()
            })
        });
        if reply.status == 200 {
            return;
        }
    }
}

#[inline(never)]
fn resources(ctx: &Context<'_>, params: &mut Params, reply: &mut Reply<'_>) {
    let (free, total, measured) =
        ctx.with_system(|system| (system.free_heap(), system.total_heap(), system.measured()));
    let uptime = ctx.now().as_millis();
    let usage =
        config_area(ctx).map(|area| ctx.with(|state| store::usage(&area, &state.config, params.room())));
    let (size, used) = usage.map_or((0, 0), |usage| (usage.total, usage.used));
    let share = |part: u32, whole: u32| {
        let tenths = u64::from(part).saturating_mul(1000).checked_div(whole.into()).unwrap_or(0);
        i32::try_from(tenths).unwrap_or(i32::MAX)
    };
    let mut formatted = heapless::String::<32>::new();
    let seconds = uptime / 1000;
    let _ = write!(formatted, "{}h {}m {}s", seconds / 3600, seconds / 60 % 60, seconds % 60);
    reply.json(|json| {
        json.key(key!("cpu"))?;
        json.begin_object()?;
        ctx.with(|state| {
            for (key, value) in [
                (key!("current_usage"), state.cpu.current()),
                (key!("average_usage"), state.cpu.average()),
                (key!("max_usage"), state.cpu.max()),
                (key!("min_usage"), state.cpu.min()),
            ] {
                json.key(key)?;
                json.tenths(value.into())?;
            }
            json.field_number(key!("measurement_count"), state.cpu.count())
        })?;
        json.field_bool(key!("is_measuring"), true)?;
        json.end_object()?;
        json.key(key!("memory"))?;
        json.begin_object()?;
        json.field_number(key!("free_heap"), free)?;
        json.field_number(key!("total_heap"), total)?;
        for key in [key!("min_free_heap"), key!("max_alloc_heap"), key!("heap_fragmentation")] {
            json.field_number(key, 0u32)?;
        }
        json.key(key!("heap_usage_percent"))?;
        json.tenths(share(total.saturating_sub(free), total))?;
        json.end_object()?;
        json.key(key!("filesystem"))?;
        json.begin_object()?;
        json.field_number(key!("total_bytes"), size)?;
        json.field_number(key!("used_bytes"), used)?;
        json.field_number(key!("free_bytes"), size.saturating_sub(used))?;
        json.key(key!("usage_percent"))?;
        json.tenths(share(used, size))?;
        json.end_object()?;
        json.key(key!("system"))?;
        json.begin_object()?;
        json.field_number(key!("uptime_ms"), uptime)?;
        json.field_number(key!("uptime_seconds"), seconds)?;
        json.field(key!("uptime_formatted"), &formatted)?;
        if let Some(measured) = measured {
            json.field_number(key!("stack_bytes"), measured.stack_bytes)?;
            json.field_number(key!("stack_used"), measured.stack_used)?;
            json.field_number(key!("longest_poll_us"), measured.longest_poll_micros)?;
            json.field_number(key!("long_polls"), measured.long_polls)?;
        }
        json.end_object()
    });
}
