use access::Clipboard;
use proptest::prelude::*;
use session::Key;

use super::*;
use crate::capabilities::{Limits, narrowed};
use crate::clipboard::Client;
use crate::clipboard::tests::message;
use crate::devices::tests::{list, whole};
use crate::settings::tests::{client, frame, info, target};
use crate::settings::utf16;

const ALL: Rules = Rules {
    clipboard: Clipboard::Both,
    files: true,
    printer: true,
    audio: true,
    client: Client::Page,
    recorded: false,
    exact: true,
};
const NATIVE: Rules = Rules { client: Client::Native, exact: false, ..ALL };

/// What a client and a target say to each other, through a guard.
struct Line(Guard);

impl Line {
    fn new(rules: Rules, protocol: Protocols, account: Option<Account>) -> Self {
        Self(Guard::new(rules, protocol, account))
    }

    /// One whose channels are there and whose client has said who it is.
    fn open(rules: Rules) -> Self {
        let mut line = Self::new(rules, Protocols::TLS, None);
        line.begin(&["cliprdr", "rdpdr", "drdynvc"]);
        line.up(&sent(SEND_REQUEST, 1003, &info())).unwrap();
        line
    }

    fn begin(&mut self, channels: &[&str]) {
        self.up(&client(channels)).unwrap();
        let numbers: Vec<u16> = (0..3).map(|nth| 1004 + nth).collect();
        self.down(&target(&numbers, 0)).unwrap();
        self.up(&frame(&[ERECT << 2, 1, 0, 1, 0])).unwrap();
        self.up(&frame(&[ATTACH << 2])).unwrap();
        self.down(&frame(&[ATTACHED << 2, 0, 0, 6])).unwrap();
        self.up(&frame(&[JOIN << 2, 0, 6, 3, 0xeb])).unwrap();
        self.down(&frame(&[JOINED << 2, 0, 0, 6, 3, 0xeb, 3, 0xeb])).unwrap();
    }

    fn up(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        let (mut buffer, mut out) = (BytesMut::from(bytes), Vec::new());
        self.0.up(&mut buffer, &mut out).map(|()| out.concat())
    }

    fn down(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        let (mut buffer, mut out) = (BytesMut::from(bytes), Vec::new());
        self.0.down(&mut buffer, &mut out).map(|()| out.concat())
    }
}

pub(crate) fn sent(kind: u8, channel: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap() | 0x8000;
    let head = [&[kind << 2, 0, 6][..], &channel.to_be_bytes(), &[0x70]].concat();
    frame(&[&head[..], &length.to_be_bytes(), data].concat())
}

#[test]
fn what_a_login_says_passes_and_then_come_settings() {
    let mut line = Line::new(ALL, Protocols::ALL, None);
    let token = [&[0x30, 0x82, 0, 200][..], &[7; 200]].concat();
    assert_eq!(line.up(&token).unwrap(), token);
    assert_eq!(line.down(&token).unwrap(), token);
    assert_eq!(line.down(&[0, 0, 0, 0]).unwrap(), [0, 0, 0, 0], "it went well");
    let named = line.up(&client(&["cliprdr"])).unwrap();
    assert!(named.windows(7).any(|part| part == b"cliprdr"));
    assert_eq!(line.up(&token), Err(Fault::Order), "the login is over");
}

#[test]
fn nothing_comes_before_its_turn() {
    let mut line = Line::new(ALL, Protocols::TLS, None);
    assert_eq!(line.down(&target(&[], 0)), Err(Fault::Order), "an answer to nothing");
    assert_eq!(line.up(&[0, 5, 0, 0, 0]), Err(Fault::Order), "input before there is a screen");
    let who = sent(SEND_REQUEST, 1003, &info());
    let mut line = Line::new(ALL, Protocols::TLS, None);
    line.up(&client(&[])).unwrap();
    assert_eq!(line.up(&who), Err(Fault::Order), "before the target has said its number");
    let mut line = Line::new(ALL, Protocols::TLS, None);
    line.begin(&["cliprdr"]);
    assert_eq!(line.up(&sent(SEND_REQUEST, 1004, &info())), Err(Fault::Order), "elsewhere");
    assert_eq!(line.up(&sent(SEND_REQUEST, 1003, &[0; 40])), Err(Fault::Order), "something else");
}

