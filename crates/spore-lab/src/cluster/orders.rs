//! Orders to a cluster: the words of the control socket, carried out.

use super::Cluster;
use crate::control::{Command, Reply};
use crate::view::{Order, Phase};
use anyhow::{Result, anyhow, bail, ensure};
use embassy_time::Duration;
use spore_core::wifi::Passphrase;
use spore_lan::Mac;
use spore_lan::faults::{Effect, Fault, Partition, Selector};

impl Cluster {
    /// The place of the node called `name`: hostname, address, or number from 1.
    fn find(&self, name: &str) -> Result<usize> {
        let found = self.members.iter().enumerate().position(|(at, member)| {
            member.node.hostname() == name
                || self.address(&member.node).is_some_and(|ip| ip.to_string() == name)
                || (at + 1).to_string() == name
        });
        found.ok_or_else(|| anyhow!("no node called '{name}'; `spore lab status` lists them"))
    }

    fn order(&self, name: &str, order: Order) -> Result<Reply> {
        let at = self.find(name)?;
        let node = &self.members[at].node;
        if matches!(order, Order::PowerOff | Order::PowerCut)
            && let Some(bridge) = &self.members[at].bridge
        {
            bridge.disconnect();
        }
        ensure!(node.order(order), "{name} has not yet carried out the orders before; try again");
        Ok(Reply::Done { nodes: vec![node.hostname()] })
    }

    fn crash(&self, name: &str) -> Result<Reply> {
        let node = &self.members[self.find(name)?].node;
        ensure!(node.kind() == "virtual", "{name} is emulated; only virtual nodes crash on demand");
        ensure!(
            node.view.phase.get() == Phase::Running,
            "{name} is {}, not running",
            node.view.phase.get().as_str()
        );
        self.order(name, Order::Crash)
    }

    /// Carries out an order. [`Command::Stop`] is for whoever owns the cluster; here it does nothing.
    pub fn call(&mut self, command: &Command) -> Reply {
        let reply =
            self.carry_out(command).unwrap_or_else(|error| Reply::Error { error: format!("{error:#}") });
        if matches!(command, Command::Heal | Command::AccessPoint { .. }) {
            self.radiate();
        }
        reply
    }

