//! Espressif's libraries in a folder of the user's: their own SDK, or the copy of it in the Arduino core. No file of theirs is in the
//! repository: their licence binds them to ESP8266s.

use super::tools::{output, xtensa};
use crate::exit::{Failure, Outcome};
use object::read::archive::ArchiveFile;
use std::path::{Path, PathBuf};

/// The libraries that a node needs, of station and access point.
const LIBRARIES: [&str; 6] = ["libmain.a", "libnet80211.a", "libphy.a", "libpp.a", "libwpa.a", "libcrypto.a"];
/// The copy that the Arduino core links unless it is told otherwise, 2.2.2-dev(38a443e), among those it has.
const ARDUINO: &str = "NONOSDK22x_190703";
/// How the names of all of them begin.
const ARDUINOS: &str = "NONOSDK";
/// The radio's calibration as Espressif delivers it, for the sector before the last three.
const RADIO: &str = "esp_init_data_default_v08.bin";
/// Its length in bytes, and its first byte, without which the SDK does not start.
const RADIO_BYTES: usize = 128;
const RADIO_FIRST: u8 = 5;
const HINT: &str = "ESP8266_SDK_DIR names a copy of Espressif's ESP8266_NONOS_SDK (github.com/espressif/ESP8266_NONOS_SDK, tag v3.0.5 for \
    instance): the folder that holds lib/ and bin/; or tools/sdk of an Arduino core for ESP8266";
const RADIO_HINT: &str = "it is bin/esp_init_data_default_v08.bin of Espressif's ESP8266_NONOS_SDK";

/// A copy of the SDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Libraries {
    /// In the order of [`LIBRARIES`].
    files: Vec<PathBuf>,
    /// The radio's calibration.
    radio: Option<PathBuf>,
}

