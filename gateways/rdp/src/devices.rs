//! Which devices of a client's a target is told of, and may use: drives, ports, printers and smart cards
//! share one channel (MS-RDPEFS), and are told apart by their type (2.2.1.3).
//!
//! INVARIANT: no more of a list is kept than [`MOST`] says, and a device that was taken out of it is
//! asked for nothing.

use crate::channel::{FIRST, LAST, PART_HEAD, Passage, SHOWN, ends};
use crate::clipboard::Rules;
use crate::frame::{Fault, u32_at};

/// Of one connection.
#[derive(Default)]
pub(crate) struct Devices {
    up: Within,
    down: Within,
    /// The numbers of those that the target was told of.
    told: Vec<u32>,
}

/// Where one direction is.
#[derive(Default)]
enum Within {
    #[default]
    Between,
    Passing,
    Dropping,
    /// A list is read, of which this has come.
    Gathering(Vec<u8>),
}

/// What becomes of a part of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shared {
    As(Passage),
    /// In its place go these parts.
    Made(Vec<Vec<u8>>),
}

impl Devices {
    /// A part that the client sends.
    pub(crate) fn up(&mut self, rules: Rules, part: &[u8]) -> Result<Shared, Fault> {
        let (first, last) = ends(part)?;
        let content = &part[PART_HEAD..];
        if first != matches!(self.up, Within::Between) {
            return Err(Fault::Unreadable);
        }
        if first {
            let kind = content.get(..4).ok_or(Fault::Unreadable)?;
            self.up = match kind == LIST {
                true => Within::Gathering(Vec::new()),
                false => Within::Passing,
            };
        }
        let Within::Gathering(list) = &mut self.up else {
            self.up = if last { Within::Between } else { Within::Passing };
            return Ok(Shared::As(Passage::Passes));
        };
        if list.len() + content.len() > MOST {
            return Err(Fault::Unreadable);
        }
        list.extend_from_slice(content);
        if !last {
            return Ok(Shared::As(Passage::Dropped));
        }
        let list = std::mem::take(list);
        self.up = Within::Between;
        let kept = self.kept(rules, &list)?;
        Ok(Shared::Made(parts(&kept, u32_at(part, 4)? & SHOWN)?))
    }

    /// A part that the target sends: what it asks of a device that it was not told of goes nowhere.
    pub(crate) fn down(&mut self, part: &[u8]) -> Result<Passage, Fault> {
        let (first, last) = ends(part)?;
        let content = &part[PART_HEAD..];
        if first != matches!(self.down, Within::Between) {
            return Err(Fault::Unreadable);
        }
        let passes = match self.down {
            Within::Between => {
                let asks = content.get(..4).ok_or(Fault::Unreadable)? == REQUEST;
                !asks || self.told.contains(&u32_at(content, 4)?)
            }
            Within::Passing => true,
            Within::Dropping | Within::Gathering(_) => false,
        };
        self.down = match (last, passes) {
            (true, _) => Within::Between,
            (false, true) => Within::Passing,
            (false, false) => Within::Dropping,
        };
        Ok(if passes { Passage::Passes } else { Passage::Dropped })
    }

    /// A list (2.2.2.9) without what may not be shared.
    fn kept(&mut self, rules: Rules, list: &[u8]) -> Result<Vec<u8>, Fault> {
        let count = u32_at(list, 4)?;
        let mut rest = list.get(LIST_HEAD..).ok_or(Fault::Cut)?;
        let (mut kept, mut number) = (Vec::with_capacity(list.len()), 0_u32);
        for _ in 0..count {
            let length = usize::try_from(u32_at(rest, 16)?).map_err(|_| Fault::Cut)?;
            let length = length.checked_add(DEVICE_HEAD).ok_or(Fault::Cut)?;
            let (device, more) = rest.split_at_checked(length).ok_or(Fault::Cut)?;
            if shares(rules, u32_at(device, 0)?) {
                if self.told.len() >= MOST_DEVICES {
                    return Err(Fault::Unreadable);
                }
                self.told.push(u32_at(device, 4)?);
                kept.extend_from_slice(device);
                number += 1;
            }
            rest = more;
        }
        Ok([LIST, &number.to_le_bytes(), &kept].concat())
    }
}

/// Whether a device of this type may be shared. A smart card signs in, and carries nothing away.
fn shares(rules: Rules, kind: u32) -> bool {
    match kind {
        SERIAL | PARALLEL | DRIVE => rules.files,
        PRINTER => rules.printer,
        SMART_CARD => true,
        _ => false,
    }
}

/// A message in parts that are short enough for everybody.
fn parts(message: &[u8], shown: u32) -> Result<Vec<Vec<u8>>, Fault> {
    let length = u32::try_from(message.len()).map_err(|_| Fault::Cut)?.to_le_bytes();
    let last = message.len().div_ceil(PART).saturating_sub(1);
    let part = |(nth, content): (usize, &[u8])| {
        let first = if nth == 0 { FIRST } else { 0 };
        let flags = shown | first | if nth == last { LAST } else { 0 };
        [&length[..], &flags.to_le_bytes(), content].concat()
    };
    Ok(message.chunks(PART).enumerate().map(part).collect())
}

/// Of the core (0x4472): a list of devices (0x4441).
const LIST: &[u8] = &[0x72, 0x44, 0x41, 0x44];
/// The same: something is asked of one (0x4952).
const REQUEST: &[u8] = &[0x72, 0x44, 0x52, 0x49];
const LIST_HEAD: usize = 8;
const DEVICE_HEAD: usize = 20;