#[test]
fn a_client_is_signed_in_as_the_relays_account() {
    let account = Account::new("desk", "hunter2".into());
    let mut line = Line::new(ALL, Protocols::ALL, Some(account));
    line.begin(&["cliprdr"]);
    let said = line.up(&sent(SEND_REQUEST, 1003, &info())).unwrap();
    let has = |text: &str| said.windows(text.len() * 2).any(|part| part == utf16(text));
    assert!(has("desk") && has("hunter2") && !has("typed"));
}

/// As the page sends them.
#[test]
fn input_of_each_kind_passes_as_it_is() {
    let mut line = Line::open(Rules { clipboard: Clipboard::Off, files: false, ..ALL });
    let many = [&[0, 0x80, 0x84, 64][..], &[1, 0x1c].repeat(64)].concat();
    let kinds: [(&str, &[u8]); 7] = [
        ("locks", &[0x04, 3, 0x60]),
        ("a move", &[0x04, 9, 0x20, 0, 8, 0x96, 0, 0xc8, 0]),
        ("a fourth button", &[0x04, 9, 0x40, 1, 0x80, 0x96, 0, 0xc8, 0]),
        ("a key", &[0x04, 4, 0, 0x14]),
        ("a key and its release", &[0x08, 6, 0, 0x14, 1, 0x14]),
        ("a character", &[0x04, 5, 0x80, 0xe4, 0]),
        ("more than the first byte can count", &many),
    ];
    for (kind, bytes) in kinds {
        assert_eq!(line.up(bytes).as_deref(), Ok(bytes), "{kind}");
    }
    let slow = sent(SEND_REQUEST, 1003, &[0x22, 0, 0x17, 0, 0xee, 3]);
    assert_eq!(line.up(&slow).unwrap(), slow, "a key, the slow way");
}

#[test]
fn drives_are_nobodys_whatever_is_sent_there() {
    let mut line = Line::open(ALL);
    assert_eq!(line.up(&sent(SEND_REQUEST, 1005, b"a drive")).unwrap(), b"");
    assert_eq!(line.down(&sent(SEND_INDICATION, 1005, b"a drive")).unwrap(), b"");
    let dynamic = sent(SEND_REQUEST, 1006, &message(0, b"a size"));
    assert_eq!(line.up(&dynamic).unwrap(), dynamic);
}

/// A drive and a printer, as a native client tells of them.
#[test]
fn a_printer_passes_where_drives_may_not_and_the_other_way_round() {
    const BOTH: [(u32, u32); 2] = [(8, 1), (4, 2)];
    let told = sent(SEND_REQUEST, 1005, &whole(&list(&BOTH)));
    let cases = [
        (NATIVE, &BOTH[..]),
        (Rules { files: false, ..NATIVE }, &BOTH[1..]),
        (Rules { printer: false, ..NATIVE }, &BOTH[..1]),
    ];
    for (rules, wanted) in cases {
        let wanted = sent(SEND_REQUEST, 1005, &whole(&list(wanted)));
        assert_eq!(Line::open(rules).up(&told).unwrap(), wanted, "{rules:?}");
    }
    let neither = Rules { files: false, printer: false, ..NATIVE };
    assert_eq!(Line::open(neither).up(&told).unwrap(), b"", "the channel is not there");
}

#[test]
fn sound_is_a_channel_that_a_rule_closes_by_both_of_its_names() {
    let silent = Rules { audio: false, ..NATIVE };
    for (rules, is_there) in [(NATIVE, true), (silent, false)] {
        let mut line = Line::new(rules, Protocols::TLS, None);
        let named = line.up(&client(&["rdpsnd"])).unwrap();
        assert_eq!(named.windows(6).any(|part| part == b"rdpsnd"), is_there);
        let dynamic = message(0, b"");
        let asked = [&dynamic[..8], &b"\x10\x07AUDIO_PLAYBACK_DVC\0"[..]].concat();
        let asked = sent(SEND_INDICATION, 1006, &asked);
        assert_eq!(Line::open(rules).down(&asked).unwrap() == asked, is_there);
    }
}

