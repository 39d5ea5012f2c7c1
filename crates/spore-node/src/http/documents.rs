//! The answers of any length: documents that are written piece by piece from the live state.
//!
//! A piece is written at once, without interruption, so it may look at the node's state; the state may be another at the
//! next piece. A piece has at most 1,000 bytes.

use super::members::Members;
use super::params::Params;
use super::routes::Route;
use super::services::{Filter, Services};
use super::text::Text;
use crate::context::Context;
use crate::service::{Endpoint, Method};
use core::fmt;
use core::net::Ipv4Addr;
use spore_boot::LastUpdate;
use spore_sentence::{Sentence, sentence};
use spore_wire::json::JsonWriter;
use spore_wire::json::key;

/// JSON on its way into a connection's buffer.
pub type Json<'j, 'b> = JsonWriter<&'j mut Text<'b>>;

/// Whether a document goes on after a piece.
pub type More = Result<bool, fmt::Error>;

/// A document, and how far it has been written. Numbers count pieces.
#[allow(
    clippy::large_enum_variant,
    reason = "it lies where it is used, and there is nowhere else for it to lie"
)]
pub enum Document {
    /// `GET /api/node/status`
    Status(u16),
    /// `GET /api/node/endpoints`
    Endpoints(u16),
    /// `GET /api/tasks/status`
    Tasks(u16),
    /// `GET /api/cluster/members`
    Members(Members),
    /// `GET /api/cluster/services`
    Services(Services),
}

impl Document {
    /// Begins the document of a route.
    ///
    /// # Errors
    /// What is wrong with the parameters, or with the route.
    #[inline(never)]
    pub fn begin(&mut self, route: Route, params: &Params) -> Result<(), Sentence> {
        *self = match route {
            Route::Status => Self::Status(0),
            Route::Endpoints => Self::Endpoints(0),
            Route::Tasks => Self::Tasks(0),
            Route::Members => Self::Members(Members::new()),
            Route::Services => Self::Services(Services::new(Filter::from_params(params)?)),
            _ => return Err(sentence!("this path has no document")),
        };
        Ok(())
    }

    /// Writes as many pieces as `room` takes; gives their length, and whether there are more. `comma` is what
    /// [`JsonWriter`] must know of what was written before.
    pub fn fill(&mut self, ctx: &Context<'_>, room: &mut [u8], comma: &mut bool) -> (usize, bool) {
        let mut text = Text::new(room);
        loop {
            let before = text.len();
            let mut json = JsonWriter::resume(&mut text, *comma);
            let piece = self.piece(ctx, &mut json);
            let due = json.is_started();
            match piece {
                Ok(more) => {
                    *comma = due;
                    if !more {
                        return (text.len(), false);
                    }
                }
                Err(fmt::Error) => {
                    debug_assert!(before > 0, "a piece of a document is larger than its room");
                    text.truncate(before);
                    // A piece that fits nowhere would be tried for ever.
                    return (before, before > 0);
                }
            }
        }
    }

    /// Writes the next piece. On an error the document has not gone on.
    fn piece(&mut self, ctx: &Context<'_>, json: &mut Json<'_, '_>) -> More {
        match self {
            Self::Status(at) => counted(at, |at| status(ctx, json, at)),
            Self::Endpoints(at) => counted(at, |at| endpoints(ctx, json, at)),
            Self::Tasks(at) => counted(at, |at| tasks(ctx, json, at)),
            Self::Members(members) => members.piece(ctx, json),
            Self::Services(services) => services.piece(ctx, json),
        }
    }
}

/// Counts a piece that was written.
fn counted(at: &mut u16, write: impl FnOnce(u16) -> More) -> More {
    let more = write(*at)?;
    *at = at.saturating_add(1);
    Ok(more)
}

/// The end of an array and of the object around it, which is the end of a document.
pub(super) fn end(json: &mut Json<'_, '_>) -> More {
    json.end_array()?;
    json.end_object()?;
    Ok(false)
}

