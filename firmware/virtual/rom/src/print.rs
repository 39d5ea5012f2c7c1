//! Text: the ROM's `ets_printf` and its relatives, and this crate's own messages.

use crate::{chip::Cell, uart};
use core::fmt;

/// Sends text as `ets_uart_putc1` does: a new line as CR LF, CR alone dropped.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn rom_uart_putc1(byte: u8) {
    match byte {
        b'\n' => {
            uart::send(b'\r');
            uart::send(b'\n');
        }
        b'\r' => {}
        other => uart::send(other),
    }
}

type Put = extern "C" fn(u8);

static PUT: Cell<Option<Put>> = Cell::new(None);

/// `ets_write_char(byte)`: to the function installed, the UART at first.
#[unsafe(no_mangle)]
extern "C" fn rom_write_char(byte: u8) {
    match *PUT.get() {
        Some(put) => put(byte),
        None => rom_uart_putc1(byte),
    }
}

/// `ets_install_putc1(function)`: where `ets_printf` sends its characters; null for nowhere but the UART.
#[unsafe(no_mangle)]
extern "C" fn rom_install_putc1(put: Option<Put>) {
    *PUT.get() = put;
}

/// `ets_install_uart_printf()`: to the UART.
#[unsafe(no_mangle)]
extern "C" fn rom_install_uart_printf() {
    *PUT.get() = None;
}

/// The arguments of a variadic function: GCC's `va_list` for Xtensa, call0.
#[repr(C)]
struct Arguments {
    /// Where the words of the caller's stack begin, minus 32.
    stack: *const u32,
    /// Where the words of a2 to a7 lie.
    registers: *const u32,
    /// Offset of the next one; from 32 on (after 24) they lie on the stack.
    next: u32,
}

impl Arguments {
    /// The next word.
    fn word(&mut self) -> u32 {
        let base = if self.next < 24 {
            self.registers
        } else {
            self.next = self.next.max(32);
            self.stack
        };
        let at = base.wrapping_byte_add(self.next as usize);
        self.next += 4;
        // SAFETY: whoever wrote the format promised that there is an argument.
        unsafe { *at }
    }
}

/// `ets_printf(format, ...)`: the number of characters. `registers` points at six words, of which the first is the format's place.
///
/// # Safety
/// `format` is a C string; the arguments are as it says.
#[unsafe(no_mangle)]
unsafe extern "C" fn rom_printf(format: *const u8, registers: *const u32, stack: *const u32) -> u32 {
    let arguments = Arguments { stack: stack.wrapping_byte_sub(32), registers, next: 4 };
    // SAFETY: by the caller.
    unsafe { print(rom_write_char, format, arguments) }
}

/// `ets_vprintf(put, format, arguments)`: the number of characters. The `va_list` is handed over as its three words.
///
/// # Safety
/// `format` is a C string; the arguments are as it says.
#[unsafe(no_mangle)]
unsafe extern "C" fn rom_vprintf(
    put: Put,
    format: *const u8,
    stack: *const u32,
    registers: *const u32,
    next: u32,
) -> u32 {
    // SAFETY: by the caller.
    unsafe { print(put, format, Arguments { stack, registers, next }) }
}

/// One directive of a format.
#[derive(Default)]
struct Field {
    left: bool,
    zeros: bool,
    width: u32,
    precision: Option<u32>,
}

/// Counts what it hands on.
struct Output {
    put: Put,
    count: u32,
}

impl Output {
    fn byte(&mut self, byte: u8) {
        (self.put)(byte);
        self.count = self.count.wrapping_add(1);
    }

    fn fill(&mut self, byte: u8, times: u32) {
        for _ in 0..times {
            self.byte(byte);
        }
    }

    /// A text in its field.
    fn text(&mut self, field: &Field, text: impl Iterator<Item = u8> + Clone) {
        let room = field.width.saturating_sub(text.clone().count() as u32);
        if !field.left {
            self.fill(b' ', room);
        }
        text.for_each(|byte| self.byte(byte));
        if field.left {
            self.fill(b' ', room);
        }
    }

