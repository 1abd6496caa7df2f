//! Walking a chain and saying where it is damaged.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Hash, Head, Record};

/// What is wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The record is not the one that was stored.
    Changed,
    /// Records are not there: from this one up to `last`.
    Missing,
    /// The record stands after one that was stored later.
    OutOfOrder,
    /// The last records are not there: from this one up to `last`.
    CutOff,
    /// The record stands after the end of the chain.
    Inserted,
    /// The records fit each other but not the end the relay vouched for: they were written anew.
    Rewritten,
    /// Nobody with the key vouches for the end of the chain.
    Head,
    /// The record is not the one that was noted elsewhere: the chain was written anew up to it, or
    /// cut off before it, by whoever has the key.
    Noted,
}

impl Kind {
    /// As it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::OutOfOrder => "out-of-order",
            Self::CutOff => "cut-off",
            Self::Inserted => "inserted",
            Self::Rewritten => "rewritten",
            Self::Head => "head",
            Self::Noted => "noted",
        }
    }
}

/// One damage and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    pub seq: u64,
    /// The last record it concerns, where that is more than one.
    pub last: u64,
    pub kind: Kind,
}

/// Takes the records of a chain in their order.
#[derive(Clone, Copy, Debug)]
pub struct Verifier {
    at: Head,
    /// The first record is taken at its word: what comes before it is not at hand.
    unanchored: bool,
    /// A record that was noted elsewhere, until it was met.
    noted: Option<Head>,
}

impl Verifier {
    /// Of a chain from its first record.
    pub fn whole() -> Self {
        Self::after(Head::START)
    }

    /// Of what follows a record whose hash is known.
    pub fn after(record: Head) -> Self {
        Self { at: record, unanchored: false, noted: None }
    }

    /// Of a part of a chain: what comes before its first record is not looked at.
    pub fn part() -> Self {
        Self { at: Head::START, unanchored: true, noted: None }
    }

    /// Also compares a record with what was noted of it elsewhere. One that comes before what is
    /// walked is for an earlier part.
    #[must_use]
    pub fn noted(self, record: Option<Head>) -> Self {
        let noted = record.filter(|record| record.seq > self.at.seq);
        Self { noted, ..self }
    }

    /// The last record that was taken.
    pub fn at(&self) -> Head {
        self.at
    }

    /// Compares the next record with the hash that was stored with it. What follows a damaged
    /// record is compared with its stored hash, so that each damage is told once.
    pub fn take(&mut self, record: &Record<'_>, stored: Hash) -> Option<Damage> {
        let before = self.at;
        let fits = std::mem::take(&mut self.unanchored) || before.hash.then(record) == stored;
        if !fits && record.seq <= before.seq {
            return Some(Damage::one(record.seq, Kind::OutOfOrder));
        }
        self.at = Head { seq: record.seq, hash: stored };
        // A number that was never given is no gap: then the hashes fit.
        let next = before.seq + 1;
        let met = self.meet();
        match fits {
            true => met,
            false if record.seq > next => {
                Some(Damage { seq: next, last: record.seq - 1, kind: Kind::Missing })
            }
            false => Some(Damage::one(record.seq, Kind::Changed)),
        }
    }

    /// Whether the record that was noted is met by now, and is another.
    fn meet(&mut self) -> Option<Damage> {
        let noted = self.noted.take_if(|noted| noted.seq <= self.at.seq)?;
        (noted != self.at).then(|| Damage::one(noted.seq, Kind::Noted))
    }

    /// Compares the end of the chain with what the relay noted as its end. `last` is the number of
    /// the last record there is, `vouched` whether the note is genuine.
    pub fn finish(&self, head: Head, last: u64, vouched: bool) -> Vec<Damage> {
        let mut damages = Vec::new();
        if !vouched {
            damages.push(Damage::one(head.seq, Kind::Head));
        }
        if last > head.seq {
            damages.push(Damage { seq: head.seq + 1, last, kind: Kind::Inserted });
        }
        if self.at.seq < head.seq {
            let seq = self.at.seq + 1;
            damages.push(Damage { seq, last: head.seq, kind: Kind::CutOff });
        } else if self.at.seq > head.seq {
            // What was walked before is not there any more.
            let seq = head.seq + 1;
            damages.push(Damage { seq, last: self.at.seq, kind: Kind::CutOff });
        } else if self.at.hash != head.hash {
            damages.push(Damage::one(head.seq, Kind::Rewritten));
        }
        damages.extend(self.noted.map(|noted| Damage::one(noted.seq, Kind::Noted)));
        damages
    }
}

impl Damage {
    /// One that concerns one record.
    pub fn one(seq: u64, kind: Kind) -> Self {
        Self { seq, last: seq, kind }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, last, kind } = self;
        match (kind, seq == last) {
            (Kind::Changed, _) => write!(f, "record {seq} was changed"),
            (Kind::Missing, true) => write!(f, "record {seq} is missing"),
            (Kind::Missing, false) => write!(f, "records {seq} to {last} are missing"),
            (Kind::OutOfOrder, _) => write!(f, "record {seq} stands in the wrong place"),
            (Kind::CutOff, true) => write!(f, "record {seq}, the last one, was cut off"),
            (Kind::CutOff, false) => {
                write!(f, "records {seq} to {last}, the last ones, were cut off")
            }
            (Kind::Inserted, true) => write!(f, "record {seq} was inserted after the end"),
            (Kind::Inserted, false) => {
                write!(f, "records {seq} to {last} were inserted after the end")
            }
            (Kind::Rewritten, _) => write!(
                f,
                "the chain up to record {seq} was written anew: it does not end as the relay noted"
            ),
            (Kind::Head, _) => {
                write!(f, "the end noted at record {seq} was not noted by this relay")
            }
            (Kind::Noted, _) => {
                write!(
                    f,
                    "record {seq} is not there as it was noted: the log was cut or written anew"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests;
