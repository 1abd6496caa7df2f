//! What a client of a recorded desktop says that it can do (MS-RDPBCGR 2.2.1.13.2 and 2.2.7), cut down to
//! what the player of recordings can: then the target sends nothing that can not be shown again.
//!
//! INVARIANT: pure. A set that is not known here is not told, and what is told is no longer than what was
//! said and one set.

use crate::frame::{Fault, u16_at};

/// What a client may say of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// What the player of recordings can show.
    pub(crate) shown_again: bool,
    /// Pictures as the target has them: no codec that changes colours.
    pub(crate) exact: bool,
}

impl Limits {
    /// What is left of one set; `None`: nothing.
    fn one(self, kind: u16, set: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let known = if self.shown_again { shown_again(kind, set)? } else { Some(set.to_vec()) };
        let Some(mut set) = known else { return Ok(None) };
        match kind {
            BITMAP_CODECS if self.exact => return Ok(None),
            BITMAP if self.exact => {
                put(&mut set, 4, 32)?;
                keep(&mut set, 22, SKIP_ALPHA << 8)?;
            }
            _ => {}
        }
        Ok(Some(set))
    }
}

/// What goes to the target of what a client says on the target's own channel once it has said who it is;
/// empty: nothing. `licensing`: the target has not told of its screen yet, so it may be about a licence.
pub(crate) fn narrowed(data: &[u8], licensing: bool, limits: Limits) -> Result<Vec<u8>, Fault> {
    if licensing && is_licence(data) {
        return Ok(data.to_vec());
    }
    let (mut rest, mut made) = (data, Vec::with_capacity(data.len() + NO_ORDERS.len()));
    while !rest.is_empty() {
        let length = match u16_at(rest, 0)? {
            FLOW => FLOW_LENGTH,
            length => usize::from(length),
        };
        if length < CONTROL_HEAD {
            return Err(Fault::Cut);
        }
        let (one, more) = rest.split_at_checked(length).ok_or(Fault::Cut)?;
        match (u16_at(one, 2)? & KIND, one.get(DATA_KIND)) {
            (CONFIRM_ACTIVE, _) => made.extend(confirm(one, limits)?),
            // Of pictures that it has kept from another time, which the recording has not.
            (DATA, Some(&PERSISTENT_KEYS)) if limits.shown_again => {}
            _ => made.extend_from_slice(one),
        }
        rest = more;
    }
    Ok(made)
}

/// Whether this is about a licence (MS-RDPELE 2.2.2), and nothing else behind such a beginning.
fn is_licence(data: &[u8]) -> bool {
    let [flags, _, 0, 0, _, _, low, high, ..] = data else { return false };
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    flags & LICENCE != 0 && length + SECURITY_HEAD == data.len() && !hides_confirm(data)
}

