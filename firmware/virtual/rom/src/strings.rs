//! C strings, as the ROM has them. What works on memory (`memcpy` and the like) and numbers comes from Rust's compiler_builtins.

/// `strlen(text)`.
///
/// # Safety
/// `text` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn rom_strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: up to the NUL.
    while unsafe { text.add(length).read() } != 0 {
        length += 1;
    }
    length
}

/// `strcmp(a, b)`.
///
/// # Safety
/// Both are C strings.
#[unsafe(no_mangle)]
unsafe extern "C" fn rom_strcmp(a: *const u8, b: *const u8) -> i32 {
    // SAFETY: by the caller.
    unsafe { rom_strncmp(a, b, usize::MAX) }
}

/// `strncmp(a, b, length)`.
///
/// # Safety
/// Both are C strings, or at least `length` bytes long.
#[unsafe(no_mangle)]
unsafe extern "C" fn rom_strncmp(a: *const u8, b: *const u8, length: usize) -> i32 {
    for at in 0..length {
        // SAFETY: neither NUL has been passed.
        let (a, b) = unsafe { (a.add(at).read(), b.add(at).read()) };
        if a != b || a == 0 {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

/// `strcpy(to, from)`.
///
/// # Safety
/// `from` is a C string; `to` has room for it.
#[unsafe(no_mangle)]
unsafe extern "C" fn rom_strcpy(to: *mut u8, from: *const u8) -> *mut u8 {
    // SAFETY: by the caller; they do not overlap.
    unsafe { core::ptr::copy_nonoverlapping(from, to, rom_strlen(from) + 1) };
    to
}

/// `strncpy(to, from, length)`: filled up with NULs.
///
/// # Safety
/// `from` is a C string or at least `length` bytes long; `to` has `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn rom_strncpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    let mut ended = false;
    for at in 0..length {
        // SAFETY: `from` is not read behind its NUL.
        unsafe {
            let byte = if ended { 0 } else { from.add(at).read() };
            ended |= byte == 0;
            to.add(at).write(byte);
        }
    }
    to
}

/// `strstr(text, part)`: where it is found, or null.
///
/// # Safety
/// Both are C strings.
#[unsafe(no_mangle)]
unsafe extern "C" fn rom_strstr(mut text: *const u8, part: *const u8) -> *const u8 {
    // SAFETY: by the caller.
    unsafe {
        let length = rom_strlen(part);
        loop {
            if rom_strncmp(text, part, length) == 0 {
                return text;
            }
            if text.read() == 0 {
                return core::ptr::null();
            }
            text = text.add(1);
        }
    }
}

/// `bzero(to, length)`.
///
/// # Safety
/// `to` has `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn rom_bzero(to: *mut u8, length: usize) {
    // SAFETY: by the caller.
    unsafe { core::ptr::write_bytes(to, 0, length) };
}

/// `__umulsidi3(a, b)`: the whole product.
#[unsafe(no_mangle)]
extern "C" fn rom_umulsidi3(a: u32, b: u32) -> u64 {
    u64::from(a) * u64::from(b)
}
