//! The tools the firmware is built with: installed on first use, started, and their errors told.

use crate::context::{Context, PROGRAM};
use crate::exit::{Failure, Outcome};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the binutils' commands for the ESP8266's core begin with.
const PREFIX: &str = "xtensa-lx106-elf-";

/// Debian packages of assembler, linker and C preprocessor for the ESP8266's core.
const PACKAGES: &[&str] = &["binutils-xtensa-lx106", "gcc-xtensa-lx106"];

/// A command of the binutils for the ESP8266's core.
pub fn xtensa(tool: &str) -> Command {
    Command::new(format!("{PREFIX}{tool}"))
}

/// Whether a command can be started.
pub fn is_there(program: impl AsRef<OsStr>) -> bool {
    let command = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    command.is_ok()
}

/// Run a command to its end; what it says on stdout. Its errors become ours.
pub fn output(command: &mut Command) -> Outcome<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::other(format!("cannot run {name}: {error}")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = text.lines().collect();
    // A linker repeats itself; the first lines say it.
    let more = lines.len().saturating_sub(20);
    let mut message = format!("{name} failed:\n{}", lines[..lines.len() - more].join("\n"));
    if more > 0 {
        message.push_str(&format!("\n… and {more} lines more"));
    }
    Err(Failure::other(message))
}

/// The toolchain that firmware/rust-toolchain.toml names.
pub fn channel(firmware: &Path) -> Outcome<String> {
    let path = firmware.join("rust-toolchain.toml");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failure::other(format!("cannot read {}: {error}", path.display())))?;
    let value = text.lines().find_map(|line| line.trim().strip_prefix("channel")?.trim().strip_prefix('='));
    value
        .map(|value| value.trim().trim_matches('"').to_owned())
        .ok_or_else(|| Failure::other(format!("{} names no channel", path.display())))
}

/// Install the toolchain with the sources of its library, unless they are there.
pub fn need_rust(firmware: &Path, context: &Context) -> Outcome {
    let channel = channel(firmware)?;
    let install = [
        "toolchain",
        "install",
        &channel,
        "--no-self-update",
        "--profile",
        "minimal",
        "--component",
        "rust-src",
    ];
    let by_hand = format!("rustup {}", install.join(" "));
    if !is_there("rustup") {
        return Err(Failure::other(format!(
            "the firmware is built with Rust {channel}, which rustup installs; there is no rustup"
        ))
        .hint(format!(
            "install rustup (https://rustup.rs), then run the same command again; it runs: {by_hand}"
        )));
    }
    let listed = Command::new("rustup")
        .args(["component", "list", "--installed", "--toolchain", &channel])
        .stdin(Stdio::null())
        .output();
    let there = listed.is_ok_and(|listed| {
        listed.status.success()
            && String::from_utf8_lossy(&listed.stdout).lines().any(|line| line == "rust-src")
    });
    if there {
        return Ok(());
    }
    context.note(&format!("installing Rust {channel} with rust-src (once): {by_hand}"));
    let done = Command::new("rustup").args(install).stdin(Stdio::null()).stdout(std::io::stderr()).status();
    if done.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    Err(Failure::other(format!("Rust {channel} could not be installed")).hint(format!("try: {by_hand}")))
}

/// Install the binutils for the ESP8266's core, unless they are there.
pub fn need_binutils(context: &Context) -> Outcome {
    let needed = ["ld", "objcopy", "objdump", "gcc"];
    if needed.iter().all(|tool| is_there(format!("{PREFIX}{tool}"))) {
        return Ok(());
    }
    let missing = || Failure::other(format!("the linker for the ESP8266's core ({PREFIX}ld) is missing"));
    if !is_there("apt-get") {
        return Err(missing().hint(format!(
            "install binutils and gcc for the target xtensa-lx106-elf, as the Debian packages {} are, so that {PREFIX}ld is found, \
             then run {PROGRAM} build again",
            PACKAGES.join(" and ")
        )));
    }
    context.note(&format!("installing {} (once)", PACKAGES.join(" and ")));
    let packages = || ["install", "-y", "-q"].iter().chain(PACKAGES);
    if as_root("apt-get", packages())
        || (as_root("apt-get", &["update", "-q"]) && as_root("apt-get", packages()))
    {
        return Ok(());
    }
    Err(missing().hint(format!(
        "run these, then the same command again:\n    sudo apt-get update\n    sudo apt-get install -y {}",
        PACKAGES.join(" ")
    )))
}

/// Install a Debian package if that needs no question answered; whether it did well.
pub fn install_package(package: &str) -> bool {
    is_there("apt-get") && as_root("apt-get", &["install", "-y", "-q", package])
}

/// Run a command as root, directly or through sudo when it asks no question; whether it did well.
fn as_root<'a>(program: &str, args: impl IntoIterator<Item = &'a &'a str>) -> bool {
    let mut command = if rustix::process::getuid().is_root() {
        Command::new(program)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "--", program]);
        sudo
    };
    command.args(args.into_iter().copied()).env("DEBIAN_FRONTEND", "noninteractive");
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status();
    status.is_ok_and(|status| status.success())
}

/// Build these packages of the firmware's workspace, and give the folder of the libraries.
pub fn cargo(firmware: &Path, packages: &[&str], env: &[(&str, &str)], quiet: bool) -> Outcome<PathBuf> {
    let target = firmware.join("target");
    let mut command = Command::new("cargo");
    command.args(["build", "--release"]).current_dir(firmware).arg("--target-dir").arg(&target);
    for package in packages {
        command.args(["--package", package]);
    }
    if quiet {
        command.arg("--quiet");
    }
    // The toolchain and its flags are the workspace's (rust-toolchain.toml, .cargo/config.toml), not our caller's.
    for name in
        ["RUSTUP_TOOLCHAIN", "RUSTC", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO"]
    {
        command.env_remove(name);
    }
    command.envs(env.iter().copied()).stdin(Stdio::null()).stdout(std::io::stderr());
    let status = command.status().map_err(|error| Failure::other(format!("cannot run cargo: {error}")))?;
    if status.success() {
        return Ok(target.join("lx106-none-elf/release"));
    }
    Err(Failure::other("the firmware could not be compiled, see above"))
}
