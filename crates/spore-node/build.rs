//! Minifies and compresses the page a node serves, and fails when it outgrows its place in flash.

#[path = "page/minify.rs"]
mod minify;

use sha2::{Digest, Sha256};
use std::{env, fs, path::Path};

/// Most bytes of the compressed page.
const LIMIT: usize = 12_288;

fn main() {
    println!("cargo:rerun-if-changed=page");
    println!("cargo:rerun-if-changed=build.rs");
    let source = fs::read_to_string("page/index.html").expect("page/index.html is readable");
    let page = minify::minify(&source).expect("the page keeps to what the minifier understands");
    // The header has no name and no time, so that the same page always gives the same bytes.
    let mut packed = Vec::new();
    zopfli::compress(zopfli::Options::default(), zopfli::Format::Gzip, page.as_bytes(), &mut packed)
        .expect("memory is writable");
    assert!(packed.len() <= LIMIT, "the page takes {} bytes compressed; {LIMIT} are allowed", packed.len());
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("index.html.gz"), &packed).expect("OUT_DIR is writable");
    let tag: String = Sha256::digest(&packed).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    println!("cargo:rustc-env=SPORE_PAGE_ETAG=\"{tag}\"");
}
