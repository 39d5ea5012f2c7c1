//! What every node serves, as data: one table for dispatch, for the catalogue and for the checks of docs/api.md.

use crate::page::{self, Page};
use crate::service::{Endpoint, Param};

/// A route the node answers itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the endpoint of its name in docs/api.md")]
pub enum Route {
    Page,
    Wifi,
    Status,
    Endpoints,
    Config,
    SetConfig,
    UpdateStatus,
    Update,
    Restart,
    NodeEvent,
    Tasks,
    ControlTask,
    Network,
    ScanResult,
    Scan,
    SetWifi,
    Resources,
    Members,
    Services,
    ClusterEvent,
    WebSocket,
}

impl Route {
    /// The page that is served there, if it is one.
    pub(super) fn page(self) -> Option<&'static Page> {
        match self {
            Self::Page => Some(&page::NODE),
            Self::Wifi => Some(&page::WIFI),
            _ => None,
        }
    }
}

const EVENT_PARAMS: &[Param<'_>] = &[Param::body("event").required(), Param::body("data")];

/// Every route with its endpoint, grouped under the name that stands for its service in the catalogue.
pub const ROUTES: &[(Endpoint<'_>, Route)] = &[
    (Endpoint::get("node", "/"), Route::Page),
    (Endpoint::get("node", "/api/node/status"), Route::Status),
    (Endpoint::get("node", "/api/node/endpoints"), Route::Endpoints),
    (Endpoint::get("node", "/api/node/config"), Route::Config),
    (Endpoint::post("node", "/api/node/config"), Route::SetConfig),
    (Endpoint::get("node", "/api/node/update"), Route::UpdateStatus),
    (
        Endpoint::post("node", "/api/node/update")
            .with(&[Param::body("firmware").required().of_kind("file")]),
        Route::Update,
    ),
    (Endpoint::post("node", "/api/node/restart"), Route::Restart),
    (Endpoint::post("node", "/api/node/event").with(EVENT_PARAMS), Route::NodeEvent),
    (Endpoint::get("tasks", "/api/tasks/status"), Route::Tasks),
    (
        Endpoint::post("tasks", "/api/tasks/control").with(&[
            Param::body("task").required(),
            Param::body("action").required().one_of(&["enable", "disable", "start", "stop", "status", "set"]),
            Param::body("interval").of_kind("number"),
        ]),
        Route::ControlTask,
    ),
    (Endpoint::get("network", "/wifi"), Route::Wifi),
    (Endpoint::get("network", "/api/network/status"), Route::Network),
    (Endpoint::get("network", "/api/network/wifi/scan"), Route::ScanResult),
    (Endpoint::post("network", "/api/network/wifi/scan"), Route::Scan),
    (
        Endpoint::post("network", "/api/network/wifi/config")
            .with(&[Param::body("ssid").required(), Param::body("password")]),
        Route::SetWifi,
    ),
    (Endpoint::get("monitoring", "/api/monitoring/resources"), Route::Resources),
    (Endpoint::get("cluster", "/api/cluster/members"), Route::Members),
    (
        Endpoint::get("cluster", "/api/cluster/services").with(&[Param::query("uri"), Param::query("label")]),
        Route::Services,
    ),
    (Endpoint::post("cluster", "/api/cluster/event").with(EVENT_PARAMS), Route::ClusterEvent),
    (Endpoint::get("cluster", "/ws"), Route::WebSocket),
];