#[test]
fn a_client_names_a_channel_that_is_looked_into_once() {
    let mut line = Line::new(NATIVE, Protocols::TLS, None);
    assert_eq!(line.up(&client(&["rdpdr", "RDPDR"])), Err(Fault::Settings));
}

#[test]
fn a_clipboard_carries_the_way_it_may() {
    let rules = Rules { clipboard: Clipboard::ToTarget, ..ALL };
    let mut line = Line::open(rules);
    let list = sent(SEND_REQUEST, 1004, &message(2, b"text"));
    assert_eq!(line.up(&list).unwrap(), list);
    let data = sent(SEND_REQUEST, 1004, &message(5, b"typed here"));
    assert_eq!(line.up(&data).unwrap(), data);
    let list = sent(SEND_INDICATION, 1004, &message(2, b"text"));
    let emptied = sent(SEND_INDICATION, 1004, &message(2, b""));
    assert_eq!(line.down(&list).unwrap(), emptied);
    assert_eq!(line.down(&sent(SEND_INDICATION, 1004, &message(5, b"secret"))).unwrap(), b"");
}

#[test]
fn a_clipboard_that_is_off_is_not_there() {
    let mut line = Line::new(Rules { clipboard: Clipboard::Off, ..ALL }, Protocols::TLS, None);
    let named = line.up(&client(&["CLIPRDR"])).unwrap();
    assert!(!named.to_ascii_lowercase().windows(7).any(|part| part == b"cliprdr"));
    line.down(&target(&[1004], 0)).unwrap();
    line.up(&sent(SEND_REQUEST, 1003, &info())).unwrap();
    assert_eq!(line.up(&sent(SEND_REQUEST, 1004, &message(2, b"text"))).unwrap(), b"");
    assert_eq!(line.down(&sent(SEND_INDICATION, 1004, &message(5, b"text"))).unwrap(), b"");
}

#[test]
fn pictures_pass_in_one_piece() {
    let mut line = Line::open(ALL);
    let picture = [&[0, 0x82, 0][..], &[9; 509]].concat();
    let three = picture.repeat(3);
    let (mut buffer, mut out) = (BytesMut::from(&three[..three.len() - 1]), Vec::new());
    line.0.down(&mut buffer, &mut out).unwrap();
    assert_eq!((out.len(), out[0].len(), buffer.len()), (1, 2 * picture.len(), 511));
}

proptest! {
    #[test]
    fn however_bytes_come_the_same_passes(cuts in prop::collection::vec(1_usize..64, 1..40)) {
        let said = [
            client(&["cliprdr", "rdpdr", "drdynvc"]),
            target(&[1004, 1005, 1006], 0),
            sent(SEND_REQUEST, 1003, &info()),
            [sent(SEND_REQUEST, 1004, &message(2, b"x")), vec![4, 9, 0, 0, 0, 0, 0, 0, 0]].concat(),
        ];
        let rules = Rules { clipboard: Clipboard::FromTarget, files: false, ..ALL };
        let talk = |cuts: &[usize]| {
            let mut guard = Guard::new(rules, Protocols::TLS, None);
            let mut out = Vec::new();
            let mut sizes = cuts.iter().copied().cycle();
            for (nth, said) in said.iter().enumerate() {
                let mut buffer = BytesMut::new();
                let mut rest = said.as_slice();
                while !rest.is_empty() {
                    let (part, more) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
                    buffer.extend_from_slice(part);
                    rest = more;
                    match nth {
                        1 => guard.down(&mut buffer, &mut out).unwrap(),
                        _ => guard.up(&mut buffer, &mut out).unwrap(),
                    }
                }
            }
            out.concat()
        };
        prop_assert_eq!(talk(&cuts), talk(&[100_000]));
    }
}

/// What a target says of its screen, of 800 by 600 pixels.
pub(crate) fn demand(repaints: u8) -> Vec<u8> {
    let mut general = vec![1, 0, 24, 0];
    general.resize(24, 0);
    general[22] = repaints;
    let mut bitmap = vec![2, 0, 28, 0];
    bitmap.resize(28, 0);
    bitmap[12..14].copy_from_slice(&800_u16.to_le_bytes());
    bitmap[14..16].copy_from_slice(&600_u16.to_le_bytes());
    let sets = [&general[..], &bitmap].concat();
    let body = [&7_u32.to_le_bytes()[..], &[4, 0, 56, 0], b"RDP\0", &[2, 0, 0, 0], &sets].concat();
    let length = u16::try_from(6 + body.len()).unwrap();
    [&length.to_le_bytes()[..], &[0x11, 0, 0xea, 3], &body].concat()
}

