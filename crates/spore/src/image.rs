//! Firmware images on disk.

use crate::context::{Context, PROGRAM};
use crate::exit::{Failure, Outcome};
use spore_image::HEADER_BYTES;
use spore_image::header::Header;
use spore_image::verify::Verifier;
use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What images are called: `<name>-<board>-<version>.img`.
pub const EXTENSION: &str = "img";
/// What the image of a firmware is called in the folder of its board in `build/`.
pub const BUILT: &str = "firmware.spore";

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

    /// Its version.
    pub fn version(&self) -> &str {
        self.header.version.as_str()
    }

    /// Its hash as nodes tell it.
    pub fn sha256(&self) -> String {
        hex(&self.header.sha256)
    }
}

/// Bytes as nodes tell a hash.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The header of an image that is whole, whatever its board and size.
fn check(bytes: &[u8]) -> Result<Header, spore_image::ImageError> {
    let board = Header::parse(bytes)?.board;
    let mut verifier = Verifier::new(&board, u32::MAX);
    verifier.update(bytes)?;
    Ok(verifier.finish()?.header)
}

/// Images to choose from, one a board: those named, or else what is newest in `build/`.
#[derive(Debug)]
pub struct Images {
    chosen: Vec<Image>,
    /// Where else images are looked for; nowhere when some were named.
    folder: Option<PathBuf>,
}

impl Images {
    /// These files, or else whatever is in `build/`.
    pub fn new(named: &[PathBuf], context: &Context) -> Outcome<Self> {
        let folder = context.root.join("build");
        if named.is_empty() && found(&folder).is_empty() {
            return Err(Failure::other(format!("no image named, and none in {}", folder.display()))
                .hint(format!("make one: {PROGRAM} build --board virtual --version 1.2.0")));
        }
        let mut chosen: Vec<Image> = Vec::new();
        for path in named {
            let image = Image::read(path)?;
            if let Some(other) = chosen.iter().find(|other| other.header.board == image.header.board) {
                return Err(Failure::other(format!(
                    "{} and {} are both for board {}",
                    other.path.display(),
                    path.display(),
                    image.header.board
                ))
                .hint("name one image a board"));
            }
            chosen.push(image);
        }
        Ok(Self { chosen, folder: named.is_empty().then_some(folder) })
    }

    /// The image for a board.
    pub fn for_board(&mut self, board: &str, context: &Context) -> Outcome<Option<&Image>> {
        let known = |image: &Image| image.header.board.as_str() == board;
        if let (false, Some(folder)) = (self.chosen.iter().any(known), &self.folder)
            && let Some(path) = newest(folder, board)
        {
            context.note(&format!("image for board {board}: {}", path.display()));
            self.chosen.push(Image::read(&path)?);
        }
        Ok(self.chosen.iter().find(|image| known(image)))
    }

    /// The images that were named or found.
    pub fn chosen(&self) -> &[Image] {
        &self.chosen
    }

    /// Why there is none for a board.
    pub fn lack(&self, board: &str) -> String {
        let boards: Vec<_> = self.chosen.iter().map(|image| image.header.board.as_str()).collect();
        match (&self.folder, boards.as_slice()) {
            (Some(folder), _) => {
                format!("its board is {board}, and {} has no image for it", folder.display())
            }
            (None, [one]) => format!("its board is {board}, the image is for {one}"),
            (None, many) => format!("its board is {board}, the images are for {}", many.join(" and ")),
        }
    }
}

/// Images in a folder and in the folders of boards in it.
fn found(folder: &Path) -> Vec<PathBuf> {
    let list = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let (folders, mut files): (Vec<_>, Vec<_>) = list(folder).into_iter().partition(|path| path.is_dir());
    files.retain(|path| path.extension().is_some_and(|extension| extension == EXTENSION));
    files.extend(folders.into_iter().map(|folder| folder.join(BUILT)).filter(|path| path.is_file()));
    files
}

/// The image for a board that was changed last; of two of the same time the one later in the alphabet.
fn newest(folder: &Path, board: &str) -> Option<PathBuf> {
    let dated = |path: PathBuf| {
        let mut head = [0; HEADER_BYTES];
        std::fs::File::open(&path).and_then(|mut file| file.read_exact(&mut head)).ok()?;
        let time = path.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        (Header::parse(&head).ok()?.board.as_str() == board).then_some((time, path))
    };
    found(folder).into_iter().filter_map(dated).max().map(|(_, path)| path)
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
    fn the_newest_image_for_a_board_is_the_default() {
        let temp = tempfile::tempdir().unwrap();
        assert_eq!(newest(temp.path(), "virtual"), None);
        std::fs::create_dir(temp.path().join("virtual")).unwrap();
        for (name, age) in [("old.img", 60), ("new.img", 30), ("newer.txt", 0)] {
            std::fs::write(temp.path().join(name), image("1.0.0")).unwrap();
            let file = std::fs::File::options().append(true).open(temp.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        std::fs::write(temp.path().join("damaged.img"), "no image").unwrap();
        assert_eq!(newest(temp.path(), "virtual"), Some(temp.path().join("new.img")));
        assert_eq!(newest(temp.path(), "esp8266"), None);
        let built = temp.path().join("virtual").join(BUILT);
        std::fs::write(&built, image("1.0.0")).unwrap();
        assert_eq!(newest(temp.path(), "virtual"), Some(built));
    }
}
