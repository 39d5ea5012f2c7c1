//! A cluster in real time on a thread of its own, to be told what to do from any other.

use crate::cluster::{Cluster, Options};
use crate::control::{Command, Reply};
use anyhow::{Result, anyhow};
use spore_lan::clock::Mode;
use spore_lan::executor::World;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread::JoinHandle;

/// An order and where its answer goes.
type Call = (Command, mpsc::SyncSender<Reply>);

/// A running lab. Dropping it stops it.
pub struct Lab {
    calls: async_channel::Sender<Call>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Lab {
    /// Starts a lab; returns when its nodes have power.
    ///
    /// # Errors
    /// Those of [`Cluster::new`], and when the system gives no thread.
    pub fn start(options: Options) -> Result<Self> {
        let (calls, orders) = async_channel::bounded::<Call>(16);
        let (ready, outcome) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("lab".to_owned()).spawn(move || {
            let world = World::new(Mode::Real);
            let mut cluster = match Cluster::new(&world, options) {
                Ok(cluster) => cluster,
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            let _ = ready.send(Ok(()));
            world.run_until(async {
                while let Ok((command, answer)) = orders.recv().await {
                    // Whoever asked may have gone.
                    let _ = answer.try_send(cluster.call(&command));
                    if command == Command::Stop {
                        break;
                    }
                }
                cluster.end_emulators().await;
            });
        })?;
        outcome.recv().map_err(|_| anyhow!("the lab ended before it began"))??;
        Ok(Self { calls, thread: Mutex::new(Some(thread)) })
    }

    /// Tells the lab something and waits for its answer.
    pub fn call(&self, command: Command) -> Reply {
        let (answer, reply) = mpsc::sync_channel(1);
        let gone = || Reply::Error { error: "the lab has stopped".to_owned() };
        if self.calls.send_blocking((command, answer)).is_err() {
            return gone();
        }
        reply.recv().unwrap_or_else(|_| gone())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.call(Command::Stop);
        if let Ok(mut thread) = self.thread.lock()
            && let Some(thread) = thread.take()
        {
            let _ = thread.join();
        }
    }
}
