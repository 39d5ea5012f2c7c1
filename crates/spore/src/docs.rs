//! docs/cli.md is made of the definitions; this test keeps it so. `SPORE_BLESS=1 cargo test -p spore docs` writes it.

use crate::args::Cli;
use crate::exit::EXIT_CODES;
use clap::{Command, CommandFactory};
use std::fmt::Write;

/// What stands before the generated part.
const INTRODUCTION: &str = "\
# The command line

`./ctl.sh` builds the `spore` command on first use and hands everything on to it. (`./ctl.sh test` is the exception: it
runs the tests.) This page is written by a test from the definitions the command itself uses
(`SPORE_BLESS=1 cargo test -p spore docs`), so it is complete.

**Which node.** `<IP>` is an address, a hostname, a URL, `ip:port`, or in a running lab also a number (1 is the first). A
node of the running lab is reached through its port on loopback, any other directly at its port 80. Commands about the
cluster ask one node, the API node: that of `--node`; else of `API_NODE` in the environment; else of `API_NODE` in
`.env`; else the first running node of the lab; else whoever answers one broadcast to UDP port 4210 within 2 s.

**Settings.** A flag wins over the environment, and that over `.env`, looked for from the current folder upwards:
`API_NODE`, `WIFI_SSID`, `WIFI_PASSWORD`, `SPORE_STATE` (folder of the lab, as `--state`), `SPORE_QEMU` (the emulator,
if not `qemu-system-xtensa`), `SPORE_QEMU_ARGS` (further arguments for it), `ESP8266_SDK_DIR` and `ESP8266_PHY_DATA`
(Espressif's SDK and the radio's calibration, for `build`: esp8266.md), `SPORE_PORT` (serial port of a board),
`SPORE_ESPTOOL` (esptool, if not the one that `flash` installs into `build/esptool`). `SPORE_BROADCAST=<ip:port>` replaces
the address of the broadcast, `SPORE_BROADCAST=off` stops it. `NO_COLOR=1` stops colours; they are only used on terminals
anyway.

**Output.** Results go to stdout, messages, progress and errors to stderr. With `--json` the result is JSON: the node's own
answer, byte for byte, where there is one; errors are `{\"error\":…,\"hint\":…,\"exit\":…}` on stderr.
";

/// The whole page.
fn page() -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut cli = Cli::command().max_term_width(0).term_width(110);
    cli.build();
    let _ = write!(text, "\n```\n{EXIT_CODES}\n```\n");
    let _ = write!(text, "\n## Options of every command\n\n```\n{}\n```\n", global(&mut cli));
    for command in cli.get_subcommands_mut() {
        describe(command, &mut text);
    }
    text
}

/// The heading of the options every command has, in a command's help.
const GLOBAL: &str = "\nOptions of every command:\n";

fn global(cli: &mut Command) -> String {
    let help = cli.render_help().to_string();
    let rest = help.split_once(GLOBAL).map(|(_, rest)| rest).unwrap_or_default();
    rest.split("\n\n").next().unwrap_or_default().trim_end().to_owned()
}

fn describe(command: &mut Command, text: &mut String) {
    let title = command.get_bin_name().unwrap_or_default().replacen("spore", "./ctl.sh", 1);
    if command.has_subcommands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = write!(text, "\n## {title}\n\n{about}.\n");
        for command in command.get_subcommands_mut() {
            describe(command, text);
        }
        return;
    }
    let help = command.render_help().to_string();
    let own = help.split(GLOBAL).next().unwrap_or_default().trim_end();
    let _ = write!(text, "\n### {title}\n\n```\n{own}\n```\n");
}

#[test]
fn the_page_is_what_the_command_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
    let page = page();
    if std::env::var_os("SPORE_BLESS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/cli.md is out of date: SPORE_BLESS=1 cargo test -p spore docs");
}

#[test]
fn the_page_tells_everything() {
    let page = page();
    for part in [
        "  124  timed out",
        "--no-color",
        "### ./ctl.sh lab power-cut",
        "### ./ctl.sh up",
        "--port-base <PORT>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("--daemon"), "hidden options stay hidden");
}
