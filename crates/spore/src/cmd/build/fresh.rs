//! Whether anything changed since the last build, told by names, sizes and times of all files that go into it.

use crate::exit::{Failure, Outcome};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Folders that no build reads.
const IGNORED: &[&str] = &["target", ".git"];

/// A number that changes with the files of these folders (or files), and with what else decides.
pub fn fingerprint(paths: &[&Path], more: &[&str]) -> Outcome<String> {
    let mut hasher = DefaultHasher::new();
    more.hash(&mut hasher);
    for path in paths {
        add(path, &mut hasher)
            .map_err(|error| Failure::other(format!("cannot look at {}: {error}", path.display())))?;
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn add(path: &Path, hasher: &mut DefaultHasher) -> std::io::Result<()> {
    let about = match std::fs::metadata(path) {
        Ok(about) => about,
        // A file that is gone is a change like any other.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    path.hash(hasher);
    if !about.is_dir() {
        about.len().hash(hasher);
        about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().hash(hasher);
        return Ok(());
    }
    let mut names: Vec<_> =
        std::fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<_>>()?;
    names.sort();
    for name in names.iter().filter(|name| !IGNORED.iter().any(|ignored| *name == ignored)) {
        add(&path.join(name), hasher)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_shows() {
        let temp = tempfile::tempdir().unwrap();
        let of = |more: &str| fingerprint(&[temp.path()], &[more]).unwrap();
        let (folder, file) = (temp.path().join("src"), temp.path().join("src/a.rs"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&file, "one").unwrap();
        let first = of("x");
        assert_eq!(of("x"), first);
        assert_ne!(of("y"), first);
        std::fs::write(&file, "three").unwrap();
        let longer = of("x");
        assert_ne!(longer, first);
        std::fs::write(folder.join("b.rs"), "").unwrap();
        assert_ne!(of("x"), longer);
        std::fs::remove_file(folder.join("b.rs")).unwrap();
        assert_eq!(of("x"), longer);
        std::fs::create_dir(temp.path().join("target")).unwrap();
        std::fs::write(temp.path().join("target/x"), "x").unwrap();
        assert_eq!(of("x"), longer, "what a build writes does not count");
    }
}
