//! Which serial port a board is on: the one that was named, or the only USB adapter.

use crate::context::Context;
use crate::exit::{Failure, Kind, Outcome};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What to check when there is no port.
pub const PLUG_IN: &str = "plug the USB adapter in, with a cable that carries data (many only charge). Linux: `sudo dmesg | tail` \
    names the port when it appears, and a virtual machine or WSL must be given the device. macOS: adapters with a CH340 or \
    CP210x may want their maker's driver. A port that is not found can be named: --port /dev/ttyUSB0";

/// Where Linux lists its serial ports.
const SYSFS: &str = "/sys/class/tty";
/// How far above a port its USB device is looked for.
const LEVELS: usize = 6;

/// A port and what is plugged in there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its device file.
    pub path: PathBuf,
    /// What the adapter calls itself, if it says so.
    pub what: String,
}

/// The port that was named by `--port`, or `SPORE_PORT`, or else the only one there is.
pub fn choose(named: Option<&Path>, context: &Context) -> Outcome<PathBuf> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    if let Some(setting) = context.env.get("SPORE_PORT") {
        context.note(&format!("port {} ({})", setting.value, setting.origin));
        return Ok(setting.value.into());
    }
    let port = only(found())?;
    let what = if port.what.is_empty() { String::new() } else { format!(" ({})", port.what) };
    context.note(&format!("port {}{what}", port.path.display()));
    Ok(port.path)
}

/// Every serial port that is a USB adapter.
pub fn found() -> Vec<Port> {
    let mut ports = if cfg!(target_os = "macos") {
        named_like_adapters(Path::new("/dev"))
    } else {
        listed(Path::new(SYSFS))
    };
    ports.sort_by(|one, other| one.path.cmp(&other.path));
    ports
}

fn only(mut ports: Vec<Port>) -> Outcome<Port> {
    let none =
        || Failure::new(Kind::Unreachable, "no serial port: no USB adapter is plugged in").hint(PLUG_IN);
    if ports.len() > 1 {
        let lines: Vec<_> =
            ports.iter().map(|port| format!("\n  {}  {}", port.path.display(), port.what)).collect();
        let lines = lines.concat();
        return Err(Failure::other(format!("there are several serial ports:{}", lines.trim_end()))
            .hint("say which: --port DEVICE, or SPORE_PORT=DEVICE in .env"));
    }
    ports.pop().ok_or_else(none)
}

/// Linux: the ports in a folder like `/sys/class/tty` whose device hangs below a USB device.
fn listed(folder: &Path) -> Vec<Port> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let port = |name: &str| {
        let device = folder.join(name).join("device").canonicalize().ok()?;
        let usb = device.ancestors().take(LEVELS).find(|above| above.join("idVendor").is_file())?;
        let text =
            |file| fs::read_to_string(usb.join(file)).map(|text| text.trim().to_owned()).unwrap_or_default();
        let what = [text("manufacturer"), text("product")].into_iter().filter(|text| !text.is_empty());
        let ids = format!("{}:{}", text("idVendor"), text("idProduct"));
        let what = what.chain([ids]).collect::<Vec<_>>().join(" ");
        Some(Port { path: Path::new("/dev").join(name), what })
    };
    entries.filter_map(|entry| port(entry.file_name().to_str()?)).collect()
}

/// macOS: the ports that drivers of adapters name.
fn named_like_adapters(folder: &Path) -> Vec<Port> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let known = ["cu.usb", "cu.wchusb", "cu.SLAB"];
    let adapter = |path: &PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| known.iter().any(|known| name.starts_with(known)))
    };
    entries.map(|entry| entry.path()).filter(adapter).map(|path| Port { path, what: String::new() }).collect()
}

/// The name of the group a file belongs to, unless that is root's.
pub fn group_of(path: &Path) -> Option<String> {
    let id = fs::metadata(path).ok()?.gid();
    let groups = fs::read_to_string("/etc/group").ok()?;
    let group =
        groups.lines().find(|line| line.split(':').nth(2).is_some_and(|field| field.parse() == Ok(id)))?;
    group.split(':').next().filter(|_| id != 0).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A folder like `/sys`: a USB adapter with a port, and a port on the mainboard.
    fn sysfs(root: &Path, adapters: &[&str]) -> PathBuf {
        let class = root.join("class/tty");
        let mainboard = root.join("devices/platform/serial8250");
        for folder in [&class.join("ttyS0"), &class.join("console"), &mainboard] {
            fs::create_dir_all(folder).unwrap();
        }
        symlink(&mainboard, class.join("ttyS0/device")).unwrap();
        for name in adapters {
            let usb = root.join("devices/pci/usb1").join(name);
            let port = usb.join("1-1:1.0").join(name);
            fs::create_dir_all(&port).unwrap();
            fs::write(usb.join("idVendor"), "1a86\n").unwrap();
            fs::write(usb.join("idProduct"), "7523\n").unwrap();
            fs::write(usb.join("product"), "USB Serial\n").unwrap();
            fs::create_dir_all(class.join(name)).unwrap();
            symlink(&port, class.join(name).join("device")).unwrap();
        }
        class
    }

    #[test]
    fn usb_adapters_are_found_and_other_ports_are_not() {
        let temp = tempfile::tempdir().unwrap();
        let none = only(listed(&sysfs(temp.path(), &[]))).unwrap_err();
        assert_eq!(none.kind, Kind::Unreachable);
        assert!(none.hint.unwrap().contains("--port"));

        let temp = tempfile::tempdir().unwrap();
        let one = only(listed(&sysfs(temp.path(), &["ttyUSB0"]))).unwrap();
        assert_eq!(one, Port { path: "/dev/ttyUSB0".into(), what: "USB Serial 1a86:7523".into() });

        let temp = tempfile::tempdir().unwrap();
        let several = only(listed(&sysfs(temp.path(), &["ttyUSB0", "ttyACM1"]))).unwrap_err();
        for part in ["/dev/ttyUSB0  USB Serial 1a86:7523", "/dev/ttyACM1"] {
            assert!(several.message.contains(part), "{}", several.message);
        }
        assert!(listed(Path::new("/nowhere")).is_empty());
    }

    #[test]
    fn macos_names() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["cu.usbserial-10", "tty.usbserial-10", "cu.Bluetooth-Incoming-Port", "cu.wchusbserial1"]
        {
            fs::write(temp.path().join(name), "").unwrap();
        }
        assert_eq!(named_like_adapters(temp.path()).len(), 2);
    }

    #[test]
    fn a_flag_wins_over_the_environment() {
        let temp = tempfile::tempdir().unwrap();
        let line = |line: &[&str]| {
            crate::testing::run_in(temp.path(), line, &[("SPORE_PORT", "/nowhere/env")])
                .0
                .unwrap_err()
                .message
        };
        assert!(line(&["monitor"]).contains("/nowhere/env"));
        assert!(line(&["monitor", "--port", "/nowhere/flag"]).contains("/nowhere/flag"));
    }
}