#[inline(never)]
fn status(ctx: &Context<'_>, json: &mut Json<'_, '_>, at: u16) -> More {
    match at {
        0 => {
            json.begin_object()?;
            resources(ctx, json)?;
            ctx.with(|state| json.field(key!("hostname"), &state.hostname))?;
            json.key(key!("ip"))?;
            address(json, ctx.ip())?;
            ctx.with(|state| {
                json.field(key!("board"), state.identity.board)?;
                json.field(key!("version"), state.boot.header.version.as_str())
            })?;
            json.field_number(key!("uptime"), ctx.now().as_millis())?;
            if let Some(time) = ctx.unix_time() {
                json.field_number(key!("time"), time)?;
            }
            ctx.with(|state| json.field_number(key!("boot"), state.boot.boot_count))?;
            ctx.with_system(|system| json.field(key!("resetReason"), system.reset_reason()))?;
            json.field_bool(key!("safeMode"), ctx.is_safe_mode())?;
            json.field(key!("security"), "open")?;
        }
        1 => ctx.with(|state| {
            json.key(key!("image"))?;
            json.begin_object()?;
            json.field(key!("slot"), state.boot.slot.as_str())?;
            json.field(key!("state"), if state.on_trial { "trial" } else { "confirmed" })?;
            json.field(key!("name"), &state.boot.header.name)?;
            json.field(key!("version"), state.boot.header.version.as_str())?;
            json.key(key!("sha256"))?;
            json.display(&Hex(&state.boot.header.sha256))?;
            json.end_object()?;
            json.key(key!("lastUpdate"))?;
            last_update(json, state.last_update.as_ref())
        })?,
        2 => ctx.with(|state| {
            json.key(key!("labels"))?;
            labels(json, &mut state.labels.iter())?;
            json.key(key!("catalogue"))?;
            json.display(&format_args!("{:08x}", state.catalogue))?;
            json.key(key!("api"))?;
            json.begin_array()
        })?,
        _ => {
            if !own_endpoint(ctx, json, at - 3)? {
                return end(json);
            }
        }
    }
    Ok(true)
}

/// The seed's five resources, as members of the open object.
pub(super) fn resources(ctx: &Context<'_>, json: &mut Json<'_, '_>) -> fmt::Result {
    let free_heap = ctx.with_system(|system| system.free_heap());
    ctx.with(|state| {
        json.field_number(key!("freeHeap"), free_heap)?;
        json.field_number(key!("chipId"), state.identity.chip_id)?;
        json.field(key!("sdkVersion"), state.identity.sdk)?;
        json.field_number(key!("cpuFreqMHz"), state.identity.cpu_mhz)?;
        json.field_number(key!("flashChipSize"), state.identity.flash_bytes)
    })
}

/// An address, empty when there is none.
pub(super) fn address(json: &mut Json<'_, '_>, ip: Option<Ipv4Addr>) -> fmt::Result {
    match ip {
        Some(ip) => json.display(&ip),
        None => json.string(""),
    }
}

/// How the last update ended, or null.
pub(super) fn last_update(json: &mut Json<'_, '_>, last: Option<&LastUpdate>) -> fmt::Result {
    let Some(last) = last else { return json.null() };
    json.begin_object()?;
    json.key(key!("version"))?;
    match &last.version {
        Some(version) => json.string(version.as_str())?,
        None => json.null()?,
    }
    json.field(key!("outcome"), last.outcome.as_str())?;
    json.key(key!("reason"))?;
    json.display(&last.reason)?;
    json.end_object()
}

/// Labels as an object.
pub(super) fn labels<'l>(
    json: &mut Json<'_, '_>,
    labels: &mut dyn Iterator<Item = (&'l str, &'l str)>,
) -> fmt::Result {
    json.begin_object()?;
    for (key, value) in labels {
        json.field(key, value)?;
    }
    json.end_object()
}

/// The `index`-th endpoint of this node, if there is one.
pub(super) fn own_endpoint(ctx: &Context<'_>, json: &mut Json<'_, '_>, index: u16) -> More {
    let Some(endpoint) = ctx.endpoints().nth(index.into()) else { return Ok(false) };
    short_endpoint(json, endpoint.method, endpoint.uri)?;
    Ok(true)
}

