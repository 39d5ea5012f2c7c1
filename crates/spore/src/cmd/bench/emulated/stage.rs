//! The lab to be measured: two virtual nodes and an emulated one, whose instructions are counted.
//!
//! With `-icount shift=5` each instruction takes 32 ns of the emulator's time, so that CCOUNT, which ticks every 25 ns, counts
//! instructions. Waiting passes as fast as it does outside.

use super::count::Meter;
use crate::cmd::up::emulator;
use crate::context::Context;
use crate::context::target::{Target, in_lab};
use crate::exit::{Failure, Kind, Outcome};
use crate::http::Client;
use spore_lab::control::{Command, NodeStatus, Reply};
use spore_lab::{Lab, Options};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Virtual nodes beside the emulated one.
pub const OTHERS: u16 = 2;
/// Number and name of the emulated node's folder.
const NUMBER: &str = "3";
const FOLDER: &str = "node-3";
/// The emulator's console, in that folder.
pub const MONITOR: &str = "monitor.sock";
/// Pause between looks at the lab: the resolution of times.
pub const LOOK: Duration = Duration::from_millis(5);
/// How long anything may take that a healthy lab does.
const PATIENCE: Duration = Duration::from_secs(60);
/// After how long without a word the virtual nodes give a member up, in milliseconds. Short, so that a start can be seen.
const INACTIVE_AFTER: &str = "2500";

/// The lab, in a folder of its own.
pub struct Stage {
    lab: Lab,
    folder: Folder,
    client: Client,
}

/// Removed when it is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left there hurts nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Stage {
    /// Start it, the firmware built before if need be, and wait until all see all.
    pub fn start(context: &Context) -> Outcome<Self> {
        emulator::prepare(context)?;
        let mut emulator = emulator::find(context, 1)?;
        let monitor = format!("unix:{MONITOR},server=on,wait=off");
        emulator.arguments.extend(["-icount", "shift=5", "-monitor", &monitor].map(Into::into));
        let folder = Folder(std::env::temp_dir().join(format!("spore-bench-{}", std::process::id())));
        std::fs::create_dir_all(&folder.0)
            .map_err(|error| Failure::other(format!("cannot make {}: {error}", folder.0.display())))?;
        let options = Options {
            emulated: 1,
            emulator: Some(emulator),
            // Its questions would be counted.
            ask_emulated: false,
            state_dir: Some(folder.0.clone()),
            bridges: true,
            ..Options::in_memory(OTHERS, 1)
        };
        let lab = Lab::start(options)
            .map_err(|error| Failure::other(format!("the lab did not start: {error:#}")))?;
        let stage = Self { lab, folder, client: Client::new(Duration::from_secs(5), context.verbose) };
        stage.wait("the nodes to see each other", || stage.others_see_it())?;
        for node in stage.others()? {
            let setting = [("inactiveAfterMs", INACTIVE_AFTER)];
            stage.client.post(&in_lab(&node), "/api/node/config", &setting)?;
        }
        Ok(stage)
    }

    /// The files of the emulated node.
    pub fn folder(&self) -> PathBuf {
        self.folder.0.join(FOLDER)
    }

    /// What counts its instructions.
    pub fn meter(&self) -> Meter {
        Meter::new(self.folder().join("work"))
    }

    /// A client for single questions.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Tell the lab something about the emulated node.
    pub fn order(&self, order: fn(String) -> Command) -> Outcome {
        match self.lab.call(order(NUMBER.to_owned())) {
            Reply::Done { .. } => Ok(()),
            other => Err(Failure::other(format!("the lab answered {other:?}"))),
        }
    }

    fn nodes(&self) -> Outcome<Vec<NodeStatus>> {
        match self.lab.call(Command::Status) {
            Reply::Status(status) => Ok(status.nodes),
            other => Err(Failure::other(format!("the lab answered {other:?} when asked for its status"))),
        }
    }

    /// The virtual nodes.
    pub fn others(&self) -> Outcome<Vec<NodeStatus>> {
        Ok(self.nodes()?.into_iter().filter(|node| node.kind == "virtual").collect())
    }

    /// The emulated node.
    pub fn node(&self) -> Outcome<NodeStatus> {
        let node = self.nodes()?.into_iter().find(|node| node.kind == "emulated");
        let node = node.ok_or_else(|| Failure::other("the lab has no emulated node"))?;
        match node.state.as_str() {
            "broken" | "crashed" | "bricked" => {
                Err(Failure::other(format!("the emulated node is {}: {}", node.state, node.reset_reason)))
            }
            _ => Ok(node),
        }
    }

    /// The way to it.
    pub fn target(&self) -> Outcome<Target> {
        Ok(in_lab(&self.node()?))
    }

    /// Whether every virtual node sees both others ACTIVE.
    pub fn others_see_it(&self) -> Outcome<bool> {
        self.node()?;
        Ok(self.others()?.iter().all(|node| node.sees == OTHERS))
    }

    /// Wait for something.
    pub fn wait(&self, what: &str, mut done: impl FnMut() -> Outcome<bool>) -> Outcome {
        let begin = Instant::now();
        while !done()? {
            if begin.elapsed() > PATIENCE {
                let message = format!("waited {} s for {what}", PATIENCE.as_secs());
                return Err(Failure::new(Kind::TimedOut, message));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Set how often the virtual nodes say something.
    pub fn others_say(&self, setting: &str, millis: u32) -> Outcome {
        for node in self.others()? {
            self.client.post(&in_lab(&node), "/api/node/config", &[(setting, &millis.to_string())])?;
        }
        Ok(())
    }
}

/// The file `name` in the folder where the build puts what emulated nodes are made of.
pub fn built(context: &Context, name: &str) -> PathBuf {
    Path::new(&context.root).join("build/esp8266-qemu").join(name)
}
