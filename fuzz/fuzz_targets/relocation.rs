//! Relocation and segment tables: whatever they hold, nothing panics, moving twice changes nothing, and a table that passes the
//! check is moved like the words it names. The first two bytes are the number of entries, the third the size of the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spore_image::build::build_image;
use spore_image::header::Table;
use spore_image::relocation::TABLE_BYTES;
use spore_image::{FlashMap, Header, Relocator, Slot, Verifier, FLASH_WINDOW, HEADER_BYTES, VIRTUAL_BOARD};

const TABLE: usize = TABLE_BYTES as usize;

/// The payload in the other slot.
fn moved(map: &FlashMap, payload: &[u8], entries: u32, words: usize) -> Vec<u8> {
    let mut out = payload.to_vec();
    let mut relocator = Relocator::new(map, entries);
    for piece in out.chunks_mut(words * 4) {
        let table = |offset: u32, bytes: &mut [u8]| {
            bytes.copy_from_slice(&payload[..TABLE][offset as usize..][..bytes.len()]);
            Ok::<(), ()>(())
        };
        relocator.piece(piece, table).expect("the table can be read");
    }
    out
}

fuzz_target!(|data: &[u8]| {
    let Some((&[low, high, size], data)) = data.split_first_chunk() else { return };
    let entries = u32::from(u16::from_le_bytes([low, high]));
    let map = FlashMap::for_size(1 << 20).expect("there is a map");
    // The first half is the table's beginning, the second what lies behind it.
    let (table, code) = data.split_at(data.len() / 2);
    let mut payload = vec![0xFF; TABLE];
    let length = table.len().min(TABLE);
    payload[..length].copy_from_slice(&table[..length]);
    payload.extend_from_slice(code);
    payload.extend_from_slice(&(FLASH_WINDOW + map.slot(Slot::A).offset).to_le_bytes());
    let there = moved(&map, &payload, entries, usize::from(size) + 1);
    assert_eq!(there[..TABLE], payload[..TABLE]);
    assert_eq!(moved(&map, &there, entries, 64), payload);

    let mut header = Header::new(VIRTUAL_BOARD, "fuzz", "1.0.0".parse().expect("a version")).expect("a header");
    header.relocations = Table { offset: 0, count: entries };
    header.segments = Table { offset: (TABLE as u32) * u32::from(size & 1), count: u32::from(size & 1) };
    let Ok(image) = build_image(header, &payload) else { return };
    let judge = |piece: usize| {
        let mut verifier = Verifier::new(VIRTUAL_BOARD, map.slot_bytes());
        image.chunks(piece).try_for_each(|chunk| verifier.update(chunk).map(drop))?;
        verifier.finish().map(drop)
    };
    let verdict = judge(image.len());
    assert_eq!(judge(usize::from(size) + 1), verdict);
    if verdict.is_ok() && entries == 0 {
        assert_eq!(there, payload);
    }
    assert!(image.len() > HEADER_BYTES);
});