impl Libraries {
    /// Look for the libraries in a folder, in `lib` there, and where the Arduino core has them. `radio` is the file with the radio's
    /// calibration, if the user has named one.
    pub fn find(folder: &Path, radio: Option<PathBuf>) -> Outcome<Self> {
        let (lib, arduino) = (folder.join("lib"), folder.join("tools/sdk/lib"));
        let places =
            [lib.clone(), folder.to_owned(), lib.join(ARDUINO), folder.join(ARDUINO), arduino.join(ARDUINO)];
        let there = |place: &PathBuf| place.join(LIBRARIES[0]).is_file();
        let Some(place) = places.iter().find(|place| there(place)) else {
            let mut copies: Vec<_> = [&lib, folder, &arduino].into_iter().flat_map(arduinos).collect();
            copies.sort();
            let failure = Failure::other(format!(
                "no SDK in {}: {} was looked for there, in lib/ and in the Arduino core's lib/{ARDUINO}/",
                folder.display(),
                LIBRARIES[0]
            ));
            return Err(match copies.last() {
                Some(copy) => failure.hint(format!(
                    "this Arduino core has other copies; name one: ESP8266_SDK_DIR={}",
                    copy.display()
                )),
                None => failure.hint(HINT),
            });
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
        let radio = radio.or_else(|| {
            let places = [folder.join("bin"), place.join("../bin"), place.join("../../bin")];
            places.iter().map(|place| place.join(RADIO)).find(|file| file.is_file())
        });
        Ok(Self { files: files.to_vec(), radio })
    }

    /// The libraries.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What the SDK calls its version, such as `3.0.5(b29dcd3)`.
    pub fn version(&self) -> Outcome<String> {
        version(&read(&self.files[0])?).ok_or_else(|| {
            Failure::other(format!("{} names no version of the SDK", self.files[0].display())).hint(HINT)
        })
    }

    /// Whether they bring a heap. Those of the Arduino core do not, because it has one of its own.
    pub fn has_heap(&self) -> Outcome<bool> {
        for path in &self.files {
            let bytes = read(path)?;
            let symbols = ArchiveFile::parse(&*bytes).and_then(|archive| {
                let symbols = archive.symbols()?;
                Ok(symbols.map(|symbols| {
                    symbols.filter_map(Result::ok).any(|symbol| symbol.name() == b"vPortFree")
                }))
            });
            match symbols {
                Ok(Some(true)) => return Ok(true),
                Ok(Some(false)) => {}
                _ => {
                    return Err(
                        Failure::other(format!("{} is no library with an index", path.display())).hint(HINT)
                    );
                }
            }
        }
        Ok(false)
    }

    /// The radio's calibration data; `None` if the copy has none, as the Arduino core's has not.
    pub fn radio(&self) -> Outcome<Option<Vec<u8>>> {
        let Some(path) = &self.radio else { return Ok(None) };
        let bytes = read(path).map_err(|failure| failure.hint(RADIO_HINT))?;
        if bytes.len() != RADIO_BYTES || bytes.first() != Some(&RADIO_FIRST) {
            return Err(Failure::other(format!(
                "{} is no calibration of the radio: {RADIO_BYTES} bytes, the first of them {RADIO_FIRST}",
                path.display()
            ))
            .hint(RADIO_HINT));
        }
        Ok(Some(bytes))
    }

    /// The file of [`Self::radio`].
    pub fn radio_file(&self) -> Option<&Path> {
        self.radio.as_deref()
    }

    /// The compiler's own functions that the libraries call and the ROM does not have (`__modsi3` and its kind).
    pub fn arithmetic() -> Outcome<PathBuf> {
        let path = output(xtensa("gcc").arg("-print-libgcc-file-name"))?;
        Ok(PathBuf::from(String::from_utf8_lossy(&path).trim()))
    }
}

/// What is to be said when there is no calibration of the radio.
pub const NO_RADIO: &str = "this SDK comes without the radio's calibration, as the Arduino core's; chip*.bin lack it. A chip that was never \
    flashed with it restarts for ever with an SDK 2.x (`rf_cal[0] !=0x05` on its serial line). Set ESP8266_PHY_DATA to \
    bin/esp_init_data_default_v08.bin of Espressif's ESP8266_NONOS_SDK";

/// Folders of an Arduino core with copies of the SDK.
fn arduinos(lib: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(lib).into_iter().flatten().flatten();
    let copies = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(ARDUINOS));
    copies.map(|entry| entry.path()).filter(|path| path.join(LIBRARIES[0]).is_file()).collect()
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    std::fs::read(path).map_err(|error| Failure::other(format!("cannot read {}: {error}", path.display())))
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
    Some(Failure::other(format!("the SDK lacks what a firmware needs, {first} first: {names}")).hint(HINT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, names: &[&str]) {
        std::fs::create_dir_all(folder).unwrap();
        for name in names {
            std::fs::write(folder.join(name), b"!<arch>\n").unwrap();
        }
    }

    #[test]
    fn a_folder_without_the_libraries_is_refused_with_what_is_missing() {
        let temp = tempfile::tempdir().unwrap();
        let find = || Libraries::find(temp.path(), None);
        let none = find().unwrap_err();
        assert!(none.message.contains("libmain.a was looked for"), "{}", none.message);
        let lib = temp.path().join("lib");
        put(&lib, &LIBRARIES[..4]);
        let some = find().unwrap_err().message;
        assert!(some.ends_with("is not whole: libwpa.a, libcrypto.a is missing"), "{some}");
        put(&lib, &LIBRARIES[4..]);
        let found = find().unwrap();
        assert_eq!(found, Libraries { files: LIBRARIES.map(|name| lib.join(name)).to_vec(), radio: None });
        assert!(found.version().is_err());
        std::fs::write(lib.join("libmain.a"), b"\0x 1.2\0 3.0.5(b29dcd3)\0").unwrap();
        assert_eq!(found.version().unwrap(), "3.0.5(b29dcd3)");
        let odd = found.has_heap().unwrap_err().message;
        assert!(odd.ends_with("libmain.a is no library with an index"), "{odd}");
    }

    #[test]
    fn the_arduino_core_is_found_by_any_of_its_folders() {
        let temp = tempfile::tempdir().unwrap();
        let lib = temp.path().join("tools/sdk/lib");
        // What else lies there.
        put(&lib, &["libstdc++.a"]);
        put(&lib.join("NONOSDK305"), &LIBRARIES);
        let sdk = temp.path().join("tools/sdk");
        let other = Libraries::find(&sdk, None).unwrap_err();
        let hint = other.hint.unwrap();
        assert!(hint.ends_with("lib/NONOSDK305") && hint.contains("ESP8266_SDK_DIR="), "{hint}");
        let found = Libraries::find(&lib.join("NONOSDK305"), None).unwrap();
        assert_eq!(found.files[0], lib.join("NONOSDK305/libmain.a"));
        put(&lib.join(ARDUINO), &LIBRARIES);
        for folder in [temp.path(), &sdk, &lib, &lib.join(ARDUINO)] {
            let found = Libraries::find(folder, None).unwrap();
            assert_eq!(found.files[0], lib.join(ARDUINO).join("libmain.a"), "{}", folder.display());
        }
    }

    #[test]
    fn the_radios_calibration() {
        let temp = tempfile::tempdir().unwrap();
        let (lib, bin, own) = (temp.path().join("lib"), temp.path().join("bin"), temp.path().join("own.bin"));
        put(&lib, &LIBRARIES);
        let radio = |named: Option<&PathBuf>| Libraries::find(temp.path(), named.cloned()).unwrap().radio();
        assert_eq!(radio(None).unwrap(), None);
        let mut data = vec![5; 128];
        std::fs::create_dir(&bin).unwrap();
        std::fs::write(bin.join(RADIO), &data).unwrap();
        assert_eq!(radio(None).unwrap().as_ref(), Some(&data));
        assert_eq!(Libraries::find(&lib, None).unwrap().radio().unwrap().as_ref(), Some(&data));
        // A file that was named comes first, and must be there.
        assert!(radio(Some(&own)).unwrap_err().message.starts_with("cannot read"));
        data[1] = 9;
        std::fs::write(&own, &data).unwrap();
        assert_eq!(radio(Some(&own)).unwrap().as_ref(), Some(&data));
        for wrong in [&data[1..], &[data.clone(), vec![0]].concat(), &[0xFF; 128]] {
            std::fs::write(&own, wrong).unwrap();
            assert!(radio(Some(&own)).unwrap_err().message.contains("is no calibration of the radio"));
        }
    }

    #[test]
    fn whether_a_library_has_a_heap() {
        let temp = tempfile::tempdir().unwrap();
        let archive = |symbol: &str| {
            // An archive that is nothing but its index: one symbol, of a member at offset 0.
            let index = [&1u32.to_be_bytes()[..], &[0; 4], symbol.as_bytes(), &[0]].concat();
            let padding = if index.len() % 2 == 1 { "\n" } else { "" };
            let head = format!("!<arch>\n{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", "/", 0, 0, 0, 0, index.len());
            [head.as_bytes(), &index, padding.as_bytes()].concat()
        };
        put(temp.path(), &LIBRARIES);
        for name in LIBRARIES {
            std::fs::write(temp.path().join(name), archive("pvPortShow")).unwrap();
        }
        let found = Libraries::find(temp.path(), None).unwrap();
        assert!(!found.has_heap().unwrap());
        std::fs::write(temp.path().join("libmain.a"), archive("vPortFree")).unwrap();
        assert!(found.has_heap().unwrap());
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
