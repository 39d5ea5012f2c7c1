//! What nodes answer (docs/api.md), as far as the command reads it. Everything may be missing: older nodes, and C++
//! SPORE, say less.

use crate::exit::{Failure, Outcome};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Read a body; what does not fit is the node's fault.
pub fn parse<T: DeserializeOwned>(body: &str) -> Outcome<T> {
    serde_json::from_str(body).map_err(|error| {
        Failure::other(format!("the node's answer makes no sense: {error}")).hint("is that a SPORE node?")
    })
}

/// `GET /api/cluster/members`
#[derive(Debug, Clone, Deserialize)]
pub struct Members {
    pub members: Vec<Member>,
}

impl Members {
    /// Read a body.
    pub fn parse(body: &str) -> Outcome<Self> {
        parse(body)
    }
}

/// One member, as the node asked sees it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Member {
    pub hostname: String,
    pub ip: String,
    /// `ACTIVE`, `INACTIVE` or `DEAD`.
    pub status: String,
    /// Milliseconds since the last evidence.
    pub age: u64,
    /// Milliseconds.
    pub latency: u64,
    pub version: String,
    pub board: String,
    /// `rust`, or `text` for C++ SPORE.
    pub kind: String,
    #[serde(rename = "self")]
    pub is_self: bool,
    pub resources: Resources,
    pub labels: BTreeMap<String, String>,
}

/// Resources of a member.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Resources {
    /// Bytes; 0 when not known.
    pub free_heap: u64,
}

/// `GET /api/cluster/services`
#[derive(Debug, Clone, Deserialize)]
pub struct Services {
    pub services: Vec<Service>,
}

/// An endpoint and who offers it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    pub uri: String,
    pub method: String,
    pub nodes: Vec<Member>,
}

/// `GET /api/node/status`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeStatus {
    pub free_heap: u64,
    pub chip_id: u64,
    pub sdk_version: String,
    #[serde(rename = "cpuFreqMHz")]
    pub cpu_freq_mhz: u64,
    pub flash_chip_size: u64,
    pub hostname: String,
    pub ip: String,
    pub board: String,
    pub version: String,
    /// Milliseconds.
    pub uptime: u64,
    /// Seconds since 1970, UTC, if it knows them.
    pub time: Option<u64>,
    /// Starts since the flash was new.
    pub boot: u64,
    pub reset_reason: String,
    /// No services after quick crashes.
    pub safe_mode: bool,
    /// `open` without a cluster key.
    pub security: String,
    /// Missing on C++ SPORE, which therefore cannot be updated by this command.
    pub image: Option<RunningImage>,
    pub last_update: Option<LastUpdate>,
    pub labels: BTreeMap<String, String>,
    pub api: Vec<Endpoint>,
}

/// The image a node runs.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RunningImage {
    pub slot: String,
    /// `confirmed` or `trial`.
    pub state: String,
    pub name: String,
    pub version: String,
    pub sha256: String,
}

/// How the last update ended.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LastUpdate {
    pub version: String,
    /// `confirmed`, `reverted` or `pending`.
    pub outcome: String,
    pub reason: Option<String>,
}

/// An endpoint.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    pub uri: String,
    pub method: String,
}

/// `GET /api/tasks/status`
#[derive(Debug, Clone, Deserialize)]
pub struct Tasks {
    pub tasks: Vec<Task>,
}

/// `POST /api/tasks/control`
#[derive(Debug, Clone, Deserialize)]
pub struct TaskAnswer {
    pub task: Task,
}

/// A task of the node's scheduler.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Task {
    pub name: String,
    /// Milliseconds.
    pub interval: u64,
    pub enabled: bool,
    pub running: bool,
    pub runs: u64,
    pub last_micros: u64,
    pub max_micros: u64,
}
