//! The streamed answers: bodies that are written piece by piece from the live state.

use super::members::members;
use super::services::{Filter, services};
use super::stream::JsonStream;
use crate::context::Context;
use crate::service::Endpoint;
use core::fmt;
use core::net::Ipv4Addr;
use picoserve::io::Write;
use picoserve::response::chunked::{ChunkWriter, Chunks, ChunksWritten};
use spore_boot::LastUpdate;
use spore_wire::Method;
use spore_wire::json::JsonWriter;

/// A body to be streamed.
pub enum Body {
    /// `GET /api/node/status`
    Status,
    /// `GET /api/node/endpoints`
    Endpoints,
    /// `GET /api/tasks/status`
    Tasks,
    /// `GET /api/cluster/members`
    Members,
    /// `GET /api/cluster/services`
    Services(Filter),
}

/// A streamed answer of one node.
pub struct Streamed<'c, 'a> {
    /// The node.
    pub ctx: &'c Context<'a>,
    /// What to write.
    pub body: Body,
}

impl Chunks for Streamed<'_, '_> {
    fn content_type(&self) -> &'static str {
        "application/json"
    }

    async fn write_chunks<W: Write>(self, out: ChunkWriter<W>) -> Result<ChunksWritten, W::Error> {
        let mut json = JsonStream::new(out);
        match self.body {
            Body::Status => status(self.ctx, &mut json).await?,
            Body::Endpoints => endpoints(self.ctx, &mut json).await?,
            Body::Tasks => tasks(self.ctx, &mut json).await?,
            Body::Members => members(self.ctx, &mut json).await?,
            Body::Services(filter) => services(self.ctx, &mut json, &filter).await?,
        }
        json.finish().await
    }
}

/// Longest piece for an endpoint without parameters, in bytes.
pub(super) const ENDPOINT: usize = 256;

async fn status<W: Write>(ctx: &Context<'_>, json: &mut JsonStream<W>) -> Result<(), W::Error> {
    json.piece(1000, |json| {
        json.begin_object()?;
        resources(ctx, json)?;
        ctx.with(|state| json.field("hostname", &state.hostname))?;
        json.key("ip")?;
        address(json, ctx.ip())?;
        ctx.with(|state| {
            json.field("board", state.identity.board)?;
            json.field("version", state.boot.header.version.as_str())
        })?;
        json.field_number("uptime", ctx.now().as_millis())?;
        ctx.with(|state| json.field_number("boot", state.boot.boot_count))?;
        ctx.with_system(|system| json.field("resetReason", system.reset_reason()))?;
        json.field("security", "open")
    })
    .await?;
    json.piece(900, |json| {
        ctx.with(|state| {
            json.key("image")?;
            json.begin_object()?;
            json.field("slot", state.boot.slot.as_str())?;
            json.field("state", if state.boot.trial { "trial" } else { "confirmed" })?;
            json.field("name", &state.boot.header.name)?;
            json.field("version", state.boot.header.version.as_str())?;
            json.key("sha256")?;
            json.display(&Hex(&state.boot.header.sha256))?;
            json.end_object()?;
            json.key("lastUpdate")?;
            last_update(json, state.last_update.as_ref())
        })
    })
    .await?;
    json.piece(700, |json| {
        ctx.with(|state| {
            json.key("labels")?;
            labels(json, state.labels.iter())?;
            json.key("catalogue")?;
            json.display(&format_args!("{:08x}", state.catalogue))?;
            json.key("api")?;
            json.begin_array()
        })
    })
    .await?;
    own_endpoints(ctx, json).await?;
    json.piece(2, |json| {
        json.end_array()?;
        json.end_object()
    })
    .await
}

/// The seed's five resources, as members of the open object.
pub(super) fn resources<W: fmt::Write>(ctx: &Context<'_>, json: &mut JsonWriter<W>) -> fmt::Result {
    let free_heap = ctx.with_system(|system| system.free_heap());
    ctx.with(|state| {
        json.field_number("freeHeap", free_heap)?;
        json.field_number("chipId", state.identity.chip_id)?;
        json.field("sdkVersion", state.identity.sdk)?;
        json.field_number("cpuFreqMHz", state.identity.cpu_mhz)?;
        json.field_number("flashChipSize", state.identity.flash_bytes)
    })
}

/// An address, empty when there is none.
pub(super) fn address<W: fmt::Write>(json: &mut JsonWriter<W>, ip: Option<Ipv4Addr>) -> fmt::Result {
    match ip {
        Some(ip) => json.display(&ip),
        None => json.string(""),
    }
}

/// How the last update ended, or null.
pub(super) fn last_update<W: fmt::Write>(json: &mut JsonWriter<W>, last: Option<&LastUpdate>) -> fmt::Result {
    let Some(last) = last else { return json.null() };
    json.begin_object()?;
    json.key("version")?;
    match &last.version {
        Some(version) => json.string(version.as_str())?,
        None => json.null()?,
    }
    json.field("outcome", last.outcome.as_str())?;
    json.key("reason")?;
    json.display(&last.reason)?;
    json.end_object()
}

