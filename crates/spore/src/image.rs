//! Firmware images on disk.

use crate::context::{Context, PROGRAM};
use crate::exit::{Failure, Outcome};
use spore_image::header::Header;
use spore_image::verify::Verifier;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What images are called: `<name>-<board>-<version>.img`.
pub const EXTENSION: &str = "img";

/// An image that was read and is whole.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its file.
    pub path: PathBuf,
    /// All of it.
    pub bytes: Vec<u8>,
    /// What it says about itself.
    pub header: Header,
}

impl Image {
    /// Read and check a file.
    pub fn read(path: &Path) -> Outcome<Self> {
        let shown = path.display();
        let bytes =
            std::fs::read(path).map_err(|error| Failure::other(format!("cannot read {shown}: {error}")))?;
        let header = check(&bytes).map_err(|error| {
            Failure::other(format!("{shown} is not an image that can be installed: {error}"))
                .hint(format!("make one: {PROGRAM} build --board virtual --version 1.2.0"))
        })?;
        Ok(Self { path: path.to_owned(), bytes, header })
    }

    /// The file named, or else the newest image in `build/`.
    pub fn choose(named: Option<&Path>, context: &Context) -> Outcome<Self> {
        if let Some(path) = named {
            return Self::read(path);
        }
        let folder = context.root.join("build");
        let path = newest(&folder).ok_or_else(|| {
            Failure::other(format!("no image named, and none in {}", folder.display()))
                .hint(format!("make one: {PROGRAM} build --board virtual --version 1.2.0"))
        })?;
        context.note(&format!("image: {}", path.display()));
        Self::read(&path)
    }

    /// Its version.
    pub fn version(&self) -> &str {
        self.header.version.as_str()
    }

    /// Its hash as nodes tell it.
    pub fn sha256(&self) -> String {
        self.header.sha256.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// The header of an image that is whole, whatever its board and size.
fn check(bytes: &[u8]) -> Result<Header, spore_image::ImageError> {
    let board = Header::parse(bytes)?.board;
    let mut verifier = Verifier::new(&board, u32::MAX);
    verifier.update(bytes)?;
    Ok(verifier.finish()?.header)
}

/// The image changed last; of two of the same time the one later in the alphabet.
fn newest(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let dated = |entry: std::fs::DirEntry| {
        let path = entry.path();
        let image = path.extension().is_some_and(|extension| extension == EXTENSION) && path.is_file();
        let time = entry.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        image.then_some((time, path))
    };
    entries.filter_map(dated).max().map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spore_image::Behaviour;
    use spore_image::build::virtual_image;
    use std::time::Duration;

    fn image(version: &str) -> Vec<u8> {
        virtual_image("spore", version.parse().unwrap(), Behaviour::default(), 2000).unwrap()
    }

    #[test]
    fn a_whole_image_is_read_and_a_damaged_one_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a.img");
        let mut bytes = image("1.2.0");
        std::fs::write(&path, &bytes).unwrap();
        let read = Image::read(&path).unwrap();
        assert_eq!((read.version(), read.sha256().len(), read.bytes.len()), ("1.2.0", 64, bytes.len()));
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(Image::read(&path).is_err());
        std::fs::write(&path, &bytes[..1000]).unwrap();
        assert!(Image::read(&path).is_err());
        std::fs::write(&path, "#!/bin/sh").unwrap();
        assert!(Image::read(&path).is_err());
        assert!(Image::read(&temp.path().join("none")).is_err());
    }

    #[test]
    fn the_newest_image_is_the_default() {
        let temp = tempfile::tempdir().unwrap();
        assert_eq!(newest(&temp.path().join("build")), None);
        for (name, age) in [("old.img", 60), ("new.img", 30), ("newer.txt", 0)] {
            let file = std::fs::File::create(temp.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        assert_eq!(newest(temp.path()), Some(temp.path().join("new.img")));
    }
}