/// One that is recorded.
fn watched(keys: bool) -> Line {
    let mut line = Line::open(Rules { recorded: true, ..ALL });
    line.0 = line.0.watched(Some(Watch::new(keys)));
    line
}

#[test]
fn what_a_screen_shows_is_kept_from_its_settings_on_and_what_channels_carry_is_not() {
    let mut line = watched(false);
    let picture = [&[0, 0x82, 0][..], &[9; 509]].concat();
    line.down(&picture).unwrap();
    line.down(&sent(SEND_INDICATION, 1003, &[0x80, 0, 0, 0, 2, 3, 4, 0])).unwrap();
    let shown = |line: &mut Line| line.0.watch().and_then(Watch::take_shown);
    assert_eq!(shown(&mut line), None, "a licence is no picture");
    let demand = sent(SEND_INDICATION, 1003, &demand(1));
    let data = |kind: u8| {
        let head = [22, 0, 0x17, 0, 0xea, 3, 7, 0, 0, 0, 0, 1, 8, 0, kind, 0, 0, 0, 1, 0, 0xea, 3];
        sent(SEND_INDICATION, 1003, &head)
    };
    let (synchronize, whose) = (data(31), data(38));
    let clipboard = sent(SEND_INDICATION, 1004, &message(5, b"secret"));
    let all = [&demand[..], &clipboard, &synchronize, &whose, &picture].concat();
    assert_eq!(line.down(&all).unwrap(), all, "it passes as it is");
    assert_eq!(shown(&mut line).unwrap(), [&demand[..], &synchronize, &picture].concat());
    assert_eq!(shown(&mut line), None);
}

#[test]
fn keys_are_kept_where_the_grant_asks_for_them() {
    let pressed = |keys: bool| {
        let mut line = watched(keys);
        // A key and its release, one with a prefix, a character, and a mouse between them.
        line.up(&[0x08, 6, 0, 0x14, 1, 0x14]).unwrap();
        line.up(&[0x0c, 14, 2, 0x1c, 0x20, 0, 8, 0x96, 0, 0xc8, 0, 0x80, 0xe4, 0]).unwrap();
        let slow = [
            &[34, 0, 0x17, 0, 0xef, 3, 7, 0, 0, 0, 0, 1, 20, 0, 28, 0, 0, 0][..],
            &[1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0xc0, 0x1e, 0, 0, 0],
        ]
        .concat();
        line.up(&sent(SEND_REQUEST, 1003, &slow)).unwrap();
        line.0.watch().unwrap().take_pressed()
    };
    let (code, unit) = (Key::Code, Key::Unit);
    let wanted = [
        (code(0x14), true),
        (code(0x14), false),
        (code(0xe01c), true),
        (unit(0xe4), true),
        (code(0x1e), false),
    ];
    assert_eq!(pressed(true), wanted);
    assert_eq!(pressed(false), []);
}

#[test]
fn a_page_is_shown_exact_pictures_unless_they_may_lose_something() {
    let confirm = data_encoding::HEXLOWER;
    let confirm =
        confirm.decode(include_str!("testdata/page-confirm.hex").trim().as_bytes()).unwrap();
    let limits = Limits { shown_again: false, exact: true };
    let exact = narrowed(&confirm, true, limits).unwrap();
    assert_ne!(exact, confirm);
    let said = sent(SEND_REQUEST, 1003, &confirm);
    for (rules, wanted) in [(ALL, &exact), (Rules { exact: false, ..ALL }, &confirm)] {
        let told = Line::open(rules).up(&said).unwrap();
        assert_eq!(told, sent(SEND_REQUEST, 1003, wanted));
    }
    // What is nothing of the kind passes, and the next one after it.
    let mut line = Line::open(ALL);
    for other in [&[1][..], &confirm[..60], &[0xff; 40]] {
        let said = sent(SEND_REQUEST, 1003, other);
        assert_eq!(line.up(&said).unwrap(), said);
    }
    assert_eq!(line.up(&said).unwrap(), sent(SEND_REQUEST, 1003, &exact));
}

