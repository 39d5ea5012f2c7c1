//! Functions and their instructions, from what `objdump -d` prints.

use super::elf::{Elf, Kind};
use super::map::Input;

/// An operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arg {
    /// a0 to a15.
    Reg(u8),
    /// A number, or the address of a branch, a call or a literal.
    Number(u32),
    /// Anything else, such as a special register.
    Other,
}

/// An instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insn {
    pub address: u32,
    /// The address behind it.
    pub next: u32,
    /// The mnemonic, without the `.n` of the short form.
    pub op: String,
    pub args: Vec<Arg>,
}

impl Insn {
    /// The register that stands at this place.
    pub fn reg(&self, place: usize) -> Option<usize> {
        match self.args.get(place) {
            Some(Arg::Reg(reg)) => Some(usize::from(*reg)),
            _ => None,
        }
    }

    /// The number that stands at this place.
    pub fn number(&self, place: usize) -> Option<u32> {
        match self.args.get(place) {
            Some(Arg::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// Where it may go beside the next instruction, when it names that.
    pub fn target(&self) -> Option<u32> {
        let branches = self.op == "j" || (self.op.starts_with('b') && self.op != "break");
        if branches { self.args.last().and_then(|_| self.number(self.args.len() - 1)) } else { None }
    }

    /// Whether the next instruction never follows.
    pub fn ends(&self) -> bool {
        matches!(self.op.as_str(), "j" | "jx" | "ret" | "ill" | "break" | "rfe" | "rfi" | "rfde")
    }
}

/// A function: one symbol's instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub address: u32,
    pub end: u32,
    pub insns: Vec<Insn>,
}

/// All functions by address. `listing` is the output of `objdump -d --no-show-raw-insn`.
pub fn functions(elf: &Elf, inputs: &[Input], listing: &str) -> Vec<Function> {
    let insns = instructions(listing);
    let mut functions: Vec<Function> = Vec::new();
    let symbols: Vec<_> = elf
        .symbols
        .iter()
        .filter(|symbol| symbol.placed && elf.section_at(symbol.address).is_some_and(|section| section.code))
        .collect();
    for (index, symbol) in symbols.iter().enumerate() {
        if functions.last().is_some_and(|before| symbol.address < before.end) {
            continue;
        }
        // A label of an assembly file has no size: it goes to the next one, or to the end of its section.
        let input = inputs.iter().rev().find(|input| (input.address..input.end()).contains(&symbol.address));
        let end = if symbol.kind == Kind::Function && symbol.size > 0 {
            symbol.address.saturating_add(symbol.size)
        } else {
            let limit = input.map_or(u32::MAX, Input::end);
            let next =
                symbols.iter().skip(index + 1).map(|next| next.address).find(|next| *next > symbol.address);
            next.unwrap_or(limit).min(limit)
        };
        // Literals, and constants among the code, have symbols, too.
        let data = [".literal", ".flash", ".rodata"];
        if symbol.kind == Kind::Object
            || input.is_some_and(|input| data.iter().any(|kind| input.name.contains(kind)))
        {
            continue;
        }
        let first = insns.partition_point(|insn| insn.address < symbol.address);
        let behind = insns.partition_point(|insn| insn.address < end);
        if first < behind {
            functions.push(Function {
                name: symbol.name.clone(),
                address: symbol.address,
                end,
                insns: insns[first..behind].to_vec(),
            });
        }
    }
    functions
}

fn instructions(listing: &str) -> Vec<Insn> {
    let mut insns: Vec<Insn> = listing.lines().filter_map(instruction).collect();
    insns.sort_by_key(|insn| insn.address);
    for index in 1..insns.len() {
        insns[index - 1].next = insns[index].address;
    }
    insns
}

fn instruction(line: &str) -> Option<Insn> {
    let (address, rest) = line.split_once(":\t")?;
    let address = u32::from_str_radix(address.trim(), 16).ok()?;
    let mut parts = rest.split('\t').map(str::trim).filter(|part| !part.is_empty());
    let op = parts.next()?;
    let op = op.strip_suffix(".n").unwrap_or(op);
    let operands = parts.next().unwrap_or("");
    let operands = operands.split(['<', '(']).next().unwrap_or("").trim();
    let names_address = matches!(op, "j" | "call0" | "l32r") || (op.starts_with('b') && op != "break");
    let texts: Vec<_> = operands.split(',').map(str::trim).filter(|text| !text.is_empty()).collect();
    let args = texts.iter().enumerate().map(|(place, text)| {
        if let Some(reg) = text.strip_prefix('a').and_then(|number| number.parse().ok())
            && reg < 16
            && !(names_address && place + 1 == texts.len())
        {
            Arg::Reg(reg)
        } else if names_address && place + 1 == texts.len() {
            u32::from_str_radix(text, 16).map_or(Arg::Other, Arg::Number)
        } else {
            number(text).map_or(Arg::Other, Arg::Number)
        }
    });
    Some(Insn { address, next: address.wrapping_add(3), op: op.to_owned(), args: args.collect() })
}

fn number(text: &str) -> Option<u32> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some(if negative { value.wrapping_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_of_every_kind() {
        let line = "40206524:\tl32r\ta9, 402021b4 <x-0x2304> (3ffe8000 <y>)";
        let insn = instruction(line).unwrap();
        assert_eq!((insn.address, insn.op.as_str()), (0x4020_6524, "l32r"));
        assert_eq!(insn.args, [Arg::Reg(9), Arg::Number(0x4020_21B4)]);
        let branch = instruction("40206521:\tbltu\ta9, a8, 40206572 <f+0x66>").unwrap();
        assert_eq!(branch.target(), Some(0x4020_6572));
        let bit = instruction("40206521:\tbbsi\ta9, 3, a0206572").unwrap();
        assert_eq!(bit.args, [Arg::Reg(9), Arg::Number(3), Arg::Number(0xA020_6572)]);
        let short = instruction("10:\taddi.n\ta8, a1, -16").unwrap();
        assert_eq!((short.op.as_str(), short.number(2)), ("addi", Some(16_u32.wrapping_neg())));
        let hex = instruction("10:\tl32i\ta8, a1, 0x39c").unwrap();
        assert_eq!(hex.number(2), Some(0x39C));
        let jump = instruction("10:\tbreak\t1, 15").unwrap();
        assert_eq!((jump.target(), jump.ends()), (None, true));
        assert_eq!(instruction("40202010 <name>:"), None);
    }
}
