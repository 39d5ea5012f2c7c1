//! What of an ELF file matters here.

use crate::error::PackError;
use object::elf::{EM_XTENSA, FileHeader32, R_XTENSA_32, R_XTENSA_32_PCREL, SHF_ALLOC, SHT_NOBITS};
use object::read::elf::{ElfFile, FileHeader, SectionHeader};
use object::{LittleEndian, Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget};

/// A linked program.
pub(crate) struct Program {
    /// Address of its first instruction.
    pub entry: u32,
    /// Sections with content, by address.
    pub loaded: Vec<Section>,
    /// Sections without content.
    pub blank: Vec<Section>,
}

/// A section that has addresses.
pub(crate) struct Section {
    pub name: String,
    pub address: u32,
    /// Bytes it takes up.
    pub bytes: u32,
    /// Content, empty or as long as `bytes`.
    pub data: Vec<u8>,
    /// Words the linker filled in, if it was told to keep that (`-q`).
    pub words: Vec<Word>,
}

/// A word the linker filled in.
pub(crate) struct Word {
    pub address: u32,
    /// Address of the symbol it was computed from.
    pub symbol: u32,
    /// Whether it is a distance from itself instead of an address.
    pub relative: bool,
}

impl Program {
    /// Reads a linked program.
    pub(crate) fn parse(elf: &[u8]) -> Result<Self, PackError> {
        let not = |error: object::Error| PackError::NotElf(error.to_string());
        let file = ElfFile::<FileHeader32<LittleEndian>>::parse(elf).map_err(not)?;
        if file.elf_header().e_machine(LittleEndian) != EM_XTENSA {
            return Err(PackError::NotElf("it is for another machine".into()));
        }
        let narrow =
            |value: u64| u32::try_from(value).map_err(|_| PackError::NotElf("it is too large".into()));
        let mut program = Self { entry: narrow(file.entry())?, loaded: Vec::new(), blank: Vec::new() };
        for section in file.sections() {
            let header = section.elf_section_header();
            if !header.sh_flags(LittleEndian).contains(SHF_ALLOC) || section.size() == 0 {
                continue;
            }
            let mut words = Vec::new();
            for (address, relocation) in section.relocations() {
                let RelocationFlags::Elf { r_type } = relocation.flags() else { continue };
                if r_type != R_XTENSA_32 && r_type != R_XTENSA_32_PCREL {
                    continue;
                }
                let symbol = match relocation.target() {
                    RelocationTarget::Symbol(index) => file.symbol_by_index(index).map_err(not)?.address(),
                    _ => 0,
                };
                words.push(Word {
                    address: narrow(address)?,
                    symbol: narrow(symbol)?,
                    relative: r_type == R_XTENSA_32_PCREL,
                });
            }
            let blank = header.sh_type(LittleEndian) == SHT_NOBITS;
            let part = Section {
                name: section.name().map_err(not)?.to_owned(),
                address: narrow(section.address())?,
                bytes: narrow(section.size())?,
                data: if blank { Vec::new() } else { section.data().map_err(not)?.to_vec() },
                words,
            };
            if blank { program.blank.push(part) } else { program.loaded.push(part) }
        }
        program.loaded.sort_by_key(|section| section.address);
        Ok(program)
    }
}

impl Section {
    /// Fails unless the section lies in this range of addresses.
    pub(crate) fn inside(&self, range: core::ops::Range<u32>, place: &'static str) -> Result<(), PackError> {
        let room = range.end.checked_sub(self.address);
        if self.address >= range.start && room.is_some_and(|room| self.bytes <= room) {
            return Ok(());
        }
        let Self { name, address, bytes, .. } = self;
        Err(PackError::Misplaced { section: name.clone(), address: *address, bytes: *bytes, place })
    }

    /// The content, filled up with zeros to whole words.
    pub(crate) fn words_of_data(&self) -> Vec<u8> {
        let mut data = self.data.clone();
        data.resize(data.len().next_multiple_of(4), 0);
        data
    }
}
