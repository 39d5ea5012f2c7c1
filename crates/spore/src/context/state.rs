//! Where a running lab leaves its traces: socket, lock and log in one folder.

use crate::exit::{Failure, Outcome};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

/// The nearest folder upwards with `ctl.sh` or `.git`, else `folder` itself.
pub fn root(folder: &Path) -> PathBuf {
    folder
        .ancestors()
        .find(|folder| folder.join("ctl.sh").exists() || folder.join(".git").exists())
        .unwrap_or(folder)
        .to_path_buf()
}

/// The folder of one lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

/// The lock a lab holds while it runs. The kernel lets go of it when the process ends, however it ends, so a lab
/// that was killed never looks alive.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl StateDir {
    /// The lab of this folder, which need not exist yet.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    /// What a lab in the background writes.
    pub fn log(&self) -> PathBuf {
        self.0.join("lab.log")
    }

    /// The locked file with the lab's process number in it.
    fn pid_file(&self) -> PathBuf {
        self.0.join("lab.pid")
    }

    /// Create the folder if need be and become its lab; `None` when another process is.
    pub fn lock(&self) -> Outcome<Option<Lock>> {
        let cannot = |error| Failure::other(format!("cannot use {}: {error}", self.0.display()));
        std::fs::create_dir_all(&self.0).map_err(cannot)?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.pid_file())
            .map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(cannot)?;
        writeln!(file, "{}", std::process::id()).map_err(cannot)?;
        Ok(Some(Lock { _file: file }))
    }

    /// Whether a lab's process lives here.
    pub fn is_locked(&self) -> bool {
        // Shared, so that two who look do not take each other for a lab.
        File::open(self.pid_file())
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// The lab's process, if one lives here.
    pub fn pid(&self) -> Option<u32> {
        if !self.is_locked() {
            return None;
        }
        std::fs::read_to_string(self.pid_file()).ok()?.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_the_nearest_project() {
        let temp = tempfile::tempdir().unwrap();
        let deep = temp.path().join("p/q/r");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(temp.path().join("p/ctl.sh"), "").unwrap();
        assert_eq!(root(&deep), temp.path().join("p"));
        std::fs::create_dir(temp.path().join("p/q/.git")).unwrap();
        assert_eq!(root(&deep), temp.path().join("p/q"));
    }

    #[test]
    fn one_lab_a_folder_and_none_after_its_end() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path().join("new"));
        assert_eq!(state.pid(), None);
        let lock = state.lock().unwrap().unwrap();
        assert!(state.lock().unwrap().is_none());
        assert_eq!(state.pid(), Some(std::process::id()));
        drop(lock);
        assert_eq!(state.pid(), None, "the number left in the file is stale");
        assert!(state.lock().unwrap().is_some());
    }
}
