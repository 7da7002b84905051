//! A ConfigMap or Secret as the kubelet mounts it: each file is a symbolic link into `..data`,
//! which is a symbolic link that is replaced atomically.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use tempfile::TempDir;

/// A mounted directory.
pub(crate) struct Mount {
    directory: TempDir,
    generation: u32,
}

impl Mount {
    /// Mounts files, given as name and content.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let mut mount = Self {
            directory: TempDir::new().unwrap(),
            generation: 0,
        };
        mount.swap(files);
        for (name, _) in files {
            symlink(format!("..data/{name}"), mount.path(name)).unwrap();
        }
        mount
    }

    /// Replaces all mounted files atomically.
    pub(crate) fn swap(&mut self, files: &[(&str, &str)]) {
        let old = format!("..{}", self.generation);
        self.generation += 1;
        let new = format!("..{}", self.generation);
        fs::create_dir(self.path(&new)).unwrap();
        for (name, content) in files {
            fs::write(self.path(&new).join(name), content).unwrap();
        }
        symlink(&new, self.path("..data_tmp")).unwrap();
        fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
        if self.generation > 1 {
            fs::remove_dir_all(self.path(&old)).unwrap();
        }
    }

    /// Returns the path of a file.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns the path of a file as the value of a flag.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}
