//! GNU ld's map: which input section lies where, and from which file.

/// A piece of the program as the compiler or assembler made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The section's name in the object file: `.text.<symbol>`, `.rodata..Lanon.<hash>.<n>`, …
    pub name: String,
    pub address: u32,
    pub size: u32,
    /// The file, with the archive's member in brackets.
    pub file: String,
}

impl Input {
    /// The first address behind it.
    pub fn end(&self) -> u32 {
        self.address.saturating_add(self.size)
    }
}

/// The input sections that take room, by address.
pub fn parse(text: &str) -> Vec<Input> {
    let mut inputs = Vec::new();
    // A long name has a line of its own, before its numbers.
    let mut pending: Option<&str> = None;
    let body = text.split_once("Linker script and memory map").map_or("", |(_, body)| body);
    for line in body.lines() {
        let indent = line.len() - line.trim_start().len();
        let mut words = line.split_whitespace();
        let name = match indent {
            1 if line.trim_start().starts_with('.')
                || line.trim_start() == "COMMON"
                || line.starts_with(" COMMON ") =>
            {
                pending = None;
                words.next()
            }
            16 => pending.take(),
            _ => {
                pending = None;
                continue;
            }
        };
        let Some(name) = name else { continue };
        let rest: Vec<_> = words.collect();
        match rest.as_slice() {
            [] => pending = Some(name),
            [address, size, file @ ..] if !file.is_empty() => {
                if let (Some(address), Some(size)) = (hex(address), hex(size))
                    && size > 0
                {
                    inputs.push(Input { name: name.to_owned(), address, size, file: file.join(" ") });
                }
            }
            _ => {}
        }
    }
    // What has no address (debug information) lies at 0.
    inputs.retain(|input| input.address != 0);
    inputs.sort_by(|a, b| (a.address, &a.name).cmp(&(b.address, &b.name)));
    inputs
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_names() {
        let text = "Discarded input sections\n\n .text.gone   0x00000000  0x4 app.o\n\nLinker script and memory map\n\n\
                    .irom           0x40203000    0x10\n *(.literal .text)\n .text.a       0x40203000        0x8 app.o\n\
                    \u{20}.text.a_very_long_name\n                0x40203008        0x8 lib/x.a(m.o)\n *fill*         0x40203010        0x4 \n\
                    \u{20}.text.empty    0x40203014        0x0 app.o\n                0x40203014                _end = .\n\
                    \u{20}COMMON         0x3ffe8000        0x4 sdk.o\n .debug_info    0x00000000      0x100 app.o\n";
        let input = |name: &str, address, file: &str| Input {
            name: name.into(),
            address,
            size: if name == "COMMON" { 4 } else { 8 },
            file: file.into(),
        };
        let expected = [
            input("COMMON", 0x3FFE_8000, "sdk.o"),
            input(".text.a", 0x4020_3000, "app.o"),
            input(".text.a_very_long_name", 0x4020_3008, "lib/x.a(m.o)"),
        ];
        assert_eq!(parse(text), expected);
    }
}