#[test]
fn a_recorded_desktop_is_not_compressed() {
    let mut line = Line::new(Rules { recorded: true, ..ALL }, Protocols::TLS, None);
    line.begin(&["cliprdr"]);
    let said = line.up(&sent(SEND_REQUEST, 1003, &info())).unwrap();
    let (_, body) = mcs(&said).unwrap();
    let flags = crate::frame::u32_at(Sent::read(body).unwrap().data, 8).unwrap();
    assert_eq!(flags & 0x1e80, 0);
}

#[test]
fn a_screen_that_has_shown_much_is_painted_again_and_then_left_alone() {
    for line in [watched(false), recorded()] {
        is_painted_again(line);
    }
}

fn is_painted_again(mut line: Line) {
    line.down(&sent(SEND_INDICATION, 1003, &demand(1))).unwrap();
    let picture = [&[0, 0xff, 0xf0][..], &[9; 0x7fed]].concat();
    let show = |line: &mut Line, times: usize| line.down(&picture.repeat(times)).unwrap();
    let looks = |line: &mut Line, times: usize| {
        (0..times).filter_map(|_| line.0.repaint()).collect::<Vec<_>>()
    };
    assert!(looks(&mut line, 10).is_empty(), "nothing was shown");
    show(&mut line, 20);
    let asked = looks(&mut line, 1);
    let (kind, body) = mcs(&asked[0]).unwrap();
    let sent = Sent::read(body).unwrap();
    assert_eq!((kind, sent.channel, sent.user()), (SEND_REQUEST, 1003, 1007));
    // MS-RDPBCGR 2.2.11.2.1: all of 800 by 600 pixels.
    let refresh = [
        30, 0, 0x17, 0, 0xef, 3, 7, 0, 0, 0, 0, 1, 16, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
        0x1f, 3, 0x57, 2,
    ];
    assert_eq!(sent.data, refresh);
    // What it paints then is no reason to have it painted again.
    show(&mut line, 40);
    assert!(looks(&mut line, 20).is_empty());
    show(&mut line, 20);
    assert_eq!(looks(&mut line, 20).len(), 1);
}

#[test]
fn a_target_that_does_not_paint_again_is_not_asked() {
    let mut line = watched(false);
    line.down(&sent(SEND_INDICATION, 1003, &demand(0))).unwrap();
    line.down(&[&[0, 0xff, 0xf0][..], &[9; 0x7fed]].concat().repeat(40)).unwrap();
    assert!((0..20).all(|_| line.0.repaint().is_none()));
}

const RECORDED: Rules = Rules { recorded: true, ..NATIVE };

/// A native client that is recorded, whose desktop has told of its screen.
fn recorded() -> Line {
    let mut line = Line::open(RECORDED);
    line.0 = line.0.watched(Some(Watch::new(true)));
    line.down(&sent(SEND_INDICATION, 1003, &demand(1))).unwrap();
    line
}

#[test]
fn a_target_is_told_of_a_recorded_client_what_the_player_can() {
    let early = |rules: Rules| {
        let mut line = Line::new(rules, Protocols::TLS, None);
        let said = line.up(&client(&["drdynvc", "rail", "rdpsnd"])).unwrap();
        let core = said.windows(4).position(|four| four == [1, 0xc0, 216, 0]).unwrap();
        let rail = said.windows(4).any(|part| part == b"rail");
        ([said[core + 144], said[core + 145]], said[core + 140], said[core + 210], rail)
    };
    assert_eq!(early(NATIVE), ([0xff; 2], 0, 7, true));
    // As MS-RDPBCGR 2.2.1.3.2 numbers them: neither 0x40 (monitors), 0x80 (networks) nor 0x100 (graphics).
    assert_eq!(early(RECORDED), ([0x2b, 0x08], 24, 6, false));
    let mut line = Line::new(RECORDED, Protocols::TLS, None);
    let mut few = client(&[]);
    let core = few.windows(4).position(|four| four == [1, 0xc0, 216, 0]).unwrap();
    few[core + 142] = 7;
    assert_eq!(line.up(&few), Err(Fault::Unshown), "it can not have 32 bits");
}