pub(super) fn short_endpoint(json: &mut Json<'_, '_>, method: Method, uri: &str) -> fmt::Result {
    json.begin_object()?;
    json.field(key!("uri"), uri)?;
    json.field(key!("method"), method.as_str())?;
    json.end_object()
}

fn endpoints(ctx: &Context<'_>, json: &mut Json<'_, '_>, at: u16) -> More {
    if at == 0 {
        json.begin_object()?;
        json.key(key!("endpoints"))?;
        json.begin_array()?;
        return Ok(true);
    }
    match ctx.endpoints().nth(usize::from(at) - 1) {
        Some(endpoint) => full_endpoint(json, endpoint).map(|()| true),
        None => end(json),
    }
}

fn full_endpoint(json: &mut Json<'_, '_>, endpoint: &Endpoint<'_>) -> fmt::Result {
    json.begin_object()?;
    json.field(key!("uri"), endpoint.uri)?;
    json.field(key!("method"), endpoint.method.as_str())?;
    json.field(key!("service"), endpoint.service)?;
    json.key(key!("params"))?;
    json.begin_array()?;
    for param in endpoint.params {
        json.begin_object()?;
        json.field(key!("name"), param.name)?;
        json.field(key!("location"), param.location.as_str())?;
        json.field_bool(key!("required"), param.required)?;
        json.field(key!("type"), param.kind)?;
        json.key(key!("values"))?;
        json.begin_array()?;
        param.values.iter().try_for_each(|value| json.string(value))?;
        json.end_array()?;
        json.end_object()?;
    }
    json.end_array()?;
    json.end_object()
}

fn tasks(ctx: &Context<'_>, json: &mut Json<'_, '_>, at: u16) -> More {
    if at == 0 {
        let (total, active) = ctx.with(|state| {
            (state.tasks.len() as u64, state.tasks.iter().filter(|(_, task)| task.enabled()).count() as u64)
        });
        json.begin_object()?;
        json.key(key!("summary"))?;
        json.begin_object()?;
        json.field_number(key!("totalTasks"), total)?;
        json.field_number(key!("activeTasks"), active)?;
        json.end_object()?;
        json.key(key!("tasks"))?;
        json.begin_array()?;
        return Ok(true);
    }
    let written =
        ctx.with(|state| state.tasks.iter().nth(usize::from(at) - 1).map(|(_, task)| one_task(json, task)));
    if let Some(written) = written {
        return written.map(|()| true);
    }
    json.end_array()?;
    json.key(key!("system"))?;
    json.begin_object()?;
    json.field_number(key!("freeHeap"), ctx.with_system(|system| system.free_heap()))?;
    json.field_number(key!("uptime"), ctx.now().as_millis())?;
    json.end_object()?;
    json.end_object()?;
    Ok(false)
}

/// A task as the API shows it.
pub(super) fn one_task(json: &mut Json<'_, '_>, task: &spore_core::tasks::Task) -> fmt::Result {
    json.begin_object()?;
    json.field(key!("name"), task.name())?;
    json.field_number(key!("interval"), task.interval_ms())?;
    json.field_bool(key!("enabled"), task.enabled())?;
    // Cooperative tasks run while they are enabled; upstream shows both.
    json.field_bool(key!("running"), task.enabled())?;
    json.field_bool(key!("autoStart"), task.auto_start())?;
    json.field_number(key!("runs"), task.runs())?;
    json.field_number(key!("lastMicros"), task.last_micros())?;
    json.field_number(key!("maxMicros"), task.max_micros())?;
    json.end_object()
}

/// Bytes as hexadecimal digits.
pub(super) struct Hex<'b>(pub &'b [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The `index`-th endpoint of another node's catalogue, if there is one.
pub(super) fn foreign_endpoint(ctx: &Context<'_>, json: &mut Json<'_, '_>, hash: u32, index: u16) -> More {
    ctx.with(|state| match state.catalogues.endpoints(hash).and_then(|mut all| all.nth(index.into())) {
        Some((method, uri)) => short_endpoint(json, method, uri).map(|()| true),
        None => Ok(false),
    })
}
