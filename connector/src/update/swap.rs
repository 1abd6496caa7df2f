//! One program in another's place, and back.

use std::io;
use std::path::{Path, PathBuf};

use ::update::Version;
use tunnel::identity::IdentityError;

use super::kept::{Kept, Swapped};

/// Why a program was not exchanged.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    #[error("can not write {path:?}")]
    Write { path: PathBuf, source: io::Error },
    #[error("can not remember the update")]
    Kept { source: IdentityError },
}

/// A new program beside the one it is to replace. Dropping it takes it away.
#[derive(Debug)]
pub struct Next(pub(super) PathBuf);

impl Drop for Next {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// Where the next program is written, in the folder of the one that runs: nothing is there.
pub(super) fn next(program: &Path) -> Result<Next, SwapError> {
    let path = with(program, ".next");
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(SwapError::Write { path, source })
        }
        _ => Ok(Next(path)),
    }
}

/// Puts the next program into the place of `program`, which stays beside it, and remembers that it has
/// yet to show what it is good for. At any moment there is a whole program in that place.
pub fn swap(
    state: &Path,
    program: &Path,
    next: &Next,
    (from, to): (&Version, &Version),
) -> Result<(), SwapError> {
    let previous = with(program, ".previous");
    let unwritten = |source| SwapError::Write { path: program.to_owned(), source };
    if let Err(source) = std::fs::remove_file(&previous)
        && source.kind() != io::ErrorKind::NotFound
    {
        return Err(SwapError::Write { path: previous, source });
    }
    std::fs::hard_link(program, &previous).map_err(unwritten)?;
    let mut kept = Kept::read(state);
    let (from, to) = (from.clone(), to.clone());
    let (program, starts) = (program.to_owned(), 0);
    kept.swapped = Some(Swapped { from, to, program: program.clone(), previous, starts });
    kept.write(state).map_err(|source| SwapError::Kept { source })?;
    std::fs::rename(&next.0, &program).map_err(unwritten)?;
    sync_folder(&program).map_err(unwritten)
}

/// Puts the program that ran before back into its place; the other is not tried again.
pub fn put_back(state: &Path) -> Result<Option<Swapped>, SwapError> {
    let mut kept = Kept::read(state);
    let Some(swapped) = kept.swapped.take() else { return Ok(None) };
    let unwritten = |source| SwapError::Write { path: swapped.program.clone(), source };
    std::fs::rename(&swapped.previous, &swapped.program).map_err(unwritten)?;
    sync_folder(&swapped.program).map_err(unwritten)?;
    kept.failed(swapped.to.clone());
    kept.write(state).map_err(|source| SwapError::Kept { source })?;
    Ok(Some(swapped))
}

fn sync_folder(program: &Path) -> io::Result<()> {
    std::fs::File::open(program.parent().unwrap_or(Path::new("/")))?.sync_all()
}

fn with(program: &Path, end: &str) -> PathBuf {
    let mut path = program.as_os_str().to_owned();
    path.push(end);
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_exchanged_comes_back_whole_and_the_other_is_not_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let (state, program) = (dir.path(), dir.path().join("program"));
        std::fs::write(&program, "old").unwrap();
        let (one, two) = (Version::new(1, 0, 0), Version::new(2, 0, 0));
        let new = next(&program).unwrap();
        std::fs::write(&new.0, "new").unwrap();
        let place = new.0.clone();
        swap(state, &program, &new, (&one, &two)).unwrap();
        assert!(!place.exists());
        assert_eq!(std::fs::read_to_string(&program).unwrap(), "new");
        assert_eq!(Kept::read(state).swapped.unwrap().to, two);
        assert_eq!(put_back(state).unwrap().unwrap().from, one);
        assert_eq!(std::fs::read_to_string(&program).unwrap(), "old");
        let kept = Kept::read(state);
        assert_eq!((kept.swapped, kept.failed), (None, vec![two]));
        assert_eq!(put_back(state).unwrap(), None, "there is nothing to put back twice");
    }

    #[test]
    fn a_program_that_is_not_taken_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        std::fs::write(&program, "old").unwrap();
        let new = next(&program).unwrap();
        std::fs::write(&new.0, "new").unwrap();
        drop(new);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
