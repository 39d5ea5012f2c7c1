//! Integers, shifts, memory, control flow.

use crate::{Fold, Numbers};
use core::hint::black_box;

const ROUNDS: u32 = 500;

pub(crate) fn u32s() -> u32 {
    let (mut fold, mut numbers) = (Fold::new(), Numbers::new(1));
    for _ in 0..ROUNDS {
        let (a, b) = (numbers.u32(), numbers.u32());
        fold.u32(a.wrapping_add(b));
        fold.u32(a.wrapping_sub(b));
        fold.u32(a.wrapping_mul(b));
        fold.u32(a.checked_div(b).unwrap_or(7));
        fold.u32(a.checked_rem(b).unwrap_or(9));
        fold.u32(a.saturating_add(b));
        fold.u32(a.checked_mul(b).unwrap_or(3));
        fold.u32(a.abs_diff(b));
        fold.u32(u32::from(a < b) << 2 | u32::from(a == b) << 1 | u32::from(a >= b));
        fold.u64(u64::from(a) * u64::from(b));
        fold.u32(a / 10 + a % 1000 + a / 7);
    }
    fold.end()
}

pub(crate) fn i32s() -> u32 {
    let (mut fold, mut numbers) = (Fold::new(), Numbers::new(2));
    for _ in 0..ROUNDS {
        let (a, b) = (numbers.u32().cast_signed(), numbers.u32().cast_signed());
        for value in [
            a.wrapping_add(b),
            a.wrapping_mul(b),
            a.checked_div(b).unwrap_or(7),
            a.checked_rem(b).unwrap_or(9),
            a.rem_euclid(if b == 0 { 1 } else { b.wrapping_abs() | 1 }),
            a.saturating_sub(b),
            a.signum(),
            a >> (b & 31),
            a.min(b),
            a.max(b),
        ] {
            fold.u32(value.cast_unsigned());
        }
        fold.u64((i64::from(a) * i64::from(b)).cast_unsigned());
    }
    fold.end()
}

pub(crate) fn u64s() -> u32 {
    let (mut fold, mut numbers) = (Fold::new(), Numbers::new(3));
    for _ in 0..ROUNDS {
        let (a, b) = (numbers.u64(), numbers.u64());
        fold.u64(a.wrapping_add(b));
        fold.u64(a.wrapping_sub(b));
        fold.u64(a.wrapping_mul(b));
        fold.u64(a.checked_div(b).unwrap_or(7));
        fold.u64(a.checked_rem(b).unwrap_or(9));
        fold.u64(a / 1000);
        fold.u64(a % 1_000_000);
        fold.u64(a.saturating_add(b));
        fold.u64(a.checked_sub(b).unwrap_or(5));
        fold.u32(u32::from(a < b) << 1 | u32::from(a == b));
        fold.u64(a.checked_div(b & 0xFFFF).unwrap_or(1));
    }
    fold.end()
}

pub(crate) fn i64s() -> u32 {
    let (mut fold, mut numbers) = (Fold::new(), Numbers::new(4));
    for _ in 0..ROUNDS {
        let (a, b) = (numbers.u64().cast_signed(), numbers.u64().cast_signed());
        for value in [
            a.wrapping_add(b),
            a.wrapping_mul(b),
            a.checked_div(b).unwrap_or(7),
            a.checked_rem(b).unwrap_or(9),
            a.saturating_sub(b),
            a >> (b & 63),
            a.min(b),
            a.wrapping_neg(),
        ] {
            fold.u64(value.cast_unsigned());
        }
    }
    fold.end()
}

pub(crate) fn shifts() -> u32 {
    let (mut fold, mut numbers) = (Fold::new(), Numbers::new(5));
    for _ in 0..ROUNDS {
        let (a, wide) = (numbers.u32(), numbers.u64());
        for by in [0, 1, 7, 8, 15, 16, 31, numbers.u32() & 31] {
            fold.u32(a << by);
            fold.u32(a >> by);
            fold.u32((a.cast_signed() >> by).cast_unsigned());
            fold.u32(a.rotate_left(by));
            fold.u32(a.rotate_right(by));
        }
        for by in [0, 1, 31, 32, 33, 63, numbers.u32() & 63] {
            fold.u64(wide << by);
            fold.u64(wide >> by);
            fold.u64((wide.cast_signed() >> by).cast_unsigned());
            fold.u64(wide.rotate_left(by));
        }
    }
    fold.end()
}

