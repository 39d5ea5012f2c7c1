//! `GET /api/cluster/members`: this node first, then everyone it knows, one at a time.

use super::documents::{Json, More, address, end, foreign_endpoint, labels, own_endpoint, resources};
use crate::context::Context;
use core::fmt;
use core::net::Ipv4Addr;
use spore_core::members::{Kind, MemberRef};
use spore_wire::json::key;

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// This node, up to its endpoints.
    Own,
    /// One of this node's own endpoints, or of another's with the same catalogue.
    OwnEndpoint,
    /// The next member, up to its endpoints.
    Head,
    /// One of its endpoints, from that catalogue if its catalogue is known.
    Endpoint(Option<u32>),
}

/// How far the list has been written.
#[derive(Debug, Clone, Copy)]
pub struct Members {
    part: Part,
    /// The member at hand, this node if there is none. The table may change between two members; the address says where to
    /// go on.
    member: Option<Ipv4Addr>,
    /// Which endpoint.
    index: u16,
}

impl Members {
    /// At the beginning.
    pub const fn new() -> Self {
        Self { part: Part::Own, member: None, index: 0 }
    }

    /// Writes the next piece.
    #[inline(never)]
    pub fn piece(&mut self, ctx: &Context<'_>, json: &mut Json<'_, '_>) -> More {
        let mut next = *self;
        let more = match self.part {
            Part::Own => {
                own_head(ctx, json)?;
                next.part = Part::OwnEndpoint;
                true
            }
            Part::OwnEndpoint => {
                let more = own_endpoint(ctx, json, self.index)?;
                next.endpoint_or_rest(ctx, json, more)?
            }
            Part::Endpoint(hash) => {
                let more = hash.map_or(Ok(false), |hash| foreign_endpoint(ctx, json, hash, self.index))?;
                next.endpoint_or_rest(ctx, json, more)?
            }
            Part::Head => {
                let Some(ip) = ctx.with(|state| state.members.after(self.member).map(|member| member.ip()))
                else {
                    return end(json);
                };
                ctx.with(|state| {
                    json.begin_object()?;
                    let member = state.members.get(ip);
                    if let Some(member) = member {
                        member_head(json, member)?;
                    }
                    json.key(key!("api"))?;
                    json.begin_array()?;
                    let catalogue = member.and_then(|member| member.catalogue());
                    let own = catalogue == Some(state.catalogue);
                    next.part = if own { Part::OwnEndpoint } else { Part::Endpoint(catalogue) };
                    Ok(())
                })?;
                next.member = Some(ip);
                next.index = 0;
                true
            }
        };
        *self = next;
        Ok(more)
    }

    /// After an endpoint comes the next; after the last the rest of the member.
    fn endpoint_or_rest(&mut self, ctx: &Context<'_>, json: &mut Json<'_, '_>, endpoint: bool) -> More {
        if endpoint {
            self.index = self.index.saturating_add(1);
        } else {
            rest(ctx, json, self.member)?;
            self.part = Part::Head;
        }
        Ok(true)
    }
}

fn own_head(ctx: &Context<'_>, json: &mut Json<'_, '_>) -> fmt::Result {
    json.begin_object()?;
    json.key(key!("members"))?;
    json.begin_array()?;
    json.begin_object()?;
    let now = ctx.now().as_millis();
    ctx.with(|state| json.field(key!("hostname"), &state.hostname))?;
    json.key(key!("ip"))?;
    address(json, ctx.ip())?;
    json.field_number(key!("lastSeen"), now)?;
    json.field_number(key!("latency"), 0u32)?;
    json.field(key!("status"), "ACTIVE")?;
    json.key(key!("resources"))?;
    json.begin_object()?;
    resources(ctx, json)?;
    json.end_object()?;
    json.key(key!("api"))?;
    json.begin_array()
}

fn member_head(json: &mut Json<'_, '_>, member: MemberRef<'_>) -> fmt::Result {
    json.field(key!("hostname"), member.hostname())?;
    json.key(key!("ip"))?;
    json.display(&member.ip())?;
    json.field_number(key!("lastSeen"), member.seen().as_millis())?;
    json.field_number(key!("latency"), member.latency().unwrap_or(0))?;
    json.field(key!("status"), member.status().as_str())?;
    json.key(key!("resources"))?;
    json.begin_object()?;
    json.field_number(key!("freeHeap"), member.free_heap())?;
    json.field_number(key!("chipId"), member.chip_id())?;
    json.field(key!("sdkVersion"), member.sdk())?;
    json.field_number(key!("cpuFreqMHz"), member.cpu_mhz())?;
    json.field_number(key!("flashChipSize"), member.flash_bytes())?;
    json.end_object()
}

/// What follows the endpoints of a member, or of this node.
fn rest(ctx: &Context<'_>, json: &mut Json<'_, '_>, member: Option<Ipv4Addr>) -> fmt::Result {
    let now = ctx.now();
    json.end_array()?;
    ctx.with(|state| {
        let Some(ip) = member else {
            let about = About {
                age: 0,
                own: true,
                kind: Kind::Rust.as_str(),
                version: state.boot.header.version.as_str(),
                board: state.identity.board,
                catalogue: Some(state.catalogue),
            };
            return more(json, &about, &mut state.labels.iter());
        };
        let Some(member) = state.members.get(ip) else { return Ok(()) };
        let about = About {
            age: member.age(now).as_millis(),
            own: false,
            kind: member.kind().as_str(),
            version: member.version(),
            board: member.board(),
            catalogue: member.catalogue(),
        };
        more(json, &about, &mut member.labels())
    })?;
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

fn more<'l>(
    json: &mut Json<'_, '_>,
    about: &About<'_>,
    own_labels: &mut dyn Iterator<Item = (&'l str, &'l str)>,
) -> fmt::Result {
    json.field_number(key!("age"), about.age)?;
    json.field_bool(key!("self"), about.own)?;
    json.field(key!("kind"), about.kind)?;
    json.field(key!("version"), about.version)?;
    json.field(key!("board"), about.board)?;
    json.key(key!("labels"))?;
    labels(json, own_labels)?;
    json.key(key!("catalogue"))?;
    match about.catalogue {
        Some(hash) => json.display(&format_args!("{hash:08x}")),
        None => json.string(""),
    }
}