/// Whether a target that takes this for something else would find a Confirm Active in it.
fn hides_confirm(mut rest: &[u8]) -> bool {
    while let (Ok(length), Ok(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let length = usize::from(length);
        if kind & KIND == CONFIRM_ACTIVE && length <= rest.len() {
            return true;
        }
        match rest.get(length..) {
            Some(more) if length > 0 => rest = more,
            _ => return false,
        }
    }
    false
}

/// A Confirm Active whose sets keep to the limits.
fn confirm(said: &[u8], limits: Limits) -> Result<Vec<u8>, Fault> {
    let source = usize::from(u16_at(said, SOURCE_LENGTH)?);
    let sets = usize::from(u16_at(said, SETS_LENGTH)?);
    let head = said.get(..SOURCE + source).ok_or(Fault::Cut)?;
    let sets = said.get(SOURCE + source..SOURCE + source + sets).ok_or(Fault::Cut)?;
    let (count, told) = told(sets, limits)?;
    let mut made = head.to_vec();
    made.extend(count.to_le_bytes());
    made.extend([0, 0]);
    made.extend(told);
    let sets = made.len() - SOURCE - source;
    for (at, length) in [(0, made.len()), (SETS_LENGTH, sets)] {
        let length = u16::try_from(length).map_err(|_| Fault::Settings)?;
        made[at..at + 2].copy_from_slice(&length.to_le_bytes());
    }
    Ok(made)
}

/// How many sets are told of these, and they.
fn told(sets: &[u8], limits: Limits) -> Result<(u16, Vec<u8>), Fault> {
    let count = u16_at(sets, 0)?;
    if count > MOST_SETS {
        return Err(Fault::Settings);
    }
    let mut rest = sets.get(4..).ok_or(Fault::Cut)?;
    let (mut seen, mut made, mut number) = (Vec::new(), Vec::new(), 0);
    for _ in 0..count {
        let (kind, length) = (u16_at(rest, 0)?, usize::from(u16_at(rest, 2)?));
        let (set, more) = rest.split_at_checked(length.max(SET_HEAD)).ok_or(Fault::Cut)?;
        // One kind of cache has two sets, and a client has one of them.
        let kind = if kind == BITMAP_CACHE_2 { BITMAP_CACHE } else { kind };
        if length < SET_HEAD || seen.contains(&kind) {
            return Err(Fault::Settings);
        }
        seen.push(kind);
        if let Some(set) = limits.one(kind, set)? {
            made.extend(set);
            number += 1;
        }
        rest = more;
    }
    if limits.shown_again {
        if !seen.contains(&GENERAL) {
            return Err(Fault::Unshown);
        }
        if !seen.contains(&ORDER) {
            made.extend(NO_ORDERS);
            number += 1;
        }
    }
    Ok((number, made))
}

/// What the player can of one set; `None`: nothing.
fn shown_again(kind: u16, set: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let mut set = set.to_vec();
    match kind {
        GENERAL => {
            let flags = keep(&mut set, 14, FAST_PATH | NO_BITMAP_HEADER)?;
            if flags & FAST_PATH == 0 {
                return Err(Fault::Unshown);
            }
        }
        BITMAP => {
            put(&mut set, 4, 32)?;
            // Before it stand flags of colour, which mean nothing.
            keep(&mut set, 22, DRAWING << 8)?;
        }
        ORDER => return Ok(Some(NO_ORDERS.to_vec())),
        BITMAP_CACHE => return Ok(Some(empty(BITMAP_CACHE, 40))),
        GLYPH_CACHE => return Ok(Some(empty(GLYPH_CACHE, 52))),
        OFFSCREEN_CACHE => return Ok(Some(empty(OFFSCREEN_CACHE, 12))),
        SOUND => return Ok(Some(empty(SOUND, 8))),
        BRUSH => return Ok(Some(empty(BRUSH, 8))),
        VIRTUAL_CHANNEL => {
            // Uncompressed.
            put(&mut set, 4, 0)?;
            put(&mut set, 6, 0)?;
        }
        POINTER => {
            for at in (6..set.len().min(10)).step_by(2) {
                let most = u16_at(&set, at)?.min(MOST_POINTERS);
                put(&mut set, at, most)?;
            }
        }
        LARGE_POINTER => drop(keep(&mut set, 4, LARGE_POINTERS)?),
        SURFACE_COMMANDS => {
            keep(&mut set, 4, SURFACE)?;
            put(&mut set, 6, 0)?;
        }
        BITMAP_CODECS => return codecs(&set),
        CONTROL | ACTIVATION | SHARE | INPUT | FONT | MULTIFRAGMENT | FRAME_ACKNOWLEDGE => {}
        _ => return Ok(None),
    }
    Ok(Some(set))
}

/// Of the codecs RemoteFX, with the number and the coding that the player knows (2.2.7.2.10, MS-RDPRFX
/// 2.2.1.1); `None`: the client has no such one.
fn codecs(set: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let count = *set.get(SET_HEAD).ok_or(Fault::Cut)?;
    let mut rest = set.get(SET_HEAD + 1..).ok_or(Fault::Cut)?;
    for _ in 0..count {
        let length = CODEC_HEAD + usize::from(u16_at(rest, CODEC_HEAD - 2)?);
        let (codec, more) = rest.split_at_checked(length).ok_or(Fault::Cut)?;
        if let Some(mode) = remote_fx(codec) {
            let mut told = REMOTE_FX.to_vec();
            told[MODE] = mode;
            return Ok(Some(told));
        }
        rest = more;
    }
    Ok(None)
}

/// In which mode a client has this codec, where it is the one.
fn remote_fx(codec: &[u8]) -> Option<u8> {
    let told = &REMOTE_FX[SET_HEAD + 1..];
    let is_it = codec.starts_with(&told[..CODEC_HEAD - 2]);
    let codings = codec.get(CODINGS..).filter(|_| is_it)?.chunks_exact(CODING);
    let (wanted, mode) = (&told[CODINGS..], CODING - 4);
    let same = |coding: &&[u8]| {
        coding[..mode] == wanted[..mode] && coding[mode + 1..] == wanted[mode + 1..]
    };
    codings.into_iter().find(same).map(|coding| coding[mode])
}

/// A set of this length that says no to everything.
fn empty(kind: u16, length: u8) -> Vec<u8> {
    let mut set = kind.to_le_bytes().to_vec();
    set.push(length);
    set.resize(length.into(), 0);
    set
}

/// Leaves of a number in a set these bits, and gives what it is then.
fn keep(set: &mut [u8], at: usize, bits: u16) -> Result<u16, Fault> {
    let kept = u16_at(set, at)? & bits;
    put(set, at, kept)?;
    Ok(kept)
}

fn put(set: &mut [u8], at: usize, number: u16) -> Result<(), Fault> {
    let place = set.get_mut(at..at + 2).ok_or(Fault::Cut)?;
    place.copy_from_slice(&number.to_le_bytes());
    Ok(())
}

// What is said on the target's own channel (MS-RDPBCGR 2.2.8.1.1.1.1).
const CONTROL_HEAD: usize = 6;
const KIND: u16 = 0xf;
const CONFIRM_ACTIVE: u16 = 3;
const DATA: u16 = 7;
/// Where a Data PDU says of which kind it is.
const DATA_KIND: usize = 14;
const PERSISTENT_KEYS: u8 = 43;
/// In place of a length: a message of its own form.
const FLOW: u16 = 0x8000;
const FLOW_LENGTH: usize = 8;
/// Of what is about a licence, in a header of security.
const LICENCE: u8 = 0x80;
const SECURITY_HEAD: usize = 4;

// Of a Confirm Active, from its beginning.
const SOURCE_LENGTH: usize = 12;
const SETS_LENGTH: usize = 14;
const SOURCE: usize = 16;

const SET_HEAD: usize = 4;
/// There are 30 kinds.
const MOST_SETS: u16 = 64;

// Kinds of sets (2.2.1.13.1.1.1).
const GENERAL: u16 = 1;
const BITMAP: u16 = 2;
const ORDER: u16 = 3;
const BITMAP_CACHE: u16 = 4;
const CONTROL: u16 = 5;
const ACTIVATION: u16 = 7;
const POINTER: u16 = 8;
const SHARE: u16 = 9;
const SOUND: u16 = 12;
const INPUT: u16 = 13;
const FONT: u16 = 14;
const BRUSH: u16 = 15;
const GLYPH_CACHE: u16 = 16;
const OFFSCREEN_CACHE: u16 = 17;
const BITMAP_CACHE_2: u16 = 19;
const VIRTUAL_CHANNEL: u16 = 20;
const MULTIFRAGMENT: u16 = 26;
const LARGE_POINTER: u16 = 27;
const SURFACE_COMMANDS: u16 = 28;
const BITMAP_CODECS: u16 = 29;
const FRAME_ACKNOWLEDGE: u16 = 30;

// What the player says of itself in them.
const FAST_PATH: u16 = 1;
const NO_BITMAP_HEADER: u16 = 0x400;
/// Fewer colours where they change much, fewer of their samples, and none that is transparent.
const DRAWING: u16 = 2 | 4 | SKIP_ALPHA;
const SKIP_ALPHA: u16 = 8;
const MOST_POINTERS: u16 = 32;
const LARGE_POINTERS: u16 = 1 | 2;
/// Pictures set and streamed, and where a frame of them ends.
const SURFACE: u16 = 0x02 | 0x40 | 0x10;
/// That drawing orders are spoken of, and none is known (2.2.7.1.3).
const NO_ORDERS: [u8; 88] = {
    let mut set = [0; 88];
    (set[0], set[2]) = (3, 88);
    (set[24], set[26], set[30]) = (1, 20, 1);
    set[34] = 0x02 | 0x08;
    set
};

/// Of a codec: what it is called, its number, and the length of its properties.
const CODEC_HEAD: usize = 16 + 1 + 2;
/// Where its codings begin, each of which is so long.
const CODINGS: usize = CODEC_HEAD + 33;
const CODING: usize = 8;
/// The one that is told, of whose coding the mode is the client's.
const REMOTE_FX: [u8; 65] = [
    29, 0, 65, 0, 1, // One.
    0x12, 0x2f, 0x77, 0x76, 0x72, 0xbd, 0x63, 0x44, 0xaf, 0xb3, 0xb7, 0x3c, 0x9c, 0x6f, 0x78, 0x86,
    3, 41, 0, // Its number, and its properties.
    41, 0, 0, 0, 0, 0, 0, 0, 29, 0, 0, 0, // Nothing is captured.
    0xc0, 0xcb, 8, 0, 0, 0, 1, 0, // A set of
    0xc1, 0xcb, 21, 0, 0, 0, 1, 0xc0, 0xcf, 1, 0, 8, 0, // one coding:
    0, 1, 64, 0, 0, 1, 1, 4, // 1.0, tiles of 64, its mode, and RLGR3.
];
const MODE: usize = REMOTE_FX.len() - 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(text.trim().as_bytes()).unwrap()
    }

    const PLAYER: Limits = Limits { shown_again: true, exact: false };
    const EXACT: Limits = Limits { shown_again: false, exact: true };

    fn page() -> Vec<u8> {
        hex(include_str!("testdata/page-confirm.hex"))
    }

    /// FreeRDP 2, asked for all that it has.
    fn freerdp() -> Vec<u8> {
        hex(include_str!("testdata/freerdp-confirm.hex"))
    }

    /// The sets of a Confirm Active whose lengths fit.
    fn sets(confirm: &[u8]) -> Vec<Vec<u8>> {
        assert_eq!(usize::from(u16_at(confirm, 0).unwrap()), confirm.len());
        let source = usize::from(u16_at(confirm, SOURCE_LENGTH).unwrap());
        let all = &confirm[SOURCE + source..];
        assert_eq!(usize::from(u16_at(confirm, SETS_LENGTH).unwrap()), all.len());
        let (mut sets, mut rest) = (Vec::new(), &all[4..]);
        while !rest.is_empty() {
            let (set, more) = rest.split_at(u16_at(rest, 2).unwrap().into());
            sets.push(set.to_vec());
            rest = more;
        }
        assert_eq!(usize::from(u16_at(all, 0).unwrap()), sets.len());
        sets
    }

    /// One with these sets.
    fn with(sets: &[Vec<u8>]) -> Vec<u8> {
        counted(sets.len(), sets)
    }

    fn counted(count: usize, sets: &[Vec<u8>]) -> Vec<u8> {
        let sets = sets.concat();
        let number = |number: usize| u16::try_from(number).unwrap().to_le_bytes();
        let length = number(SOURCE + 4 + 4 + sets.len());
        let head = [&length[..], &[0x13, 0, 0xf1, 3, 0xf1, 3, 1, 0, 0xea, 3, 4, 0]].concat();
        [&head, &number(4 + sets.len())[..], b"ABC\0", &number(count), &[0, 0], &sets].concat()
    }

    fn set(kind: u16, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(SET_HEAD + content.len()).unwrap();
        [&kind.to_le_bytes()[..], &length.to_le_bytes(), content].concat()
    }

    fn of(confirm: &[u8], kind: u16) -> Option<Vec<u8>> {
        sets(confirm).into_iter().find(|set| u16_at(set, 0) == Ok(kind))
    }

    fn general() -> Vec<u8> {
        of(&freerdp(), GENERAL).unwrap()
    }

    #[test]
    fn what_the_player_says_of_itself_is_told_as_it_is() {
        assert_eq!(narrowed(&page(), false, PLAYER), Ok(page()));
    }

    #[test]
    fn for_exact_pictures_no_codec_is_told_and_nothing_else_is_changed() {
        let (said, told) = (page(), narrowed(&page(), true, EXACT).unwrap());
        assert_eq!(said[2..SETS_LENGTH], told[2..SETS_LENGTH], "who says it");
        assert!(of(&said, BITMAP_CODECS).is_some());
        let wanted: Vec<_> = sets(&said)
            .into_iter()
            .filter(|set| u16_at(set, 0) != Ok(BITMAP_CODECS))
            .map(|mut set| {
                if u16_at(&set, 0) == Ok(BITMAP) {
                    // All colours, and none that is guessed from its neighbours.
                    set[4..6].copy_from_slice(&32_u16.to_le_bytes());
                    set[23] &= 8;
                }
                set
            })
            .collect();
        assert_eq!(sets(&told), wanted);
        assert_eq!(narrowed(&told, true, EXACT).as_ref(), Ok(&told));
        let both = Limits { shown_again: true, exact: true };
        assert_eq!(of(&narrowed(&freerdp(), false, both).unwrap(), BITMAP_CODECS), None);
        // Sets that nobody knows here are between it and the target.
        let unknown = with(&[set(99, &[1, 2])]);
        assert_eq!(narrowed(&unknown, true, EXACT).as_ref(), Ok(&unknown));
    }

    #[test]
    fn of_what_a_native_client_says_only_what_the_player_can_is_told() {
        let (said, told) = (freerdp(), narrowed(&freerdp(), false, PLAYER).unwrap());
        assert_eq!(said[2..SETS_LENGTH], told[2..SETS_LENGTH], "who says it");
        let said = |kind| of(&said, kind).unwrap();
        let told_of = |kind| of(&told, kind);
        // Fast path and pictures without a header; no orders, no caches, nothing that is read with them.
        assert_eq!(u16_at(&told_of(GENERAL).unwrap(), 14), Ok(0x401));
        for kind in [ORDER, BITMAP_CACHE, BRUSH, GLYPH_CACHE, OFFSCREEN_CACHE, SOUND] {
            assert_eq!(told_of(kind), of(&page(), kind), "{kind}");
        }
        assert_ne!(told_of(ORDER), Some(said(ORDER)));
        assert_eq!(told_of(BITMAP_CACHE_2), None);
        // Of four codecs one, of two codings of it one.
        assert_eq!(said(BITMAP_CODECS)[SET_HEAD], 3);
        assert_eq!(told_of(BITMAP_CODECS), of(&page(), BITMAP_CODECS));
        // It has fewer pointers, and its own keys and pieces.
        for kind in [POINTER, INPUT, MULTIFRAGMENT, FRAME_ACKNOWLEDGE, SURFACE_COMMANDS] {
            assert_eq!(told_of(kind), Some(said(kind)), "{kind}");
        }
        assert_eq!(narrowed(&told, false, PLAYER).as_ref(), Ok(&told));
    }

    #[test]
    fn flags_that_the_player_has_not_are_taken_away() {
        let all = |kind: u16, length: u8| set(kind, &vec![0xff; usize::from(length) - SET_HEAD]);
        let more = [
            all(BITMAP, 28),
            all(POINTER, 10),
            all(LARGE_POINTER, 6),
            all(SURFACE_COMMANDS, 12),
            all(VIRTUAL_CHANNEL, 8),
            // Of GDI+, single windows and a desktop composed by the client, and one that nobody knows.
            all(22, 40),
            all(23, 8),
            all(24, 11),
            all(25, 6),
            all(77, 4),
        ];
        let told = narrowed(&with(&[&[general()][..], &more].concat()), false, PLAYER).unwrap();
        let told_of = |kind| of(&told, kind).unwrap();
        assert_eq!(told_of(BITMAP)[4..6], [32, 0]);
        assert_eq!(told_of(BITMAP)[22..24], [0, 0xe]);
        assert_eq!(told_of(POINTER)[6..], [32, 0, 32, 0]);
        assert_eq!(told_of(LARGE_POINTER)[4..], [3, 0]);
        assert_eq!(told_of(SURFACE_COMMANDS)[4..8], [0x52, 0, 0, 0]);
        assert_eq!(told_of(VIRTUAL_CHANNEL)[4..], [0; 4]);
        assert_eq!(told_of(ORDER), NO_ORDERS, "who says nothing of orders has none");
        assert_eq!(sets(&told).len(), 7);
    }

    #[test]
    fn a_codec_is_told_with_the_number_and_the_coding_of_the_player_or_not_at_all() {
        let codec = |number: u8, codings: &[[u8; CODING]]| {
            let mut codec = REMOTE_FX[SET_HEAD + 1..][..CODINGS].to_vec();
            codec[16] = number;
            codec.extend(codings.concat());
            codec[17] = u8::try_from(codec.len() - CODEC_HEAD).unwrap();
            codec
        };
        let other = [&[9; 16][..], &[1, 3, 0, 1, 2, 3]].concat();
        let (one, three) = ([0, 1, 64, 0, 2, 1, 1, 1], [0, 1, 64, 0, 2, 1, 1, 4]);
        let cases = [
            (vec![codec(3, &[one, three])], Some(2)),
            (vec![other.clone(), codec(3, &[three])], Some(2)),
            (vec![codec(4, &[three])], None),
            (vec![codec(3, &[one])], None),
            (vec![codec(3, &[])], None),
            (vec![other], None),
            (vec![], None),
        ];
        for (codecs, mode) in cases {
            let count = u8::try_from(codecs.len()).unwrap();
            let said = set(BITMAP_CODECS, &[&[count][..], &codecs.concat()].concat());
            let told = narrowed(&with(&[general(), said]), false, PLAYER).unwrap();
            let found = of(&told, BITMAP_CODECS).map(|set| (set.len(), set[MODE]));
            assert_eq!(found, mode.map(|mode| (65, mode)), "{codecs:?}");
        }
    }

    #[test]
    fn what_is_said_twice_cut_or_without_end_is_refused() {
        let whole = freerdp();
        for length in 1..whole.len() {
            assert!(narrowed(&whole[..length], false, PLAYER).is_err(), "{length}");
            // Also where its own length is right.
            let mut cut = whole[..length].to_vec();
            if let Some(place) = cut.get_mut(..2) {
                place.copy_from_slice(&u16::try_from(length).unwrap().to_le_bytes());
            }
            assert!(narrowed(&cut, false, PLAYER).is_err(), "{length}");
        }
        let cache = |kind| set(kind, &[0; 36]);
        let (twice, both) = (vec![general(), general()], vec![cache(4), general(), cache(19)]);
        let refused = [
            (with(&twice), Fault::Settings),
            (with(&both), Fault::Settings),
            (with(&[general(), vec![2, 0, 3, 0]]), Fault::Settings),
            (with(&[general(), vec![2, 0, 255, 0]]), Fault::Cut),
            (with(&[general(), set(BITMAP, &[0; 3])]), Fault::Cut),
            (with(&[general(), set(BITMAP_CODECS, &[])]), Fault::Cut),
            (with(&[general(), set(BITMAP_CODECS, &[200, 1, 2])]), Fault::Cut),
            (counted(2, &[general()]), Fault::Cut),
            (
                counted(65, &(100..165).map(|kind| set(kind, &[])).collect::<Vec<_>>()),
                Fault::Settings,
            ),
        ];
        for (said, fault) in refused {
            assert_eq!(narrowed(&said, false, PLAYER), Err(fault), "{said:?}");
        }
        // What is not counted is not told.
        let hidden = counted(1, &[general(), set(ORDER, &[0xff; 84])]);
        let hidden = narrowed(&hidden, false, PLAYER).unwrap();
        assert_eq!(sets(&hidden)[1], NO_ORDERS);
    }

    #[test]
    fn a_client_that_shows_nothing_that_is_kept_is_refused() {
        let mut slow = general();
        slow[14] = 0;
        for sets in [vec![], vec![set(BITMAP, &[0; 24])], vec![slow]] {
            assert_eq!(narrowed(&with(&sets), false, PLAYER), Err(Fault::Unshown));
        }
    }

    #[test]
    fn whatever_stands_beside_it_a_confirm_active_is_found() {
        let data = |kind: u8| vec![18, 0, 0x17, 0, 0, 0, 0, 0, 0, 0, 0, 1, 4, 0, kind, 0, 0, 0];
        let flow = vec![0, 0x80, 0x41, 0, 0, 0, 0, 0];
        let (said, told) = (freerdp(), narrowed(&freerdp(), false, PLAYER).unwrap());
        let all = [&data(31)[..], &flow, &said, &data(43), &data(39)].concat();
        let wanted = [&data(31)[..], &flow, &told, &data(39)].concat();
        assert_eq!(narrowed(&all, false, PLAYER), Ok(wanted));
        assert_eq!(
            narrowed(&data(43), false, PLAYER),
            Ok(vec![]),
            "of pictures kept from another time"
        );
        for length in [0, 1, 5] {
            assert_eq!(narrowed(&[length, 0, 0x17, 0, 0, 0, 0, 0], false, PLAYER), Err(Fault::Cut));
        }
    }

    #[test]
    fn a_licence_passes_before_there_is_a_screen_and_hides_nothing() {
        let licence = |content: &[u8]| {
            let length = u16::try_from(content.len() + 4).unwrap().to_le_bytes();
            [&[0x80, 0, 0, 0, 0x13, 3][..], &length, content].concat()
        };
        let plain = licence(&[7; 150]);
        assert_eq!(narrowed(&plain, true, PLAYER).as_ref(), Ok(&plain));
        assert!(narrowed(&plain, false, PLAYER).is_err(), "there is a screen");
        // Who takes its flags for a length finds another message behind that.
        let hides = licence(&[&[0; 120][..], &freerdp()].concat());
        assert_ne!(narrowed(&hides, true, PLAYER).as_ref(), Ok(&hides));
        assert!(narrowed(&plain[..150], true, PLAYER).is_err(), "not all of it");
    }
}
