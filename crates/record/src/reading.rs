//! Reading a recording, also one that is still being written.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::str::FromStr;

use access::SessionId;

use crate::frame::{MAGIC, MOST_FRAME, Part, RecordingsKey, Seal};
use crate::place;

/// A recording, frame by frame.
pub struct Reading {
    file: File,
    seal: Seal,
    number: u64,
    /// Where the next frame begins.
    at: u64,
    over: bool,
}

/// A place between two frames, to go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    number: u64,
    at: u64,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.number, self.at)
    }
}

impl FromStr for Mark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('.');
        let read = parts.and_then(|(number, at)| Some((number.parse().ok()?, at.parse().ok()?)));
        let (number, at) = read.ok_or_else(|| format!("{text:?} is no place in a recording"))?;
        Ok(Self { number, at })
    }
}

/// Why a recording could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the recording's file could not be read")]
    File(#[from] io::Error),
    #[error("the recording is damaged after {frames} frames")]
    Damaged { frames: u64 },
}

impl Reading {
    /// The recording of `session` under `root`; `None`: there is none.
    pub(crate) fn open(
        root: &Path,
        session: SessionId,
        key: &RecordingsKey,
    ) -> Result<Option<Self>, ReadError> {
        let seal = key.of(session).map_err(|_| ReadError::Damaged { frames: 0 })?;
        // It is renamed once it is whole: whoever misses the one name finds the other.
        let names = [place::open(root, session), place::closed(root, session)];
        for name in names {
            match File::open(name) {
                Ok(file) => return Self::of(file, seal).map(Some),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    pub(crate) fn of(mut file: File, seal: Seal) -> Result<Self, ReadError> {
        let mut magic = vec![0; MAGIC.len()];
        let read = file.read_exact(&mut magic);
        if read.is_err() || magic != MAGIC {
            return Err(ReadError::Damaged { frames: 0 });
        }
        Ok(Self { file, seal, number: 0, at: MAGIC.len() as u64, over: false })
    }

    /// The lines of the next frame. `None`: there is none yet, or none any more.
    pub fn frame(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        if self.over {
            return Ok(None);
        }
        self.file.seek(SeekFrom::Start(self.at))?;
        let Some(length) = self.exactly(4)? else { return Ok(None) };
        let length = length.try_into().map(u32::from_be_bytes).unwrap_or_default() as usize;
        if length > MOST_FRAME {
            return Err(self.damaged());
        }
        let Some(frame) = self.exactly(length)? else { return Ok(None) };
        let (part, lines) = self.seal.open(self.number, frame).map_err(|_| self.damaged())?;
        self.number += 1;
        self.at += 4 + length as u64;
        self.over = part == Part::Last;
        Ok(Some(lines))
    }

    /// Where the next frame begins.
    pub fn mark(&self) -> Mark {
        Mark { number: self.number, at: self.at }
    }

    /// Goes on from a [`mark`](Self::mark) of this recording; from anywhere else no frame opens.
    pub fn go_to(&mut self, mark: Mark) {
        (self.number, self.at, self.over) = (mark.number, mark.at, false);
    }

    /// Whether the last frame was read: the recording is whole.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// So many bytes; `None` where there are fewer.
    fn exactly(&mut self, bytes: usize) -> Result<Option<Vec<u8>>, ReadError> {
        let mut read = Vec::new();
        // No more is taken into memory than there is, whatever the length says.
        (&mut self.file).take(bytes as u64).read_to_end(&mut read)?;
        Ok((read.len() == bytes).then_some(read))
    }

    fn damaged(&self) -> ReadError {
        ReadError::Damaged { frames: self.number }
    }
}
