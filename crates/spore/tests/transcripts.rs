//! What the command prints, line for line: help and errors. `TRYCMD=overwrite cargo test -p spore --test transcripts`
//! writes what it prints now.

#[test]
fn transcripts() {
    trycmd::TestCases::new()
        .env("SPORE_BROADCAST", "off")
        .env("SPORE_STATE", "no-such-folder")
        .env("API_NODE", "")
        .env("COLUMNS", "110")
        .case("tests/cmd/*.trycmd");
}