pub(crate) fn narrow() -> u32 {
    let (mut fold, mut numbers) = (Fold::new(), Numbers::new(6));
    for _ in 0..ROUNDS {
        let a = numbers.u32();
        let (byte, half) = (a as u8, a as u16);
        fold.u32(u32::from(byte.wrapping_mul(7).wrapping_sub(3)));
        fold.u32(i32::from(byte.cast_signed().wrapping_neg()).cast_unsigned());
        fold.u32(i32::from(half.cast_signed() >> 3).cast_unsigned());
        fold.u32(u32::from(half.swap_bytes()) | u32::from(half.leading_zeros() as u8) << 16);
        fold.bytes(&a.to_be_bytes());
        fold.u32(u32::from(byte.saturating_add(100)) + u32::from(half.saturating_sub(1000)));
    }
    fold.end()
}

pub(crate) fn bits() -> u32 {
    let (mut fold, mut numbers) = (Fold::new(), Numbers::new(7));
    for _ in 0..ROUNDS {
        let (a, wide) = (numbers.u32(), numbers.u64());
        for count in [
            a.leading_zeros(),
            a.trailing_zeros(),
            a.count_ones(),
            wide.leading_zeros(),
            wide.trailing_zeros(),
            wide.count_ones(),
        ] {
            fold.u32(count);
        }
        fold.u32(a.reverse_bits());
        fold.u32(a.swap_bytes());
        fold.u64(wide.swap_bytes());
    }
    fold.end()
}

pub(crate) fn floats() -> u32 {
    let (mut fold, mut numbers) = (Fold::new(), Numbers::new(8));
    for _ in 0..ROUNDS {
        let (a, b) = ((numbers.u32() >> 8) as f32 / 256.0, (numbers.u32() >> 16) as f32 + 0.5);
        for value in [a + b, a - b, a * b, a / b, -a] {
            fold.u32(value.to_bits());
        }
        fold.u32((a / b) as u32);
        fold.u32(u32::from(a < b) << 1 | u32::from(a == b));
    }
    fold.end()
}

pub(crate) fn moves() -> u32 {
    let (mut fold, mut numbers) = (Fold::new(), Numbers::new(9));
    let mut area = [0u8; 256];
    for _ in 0..ROUNDS {
        let (from, to) = (numbers.u32() as usize & 127, numbers.u32() as usize & 127);
        let length = numbers.u32() as usize & 127;
        area.copy_within(from..from + length, to);
        if let Some(part) = area.get_mut(to..to + length / 2) {
            part.fill(numbers.u32() as u8);
        }
        if let Some(place) = area.get_mut(from) {
            *place = place.wrapping_add(1);
        }
        fold.bytes(&area);
        let (left, right) = area.split_at(128);
        fold.u32(u32::from(left == right) << 1 | u32::from(left < right));
    }
    fold.end()
}

pub(crate) fn sorting() -> u32 {
    let (mut fold, mut numbers) = (Fold::new(), Numbers::new(10));
    let mut list = [0u32; 100];
    for _ in 0..10 {
        for place in &mut list {
            *place = numbers.u32();
        }
        list.sort_unstable();
        fold.u32(u32::from(list.is_sorted()));
        for value in &list {
            fold.u32(*value);
        }
        fold.u32(list.binary_search(&numbers.u32()).unwrap_or_else(|at| at) as u32);
    }
    fold.end()
}

/// What a jump table is made of, and what is not.
#[derive(Clone, Copy)]
enum Kind {
    Nothing,
    One(u8),
    Two(u16, u8),
    Many([u32; 3]),
    Text(&'static str),
}

pub(crate) fn matching() -> u32 {
    let (mut fold, mut numbers) = (Fold::new(), Numbers::new(11));
    for _ in 0..ROUNDS {
        let a = numbers.u32();
        let kind = black_box(match a % 9 {
            0 => Kind::Nothing,
            1 | 2 => Kind::One(a as u8),
            3 => Kind::Two(a as u16, (a >> 16) as u8),
            4..=6 => Kind::Many([a, a ^ 1, !a]),
            _ => Kind::Text(if a & 16 == 0 { "even" } else { "odd, and longer" }),
        });
        match kind {
            Kind::Nothing => fold.u32(0),
            Kind::One(value) => fold.bytes(&[value]),
            Kind::Two(half, byte) => fold.u32(u32::from(half) + u32::from(byte)),
            Kind::Many(values) => values.iter().for_each(|value| fold.u32(*value)),
            Kind::Text(text) => fold.bytes(text.as_bytes()),
        }
    }
    fold.end()
}
