//! A file that appears under its name when it is whole, or not at all.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use crate::cli::Failure;

/// What a new file's permissions are, less the process's umask.
const MODE: u32 = 0o666;

/// Stands beside its place under a name of its own; dropped before it is finished, it is gone.
pub struct NewFile {
    temporary: NamedTempFile,
    place: PathBuf,
}

impl NewFile {
    pub fn beside(place: &Path) -> Result<Self, Failure> {
        let place = checked(place)?;
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let temporary = Builder::new()
            .prefix(&format!(".{name}."))
            .suffix(".part")
            .permissions(Permissions::from_mode(MODE))
            .tempfile_in(folder_of(&place))
            .map_err(|error| failure(&place, &error))?;
        Ok(Self { temporary, place })
    }

    /// To write into.
    pub fn handle(&self) -> Result<File, Failure> {
        self.temporary.as_file().try_clone().map_err(|error| self.failure(&error))
    }

    /// Puts the file in its place, durably, and returns how long it is. A crash leaves the old file
    /// or the new one.
    pub fn finish(self) -> Result<u64, Failure> {
        let place = self.place;
        let finish = || {
            self.temporary.as_file().sync_all()?;
            let bytes = self.temporary.as_file().metadata()?.len();
            self.temporary.persist(&place)?;
            File::open(folder_of(&place))?.sync_all()?;
            Ok(bytes)
        };
        finish().map_err(|error: io::Error| failure(&place, &error))
    }

    pub fn failure(&self, error: &io::Error) -> Failure {
        failure(&self.place, error)
    }
}

/// Where a link leads; what can't be replaced by a file is wrong usage.
fn checked(place: &Path) -> Result<PathBuf, Failure> {
    let found = match fs::metadata(place) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound && place.file_name().is_some() => {
            return Ok(place.to_owned());
        }
        Err(error) => return Err(failure(place, &error)),
    };
    if !found.is_file() {
        let problem = format!("--out {}: is there and is no file", place.display());
        return Err(Failure::usage(problem).hint("name a file; its folder must exist"));
    }
    place.canonicalize().map_err(|error| failure(place, &error))
}

fn folder_of(place: &Path) -> &Path {
    place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn failure(place: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("write {}: {error}", place.display()))
}
