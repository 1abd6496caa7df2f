//! Which dynamic channels open (MS-RDPEDYC). A target asks for one by its name; one that may not be is
//! asked for by a name that nobody has, so that the client declines and the target is answered.
//!
//! INVARIANT: pure, and it keeps no more than [`MOST`] numbers.

use crate::channel::{PART_HEAD, ends};
use crate::clipboard::Rules;
use crate::frame::Fault;

/// Of one connection.
#[derive(Default)]
pub(crate) struct Dynamic {
    /// The numbers of those that were asked for and may not be.
    refused: Vec<u32>,
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opens {
    Passes,
    Dropped,
    Changed(Vec<u8>),
}

impl Dynamic {
    /// What the target sends.
    pub(crate) fn down(&mut self, rules: Rules, part: &[u8]) -> Result<Opens, Fault> {
        let Some((number, at)) = create(part)? else { return Ok(Opens::Passes) };
        let name = part.get(at..).ok_or(Fault::Unreadable)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        self.refused.retain(|refused| *refused != number);
        if rules.opens_dynamic(name) {
            return Ok(Opens::Passes);
        }
        if name.is_empty() || self.refused.len() >= MOST {
            return Ok(Opens::Dropped);
        }
        self.refused.push(number);
        let mut changed = part.to_vec();
        changed[at..at + name.len()].fill(b'-');
        Ok(Opens::Changed(changed))
    }

    /// What the client sends: whatever it says of a channel that was refused, the target is told no.
    pub(crate) fn up(&mut self, part: &[u8]) -> Result<Opens, Fault> {
        let Some((number, at)) = create(part)? else { return Ok(Opens::Passes) };
        if !self.refused.contains(&number) {
            return Ok(Opens::Passes);
        }
        let mut changed = part.to_vec();
        let status = changed.get_mut(at..at + 4).ok_or(Fault::Unreadable)?;
        status.copy_from_slice(&UNSUCCESSFUL.to_le_bytes());
        Ok(Opens::Changed(changed))
    }
}

/// Of a message that opens a channel: its number, and where what follows it begins.
fn create(part: &[u8]) -> Result<Option<(u32, usize)>, Fault> {
    let (first, last) = ends(part)?;
    let [head, rest @ ..] = part.get(PART_HEAD..).unwrap_or_default() else {
        return Err(Fault::Unreadable);
    };
    if !first || head >> 4 != CREATE {
        return Ok(None);
    }
    let length = match head & 3 {
        0 => 1,
        1 => 2,
        _ => 4,
    };
    let number = rest.get(..length).filter(|_| last).ok_or(Fault::Unreadable)?;
    let mut bytes = [0; 4];
    bytes[..length].copy_from_slice(number);
    Ok(Some((u32::from_le_bytes(bytes), PART_HEAD + 1 + length)))
}

/// Those that carry a screen's size, and fingers and pens.
pub(crate) const SHOWING: [&str; 2] =
    ["Microsoft::Windows::RDS::DisplayControl", "Microsoft::Windows::RDS::Input"];
/// Those that carry pictures and keys (MS-RDPEGFX, MS-RDPEGT, MS-RDPECI), beside what is recorded.
pub(crate) const DRAWING: [&str; 3] = [
    "Microsoft::Windows::RDS::Graphics",
    "Microsoft::Windows::RDS::Geometry::v08.01",
    "Microsoft::Windows::RDS::CoreInput",
];
/// Those that carry sound, both ways (MS-RDPEA 2.1, MS-RDPEAI 2.1).
pub(crate) const SOUNDING: [&str; 3] =
    ["AUDIO_PLAYBACK_DVC", "AUDIO_PLAYBACK_LOSSY_DVC", "AUDIO_INPUT"];
const CREATE: u8 = 1;
/// STATUS_UNSUCCESSFUL.
const UNSUCCESSFUL: u32 = 0xc000_0001;
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use access::Clipboard;

    use super::*;
    use crate::channel::{FIRST, LAST};
    use crate::clipboard::Client;

    const SOME: Rules = Rules {
        clipboard: Clipboard::Off,
        files: true,
        printer: true,
        audio: true,
        client: Client::Native,
        recorded: false,
        exact: false,
    };

    fn part(content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap();
        [&length.to_le_bytes()[..], &(FIRST | LAST).to_le_bytes(), content].concat()
    }

    fn asked(number: u8, name: &str) -> Vec<u8> {
        part(&[&[0x10, number][..], name.as_bytes(), &[0]].concat())
    }

    #[test]
    fn channels_open_by_their_names() {
        let silent = Rules { audio: false, ..SOME };
        let all = Rules { clipboard: Clipboard::Both, ..SOME };
        for (name, wanted) in [
            ("Microsoft::Windows::RDS::DisplayControl", [true, true, true]),
            ("AUDIO_PLAYBACK_DVC", [true, true, false]),
            ("AUDIO_PLAYBACK_LOSSY_DVC", [true, true, false]),
            ("AUDIO_INPUT", [true, true, false]),
            ("URBDRC", [true, false, false]),
            ("FileRedirectorChannel", [true, false, false]),
            ("RDCamera_Device_Enumerator", [true, false, false]),
            ("", [true, false, false]),
        ] {
            let found = [all, SOME, silent]
                .map(|rules| Dynamic::default().down(rules, &asked(7, name)) == Ok(Opens::Passes));
            assert_eq!(found, wanted, "{name}");
        }
        let data = part(b"\x30\x07Microsoft");
        assert_eq!(Dynamic::default().down(silent, &data), Ok(Opens::Passes), "in one");
    }

    #[test]
    fn whatever_a_client_says_of_a_channel_that_is_refused_it_does_not_open() {
        let silent = Rules { audio: false, ..SOME };
        let mut dynamic = Dynamic::default();
        let asked_for = dynamic.down(silent, &asked(7, "AUDIO_INPUT")).unwrap();
        assert_eq!(asked_for, Opens::Changed(asked(7, "-----------")));
        let yes = part(&[0x10, 7, 0, 0, 0, 0]);
        let no = part(&[0x10, 7, 1, 0, 0, 0xc0]);
        assert_eq!(dynamic.up(&yes), Ok(Opens::Changed(no)));
        assert_eq!(dynamic.up(&part(&[0x10, 8, 0, 0, 0, 0])), Ok(Opens::Passes), "another");
        assert_eq!(dynamic.up(&part(&[0x10, 7, 0])), Err(Fault::Unreadable));
        // Its number may be given to another.
        dynamic.down(silent, &asked(7, "Microsoft::Windows::RDS::Input")).unwrap();
        assert_eq!(dynamic.up(&yes), Ok(Opens::Passes));
    }

    #[test]
    fn a_target_that_asks_for_ever_fills_nothing() {
        let mut dynamic = Dynamic::default();
        for number in 0..2_u32 << 10 {
            let content = [&[0x12][..], &number.to_le_bytes(), b"URBDRC\0"].concat();
            dynamic.down(SOME, &part(&content)).unwrap();
        }
        assert_eq!(dynamic.refused.len(), MOST);
    }
}
