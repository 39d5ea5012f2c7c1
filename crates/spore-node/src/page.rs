//! The pages a node serves: compressed when the crate is built, kept in flash, sent as they are.

/// A page: HTML in UTF-8 as one gzip member, to be sent with `Content-Encoding: gzip`.
#[derive(Debug)]
pub struct Page {
    /// Little end first, zeros after the end: on an ESP8266 they stay in flash, where only whole aligned words can be read.
    words: &'static [u32],
    /// Bytes.
    pub length: usize,
    /// Entity tag with its quotes, for `ETag` and `If-None-Match` (RFC 9110, 8.8.3): the first eight bytes of the SHA-256
    /// of its bytes in hex. It changes whenever the page does.
    pub tag: &'static str,
}

/// Puts a file into a page whose words stay in flash.
macro_rules! page {
    ($(#[$doc:meta])* $name:ident, $file:literal, $tag:literal) => {
        $(#[$doc])*
        pub static $name: Page = {
            const BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/", $file));
            #[cfg_attr(target_arch = "xtensa", allow(unsafe_code, reason = "the section's name is the linker script's"))]
            #[cfg_attr(target_arch = "xtensa", unsafe(link_section = concat!(".flash.page.", $file)))]
            static WORDS: [u32; BYTES.len().div_ceil(4)] = words(BYTES);
            Page { words: &WORDS, length: BYTES.len(), tag: env!($tag) }
        };
    };
}

page!(
    /// All about a node, at `GET /`: at most 12,288 bytes.
    NODE, "index.html.gz", "SPORE_PAGE_INDEX"
);
page!(
    /// The choice of a network, at `GET /wifi`, which guests of a node's own access point are led to: at most 2,560 bytes.
    WIFI, "wifi.html.gz", "SPORE_PAGE_WIFI"
);

const fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    let mut at = 0;
    while at < bytes.len() {
        words[at / 4] |= (bytes[at] as u32) << (at % 4 * 8);
        at += 1;
    }
    words
}

impl Page {
    /// Copies the page from byte `at`, a multiple of 4, into `out`. Gives how many bytes: as many as there are, and as fit in
    /// whole words; 0 at the end.
    pub fn read(&self, at: usize, out: &mut [u8]) -> usize {
        let words = self.words.get(at / 4..).unwrap_or_default();
        let mut count = 0;
        for (place, word) in out.chunks_exact_mut(4).zip(words) {
            // Not to become a copy of bytes.
            place.copy_from_slice(&core::hint::black_box(*word).to_le_bytes());
            count += 4;
        }
        count.min(self.length.saturating_sub(at))
    }
}

#[cfg(test)]
#[path = "../page/minify.rs"]
mod minify;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// The pages, their bytes, their sources.
    const PAGES: [(&Page, &[u8], &str); 2] = [
        (
            &NODE,
            include_bytes!(concat!(env!("OUT_DIR"), "/index.html.gz")),
            include_str!("../page/index.html"),
        ),
        (&WIFI, include_bytes!(concat!(env!("OUT_DIR"), "/wifi.html.gz")), include_str!("../page/wifi.html")),
    ];

    fn unpacked(bytes: &[u8]) -> String {
        let mut text = String::new();
        flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn gzip_without_a_time() {
        for (page, bytes, _) in PAGES {
            assert_eq!(page.length, bytes.len());
            assert_eq!(bytes[..3], [0x1f, 0x8b, 8]);
            assert_eq!(bytes[4..8], [0; 4], "a time in the header would make builds differ");
        }
    }

    #[test]
    fn reads_the_same_in_pieces_of_any_size() {
        for (page, bytes, _) in PAGES {
            for size in [4, 7, 1000, 20_000] {
                let (mut all, mut piece) = (Vec::new(), vec![0; size]);
                while let count @ 1.. = page.read(all.len(), &mut piece) {
                    all.extend_from_slice(&piece[..count]);
                }
                assert_eq!(all, bytes, "{size}");
            }
        }
    }

    #[test]
    fn unpacks_to_the_source_minified() {
        for (_, bytes, source) in PAGES {
            let text = unpacked(bytes);
            assert_eq!(text, minify::minify(source).unwrap());
            assert!(text.starts_with("<!doctype html>") && text.trim_end().ends_with("</html>"));
        }
    }

    #[test]
    fn loads_nothing_and_never_inserts_markup() {
        let text = PAGES.map(|(_, bytes, _)| unpacked(bytes)).concat();
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
        for (page, ..) in PAGES {
            let hex = page.tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap();
            assert!(hex.len() == 16 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
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
