//! Minifies and compresses the pages a node serves, and fails when one outgrows its place in flash.

#[path = "page/minify.rs"]
mod minify;

use sha2::{Digest, Sha256};
use std::{env, fs, path::Path};

/// The pages, and most bytes of each when compressed.
const PAGES: [(&str, usize); 2] = [("index", 12_288), ("wifi", 2_560)];

fn main() {
    println!("cargo:rerun-if-changed=page");
    println!("cargo:rerun-if-changed=build.rs");
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    for (name, limit) in PAGES {
        let source = fs::read_to_string(format!("page/{name}.html")).expect("the page is readable");
        let page = minify::minify(&source).expect("the page keeps to what the minifier understands");
        // The header has no name and no time, so that the same page always gives the same bytes.
        let mut packed = Vec::new();
        zopfli::compress(zopfli::Options::default(), zopfli::Format::Gzip, page.as_bytes(), &mut packed)
            .expect("memory is writable");
        assert!(packed.len() <= limit, "{name} takes {} bytes compressed; {limit} are allowed", packed.len());
        fs::write(Path::new(&out).join(format!("{name}.html.gz")), &packed).expect("OUT_DIR is writable");
        let tag: String = Sha256::digest(&packed).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        println!("cargo:rustc-env=SPORE_PAGE_{}=\"{tag}\"", name.to_uppercase());
    }
}
