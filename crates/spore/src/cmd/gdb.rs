//! `spore lab gdb`: a debugger on an emulated node.

use super::up::emulator::locate;
use crate::context::Context;
use crate::context::lab::Lab;
use crate::exit::{Failure, Kind, Outcome};
use spore_lab::control::Status;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's gdb for cores other than the machine's own.
const GDB: &str = "gdb-multiarch";
/// In a node's folder: where the emulator listens for a debugger.
const SOCKET: &str = "gdb.sock";
/// In a node's folder: the process that debugs it. The lab's watchdog does not bite while that lives.
pub const DEBUGGER: &str = "debugger";

/// Becomes the debugger.
pub fn run(lab: &mut Lab, node: &str, arguments: &[String], context: &Context) -> Outcome {
    let folder = folder(&lab.status()?, node)?;
    let program = locate(GDB, std::env::var_os("PATH").as_deref()).ok_or_else(|| {
        Failure::other(format!("{GDB} is not there"))
            .hint(format!("install it: sudo apt-get install -y {GDB}"))
    })?;
    let pid = std::process::id().to_string();
    std::fs::write(folder.join(DEBUGGER), pid)
        .map_err(|error| Failure::other(format!("cannot write to {}: {error}", folder.display())))?;
    Err(Failure::other(format!(
        "cannot start {GDB}: {}",
        command(&program, &folder, arguments, context).exec()
    )))
}

fn command(program: &Path, folder: &Path, arguments: &[String], context: &Context) -> Command {
    let ours = context.root.join("firmware/gdb");
    let mut command = Command::new(program);
    command
        .current_dir(&context.root)
        .arg("--quiet")
        .arg("-x")
        .arg(ours.join("lx106.gdb"))
        .arg("-ex")
        .arg(format!("set tdesc filename {}", ours.join("lx106.xml").display()))
        .arg("-ex")
        .arg(format!("target remote {}", folder.join(SOCKET).display()))
        .args(arguments)
        .arg("build/esp8266-qemu/firmware.elf");
    command
}

/// The folder of an emulated node.
fn folder(status: &Status, name: &str) -> Outcome<PathBuf> {
    let refused = |message: String| Failure::new(Kind::Refused, message);
    let found = status.nodes.iter().enumerate().find(|(at, node)| {
        node.hostname == name
            || node.ip.is_some_and(|ip| ip.to_string() == name)
            || (at + 1).to_string() == name
    });
    let (_, node) = found.ok_or_else(|| refused(format!("no node called '{name}'")))?;
    if node.kind != "emulated" {
        return Err(refused(format!(
            "{} is {}; only emulated nodes can be debugged so",
            node.hostname, node.kind
        )));
    }
    Ok(Path::new(&node.flash).parent().unwrap_or(Path::new(".")).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::tests::status;

    #[test]
    fn only_emulated_nodes_have_a_folder() {
        let mut status = status(2, 2);
        status.nodes[1].kind = "emulated".into();
        status.nodes[1].flash = "/lab/node-2/flash.bin".into();
        assert_eq!(folder(&status, "2").unwrap(), Path::new("/lab/node-2"));
        assert!(folder(&status, "1").unwrap_err().message.contains("only emulated nodes"));
        assert!(folder(&status, "3").unwrap_err().message.contains("no node called '3'"));
    }
}
