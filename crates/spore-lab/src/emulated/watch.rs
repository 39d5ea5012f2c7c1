//! Asks an emulated node whom it sees and why it started. A virtual node's lab looks inside; this one cannot.

use super::Body;
use crate::view::Phase;
use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant, Timer, with_timeout};
use serde::Deserialize;
use spore_lan::http::request;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Pause between questions while there is news, and when there was none for a while.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// How long after the last news it is asked often.
const EAGER: Duration = Duration::from_secs(15);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Raised when the node has something new to tell.
pub(super) type News = Signal<NoopRawMutex, ()>;

#[derive(Deserialize)]
struct Members {
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    ip: Ipv4Addr,
    status: String,
    #[serde(default, rename = "self")]
    own: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    version: String,
    reset_reason: String,
}

/// Asks as long as the node has power.
pub(super) async fn watch(body: &Body, news: &News) {
    let Some(ip) = body.ip.filter(|_| body.ask) else { return };
    let (mut eager_until, mut told) = (Instant::now() + EAGER, false);
    loop {
        let pause = if Instant::now() < eager_until { PAUSE.0 } else { PAUSE.1 };
        if let Either::Second(()) = select(Timer::after(pause), news.wait()).await {
            (eager_until, told) = (Instant::now() + EAGER, false);
        }
        if matches!(body.view.phase.get(), Phase::Bricked | Phase::Off) {
            continue;
        }
        if !told && let Some(facts) = ask::<Facts>(body, ip, "/api/node/status").await {
            body.view.version.replace(facts.version);
            body.view.reset_reason.replace(facts.reset_reason);
            body.view.phase.set(Phase::Running);
            told = true;
        }
        let Some(answer) = ask::<Members>(body, ip, "/api/cluster/members").await else { continue };
        let active = answer.members.iter().filter(|member| !member.own && member.status == "ACTIVE");
        let active = active.map(|member| member.ip).collect();
        let before = body.view.seen.replace(active);
        if before != *body.view.seen.borrow() {
            eager_until = Instant::now() + EAGER;
        }
    }
}

async fn ask<T: for<'de> Deserialize<'de>>(body: &Body, ip: Ipv4Addr, path: &str) -> Option<T> {
    let call = request(body.stack, SocketAddrV4::new(ip, 80), "GET", path, &[], &[]);
    let response = with_timeout(PATIENCE, call).await.ok()?.ok()?;
    (response.status == 200).then(|| serde_json::from_slice(&response.body).ok())?
}
