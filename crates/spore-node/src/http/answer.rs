//! The streamed answers: bodies that are written piece by piece from the live state.

use super::stream::JsonStream;
use crate::context::Context;
use crate::service::Endpoint;
use core::fmt;
use core::net::Ipv4Addr;
use picoserve::io::Write;
use picoserve::response::chunked::{ChunkWriter, Chunks, ChunksWritten};
use spore_boot::LastUpdate;
use spore_core::catalogue::Foreign;
use spore_core::limits::CATALOGUES;
use spore_core::members::{Kind, MemberRef};
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

/// What `GET /api/cluster/services` is asked for; empty is everything.
#[derive(Debug, Default)]
pub struct Filter {
    /// Exact path.
    pub uri: heapless::String<64>,
    /// `key=value`
    pub label: heapless::String<64>,
}

impl Filter {
    fn takes(&self, uri: &str) -> bool {
        self.uri.is_empty() || self.uri == uri
    }

    fn wants<'l>(&self, mut labels: impl Iterator<Item = (&'l str, &'l str)>) -> bool {
        self.label.is_empty()
            || self.label.split_once('=').is_some_and(|wanted| labels.any(|label| label == wanted))
    }
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
const ENDPOINT: usize = 256;

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
fn resources<W: fmt::Write>(ctx: &Context<'_>, json: &mut JsonWriter<W>) -> fmt::Result {
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

async fn own_endpoints<W: Write>(ctx: &Context<'_>, json: &mut JsonStream<W>) -> Result<(), W::Error> {
    for endpoint in ctx.endpoints() {
        json.piece(ENDPOINT, |json| short_endpoint(json, endpoint.method, endpoint.uri)).await?;
    }
    Ok(())
}

fn short_endpoint<W: fmt::Write>(json: &mut JsonWriter<W>, method: Method, uri: &str) -> fmt::Result {
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

async fn members<W: Write>(ctx: &Context<'_>, json: &mut JsonStream<W>) -> Result<(), W::Error> {
    json.piece(1000, |json| {
        json.begin_object()?;
        json.key("members")?;
        json.begin_array()?;
        json.begin_object()?;
        let now = ctx.now().as_millis();
        ctx.with(|state| json.field("hostname", &state.hostname))?;
        json.key("ip")?;
        address(json, ctx.ip())?;
        json.field_number("lastSeen", now)?;
        json.field_number("latency", 0u32)?;
        json.field("status", "ACTIVE")?;
        json.key("resources")?;
        json.begin_object()?;
        resources(ctx, json)?;
        json.end_object()?;
        json.key("api")?;
        json.begin_array()
    })
    .await?;
    own_endpoints(ctx, json).await?;
    json.piece(900, |json| {
        json.end_array()?;
        ctx.with(|state| {
            let about = About {
                age: 0,
                own: true,
                kind: Kind::Rust.as_str(),
                version: state.boot.header.version.as_str(),
                board: state.identity.board,
                catalogue: Some(state.catalogue),
            };
            more(json, &about, state.labels.iter())
        })?;
        json.end_object()
    })
    .await?;

    // The table may change between two members; the address says where to go on.
    let mut after = None;
    while let Some(ip) = ctx.with(|state| state.members.after(after).map(|member| member.ip())) {
        after = Some(ip);
        let now = ctx.now();
        let catalogue = ctx.with(|state| state.members.get(ip).and_then(|member| member.catalogue()));
        json.piece(700, |json| {
            ctx.with(|state| {
                json.begin_object()?;
                if let Some(member) = state.members.get(ip) {
                    member_head(json, member)?;
                }
                json.key("api")?;
                json.begin_array()
            })
        })
        .await?;
        if ctx.with(|state| catalogue == Some(state.catalogue)) {
            own_endpoints(ctx, json).await?;
        } else if let Some(hash) = catalogue {
            let mut index = 0;
            while let Some((method, uri)) = foreign_endpoint(ctx, hash, index) {
                json.piece(ENDPOINT, |json| short_endpoint(json, method, &uri)).await?;
                index += 1;
            }
        }
        json.piece(900, |json| {
            json.end_array()?;
            ctx.with(|state| {
                if let Some(member) = state.members.get(ip) {
                    let about = About {
                        age: member.age(now).as_millis(),
                        own: false,
                        kind: member.kind().as_str(),
                        version: member.version(),
                        board: member.board(),
                        catalogue: member.catalogue(),
                    };
                    more(json, &about, member.labels())?;
                }
                json.end_object()
            })
        })
        .await?;
    }
    json.piece(2, |json| {
        json.end_array()?;
        json.end_object()
    })
    .await
}

fn member_head<W: fmt::Write>(json: &mut JsonWriter<W>, member: MemberRef<'_>) -> fmt::Result {
    json.field("hostname", member.hostname())?;
    json.key("ip")?;
    json.display(&member.ip())?;
    json.field_number("lastSeen", member.seen().as_millis())?;
    json.field_number("latency", member.latency().unwrap_or(0))?;
    json.field("status", member.status().as_str())?;
    json.key("resources")?;
    json.begin_object()?;
    json.field_number("freeHeap", member.free_heap())?;
    json.field_number("chipId", member.chip_id())?;
    json.field("sdkVersion", member.sdk())?;
    json.field_number("cpuFreqMHz", member.cpu_mhz())?;
    json.field_number("flashChipSize", member.flash_bytes())?;
    json.end_object()
}

/// What we tell of a member beyond the seed's keys.
struct About<'m> {
    age: u64,
    own: bool,
    kind: &'m str,
    version: &'m str,
    board: &'m str,
    catalogue: Option<u32>,
}

fn more<'l, W: fmt::Write>(
    json: &mut JsonWriter<W>,
    about: &About<'_>,
    own_labels: impl Iterator<Item = (&'l str, &'l str)>,
) -> fmt::Result {
    json.field_number("age", about.age)?;
    json.field_bool("self", about.own)?;
    json.field("kind", about.kind)?;
    json.field("version", about.version)?;
    json.field("board", about.board)?;
    json.key("labels")?;
    labels(json, own_labels)?;
    json.key("catalogue")?;
    match about.catalogue {
        Some(hash) => json.display(&format_args!("{hash:08x}")),
        None => json.string(""),
    }
}

