//! The page a node serves at `GET /`: compressed when the crate is built, kept in flash, sent as it is.

/// The page, HTML in UTF-8, as one gzip member of at most 12,288 bytes. Send it with `Content-Encoding: gzip`.
pub const PAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/index.html.gz"));

/// Entity tag of [`PAGE`] with its quotes, for `ETag` and `If-None-Match` (RFC 9110, 8.8.3): the first eight bytes of
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
        flate2::read::GzDecoder::new(PAGE).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn fits_and_is_gzip_without_a_time() {
        assert!(PAGE.len() <= 12_288, "{} bytes", PAGE.len());
        assert_eq!(PAGE[..3], [0x1f, 0x8b, 8]);
        assert_eq!(PAGE[4..8], [0; 4], "a time in the header would make builds differ");
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
