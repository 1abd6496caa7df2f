//! Ids of statements as two columns that are ordered as they are.

use std::time::SystemTime;

use sqlx::Row as _;
use uuid::Uuid;

use crate::clock;
use crate::db::Row;

/// The halves of an id. Columns are signed, so the highest bit of each is turned over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Halves {
    /// When, in Unix milliseconds, above 16 bits of which 12 are by chance (RFC 9562, section 5.7).
    pub(super) high: i64,
    pub(super) low: i64,
}

impl Halves {
    /// Those of the least id that something of that moment or later has.
    pub(super) fn first(at: SystemTime) -> Self {
        Uuid::from_u128(clock::first_number(at)).into()
    }

    pub(super) fn of(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self { high: row.try_get("id_high")?, low: row.try_get("id_low")? })
    }
}

impl From<Uuid> for Halves {
    fn from(id: Uuid) -> Self {
        let (high, low) = id.as_u64_pair();
        Self { high: signed(high), low: signed(low) }
    }
}

impl From<Halves> for Uuid {
    fn from(Halves { high, low }: Halves) -> Self {
        Self::from_u64_pair(unsigned(high), unsigned(low))
    }
}

fn signed(half: u64) -> i64 {
    (half ^ HIGHEST).cast_signed()
}

fn unsigned(half: i64) -> u64 {
    half.cast_unsigned() ^ HIGHEST
}

const HIGHEST: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_ordered_as_ids_are_and_give_them_back() {
        let ids = [0, 1, u128::MAX >> 1, 1 << 64, 1 << 127, (1 << 127) | (1 << 63), u128::MAX];
        for one in ids.map(Uuid::from_u128) {
            assert_eq!(Uuid::from(Halves::from(one)), one);
            for other in ids.map(Uuid::from_u128) {
                let halves = Halves::from(one).cmp(&Halves::from(other));
                assert_eq!(halves, one.cmp(&other), "{one} {other}");
            }
        }
    }
}
