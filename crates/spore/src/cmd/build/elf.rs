//! A linked program: its sections, symbols and words.

use crate::exit::{Failure, Outcome};
use object::elf::{FileHeader32, SHF_ALLOC, SHF_EXECINSTR, SHT_NOBITS, STT_FUNC, STT_OBJECT};
use object::read::elf::{ElfFile, SectionHeader as _};
use object::{LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _};
use std::collections::BTreeMap;
use std::path::Path;

type Header = FileHeader32<LittleEndian>;

/// A section that takes addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    pub name: String,
    pub address: u32,
    pub size: u32,
    /// Holds instructions.
    pub code: bool,
    /// Empty for a section that takes no room in the file (`.bss`).
    pub bytes: Vec<u8>,
}

impl Section {
    /// The first address behind it.
    pub fn end(&self) -> u32 {
        self.address.saturating_add(self.size)
    }
}

/// What a symbol names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Function,
    Object,
    /// A label of an assembly file, or of the linker script.
    Label,
}

/// A name for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    pub name: String,
    pub address: u32,
    pub size: u32,
    pub kind: Kind,
    /// Defined in a section, not as a mere number.
    pub placed: bool,
}

/// A linked program.
#[derive(Debug, Clone, Default)]
pub struct Elf {
    pub sections: Vec<Section>,
    /// Where it begins.
    pub entry: u32,
    /// By address.
    pub symbols: Vec<Symbol>,
    pub names: BTreeMap<String, u32>,
}

impl Elf {
    /// Read a file.
    pub fn read(path: &Path) -> Outcome<Self> {
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::other(format!("cannot read {}: {error}", path.display()))
        };
        let data = std::fs::read(path).map_err(|error| cannot(&error))?;
        Self::parse(&data).map_err(|error| cannot(&error))
    }

    fn parse(data: &[u8]) -> object::Result<Self> {
        let file = ElfFile::<Header>::parse(data)?;
        let endian = file.endian();
        let mut elf = Self { entry: file.entry() as u32, ..Self::default() };
        for section in file.sections() {
            let header = section.elf_section_header();
            let flags = header.sh_flags(endian);
            if !flags.contains(SHF_ALLOC) || header.sh_size(endian) == 0 {
                continue;
            }
            elf.sections.push(Section {
                name: section.name()?.to_owned(),
                address: header.sh_addr(endian),
                size: header.sh_size(endian),
                code: flags.contains(SHF_EXECINSTR),
                bytes: if header.sh_type(endian) == SHT_NOBITS {
                    Vec::new()
                } else {
                    section.data()?.to_owned()
                },
            });
        }
        elf.sections.sort_by_key(|section| section.address);
        for symbol in file.symbols() {
            let name = symbol.name().unwrap_or_default();
            let raw = symbol.elf_symbol();
            let kind = match raw.st_type() {
                STT_FUNC => Kind::Function,
                STT_OBJECT => Kind::Object,
                object::elf::STT_NOTYPE => Kind::Label,
                _ => continue,
            };
            if name.is_empty() || symbol.is_undefined() {
                continue;
            }
            let address = symbol.address() as u32;
            elf.names.entry(name.to_owned()).or_insert(address);
            let placed = symbol.section_index().is_some();
            elf.symbols.push(Symbol {
                name: name.to_owned(),
                address,
                size: symbol.size() as u32,
                kind,
                placed,
            });
        }
        elf.symbols.sort_by(|a, b| (a.address, b.size, &a.name).cmp(&(b.address, a.size, &b.name)));
        Ok(elf)
    }

    /// The section that holds this address.
    pub fn section_at(&self, address: u32) -> Option<&Section> {
        self.sections.iter().find(|section| (section.address..section.end()).contains(&address))
    }

    /// The word that lies at this address.
    pub fn word(&self, address: u32) -> Option<u32> {
        let section = self.section_at(address)?;
        let start = (address - section.address) as usize;
        let bytes = section.bytes.get(start..start + 4)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// The address that this symbol names.
    pub fn address(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }
}