    /// A number in its field.
    fn number(&mut self, field: &Field, negative: bool, mut value: u32, base: u32, letters: u8) {
        let mut digits = [0; 10];
        let mut first = digits.len();
        loop {
            let digit = (value % base) as u8;
            value /= base;
            first -= 1;
            digits[first] = if digit < 10 { b'0' + digit } else { letters + digit - 10 };
            if value == 0 {
                break;
            }
        }
        let length = (digits.len() - first) as u32 + u32::from(negative);
        let zeros =
            field.precision.map_or(0, |precision| (precision + u32::from(negative)).saturating_sub(length));
        let room = field.width.saturating_sub(length + zeros);
        let (spaces, zeros) =
            if field.zeros && !field.left && field.precision.is_none() { (0, room) } else { (room, zeros) };
        if !field.left {
            self.fill(b' ', spaces);
        }
        if negative {
            self.byte(b'-');
        }
        self.fill(b'0', zeros);
        digits[first..].iter().for_each(|&digit| self.byte(digit));
        if field.left {
            self.fill(b' ', spaces);
        }
    }
}

/// The bytes of a C string.
#[derive(Clone)]
struct Bytes(*const u8);

impl Iterator for Bytes {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        // SAFETY: whoever made this promised a C string; its NUL is never passed.
        let byte = unsafe { *self.0 };
        (byte != 0).then(|| {
            self.0 = self.0.wrapping_add(1);
            byte
        })
    }
}

/// Prints: `%d %i %u %x %X %p %c %s %%` with `-`, `0`, width, precision (both also as `*`); `l` and `h` change nothing.
///
/// # Safety
/// `format` is a C string; the arguments are as it says.
unsafe fn print(put: Put, format: *const u8, mut arguments: Arguments) -> u32 {
    let mut output = Output { put, count: 0 };
    let mut format = Bytes(format).peekable();
    while let Some(byte) = format.next() {
        if byte != b'%' {
            output.byte(byte);
            continue;
        }
        let mut field = Field::default();
        while let Some(flag) = format.next_if(|&byte| matches!(byte, b'-' | b'0' | b'#' | b'+' | b' ')) {
            field.left |= flag == b'-';
            field.zeros |= flag == b'0';
        }
        let number = |format: &mut core::iter::Peekable<Bytes>, arguments: &mut Arguments| {
            if format.next_if_eq(&b'*').is_some() {
                return arguments.word();
            }
            let mut number = 0u32;
            while let Some(digit) = format.next_if(u8::is_ascii_digit) {
                number = number.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
            }
            number
        };
        field.width = number(&mut format, &mut arguments);
        if format.next_if_eq(&b'.').is_some() {
            field.precision = Some(number(&mut format, &mut arguments));
        }
        while format.next_if(|&byte| matches!(byte, b'l' | b'h')).is_some() {}
        match format.next() {
            Some(b'd' | b'i') => {
                let value = arguments.word() as i32;
                output.number(&field, value < 0, value.unsigned_abs(), 10, b'a');
            }
            Some(b'u') => output.number(&field, false, arguments.word(), 10, b'a'),
            Some(b'x' | b'p') => output.number(&field, false, arguments.word(), 16, b'a'),
            Some(b'X') => output.number(&field, false, arguments.word(), 16, b'A'),
            Some(b'c') => output.text(&field, core::iter::once(arguments.word() as u8)),
            Some(b's') => {
                let text = match arguments.word() {
                    0 => c"(null)".as_ptr().cast(),
                    address => address as *const u8,
                };
                output.text(&field, Bytes(text).take(field.precision.unwrap_or(u32::MAX) as usize));
            }
            Some(b'%') => output.byte(b'%'),
            Some(other) => {
                output.byte(b'%');
                output.byte(other);
            }
            None => output.byte(b'%'),
        }
    }
    output.count
}

/// Back to the state at reset.
pub(crate) fn reset() {
    *PUT.get() = None;
}

/// Sends a text to the UART, whatever is installed.
pub(crate) fn say(text: &str) {
    text.bytes().for_each(|byte| rom_uart_putc1(byte));
}

/// Sends a formatted line to the UART, whatever is installed.
pub(crate) fn line(arguments: fmt::Arguments<'_>) {
    struct Uart;
    impl fmt::Write for Uart {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            say(text);
            Ok(())
        }
    }
    // The UART takes everything; there is no error.
    let _ = fmt::Write::write_fmt(&mut Uart, arguments);
    say("\n");
}