const SERIAL: u32 = 1;
const PARALLEL: u32 = 2;
const PRINTER: u32 = 4;
const DRIVE: u32 = 8;
const SMART_CARD: u32 = 0x20;

/// CHANNEL_CHUNK_LENGTH.
const PART: usize = 1600;
/// Of a list: printers come with their drivers' settings.
const MOST: usize = 1 << 20;
const MOST_DEVICES: usize = 1024;

#[cfg(test)]
pub(crate) mod tests {
    use access::Clipboard;

    use super::*;
    use crate::clipboard::Client;

    fn rules(files: bool, printer: bool) -> Rules {
        let (clipboard, client) = (Clipboard::Both, Client::Native);
        Rules { clipboard, files, printer, audio: true, client, recorded: false, exact: false }
    }

    fn device(kind: u32, id: u32, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap();
        let head = [&kind.to_le_bytes()[..], &id.to_le_bytes(), b"NAME\0\0\0\0"].concat();
        [&head[..], &length.to_le_bytes(), data].concat()
    }

    /// What a client says of these devices.
    pub(crate) fn list(devices: &[(u32, u32)]) -> Vec<u8> {
        let all: Vec<u8> = devices.iter().flat_map(|(kind, id)| device(*kind, *id, b"x")).collect();
        let count = u32::try_from(devices.len()).unwrap();
        [LIST, &count.to_le_bytes(), &all].concat()
    }

    pub(crate) fn whole(message: &[u8]) -> Vec<u8> {
        parts(message, 0).unwrap().concat()
    }

    fn ids(made: &Shared) -> Vec<u32> {
        let Shared::Made(parts) = made else { panic!("{made:?}") };
        let message: Vec<u8> = parts.iter().flat_map(|part| part[PART_HEAD..].to_vec()).collect();
        let mut rest = &message[LIST_HEAD..];
        let mut ids = Vec::new();
        while !rest.is_empty() {
            ids.push(u32_at(rest, 4).unwrap());
            rest = &rest[DEVICE_HEAD + usize::try_from(u32_at(rest, 16).unwrap()).unwrap()..];
        }
        assert_eq!(usize::try_from(u32_at(&message, 4).unwrap()), Ok(ids.len()));
        ids
    }

    #[test]
    fn a_target_is_told_of_what_may_be_shared_and_of_nothing_else() {
        let all = [(SERIAL, 1), (PARALLEL, 2), (PRINTER, 3), (DRIVE, 4), (SMART_CARD, 5), (99, 6)];
        let cases = [
            ((true, true), vec![1, 2, 3, 4, 5]),
            ((false, true), vec![3, 5]),
            ((true, false), vec![1, 2, 4, 5]),
            ((false, false), vec![5]),
        ];
        for ((files, printer), wanted) in cases {
            let mut devices = Devices::default();
            let made = devices.up(rules(files, printer), &whole(&list(&all))).unwrap();
            assert_eq!(ids(&made), wanted, "files {files}, printer {printer}");
            for (_, id) in all {
                let asked = [REQUEST, &id.to_le_bytes(), &[0; 16]].concat();
                let passes = devices.down(&whole(&asked)).unwrap() == Passage::Passes;
                assert_eq!(passes, wanted.contains(&id), "device {id}");
            }
        }
    }

    #[test]
    fn a_list_in_parts_is_one_list() {
        let (mut devices, rules) = (Devices::default(), rules(false, true));
        let long = [LIST, &2_u32.to_le_bytes(), &device(DRIVE, 1, &[7; 4000])].concat();
        let long = [&long[..], &device(PRINTER, 2, &[8; 2000])].concat();
        let sent = parts(&long, 0).unwrap();
        assert_eq!(sent.len(), 4);
        for part in &sent[..3] {
            assert_eq!(devices.up(rules, part), Ok(Shared::As(Passage::Dropped)));
        }
        let made = devices.up(rules, &sent[3]).unwrap();
        assert_eq!(ids(&made), [2]);
        let Shared::Made(made) = made else { panic!() };
        assert!(made.len() == 2 && made.iter().all(|part| part.len() <= PART + PART_HEAD));
        let other = whole(&[0x72, 0x44, 0x43, 0x43, 1, 0]);
        assert_eq!(devices.up(rules, &other), Ok(Shared::As(Passage::Passes)), "what follows it");
    }

    #[test]
    fn a_list_that_can_not_be_read_ends_the_session() {
        let look = |part: &[u8]| Devices::default().up(rules(false, true), part);
        let whole_list = list(&[(DRIVE, 1), (PRINTER, 2)]);
        for length in 4..whole_list.len() {
            assert!(look(&whole(&whole_list[..length])).is_err(), "{length}");
        }
        assert_eq!(look(&whole(&[0x72, 0x44])), Err(Fault::Unreadable), "no kind");
        let mut compressed = whole(&whole_list);
        compressed[6] |= 0x20;
        assert_eq!(look(&compressed), Err(Fault::Unreadable));
        let mut many = whole_list.clone();
        many[4..8].fill(0xff);
        assert_eq!(look(&whole(&many)), Err(Fault::Cut));
        let mut huge = Devices::default();
        let part = [&[0; 4][..], &FIRST.to_le_bytes(), LIST, &[0; 1600]].concat();
        let more = [&[0; 4][..], &0_u32.to_le_bytes(), &[0; 1600]].concat();
        huge.up(rules(false, true), &part).unwrap();
        let ended = (0..1000).find_map(|_| huge.up(rules(false, true), &more).err());
        assert_eq!(ended, Some(Fault::Unreadable), "a list has its most");
    }
}
