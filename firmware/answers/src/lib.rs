//! Asks the known answers on the LX106 in QEMU (no ROM, no SDK: only the core), prints a line for each and ends with the number of
//! wrong ones as exit code.
#![no_std]
#![feature(asm_experimental_arch)]

use core::arch::{asm, global_asm};

// A stack, zeroed statics, interrupts off. The debug vector ends the program with code 99: a panic.
global_asm!(
    ".section .vectors, \"ax\"",
    ".balign 16",
    ".org 0x10",
    "movi a2, 1",
    "movi a3, 99",
    ".byte 0x00, 0x51, 0x00", // simcall
    ".org 0x30",
    "movi a2, 1",
    "movi a3, 98",
    ".byte 0x00, 0x51, 0x00",
    ".org 0x50",
    "movi a2, 1",
    "movi a3, 98",
    ".byte 0x00, 0x51, 0x00",
    ".section .text.start, \"ax\"",
    ".balign 4",
    ".Lvectors: .4byte _vectors",
    ".Lstack: .4byte _stack_top",
    ".Lbss_start: .4byte _bss_start",
    ".Lbss_end: .4byte _bss_end",
    ".Lmain: .4byte spore_answers_main",
    ".global _start",
    ".balign 4",
    "_start:",
    "l32r a1, .Lstack",
    "l32r a2, .Lvectors",
    "wsr a2, vecbase",
    "movi a2, 0x20",
    "wsr a2, ps",
    "rsync",
    "l32r a2, .Lbss_start",
    "l32r a3, .Lbss_end",
    "movi a4, 0",
    "1: bgeu a2, a3, 2f",
    "s32i a4, a2, 0",
    "addi a2, a2, 4",
    "j 1b",
    "2: l32r a0, .Lmain",
    "callx0 a0",
);

fn simcall(number: u32, a: u32, b: u32, c: u32) -> u32 {
    let result;
    // SAFETY: a request to QEMU; what it reads lies in RAM.
    unsafe {
        asm!(".byte 0x00, 0x51, 0x00",
            inout("a2") number => result, inout("a3") a => _, in("a4") b, in("a5") c)
    };
    result
}

fn print(text: &str) {
    simcall(4, 1, text.as_ptr().addr() as u32, text.len() as u32);
}

#[unsafe(no_mangle)]
extern "C" fn spore_answers_main() -> ! {
    let mut wrong = 0;
    for case in spore_answers::CASES {
        let holds = case.holds();
        wrong += u32::from(!holds);
        print(if holds { "ok   " } else { "FAIL " });
        print(case.name);
        print("\n");
    }
    loop {
        simcall(1, wrong, 0, 0);
    }
}

#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        simcall(1, 99, 0, 0);
    }
}
