//! The page a node serves at `GET /`: compressed when the crate is built, kept in flash, sent as it is.

const BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/index.html.gz"));

/// Bytes of the page.
pub const LENGTH: usize = BYTES.len();

/// The page in words, little end first, zeros after its end: on an ESP8266 it stays in flash, where only whole aligned words
/// can be read.
#[cfg_attr(target_arch = "xtensa", allow(unsafe_code, reason = "the section's name is the linker script's"))]
#[cfg_attr(target_arch = "xtensa", unsafe(link_section = ".flash.page"))]
static PAGE: [u32; LENGTH.div_ceil(4)] = {
    let mut words = [0; LENGTH.div_ceil(4)];
    let mut at = 0;
    while at < LENGTH {
        words[at / 4] |= (BYTES[at] as u32) << (at % 4 * 8);
        at += 1;
    }
    words
};

/// Copies the page from byte `at`, a multiple of 4, into `out`: HTML in UTF-8 as one gzip member of at most 12,288 bytes, to
/// be sent with `Content-Encoding: gzip`. Gives how many bytes: as many as there are, and as fit in whole words; 0 at the end.
pub fn read(at: usize, out: &mut [u8]) -> usize {
    let words = PAGE.get(at / 4..).unwrap_or_default();
    let mut count = 0;
    for (place, word) in out.chunks_exact_mut(4).zip(words) {
        // Not to become a copy of bytes.
        place.copy_from_slice(&core::hint::black_box(*word).to_le_bytes());
        count += 4;
    }
    count.min(LENGTH.saturating_sub(at))
}

/// Entity tag of the page with its quotes, for `ETag` and `If-None-Match` (RFC 9110, 8.8.3): the first eight bytes of
/// the SHA-256 of its bytes in hex. It changes whenever the page does.
pub const ETAG: &str = env!("SPORE_PAGE_ETAG");

#[cfg(test)]
#[path = "../page/minify.rs"]
mod minify;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn unpacked() -> String {
        let mut text = String::new();
        flate2::read::GzDecoder::new(BYTES).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn fits_and_is_gzip_without_a_time() {
        const { assert!(LENGTH <= 12_288) };
        assert_eq!(BYTES[..3], [0x1f, 0x8b, 8]);
        assert_eq!(BYTES[4..8], [0; 4], "a time in the header would make builds differ");
    }

    #[test]
    fn reads_the_same_in_pieces_of_any_size() {
        for size in [4, 7, 1000, 20_000] {
            let (mut all, mut piece) = (Vec::new(), vec![0; size]);
            while let count @ 1.. = read(all.len(), &mut piece) {
                all.extend_from_slice(&piece[..count]);
            }
            assert_eq!(all, BYTES, "{size}");
        }
    }

    #[test]
    fn unpacks_to_the_source_minified() {
        let text = unpacked();
        assert_eq!(text, minify::minify(include_str!("../page/index.html")).unwrap());
        assert!(text.starts_with("<!doctype html>") && text.trim_end().ends_with("</html>"));
    }

    #[test]
    fn loads_nothing_and_never_inserts_markup() {
        let text = unpacked();
        for word in [
            "src=",
            "@import",
            "url(",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!text.contains(word), "{word} in the page");
        }
    }

    #[test]
    fn tag_is_quoted_hex() {
        let hex = ETAG.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap();
        assert!(hex.len() == 16 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn minifier_leaves_alone_what_counts() {
        let page = |script: &str| format!("<style>\na{{}}\n</style><script>{script}</script>");
        let squeezed = |script: &str| {
            let text = minify::minify(&page(script)).unwrap();
            text.split_once("<script>").unwrap().1.strip_suffix("</script>").unwrap().to_string()
        };
        assert_eq!(squeezed("const a = b + +c;"), "const a=b+ +c;");
        assert_eq!(squeezed("say('a  b \\' ;  c', \"d  e\");"), "say('a  b \\' ;  c',\"d  e\");");
        assert_eq!(squeezed("x = y.split(/ [/ ]  '/);"), "x=y.split(/ [/ ]  '/);");
        assert_eq!(squeezed("a = b / c / d;"), "a=b/c/d;");
        assert_eq!(squeezed("return  x\n  ++y"), "return x\n++y");
        assert_eq!(squeezed("f(a,\n  b);\n// gone\ng();"), "f(a,b);g();");
        assert!(minify::minify(&page("`a`")).is_err());
        assert!(minify::minify("no parts").is_err());
    }
}