    fn carry_out(&mut self, command: &Command) -> Result<Reply> {
        let done = Ok(Reply::Done { nodes: Vec::new() });
        match command {
            Command::Status => Ok(Reply::Status(self.status())),
            Command::Add { count, emulated } => {
                self.add(*count, *emulated).map(|nodes| Reply::Done { nodes })
            }
            Command::Kill { node } => self.order(node, Order::PowerOff),
            Command::Restart { node } => self.order(node, Order::Restart),
            Command::Crash { node } => self.crash(node),
            Command::PowerCut { node, at_flash_op: None } => self.order(node, Order::PowerCut),
            Command::PowerCut { node, at_flash_op: Some(0) } => {
                bail!("flash operations are counted from 1; {node} was left alone")
            }
            Command::PowerCut { node, at_flash_op: Some(operation) } => {
                let member = &self.members[self.find(node)?];
                if let (Some(bridge), "emulated") = (&member.bridge, member.node.kind()) {
                    bridge.disconnect();
                }
                ensure!(
                    member.node.cut_at(*operation),
                    "{node} has not yet carried out the orders before; try again"
                );
                Ok(Reply::Done { nodes: vec![member.node.hostname()] })
            }
            Command::Cut { nodes } => self.cut(nodes),
            Command::Heal => {
                self.switch.faults().clear();
                self.faults.clear();
                self.air.set_on(self.access_point, true);
                self.air.set_passphrase(self.access_point, self.wifi.1.clone());
                done
            }
            Command::Loss { percent, broadcast_only, node } => {
                let chance = chance(*percent)?;
                let node = node.as_ref().map(|name| self.find(name)).transpose()?;
                let mac = node.map(|at| self.members[at].node.mac);
                let on = Selector { broadcast_only: *broadcast_only, node: mac, ..Selector::default() };
                let what = if *broadcast_only { "of broadcasts " } else { "" };
                let whose = node.map(|at| format!(" of node {}", at + 1)).unwrap_or_default();
                self.fault(Fault::loss(chance).on(on), format!("loss {what}{percent} %{whose}"));
                done
            }
            Command::Delay { millis, jitter_millis } => {
                ensure!(*millis <= 60_000 && *jitter_millis <= 60_000, "a delay is at most 60000 ms");
                let base = Duration::from_millis(u64::from(*millis));
                let jitter = Duration::from_millis(u64::from(*jitter_millis));
                self.fault(
                    Fault::delay(base, jitter),
                    format!("delay {millis} ms, jitter {jitter_millis} ms"),
                );
                done
            }
            Command::Duplicate { percent } => {
                let chance = chance(*percent)?;
                self.fault(Effect::Duplicate { chance }.into(), format!("duplicates {percent} %"));
                done
            }
            Command::AccessPoint { on, passphrase } => {
                if let Some(passphrase) = passphrase {
                    ensure!(
                        matches!(passphrase.len(), 0 | 8..=63),
                        "a pass phrase is empty or has 8 to 63 bytes"
                    );
                    let passphrase = Passphrase::try_from(passphrase.as_str())
                        .map_err(|_| anyhow!("a pass phrase has at most 63 bytes"))?;
                    self.air.set_passphrase(self.access_point, passphrase);
                }
                self.air.set_on(self.access_point, *on);
                done
            }
            Command::Log { node, lines } => {
                let node = &self.members[self.find(node)?].node;
                Ok(Reply::Log { lines: node.view.log.last(*lines as usize) })
            }
            Command::Pins { node } => {
                let node = &self.members[self.find(node)?].node;
                let (pins, adc) = node.pins();
                Ok(Reply::Pins { node: node.hostname(), pins, adc })
            }
            Command::Pin { node, pin, high } => {
                let node = &self.members[self.find(node)?].node;
                node.set_pin(*pin, *high)?;
                Ok(Reply::Done { nodes: vec![node.hostname()] })
            }
            Command::Adc { node, value } => {
                let node = &self.members[self.find(node)?].node;
                node.set_adc(*value)?;
                Ok(Reply::Done { nodes: vec![node.hostname()] })
            }
            Command::Stop => done,
        }
    }

    fn fault(&mut self, fault: Fault, words: String) {
        let id = self.switch.faults().add(fault);
        self.faults.push((id, words));
    }

    /// Makes an island of some nodes. The host still reaches both sides, so that one can look.
    fn cut(&mut self, names: &[String]) -> Result<Reply> {
        ensure!(!names.is_empty(), "name the nodes to be cut off");
        let places = names.iter().map(|name| self.find(name)).collect::<Result<Vec<_>>>()?;
        let macs: Vec<Mac> = places.iter().map(|at| self.members[*at].node.mac).collect();
        let mut partition = Partition::new(&[&macs]);
        let host = spore_lan::gateway::MAC;
        let rule = move |passage: &spore_lan::faults::Passage<'_>, rng: &mut spore_lan::faults::Rng| {
            if passage.from == host || passage.to == host {
                return spore_lan::faults::Verdict::Pass;
            }
            spore_lan::faults::Rule::judge(&mut partition, passage, rng)
        };
        let id = self.switch.faults().add(rule);
        let nodes: Vec<String> = places.iter().map(|at| self.members[*at].node.hostname()).collect();
        self.faults.push((id, format!("cut off: {}", nodes.join(" "))));
        Ok(Reply::Done { nodes })
    }

    /// The faults in force, in words.
    pub(super) fn faults_in_force(&self) -> Vec<String> {
        let mut faults: Vec<String> = self.faults.iter().map(|(_, words)| words.clone()).collect();
        let lan = self.air.access_points().into_iter().find(|(id, _)| *id == self.access_point);
        if let Some((_, access_point)) = lan {
            if !access_point.on {
                faults.push("access point off".to_owned());
            }
            if access_point.passphrase != self.wifi.1 {
                faults.push("access point with another pass phrase".to_owned());
            }
        }
        faults
    }
}

fn chance(percent: f64) -> Result<f64> {
    ensure!((0.0..=100.0).contains(&percent), "give a percentage from 0 to 100");
    Ok(percent / 100.0)
}
