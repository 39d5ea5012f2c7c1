//! Espressif's libraries in a folder of the user's. No file of theirs is in the repository: their licence binds them to ESP8266s.

use super::tools::{output, xtensa};
use crate::exit::{Failure, Outcome};
use std::path::{Path, PathBuf};

/// The libraries that a node needs, of station and access point.
const LIBRARIES: [&str; 6] = ["libmain.a", "libnet80211.a", "libphy.a", "libpp.a", "libwpa.a", "libcrypto.a"];
/// The radio's calibration as Espressif delivers it, for the sector before the last three.
const RADIO: &str = "bin/esp_init_data_default_v08.bin";
const HINT: &str = "ESP8266_SDK_DIR names a copy of Espressif's ESP8266_NONOS_SDK, tag v3.0.5 for instance: the folder \
    that holds lib/ and bin/";

/// A copy of the SDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Libraries {
    folder: PathBuf,
    /// In the order of [`LIBRARIES`].
    files: Vec<PathBuf>,
}

impl Libraries {
    /// Look for the libraries in a folder, or in `lib` there.
    pub fn find(folder: &Path) -> Outcome<Self> {
        let places = [folder.join("lib"), folder.to_owned()];
        let there = |place: &PathBuf| place.join(LIBRARIES[0]).is_file();
        let Some(place) = places.iter().find(|place| there(place)) else {
            return Err(Failure::other(format!(
                "no SDK in {}: {} was looked for there and in lib/",
                folder.display(),
                LIBRARIES[0]
            ))
            .hint(HINT));
        };
        let files = LIBRARIES.map(|name| place.join(name));
        let missing: Vec<_> =
            files.iter().zip(LIBRARIES).filter(|(file, _)| !file.is_file()).map(|(_, name)| name).collect();
        if !missing.is_empty() {
            return Err(Failure::other(format!(
                "the SDK in {} is not whole: {} is missing",
                place.display(),
                missing.join(", ")
            ))
            .hint(HINT));
        }
        Ok(Self { folder: folder.to_owned(), files: files.to_vec() })
    }

    /// The libraries.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What the SDK calls its version, such as `3.0.5(b29dcd3)`.
    pub fn version(&self) -> Outcome<String> {
        let bytes = std::fs::read(&self.files[0])
            .map_err(|error| Failure::other(format!("cannot read {}: {error}", self.files[0].display())))?;
        version(&bytes).ok_or_else(|| {
            Failure::other(format!("{} names no version of the SDK", self.files[0].display())).hint(HINT)
        })
    }

    /// The radio's calibration data, if the copy has it.
    pub fn radio(&self) -> Option<Vec<u8>> {
        std::fs::read(self.folder.join(RADIO)).ok()
    }

    /// The compiler's own functions that the libraries call and the ROM does not have (`__modsi3` and its kind).
    pub fn arithmetic() -> Outcome<PathBuf> {
        let path = output(xtensa("gcc").arg("-print-libgcc-file-name"))?;
        Ok(PathBuf::from(String::from_utf8_lossy(&path).trim()))
    }
}

/// The first text like `3.0.5(b29dcd3)` or `2.2.2-dev(38a443e)`.
fn version(bytes: &[u8]) -> Option<String> {
    bytes.split(|byte| !byte.is_ascii_graphic()).find_map(|word| {
        let word = std::str::from_utf8(word).ok()?;
        let (number, commit) = word.strip_suffix(')')?.split_once('(')?;
        let known = |text: &str| text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let plain = number.strip_suffix("-dev").unwrap_or(number);
        let parts: Vec<_> = plain.split('.').collect();
        let numbers = parts.len() == 3 && parts.iter().all(|part| part.parse::<u8>().is_ok());
        (numbers && known(commit)).then(|| word.to_owned())
    })
}

/// What to do about a link that failed for want of symbols; `None` if it failed otherwise.
pub fn explain(failure: &str) -> Option<Failure> {
    let mut wanted: Vec<_> = failure
        .lines()
        .filter_map(|line| line.rsplit_once("undefined reference to `")?.1.strip_suffix('\''))
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    let first = *wanted.first()?;
    let names = if wanted.len() > 6 {
        format!("{} and {} others", wanted[..6].join(", "), wanted.len() - 6)
    } else {
        wanted.join(", ")
    };
    let hint = if wanted.contains(&"pvPortMalloc") {
        "this copy has no heap, as Arduino's has not; take Espressif's own"
    } else {
        HINT
    };
    Some(Failure::other(format!("the SDK lacks what a firmware needs, {first} first: {names}")).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_the_libraries_is_refused_with_what_is_missing() {
        let temp = tempfile::tempdir().unwrap();
        let none = Libraries::find(temp.path()).unwrap_err().message;
        assert!(none.contains("libmain.a was looked for"), "{none}");
        let lib = temp.path().join("lib");
        std::fs::create_dir(&lib).unwrap();
        for name in &LIBRARIES[..4] {
            std::fs::write(lib.join(name), b"!<arch>\n").unwrap();
        }
        let some = Libraries::find(temp.path()).unwrap_err().message;
        assert!(some.ends_with("is not whole: libwpa.a, libcrypto.a is missing"), "{some}");
        for name in &LIBRARIES[4..] {
            std::fs::write(lib.join(name), b"!<arch>\n").unwrap();
        }
        let found = Libraries::find(temp.path()).unwrap();
        assert_eq!(found, Libraries { files: found.files.clone(), folder: temp.path().to_owned() });
        assert!(found.version().is_err() && found.radio().is_none());
        std::fs::write(lib.join("libmain.a"), b"\0x 1.2\0 3.0.5(b29dcd3)\0").unwrap();
        assert_eq!(found.version().unwrap(), "3.0.5(b29dcd3)");
    }

    #[test]
    fn versions_among_other_texts() {
        assert_eq!(version(b"\x01a(b)\x002.2.2-dev(38a443e)\0"), Some("2.2.2-dev(38a443e)".to_owned()));
        assert_eq!(version(b"1.2(38a443e) 1.2.3(xyz) (1234567) 1.2.3"), None);
    }

    #[test]
    fn what_the_linker_misses_is_said_once() {
        let failure = explain(
            "ld: a.o: undefined reference to `pvPortMalloc'\nld: undefined reference to `x'\n\
            ld: undefined reference to `x'\n",
        )
        .unwrap();
        assert_eq!(
            failure.message,
            "the SDK lacks what a firmware needs, pvPortMalloc first: pvPortMalloc, x"
        );
        assert!(explain("ld: something else").is_none());
    }
}
