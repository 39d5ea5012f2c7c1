//! Packing of small ELF files made here, byte by byte as the formats say.

use embedded_storage::nor_flash::NorFlash;
use object::elf::{ELFCLASS32, ELFDATA2LSB, EM_386, EM_XTENSA, R_XTENSA_32, R_XTENSA_32_PCREL};
use spore_boot::{ResetCause, select, testkit::StrictFlash};
use spore_image::memory::Segment;
use spore_image::relocation::TABLE_BYTES;
use spore_image::{FlashMap, HEADER_BYTES, Header, Slot};
use spore_pack::{PackError, RomFreq, RomMode, RomSize, chip, pack, relocated_to_b, rom_image, rom_image_of};

const ENTRY: u32 = 0x4010_0004;
const IROM: u32 = 0x4020_3000;
/// Distance of the slots.
const DISTANCE: u32 = 0x7A000;

/// A section of an ELF file: name, address, content or length, relocations (offset, type, symbol's address).
struct Part<'a> {
    name: &'a str,
    address: u32,
    data: Vec<u8>,
    blank: u32,
    relocations: Vec<(u32, u32, u32)>,
}

fn part<'a>(name: &'a str, address: u32, words: &[u32]) -> Part<'a> {
    let data = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    Part { name, address, data, blank: 0, relocations: Vec::new() }
}

