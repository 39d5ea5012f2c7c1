//! `GET /api/cluster/members`: this node first, then everyone it knows, one at a time.

use super::answer::{ENDPOINT, address, foreign_endpoint, labels, own_endpoints, resources, short_endpoint};
use super::stream::JsonStream;
use crate::context::Context;
use core::fmt;
use picoserve::io::Write;
use spore_core::members::{Kind, MemberRef};
use spore_wire::json::JsonWriter;

pub(super) async fn members<W: Write>(ctx: &Context<'_>, json: &mut JsonStream<W>) -> Result<(), W::Error> {
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
