//! The cases, by number.

mod chip;
mod flash;
mod pins;

use crate::rom;

/// Ends with a line unless something is so.
macro_rules! require {
    ($what:expr, $condition:expr) => {
        if !$condition {
            fail(concat!("not so: ", $what, "\n\0"));
        }
    };
}

use require;

#[cold]
fn fail(line: &str) -> ! {
    // SAFETY: the line ends with a NUL.
    unsafe { rom::ets_printf(c"%s".as_ptr(), line.as_ptr()) };
    spore_hidden::exit(1)
}

/// Runs a case.
pub(crate) fn run(case: u32) {
    // SAFETY: each case uses the ROM as its test wants it.
    unsafe {
        match case {
            1 => chip::formats(),
            2 => chip::numbers(),
            3 => chip::texts(),
            4 => chip::restart(),
            5 => chip::interrupts(),
            6 => chip::delay(),
            7 => chip::watchdog(),
            8 => flash::cache(),
            9 => flash::cache_cost(),
            10 => chip::exceptions(),
            11 => chip::services(),
            12 => flash::flash(),
            13 => {
                chip::own_vectors();
                chip::exceptions();
            }
            14 => {
                chip::own_vectors();
                chip::interrupts();
            }
            15 => flash::kept_window(),
            16 => chip::masked(),
            17 => chip::interrupted(),
            18 => pins::used(),
            19 => pins::sleep(),
            34 => pins::timer(),
            20 => flash::twice(),
            21 => flash::misaligned(),
            22 => flash::past_the_end(),
            23 => flash::while_cached(),
            24 => flash::from_flash(),
            25 => flash::hidden_code(),
            26 => chip::missing(),
            27 => chip::no_task(),
            28 => chip::no_handler(),
            29 => chip::trap(),
            30 => flash::again(),
            31 => pins::not_a_pin(),
            32 => pins::flash_line(),
            33 => pins::too_many(),
            _ => spore_hidden::exit(9),
        }
    }
    spore_hidden::exit(0)
}