#[test]
fn what_a_recorded_client_says_that_it_can_do_goes_on_in_a_frame_that_fits() {
    let said = data_encoding::HEXLOWER
        .decode(include_str!("testdata/freerdp-confirm.hex").trim().as_bytes())
        .unwrap();
    let mut line = recorded();
    let passed = line.up(&sent(SEND_REQUEST, 1003, &said)).unwrap();
    assert_eq!(crate::frame::length(&passed), Ok(Some(passed.len())));
    let (_, body) = mcs(&passed).unwrap();
    assert_eq!(
        Sent::read(body).unwrap().data,
        narrowed(&said, false, Limits { shown_again: true, exact: false }).unwrap()
    );
    assert_eq!(Line::open(NATIVE).up(&sent(SEND_REQUEST, 1003, &said)).unwrap().len(), 595 + 15);
    // On a channel that is nobody's, a target might take it all the same.
    assert_eq!(line.up(&sent(SEND_REQUEST, 1009, &said)).unwrap(), b"");
    let twice = [&said[..], &said[..100]].concat();
    assert_eq!(line.up(&sent(SEND_REQUEST, 1003, &twice)), Err(Fault::Cut));
}

#[test]
fn pictures_and_keys_of_a_recorded_desktop_come_by_no_other_way() {
    let asked = |name: &str| {
        let content = [&b"\x10\x07"[..], name.as_bytes(), &[0]].concat();
        let length = u32::try_from(content.len()).unwrap().to_le_bytes();
        sent(SEND_INDICATION, 1006, &[&length[..], &[3, 0, 0, 0], &content].concat())
    };
    for (name, opens) in [
        ("Microsoft::Windows::RDS::Graphics", false),
        ("Microsoft::Windows::RDS::Geometry::v08.01", false),
        ("Microsoft::Windows::RDS::Video::Control::v08.01", false),
        ("Microsoft::Windows::RDS::CoreInput", false),
        ("Microsoft::Windows::RDS::DisplayControl", true),
        ("AUDIO_PLAYBACK_DVC", true),
    ] {
        assert_eq!(recorded().down(&asked(name)).unwrap() == asked(name), opens, "{name}");
        assert_eq!(Line::open(NATIVE).down(&asked(name)).unwrap(), asked(name), "unrecorded");
    }
}

/// MS-RDPBCGR 2.2.9.1.2.1 and 2.2.9.1.1.3.
#[test]
fn a_target_that_draws_what_can_not_be_shown_again_ends_a_recorded_desktop() {
    let slow = |kind: u16, count: u8, compressed: u8| {
        let head = [24, 0, 0x17, 0, 0xea, 3, 7, 0, 0, 0, 0, 1, 10, 0, 2, compressed, 0, 0];
        let data = [&head[..], &kind.to_le_bytes(), &[0, 0, count, 0]].concat();
        sent(SEND_INDICATION, 1003, &data)
    };
    let cases: [(&str, Vec<u8>, bool); 11] = [
        ("a picture", vec![0, 7, 1, 2, 0, 1, 0], true),
        ("orders", vec![0, 8, 0, 3, 0, 1, 0, 9], false),
        ("no orders", vec![0, 7, 0, 2, 0, 0, 0], true),
        ("orders behind a picture", vec![0, 13, 1, 3, 0, 9, 9, 9, 0, 2, 0, 1, 0], false),
        ("the rest of something", vec![0, 7, 0x10, 2, 0, 1, 0], true),
        ("compressed", vec![0, 7, 0x81, 0x21, 1, 0, 9], false),
        ("not compressed", vec![0, 7, 0x81, 0x01, 1, 0, 9], true),
        ("its own encryption", vec![0x80, 7, 1, 2, 0, 1, 0], false),
        ("orders the slow way", slow(0, 1, 0), false),
        ("a picture the slow way", slow(1, 1, 0), true),
        ("compressed the slow way", slow(1, 1, 0x20), false),
    ];
    for (what, frame, passes) in cases {
        let wanted = if passes { Ok(frame.clone()) } else { Err(Fault::Undrawn) };
        assert_eq!(recorded().down(&frame), wanted, "{what}");
        assert_eq!(Line::open(NATIVE).down(&frame), Ok(frame), "{what}, unrecorded");
    }
}