fn u16s(out: &mut Vec<u8>, values: &[u16]) {
    out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn u32s(out: &mut Vec<u8>, values: &[u32]) {
    out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

/// A linked 32-bit little-endian ELF file as `ld -q` writes it: sections, their relocations, a symbol for each of these.
fn elf(machine: u16, entry: u32, parts: &[Part<'_>]) -> Vec<u8> {
    let mut names = vec![0];
    let mut symbols = vec![0; 16];
    let mut body = Vec::new();
    // name, type, flags, address, offset, size, link, info, align, entry size
    let mut headers = vec![[0u32; 10]];
    let symbol_table = 1 + parts.len() as u32;
    let mut name = |text: &str| {
        let at = names.len() as u32;
        names.extend_from_slice(text.as_bytes());
        names.push(0);
        at
    };
    for part in parts {
        let (kind, size) = if part.data.is_empty() { (8, part.blank) } else { (1, part.data.len() as u32) };
        headers.push([name(part.name), kind, 2, part.address, 52 + body.len() as u32, size, 0, 0, 4, 0]);
        body.extend_from_slice(&part.data);
    }
    let mut tables = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        if part.relocations.is_empty() {
            continue;
        }
        let start = body.len() as u32;
        for (offset, kind, symbol) in &part.relocations {
            let number = symbols.len() as u32 / 16;
            u32s(&mut symbols, &[0, *symbol, 0]);
            symbols.extend([0, 0]);
            u16s(&mut symbols, &[0xFFF1]);
            u32s(&mut body, &[part.address + offset, number << 8 | kind, 0]);
        }
        let size = body.len() as u32 - start;
        tables.push([name(".rela"), 4, 0x40, 0, 52 + start, size, symbol_table, 1 + index as u32, 4, 12]);
    }
    headers.push([
        name(".symtab"),
        2,
        0,
        0,
        52 + body.len() as u32,
        symbols.len() as u32,
        symbol_table + 1,
        1,
        4,
        16,
    ]);
    body.extend(&symbols);
    let shstrtab = name(".strtab");
    headers.push([shstrtab, 3, 0, 0, 52 + body.len() as u32, names.len() as u32, 0, 0, 1, 0]);
    body.extend(&names);
    headers.extend(tables);
    body.resize(body.len().next_multiple_of(4), 0);
    let mut out = vec![0x7F, b'E', b'L', b'F', ELFCLASS32.0, ELFDATA2LSB.0, 1];
    out.resize(16, 0);
    u16s(&mut out, &[2, machine]);
    u32s(&mut out, &[1, entry, 0, 52 + body.len() as u32, 0]);
    u16s(&mut out, &[52, 0, 0, 40, headers.len() as u16, symbol_table as u16 + 1]);
    out.extend(body);
    for header in headers {
        u32s(&mut out, &header);
    }
    out
}

/// A firmware whose slot begins `distance` behind slot A.
fn firmware(distance: u32) -> Vec<Part<'static>> {
    let code = IROM + distance;
    let mut irom = part(".irom", code, &[1, code + 8, 0x4020_3000, code + 4, code]);
    // The third word looks like an address, but nothing says so.
    irom.relocations =
        [(4, code), (12, code), (16, code)].map(|(at, symbol)| (at, R_XTENSA_32.0, symbol)).to_vec();
    let mut iram = part(".iram", 0x4010_0000, &[7, code + 16, 0x3FFE_8000]);
    iram.relocations = vec![(4, R_XTENSA_32.0, code), (8, R_XTENSA_32.0, 0x3FFE_8000)];
    let mut data = part(".data", 0x3FFE_8000, &[code]);
    data.relocations = vec![(0, R_XTENSA_32.0, code)];
    let bss = Part { blank: 100, ..part(".bss", 0x3FFE_8010, &[]) };
    vec![irom, iram, data, bss]
}

fn packed(parts: &[Part<'_>]) -> Result<spore_pack::Packed, PackError> {
    pack(&elf(EM_XTENSA.0, ENTRY, parts), "esp8266-qemu", "spore", "1.2.3".parse().unwrap())
}

#[test]
fn everything_lies_where_the_page_says() {
    let packed = packed(&firmware(0)).unwrap();
    let header = Header::parse(&packed.image).unwrap();
    assert_eq!((packed.relocations, packed.table), (5, 6));
    assert_eq!((packed.flash, packed.iram, packed.dram_data, packed.dram_bss), (20, 12, 4, 100));
    assert_eq!((header.entry, header.link), (ENTRY, IROM));
    assert_eq!((header.board.as_str(), header.name.as_str()), ("esp8266-qemu", "spore"));
    let payload = &packed.image[HEADER_BYTES..];
    // Words 1, 3, 4 of .irom, word 1 of .iram, word 0 of .data: 961, +2, +1, +2, +2.
    assert_eq!(payload[..7], [0xC1, 0x07, 2, 1, 2, 2, 0xFF]);
    let code = TABLE_BYTES as usize;
    assert_eq!(payload[code..code + 8], [1, 0, 0, 0, 0x08, 0x30, 0x20, 0x40]);
    let table = header.segments;
    assert_eq!((table.offset, table.count), (TABLE_BYTES + 20 + 12 + 4, 2));
    let entry =
        |index: usize| Segment::parse(payload[table.offset as usize + 12 * index..].first_chunk().unwrap());
    assert_eq!(entry(0), Segment { address: 0x4010_0000, offset: TABLE_BYTES + 20, length: 12 });
    assert_eq!(entry(1), Segment { address: 0x3FFE_8000, offset: TABLE_BYTES + 32, length: 4 });
}

#[test]
fn moved_to_b_is_linked_for_b() {
    let image = packed(&firmware(0)).unwrap().image;
    let moved = relocated_to_b(&image).unwrap();
    let code = HEADER_BYTES + TABLE_BYTES as usize;
    let linked: Vec<u8> = firmware(DISTANCE).into_iter().flat_map(|part| part.data).collect();
    assert_eq!(moved[code..code + linked.len()], linked);
    assert_eq!(moved[..code], image[..code]);
    assert_ne!(moved, image);
    assert!(relocated_to_b(&moved).is_err(), "its SHA-256 is that of A");
}

#[test]
fn what_cannot_be_packed() {
    let change = |change: &dyn Fn(&mut Vec<Part<'static>>)| {
        let mut parts = firmware(0);
        change(&mut parts);
        packed(&parts).unwrap_err()
    };
    let misplaced = |error: PackError, name: &str| {
        assert!(matches!(&error, PackError::Misplaced { section, .. } if section == name), "{error}");
    };
    misplaced(change(&|parts| parts[0].address += 4), ".irom");
    misplaced(change(&|parts| parts[0].data.resize(0x79004, 0)), ".irom");
    misplaced(change(&|parts| parts[1].address = 0x4010_7FFC), ".iram");
    misplaced(change(&|parts| parts[2].address = 0x3FFF_7FFC + 4), ".data");
    misplaced(change(&|parts| parts[3].blank = 0x14000), ".bss");
    assert_eq!(change(&|parts| parts[1].name = ".text"), PackError::UnknownSection(".text".into()));
    assert_eq!(change(&|parts| drop(parts.remove(0))), PackError::Missing(".irom"));
    let word =
        |at: u32, kind: u32, symbol: u32| change(&move |parts| parts[0].relocations.push((at, kind, symbol)));
    assert_eq!(word(0, R_XTENSA_32.0, IROM), PackError::Unmovable(IROM), "an offset");
    assert_eq!(word(20, R_XTENSA_32.0, IROM), PackError::Unmovable(IROM + 20), "outside of the section");
    assert_eq!(word(0, R_XTENSA_32_PCREL.0, ENTRY), PackError::Unmovable(IROM), "a distance to RAM");
    let misaligned = change(&|parts| {
        parts[0].data.extend([0, 0, 0x08, 0x30, 0x20, 0x40]);
        parts[0].relocations.push((22, R_XTENSA_32.0, IROM));
    });
    assert_eq!(misaligned, PackError::Unmovable(IROM + 22));
    let foreign = elf(EM_386.0, ENTRY, &firmware(0));
    assert!(matches!(pack(&foreign, "esp8266", "x", "1.0.0".parse().unwrap()), Err(PackError::NotElf(_))));
    assert!(matches!(pack(b"no ELF", "esp8266", "x", "1.0.0".parse().unwrap()), Err(PackError::NotElf(_))));
    let flash = elf(EM_XTENSA.0, IROM, &firmware(0));
    assert!(matches!(pack(&flash, "esp8266", "x", "1.0.0".parse().unwrap()), Err(PackError::Image(_))));
}

#[test]
fn the_rom_image_is_as_esptool_writes_it() {
    let image = rom_image_of(
        0x4010_8000,
        &[(0x4010_8000, &[1, 2, 3, 4]), (0x3FFF_8000, &[5, 6, 7, 8, 9, 10, 11, 12])],
        RomMode::default(),
        RomSize::default(),
        RomFreq::default(),
    )
    .unwrap();
    assert_eq!(image[..8], [0xE9, 2, 3, 0x20, 0x00, 0x80, 0x10, 0x40]);
    assert_eq!(image[8..20], [0x00, 0x80, 0x10, 0x40, 4, 0, 0, 0, 1, 2, 3, 4]);
    assert_eq!(image[20..28], [0x00, 0x80, 0xFF, 0x3F, 8, 0, 0, 0]);
    assert_eq!(image.len(), 48);
    assert_eq!(image[36..47], [0; 11]);
    assert_eq!(image[47], (1..=12).fold(0xEF, |sum, byte| sum ^ byte));
    let settings = |mode, size, freq| rom_image_of(0, &[], mode, size, freq).unwrap()[2..4].to_vec();
    assert_eq!(settings(RomMode::Qio, RomSize::M4, RomFreq::Mhz80), [0, 0x4F]);
    assert_eq!(settings(RomMode::Dio, RomSize::M2, RomFreq::Mhz26), [2, 0x31]);
    assert_eq!(settings(RomMode::Qout, RomSize::M1, RomFreq::Mhz20), [1, 0x22]);
    let odd = rom_image_of(0, &[(0, &[1])], RomMode::Dout, RomSize::M1, RomFreq::Mhz40);
    assert!(matches!(odd, Err(PackError::Misplaced { .. })));
}

fn bootloader(bytes: usize) -> Result<Vec<u8>, PackError> {
    let parts = [part(".text", 0x4010_8000, &vec![0; bytes / 4]), part(".data", 0x3FFF_8000, &[1, 2])];
    rom_image(&elf(EM_XTENSA.0, 0x4010_8000, &parts), RomMode::Dout, RomSize::M1, RomFreq::Mhz40)
}

#[test]
fn bootloaders_have_their_place_and_their_size() {
    // 8 bytes of header, 8 for each segment, 8 of data, 1 of checksum.
    assert_eq!(bootloader(8192 - 36).unwrap().len(), 8192);
    assert_eq!(bootloader(8192 - 32), Err(PackError::RomTooLarge { bytes: 8208, room: 8192 }));
    let elsewhere = elf(EM_XTENSA.0, ENTRY, &[part(".text", 0x4010_0000, &[1])]);
    let error = rom_image(&elsewhere, RomMode::Dout, RomSize::M1, RomFreq::Mhz40).unwrap_err();
    assert!(matches!(error, PackError::Misplaced { .. }), "{error}");
}

#[test]
fn a_new_chip_starts() {
    let boot = bootloader(400).unwrap();
    let image = packed(&firmware(0)).unwrap().image;
    for (bytes, nibble) in [(1u32 << 20, 2), (2 << 20, 3), (4 << 20, 4)] {
        let content = chip(&boot, &image, bytes).unwrap();
        assert_eq!(content.len(), bytes as usize);
        assert_eq!((content[3] >> 4, &content[4..boot.len()]), (nibble, &boot[4..]));
        let map = FlashMap::for_size(bytes).unwrap();
        let mut flash = StrictFlash::new(&map);
        // Words that are blank in the file can still be programmed; the stricter chip of the tests takes only what is not.
        let (a, record) = (map.slot(Slot::A), map.record().offset as usize);
        flash.flash_serially(a.offset, &content[a.offset as usize..a.offset as usize + image.len()]);
        flash.write(record as u32, &content[record..record + 64]).unwrap();
        assert!(content[record + 64..].iter().all(|byte| *byte == 0xFF));
        let boot = select(&mut flash, &map, "esp8266-qemu", ResetCause::PowerOn).unwrap();
        assert_eq!((boot.slot, boot.trial, boot.boot_count), (Slot::A, false, 1));
    }
    assert!(matches!(chip(&boot, &image, 3 << 20), Err(PackError::Chip(_))));
    assert!(matches!(chip(b"junk", &image, 1 << 20), Err(PackError::NoRomImage)));
    assert!(matches!(chip(&boot, &image[..900], 1 << 20), Err(PackError::Image(_))));
    assert!(matches!(chip(&[0xE9; 9000], &image, 1 << 20), Err(PackError::RomTooLarge { .. })));
}