/// Labels as an object.
pub(super) fn labels<'l, W: fmt::Write>(
    json: &mut JsonWriter<W>,
    labels: impl Iterator<Item = (&'l str, &'l str)>,
) -> fmt::Result {
    json.begin_object()?;
    for (key, value) in labels {
        json.field(key, value)?;
    }
    json.end_object()
}

pub(super) async fn own_endpoints<W: Write>(
    ctx: &Context<'_>,
    json: &mut JsonStream<W>,
) -> Result<(), W::Error> {
    for endpoint in ctx.endpoints() {
        json.piece(ENDPOINT, |json| short_endpoint(json, endpoint.method, endpoint.uri)).await?;
    }
    Ok(())
}

pub(super) fn short_endpoint<W: fmt::Write>(
    json: &mut JsonWriter<W>,
    method: Method,
    uri: &str,
) -> fmt::Result {
    json.begin_object()?;
    json.field("uri", uri)?;
    json.field("method", method.as_str())?;
    json.end_object()
}

async fn endpoints<W: Write>(ctx: &Context<'_>, json: &mut JsonStream<W>) -> Result<(), W::Error> {
    json.piece(20, |json| {
        json.begin_object()?;
        json.key("endpoints")?;
        json.begin_array()
    })
    .await?;
    for endpoint in ctx.endpoints() {
        json.piece(1000, |json| full_endpoint(json, endpoint)).await?;
    }
    json.piece(2, |json| {
        json.end_array()?;
        json.end_object()
    })
    .await
}

fn full_endpoint<W: fmt::Write>(json: &mut JsonWriter<W>, endpoint: &Endpoint<'_>) -> fmt::Result {
    json.begin_object()?;
    json.field("uri", endpoint.uri)?;
    json.field("method", endpoint.method.as_str())?;
    json.field("service", endpoint.service)?;
    json.key("params")?;
    json.begin_array()?;
    for param in endpoint.params {
        json.begin_object()?;
        json.field("name", param.name)?;
        json.field("location", param.location.as_str())?;
        json.field_bool("required", param.required)?;
        json.field("type", param.kind)?;
        json.key("values")?;
        json.begin_array()?;
        param.values.iter().try_for_each(|value| json.string(value))?;
        json.end_array()?;
        json.end_object()?;
    }
    json.end_array()?;
    json.end_object()
}

async fn tasks<W: Write>(ctx: &Context<'_>, json: &mut JsonStream<W>) -> Result<(), W::Error> {
    json.piece(100, |json| {
        let (total, active) = ctx.with(|state| {
            (state.tasks.len() as u64, state.tasks.iter().filter(|(_, task)| task.enabled()).count() as u64)
        });
        json.begin_object()?;
        json.key("summary")?;
        json.begin_object()?;
        json.field_number("totalTasks", total)?;
        json.field_number("activeTasks", active)?;
        json.end_object()?;
        json.key("tasks")?;
        json.begin_array()
    })
    .await?;
    let mut index = 0;
    loop {
        let found = ctx.with(|state| state.tasks.iter().nth(index).map(|(_, task)| task.clone()));
        let Some(task) = found else { break };
        json.piece(256, |json| one_task(json, &task)).await?;
        index += 1;
    }
    json.piece(100, |json| {
        json.end_array()?;
        json.key("system")?;
        json.begin_object()?;
        json.field_number("freeHeap", ctx.with_system(|system| system.free_heap()))?;
        json.field_number("uptime", ctx.now().as_millis())?;
        json.end_object()?;
        json.end_object()
    })
    .await
}

/// A task as the API shows it.
pub(super) fn one_task<W: fmt::Write>(
    json: &mut JsonWriter<W>,
    task: &spore_core::tasks::Task,
) -> fmt::Result {
    json.begin_object()?;
    json.field("name", task.name())?;
    json.field_number("interval", task.interval_ms())?;
    json.field_bool("enabled", task.enabled())?;
    // Cooperative tasks run while they are enabled; upstream shows both.
    json.field_bool("running", task.enabled())?;
    json.field_bool("autoStart", task.auto_start())?;
    json.field_number("runs", task.runs())?;
    json.field_number("lastMicros", task.last_micros())?;
    json.field_number("maxMicros", task.max_micros())?;
    json.end_object()
}

/// Bytes as hexadecimal digits.
pub(super) struct Hex<'b>(pub &'b [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A path as catalogues hold it.
pub(super) type Uri = heapless::String<{ spore_wire::status::URI_MAX }>;

/// The `index`-th endpoint of another node's catalogue.
pub(super) fn foreign_endpoint(ctx: &Context<'_>, hash: u32, index: usize) -> Option<(Method, Uri)> {
    ctx.with(|state| {
        let (method, uri) = state.catalogues.endpoints(hash)?.nth(index)?;
        Some((method, Uri::try_from(uri).ok()?))
    })
}
