//! From an address in a crash to the line of source, where the firmware that crashed was built here.

use crate::api::NodeStatus;
use crate::image::BUILT;
use spore_image::{FlashMap, Header, Slot};
use std::path::Path;
use std::process::{Command, Stdio};

/// The program that knows: one of the binutils that link the firmware.
const ADDR2LINE: &str = "xtensa-lx106-elf-addr2line";
/// Functions shown at most: what was inlined into what.
const DEPTH: usize = 4;
/// The address at which flash appears.
const FLASH: u32 = 0x4020_0000;

/// Where a node's last crash was, a line a function, innermost first. Empty when it did not crash, or when the image it
/// runs is not the one that was built in this project last.
pub fn of_crash(status: &NodeStatus, root: &Path) -> Vec<String> {
    let folder = root.join("build").join(&status.board);
    let built = std::fs::read(folder.join(BUILT)).ok().and_then(|bytes| Header::parse(&bytes).ok());
    let (Some(address), Some(built), Some(image)) = (address(&status.reset_reason), built, &status.image)
    else {
        return Vec::new();
    };
    if crate::image::hex(&built.sha256) != image.sha256 {
        return Vec::new();
    }
    let Some(address) = linked(address, &image.slot) else { return Vec::new() };
    look_up(address, &folder.join("firmware.elf"), root)
}

/// What lies at an address of this firmware, in whichever slot it runs: a line a function, innermost first.
pub fn places(address: u32, elf: &Path, root: &Path) -> Vec<String> {
    linked(address, Slot::B.as_str()).map(|address| look_up(address, elf, root)).unwrap_or_default()
}

fn look_up(address: u32, elf: &Path, root: &Path) -> Vec<String> {
    let output = Command::new(ADDR2LINE)
        .args(["-f", "-C", "-i", "-e"])
        .arg(elf)
        .arg(format!("{address:#x}"))
        .stdin(Stdio::null())
        .output();
    output.map(|output| lines(&String::from_utf8_lossy(&output.stdout), root)).unwrap_or_default()
}

/// The address in a reason such as `panic at 0x40212345 in task worker`.
fn address(reason: &str) -> Option<u32> {
    let (_, rest) = reason.split_once(" at 0x")?;
    u32::from_str_radix(rest.split(' ').next()?, 16).ok()
}

/// The address as the linker knows it: as if the image ran from slot A.
fn linked(address: u32, slot: &str) -> Option<u32> {
    let map = FlashMap::for_size(1 << 20).ok()?;
    let (a, b) = (map.slot(Slot::A).offset, map.slot(Slot::B));
    let inside = (FLASH + b.offset..FLASH + b.end()).contains(&address);
    Some(if slot == Slot::B.as_str() && inside { address - b.offset + a } else { address })
}

/// What the program says: a function, then its place, and again for the function that was inlined into.
fn lines(said: &str, root: &Path) -> Vec<String> {
    let said: Vec<_> = said.lines().collect();
    let known = said.chunks_exact(2).filter(|pair| !pair[0].starts_with('?') && !pair[1].starts_with('?'));
    let root = format!("{}/", root.display());
    known
        .take(DEPTH)
        .map(|pair| format!("{} at {}", pair[0], pair[1].strip_prefix(&root).unwrap_or(pair[1])))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_reasons() {
        assert_eq!(address("panic at 0x40212345 in task worker"), Some(0x4021_2345));
        assert_eq!(
            address("exception 28 (load prohibited) at 0x40100f00 accessing 0x00000004"),
            Some(0x4010_0f00)
        );
        for reason in ["power on", "", "panic at 0xzz", "restart"] {
            assert_eq!(address(reason), None);
        }
    }

    #[test]
    fn code_in_slot_b_is_where_a_would_have_it() {
        assert_eq!(linked(0x4020_3000, "a"), Some(0x4020_3000));
        assert_eq!(linked(0x4027_D000, "b"), Some(0x4020_3000));
        assert_eq!(linked(0x4010_0100, "b"), Some(0x4010_0100), "RAM is where it is");
    }

    #[test]
    fn functions_and_places() {
        let said =
            "core::option::unwrap_failed\n/rustc/x/option.rs:7\nspore_node::greet\n/p/crates/node.rs:304\n";
        assert_eq!(
            lines(said, Path::new("/p")),
            [
                "core::option::unwrap_failed at /rustc/x/option.rs:7",
                "spore_node::greet at crates/node.rs:304"
            ]
        );
        assert!(lines("??\n??:0\n", Path::new("/p")).is_empty());
    }
}
