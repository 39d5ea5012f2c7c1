//! Emulated nodes without QEMU: in place of the emulator runs this very test program as [`fake_emulator`], which is a
//! virtual node in a process of its own and keeps to the emulator's interfaces (socket, files, exit codes).

mod common;

use spore_lab::control::{Command, NodeStatus, Reply, Status};
use spore_lab::view::Phase;
use spore_lab::{Emulator, Lab, Node, Options};
use spore_lan::air::{AccessPoint, Air};
use spore_lan::clock::Mode;
use spore_lan::executor::World;
use spore_lan::flash::Flash;
use spore_lan::switch::Switch;
use spore_lan::uplink::Uplink;
use spore_node::Config;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Set for the process that stands in for the emulator.
const FAKE: &str = "SPORE_FAKE_EMULATOR";
/// Size of the chip.
const CHIP: usize = 1 << 20;

/// The value of a key in `board.txt`.
fn board(key: &str) -> Option<String> {
    let text = std::fs::read_to_string("board.txt").ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix('=')?.to_owned()))
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
}

/// The emulator's part. Its folder's file `orders` says how it ends, if it does.
#[test]
#[ignore = "started by the other tests in place of QEMU"]
fn fake_emulator() {
    if std::env::var_os(FAKE).is_none() {
        return;
    }
    let mac: Vec<u8> =
        board("mac").unwrap().split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let number = |key| board(key).unwrap_or_else(|| "-".to_owned());
    std::fs::write("pid", std::process::id().to_string()).unwrap();
    say(&format!("\r\nreset {} cut {}", number("reset"), number("cut")));
    let world = World::new(Mode::Real);
    let spawner = world.spawner();
    let (switch, air) = (Switch::new(1), Air::new(&spawner, 1));
    let lan = std::fs::read_to_string("air.txt").unwrap();
    let lan: Vec<&str> = lan.lines().next().unwrap().split('\t').collect();
    let network = AccessPoint {
        ssid: lan[0].try_into().unwrap(),
        passphrase: lan[1].try_into().unwrap(),
        channel: lan[2].parse().unwrap(),
        rssi: lan[3].parse().unwrap(),
        bssid: [2; 6],
        on: true,
    };
    air.add(network, &switch);
    let cable = UnixStream::connect("port.sock").unwrap();
    let mut uplink = Uplink::new(&spawner, switch.attach([2, 0, 0, 0, 0, 9]), cable).unwrap();
    let flash = Flash::file(Path::new("flash.bin"), CHIP as u32).unwrap();
    // No factory settings: what the lab wrote into the flash has to do.
    let node =
        Node::new_virtual(&spawner, &air, mac.try_into().unwrap(), (flash, None), Config::new(), None, 1);
    let mut told = 0;
    let mut beat = 0u32;
    world.run_until(async {
        loop {
            embassy_time::Timer::after_millis(50).await;
            let orders = std::fs::read_to_string("orders").unwrap_or_default();
            if orders != "hang" {
                beat += 1;
                std::fs::write("alive", beat.to_string()).unwrap();
            }
            // A start that the chip makes by itself, an update's for instance, is told as firmware does.
            if node.view.phase.get() == Phase::Running && told < node.view.boots.get() {
                told = node.view.boots.get();
                say(&format!("fake version {} slot a boot {told}", node.view.version.borrow()));
            }
            if let Ok(code) = orders.parse::<i32>() {
                say("flash: word at 0x1000 programmed twice");
                std::fs::remove_file("orders").unwrap();
                std::process::exit(code);
            }
            assert!(!uplink.is_finished(), "{}", uplink.ended().await);
        }
    });
}

/// A lab with emulated nodes, and its folder.
struct Desk {
    lab: Lab,
    folder: tempfile::TempDir,
}

fn start(nodes: u16, emulated: u16) -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let lab = open(folder.path(), nodes, emulated);
    Desk { lab, folder }
}