type Uri = heapless::String<{ spore_wire::status::URI_MAX }>;

/// The `index`-th endpoint of another node's catalogue.
fn foreign_endpoint(ctx: &Context<'_>, hash: u32, index: usize) -> Option<(Method, Uri)> {
    ctx.with(|state| {
        let (method, uri) = state.catalogues.endpoints(hash)?.nth(index)?;
        Some((method, Uri::try_from(uri).ok()?))
    })
}

async fn services<W: Write>(
    ctx: &Context<'_>,
    json: &mut JsonStream<W>,
    filter: &Filter,
) -> Result<(), W::Error> {
    json.piece(20, |json| {
        json.begin_object()?;
        json.key("services")?;
        json.begin_array()
    })
    .await?;
    for endpoint in ctx.endpoints().filter(|endpoint| filter.takes(endpoint.uri)) {
        offered(ctx, json, filter, endpoint.method, endpoint.uri).await?;
    }
    // What only others offer: each endpoint once, by the first catalogue that has it.
    let mut catalogue = 0;
    while let Some(hash) = ctx.with(|state| state.members.catalogue_hashes().nth(catalogue)) {
        let mut index = 0;
        while let Some((method, uri)) = foreign_endpoint(ctx, hash, index) {
            index += 1;
            let told = ctx.endpoints().any(|own| own.method == method && own.uri == uri)
                || ctx.with(|state| {
                    let earlier = state.members.catalogue_hashes().take(catalogue);
                    holders(&state.catalogues, earlier, method, &uri).next().is_some()
                });
            if !told && filter.takes(&uri) {
                offered(ctx, json, filter, method, &uri).await?;
            }
        }
        catalogue += 1;
    }
    json.piece(2, |json| {
        json.end_array()?;
        json.end_object()
    })
    .await
}

/// Which of these catalogues hold an endpoint.
fn holders(
    catalogues: &Foreign,
    hashes: impl Iterator<Item = u32>,
    method: Method,
    uri: &str,
) -> impl Iterator<Item = u32> {
    hashes.filter(move |hash| {
        catalogues.endpoints(*hash).is_some_and(|mut endpoints| endpoints.any(|known| known == (method, uri)))
    })
}

/// One endpoint and who offers it; nothing when nobody the filter wants does.
async fn offered<W: Write>(
    ctx: &Context<'_>,
    json: &mut JsonStream<W>,
    filter: &Filter,
    method: Method,
    uri: &str,
) -> Result<(), W::Error> {
    let own_offers = ctx.endpoints().any(|endpoint| endpoint.method == method && endpoint.uri == uri);
    let (own, hashes) = ctx.with(|state| {
        let known = state.members.catalogue_hashes();
        let mut hashes: heapless::Vec<u32, { CATALOGUES + 1 }> =
            holders(&state.catalogues, known, method, uri).take(CATALOGUES).collect();
        if own_offers {
            let _ = hashes.push(state.catalogue);
        }
        (own_offers && filter.wants(state.labels.iter()), hashes)
    });
    let next = |after: Option<Ipv4Addr>| {
        ctx.with(|state| {
            let mut at = after;
            while let Some(member) = state.members.after(at) {
                at = Some(member.ip());
                let offers = member.catalogue().is_some_and(|hash| hashes.contains(&hash));
                if offers && filter.wants(member.labels()) {
                    return Some(member.ip());
                }
            }
            None
        })
    };
    let mut member = next(None);
    if !own && member.is_none() {
        return Ok(());
    }
    json.piece(ENDPOINT, |json| {
        json.begin_object()?;
        json.field("uri", uri)?;
        json.field("method", method.as_str())?;
        json.key("nodes")?;
        json.begin_array()
    })
    .await?;
    if own {
        json.piece(128, |json| {
            json.begin_object()?;
            ctx.with(|state| json.field("hostname", &state.hostname))?;
            json.key("ip")?;
            address(json, ctx.ip())?;
            json.field("status", "ACTIVE")?;
            json.end_object()
        })
        .await?;
    }
    while let Some(ip) = member {
        json.piece(300, |json| {
            ctx.with(|state| {
                let Some(member) = state.members.get(ip) else { return Ok(()) };
                json.begin_object()?;
                json.field("hostname", member.hostname())?;
                json.key("ip")?;
                json.display(&ip)?;
                json.field("status", member.status().as_str())?;
                json.end_object()
            })
        })
        .await?;
        member = next(Some(ip));
    }
    json.piece(3, |json| {
        json.end_array()?;
        json.end_object()
    })
    .await
}

/// Bytes as hexadecimal digits.
pub(super) struct Hex<'b>(pub &'b [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
