//! Which constants may stay in flash, where only whole words can be read.
//!
//! Data RAM is the scarcest memory of an ESP8266, so constants go there only if they must. They may stay in flash when
//! - they are a function's jump tables (`.rodata.<function>`), which the compiler alone reads, by words; or
//! - they have the form of a trait object's table: drop function, size, alignment, methods; or
//! - no function reads a byte or half a word of them, nor hands their address on, nor is it kept in data.
//!
//! Everything else, and whatever code uses that runs with the flash cache off, goes to data RAM.

use super::disasm::{self, Function};
use super::elf::Elf;
use super::flow::{self, Object, World};
use super::map::Input;
use std::collections::{BTreeMap, BTreeSet};

/// Where the draft puts constants, far from everything else …
pub const DRAFT: u32 = 0x1000_0000;
/// … and so far from one another that an address tells which one it was made from.
pub const APART: u32 = 4096;

/// A constant that may stay in flash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stays {
    /// The object file's name in the link.
    pub file: String,
    pub section: String,
    pub size: u32,
}

/// Words of data that are addresses of code, sorted.
pub fn code_words(elf: &Elf) -> Vec<u32> {
    let data = elf.sections.iter().flat_map(|section| {
        // In a section of code, constants lie among the instructions.
        section
            .bytes
            .chunks_exact(4)
            .map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    });
    let ranges: Vec<_> = elf
        .sections
        .iter()
        .filter(|section| section.code)
        .map(|section| section.address..section.end())
        .collect();
    let words: BTreeSet<u32> = data.filter(|word| ranges.iter().any(|range| range.contains(word))).collect();
    words.into_iter().collect()
}

/// Whether code of this section runs with the flash cache off, or may.
pub fn is_iram(section: &str) -> bool {
    section.starts_with(".iram") || section.contains("ExceptionVector") || section.starts_with(".UserEnter")
}

/// Judge the constants of a draft. `alignments` holds those of the object files' sections, by file and name.
pub fn judge(
    elf: &Elf,
    inputs: &[Input],
    listing: &str,
    alignments: &BTreeMap<(String, String), u64>,
) -> Vec<Stays> {
    let functions = disasm::functions(elf, inputs, listing);
    let names: BTreeSet<(&str, &str)> =
        inputs.iter().map(|input| (input.file.as_str(), input.name.as_str())).collect();
    let candidates: Vec<&Input> = inputs
        .iter()
        .filter(|input| (DRAFT..DRAFT + 0x1000_0000).contains(&input.address) && input.size.is_multiple_of(4))
        // Merged constants of a kind cannot be told apart.
        .filter(|input| !input.name.starts_with(".rodata.cst") && !input.name.starts_with(".rodata.str"))
        .filter(|input| {
            let file = input.file.rsplit('/').next().unwrap_or_default().to_owned();
            alignments.get(&(file, input.name.clone())).is_some_and(|align| *align >= 4)
        })
        .collect();
    let objects = candidates
        .iter()
        .map(|input| Object { name: input.name.clone(), address: input.address, size: input.size })
        .collect();
    let world = World { elf, objects, margin: APART / 4, code_words: code_words(elf) };
    let mut moves = BTreeSet::new();
    let mut cache_off = BTreeSet::new();
    for function in &functions {
        let summary = flow::follow(&world, function);
        moves.extend(summary.narrow.iter().map(|narrow| narrow.object));
        moves.extend(&summary.escapes);
        if in_iram(function, inputs) {
            cache_off.extend(summary.literals.iter().flat_map(|(_, address)| world.origins(*address)));
        }
    }
    for section in elf.sections.iter().filter(|section| !section.code) {
        for bytes in section.bytes.chunks_exact(4) {
            let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            moves.extend(world.origins(word));
        }
    }
    let stays = candidates.iter().enumerate().filter(|(index, input)| {
        let table = input.name.strip_prefix(".rodata.").is_some_and(|function| {
            names.contains(&(input.file.as_str(), format!(".text.{function}").as_str()))
        });
        !cache_off.contains(index) && (table || is_trait_table(elf, input) || !moves.contains(index))
    });
    let mut stays: Vec<_> = stays
        .map(|(_, input)| Stays {
            file: input.file.rsplit('/').next().unwrap_or_default().to_owned(),
            section: input.name.clone(),
            size: input.size,
        })
        .collect();
    stays.sort();
    stays
}

fn in_iram(function: &Function, inputs: &[Input]) -> bool {
    let input = inputs.iter().find(|input| (input.address..input.end()).contains(&function.address));
    input.is_some_and(|input| is_iram(&input.name))
}

/// Drop function or 0, size, alignment, then methods, of which one at least is code.
fn is_trait_table(elf: &Elf, input: &Input) -> bool {
    let is_code = |word: u32| elf.section_at(word).is_some_and(|section| section.code);
    let words: Vec<u32> =
        (input.address..input.end()).step_by(4).filter_map(|address| elf.word(address)).collect();
    let [drop, size, align, methods @ ..] = words.as_slice() else { return false };
    (*drop == 0 || is_code(*drop))
        && *size < 1 << 20
        && align.is_power_of_two()
        && *align <= 16
        && size.is_multiple_of(*align)
        && methods.iter().all(|word| is_code(*word))
        && (is_code(*drop) || !methods.is_empty())
}

/// The lines of `word-constants.ld`.
pub fn script(stays: &[Stays]) -> String {
    stays.iter().map(|stay| format!("*{}({})\n", stay.file, stay.section)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::elf::Section;
    use super::*;

    fn elf(words: &[u32]) -> Elf {
        let section = |name: &str, address, code, words: &[u32]| Section {
            name: name.into(),
            address,
            size: 4 * words.len() as u32,
            code,
            bytes: words.iter().flat_map(|word| word.to_le_bytes()).collect(),
        };
        let sections =
            vec![section(".draft", DRAFT, false, words), section(".irom", 0x4020_3000, true, &[0; 16])];
        Elf { sections, ..Elf::default() }
    }

    #[test]
    fn tables_of_trait_objects_are_told_by_their_form() {
        let table = |words: &[u32]| {
            let input = Input {
                name: "x".into(),
                address: DRAFT,
                size: 4 * words.len() as u32,
                file: "app.o".into(),
            };
            is_trait_table(&elf(words), &input)
        };
        let code = 0x4020_3000;
        assert!(table(&[0, 8, 4, code, code + 4]));
        assert!(table(&[code, 12, 4]));
        assert!(!table(&[0, 8, 4]), "three numbers");
        assert!(!table(&[0, 8, 3, code]), "no alignment");
        assert!(!table(&[0, 6, 4, code]), "no size of that alignment");
        assert!(!table(&[0, 8, 4, code, 17]), "a number among the methods");
        assert!(!table(&[code, 4]));
    }
}