fn open(folder: &Path, nodes: u16, emulated: u16) -> Lab {
    let mut chip = vec![0xff; CHIP];
    let image = common::image("1.0.0", spore_image::Act::Healthy, 8_000);
    chip[0x2000..0x2000 + image.len()].copy_from_slice(&image);
    std::fs::write(folder.join("chip.bin"), chip).unwrap();
    let program = folder.join("emulator");
    let line = format!(
        "#!/bin/sh\n{FAKE}=1 exec '{}' --exact fake_emulator --ignored --nocapture --test-threads 1\n",
        std::env::current_exe().unwrap().display()
    );
    std::fs::write(&program, line).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let emulator =
        Emulator { program, rom: "none".into(), chip: folder.join("chip.bin"), arguments: Vec::new() };
    let options = Options {
        emulated,
        emulator: Some(emulator),
        state_dir: Some(folder.to_path_buf()),
        ..Options::in_memory(nodes, 1)
    };
    Lab::start(options).unwrap()
}

impl Desk {
    fn status(&self) -> Status {
        match self.lab.call(Command::Status) {
            Reply::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    /// The folder of the n-th node.
    fn home(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("node-{number}"))
    }

    fn log(&self, node: &str) -> String {
        match self.lab.call(Command::Log { node: node.to_owned(), lines: 400 }) {
            Reply::Log { lines } => lines.join("\n"),
            other => panic!("{other:?}"),
        }
    }

    fn order(&self, command: Command) {
        let reply = self.lab.call(command.clone());
        assert!(matches!(reply, Reply::Done { .. }), "{command:?}: {reply:?}");
    }

    /// Waits for something to come true. The limit is there so that a failure ends, and says nothing of speed.
    fn until(&self, what: &str, done: impl Fn(&Status) -> bool) -> Status {
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            let status = self.status();
            if done(&status) {
                return status;
            }
            if Instant::now() > end {
                let logs: Vec<String> =
                    (1..=status.nodes.len()).map(|node| self.log(&node.to_string())).collect();
                panic!("never: {what}\n{status:#?}\n{}", logs.join("\n\n"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn until_node(&self, number: usize, what: &str, done: impl Fn(&NodeStatus) -> bool) -> NodeStatus {
        self.until(what, |status| done(&status.nodes[number - 1])).nodes.swap_remove(number - 1)
    }
}

#[test]
fn all_see_all_and_a_fault_is_one_for_both_kinds() {
    let desk = start(1, 2);
    let status = desk.until("all see all", |status| status.converged);
    let kinds: Vec<&str> = status.nodes.iter().map(|node| node.kind.as_str()).collect();
    assert_eq!(kinds, ["virtual", "emulated", "emulated"]);
    for node in &status.nodes {
        assert_eq!((node.sees, node.board.as_str(), node.boots), (2, "virtual", 1), "{node:?}");
    }
    assert_eq!(status.nodes[1].version, "1.0.0");
    assert!(desk.log("2").contains("reset - cut -"), "{}", desk.log("2"));
    let serial = std::fs::read_to_string(desk.home(2).join("serial.log")).unwrap();
    assert!(serial.contains("fake version 1.0.0 slot a boot 1"), "{serial}");

    desk.order(Command::Cut { nodes: vec!["3".to_owned()] });
    desk.until("the cut is seen from both sides", |status| {
        status.nodes.iter().map(|node| node.sees).eq([1, 1, 0])
    });
    desk.order(Command::Heal);
    desk.until("all see all again", |status| status.converged);
}

#[test]
fn power_reset_and_access_point() {
    let desk = start(0, 1);
    let first = desk.until_node(1, "it runs", |node| node.state == "running");
    assert_eq!(first.reset_reason, "power on");
    desk.order(Command::Kill { node: "1".to_owned() });
    desk.until_node(1, "it is dark", |node| node.state == "off" && node.version.is_empty());
    assert!(UnixStream::connect(desk.home(1).join("port.sock")).is_err(), "nobody listens for a dark node");

    desk.order(Command::Restart { node: "1".to_owned() });
    desk.until_node(1, "it runs again", |node| node.state == "running" && node.boots == 2);
    desk.order(Command::Restart { node: "1".to_owned() });
    desk.until_node(1, "it was reset", |node| node.state == "running" && node.boots == 3);
    desk.order(Command::PowerCut { node: "1".to_owned(), at_flash_op: Some(7) });
    desk.until_node(1, "it starts to be torn", |node| node.state == "running" && node.boots == 4);
    let log = desk.log("1");
    assert_eq!(log.matches("reset - cut -").count(), 2, "{log}");
    assert!(log.contains("reset 2 cut -") && log.contains("reset - cut 7"), "{log}");

    desk.order(Command::AccessPoint { on: false, passphrase: None });
    let air = || std::fs::read_to_string(desk.home(1).join("air.txt")).unwrap();
    assert_eq!(air(), "");
    desk.order(Command::AccessPoint { on: true, passphrase: Some("another one".to_owned()) });
    assert_eq!(air(), "spore-lab\tanother one\t6\t-50\n");
    desk.order(Command::Heal);
    assert_eq!(air(), "spore-lab\tspore-lab-passphrase\t6\t-50\n");
}

#[test]
fn how_an_emulator_ends_decides_what_follows() {
    let desk = start(0, 1);
    let runs = |boots: u32| move |node: &NodeStatus| node.state == "running" && node.boots == boots;
    let order = |what: &str| std::fs::write(desk.home(1).join("orders"), what).unwrap();
    desk.until_node(1, "it runs", runs(1));
    order("70");
    desk.until_node(1, "a power cut is followed by a start", runs(2));
    assert!(desk.log("1").contains("power lost in a flash operation"));
    order("1");
    desk.until_node(1, "a crash is followed by a pause", |node| node.state == "crashed");
    desk.until_node(1, "and a start", runs(3));
    order("hang");
    desk.until_node(1, "the watchdog bites", |node| node.boots == 4);
    std::fs::remove_file(desk.home(1).join("orders")).unwrap();
    desk.until_node(1, "it is well again", runs(4));
    assert!(desk.log("1").contains("reset 4"), "{}", desk.log("1"));
    order("71");
    let broken = desk.until_node(1, "a broken rule ends it", |node| node.state == "broken");
    assert!(broken.reset_reason.contains("programmed twice"), "{broken:?}");
    desk.order(Command::Restart { node: "1".to_owned() });
    desk.until_node(1, "until it is started by hand", runs(5));
    let pid = std::fs::read_to_string(desk.home(1).join("pid")).unwrap();
    let alive = || std::process::Command::new("kill").args(["-0", &pid]).output().unwrap().status.success();
    assert!(alive());
    let Desk { lab, folder: _folder } = desk;
    drop(lab);
    assert!(!alive(), "the process ends before the lab has");
}

#[test]
fn the_flash_outlives_the_lab_and_nodes_can_be_added() {
    let desk = start(0, 1);
    desk.until("it runs", |status| status.nodes[0].state == "running");
    let Desk { lab, folder } = desk;
    drop(lab);
    let file = folder.path().join("node-1/flash.bin");
    let mut flash = std::fs::read(&file).unwrap();
    flash[0xF5000..0xF5004].copy_from_slice(b"kept");
    std::fs::write(&file, &flash).unwrap();
    let desk = Desk { lab: open(folder.path(), 0, 1), folder };
    assert_eq!(&std::fs::read(&file).unwrap()[0xF5000..0xF5004], b"kept");
    let boots = || {
        let serial = std::fs::read_to_string(desk.home(1).join("serial.log")).unwrap();
        serial.matches("fake version").count()
    };
    desk.until("it runs again", |status| status.nodes[0].state == "running");
    assert_eq!(boots(), 2, "the file of the serial line goes on");
    desk.order(Command::Add { count: 1, emulated: true });
    desk.until("all see all", |status| status.converged && status.nodes.len() == 2);
}

#[test]
fn without_what_it_takes_there_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let options = |emulator| Options {
        emulated: 1,
        emulator,
        state_dir: Some(folder.path().to_owned()),
        ..Options::in_memory(0, 1)
    };
    let error = Lab::start(options(None)).err().unwrap();
    assert!(error.to_string().contains("no emulator"), "{error:#}");
    let none = Emulator {
        program: "none".into(),
        rom: "none".into(),
        chip: folder.path().join("chip.bin"),
        arguments: Vec::new(),
    };
    let error = Lab::start(options(Some(none))).err().unwrap();
    assert!(format!("{error:#}").contains("chip.bin"), "{error:#}");
}
