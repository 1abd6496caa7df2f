//! The settings that client and target exchange before anything is shown: which channels there are,
//! and as whom the client signs in (MS-RDPBCGR 2.2.1.3, 2.2.1.4 and 2.2.1.11; T.124, T.125).

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::frame::{Fault, framed, per_length, u16_at, u32_at};
use crate::negotiation::Protocols;

/// The account that the relay signs in with, in place of what the client says.
pub(crate) struct Account {
    /// Empty: the account is the target's own.
    pub(crate) domain: String,
    pub(crate) user: String,
    pub(crate) password: SecretString,
}

impl Account {
    /// Of `DOMAIN\user`, or of `user`, which may be `user@domain`.
    pub(crate) fn new(account: &str, password: SecretString) -> Self {
        let (domain, user) = ntlm::account(account);
        Self { domain: domain.to_owned(), user: user.to_owned(), password }
    }

    pub(crate) fn login(&self) -> ntlm::Login<'_> {
        ntlm::Login { domain: &self.domain, user: &self.user, password: &self.password }
    }
}

/// What is made of a client's settings.
pub(crate) struct Changes<'a> {
    /// What the target has chosen: the client may have been told something else.
    pub(crate) protocol: Protocols,
    /// The layout of the keyboard that the target is told of; `None`: what the client says.
    pub(crate) layout: Option<u32>,
    /// Whether the target is asked for all colours, as the client's decoder can do and does not say.
    pub(crate) coloured: bool,
    /// Whether it says no more than the player of recordings can show.
    pub(crate) recorded: bool,
    /// Whether the target may have this channel, by its name in lower case.
    pub(crate) opens: &'a dyn Fn(&str) -> bool,
}

/// Changes a client's settings in their place, and gives the name of each channel; `None`: it is one
/// that is not opened.
///
/// A channel that is not opened is given a name that nobody has, so that the target numbers channels as
/// the client expects.
pub(crate) fn of_client(
    frame: &mut [u8],
    changes: &Changes<'_>,
) -> Result<Vec<Option<String>>, Fault> {
    let blocks = client_blocks(frame.get(7..).ok_or(Fault::Cut)?)?.len();
    let start = frame.len() - blocks;
    let (mut core, mut network) = (None, None);
    let mut at = start;
    while at < frame.len() {
        let length = usize::from(u16_at(frame, at + 2)?);
        let block = frame.get_mut(at..at + length).filter(|block| block.len() >= BLOCK_HEAD);
        let block = block.ok_or(Fault::Cut)?;
        match u16_at(block, 0)? {
            CS_CORE if core.is_none() => core = Some(change_core(block, changes)?),
            CS_NETWORK if network.is_none() => network = Some(change_channels(block, changes)?),
            // Graphics over UDP would not come by here.
            CS_MULTITRANSPORT => block[BLOCK_HEAD..].fill(0),
            CS_CORE | CS_NETWORK => return Err(Fault::Settings),
            _ => {}
        }
        at += length;
    }
    core.ok_or(Fault::Settings)?;
    Ok(network.unwrap_or_default())
}

fn change_core(block: &mut [u8], changes: &Changes<'_>) -> Result<(), Fault> {
    let Changes { protocol, layout, coloured, recorded, .. } = *changes;
    let selected = block.get_mut(SELECTED..SELECTED + 4).ok_or(Fault::Settings)?;
    selected.copy_from_slice(&protocol.bits().to_le_bytes());
    if coloured {
        block[DEPTH..DEPTH + 2].copy_from_slice(&24_u16.to_le_bytes());
        block[EARLY] |= WANTS_32;
    }
    if recorded {
        only_shown(block)?;
    }
    if let Some(layout) = layout {
        block[LAYOUT..LAYOUT + 4].copy_from_slice(&layout.to_le_bytes());
    }
    Ok(())
}

/// Takes away what the player of recordings does not say of itself.
fn only_shown(block: &mut [u8]) -> Result<(), Fault> {
    if block[DEPTHS] & HAS_32 == 0 {
        return Err(Fault::Unshown);
    }
    let early = u16_at(block, EARLY)? & EARLY_SHOWN;
    block[EARLY..EARLY + 2].copy_from_slice(&early.to_le_bytes());
    // A network that nobody measures.
    if block[NETWORK] == MEASURED {
        block[NETWORK] = LAN;
    }
    Ok(())
}

fn change_channels(block: &mut [u8], changes: &Changes<'_>) -> Result<Vec<Option<String>>, Fault> {
    let count = usize::try_from(u32_at(block, BLOCK_HEAD)?).map_err(|_| Fault::Settings)?;
    let list = block.get_mut(BLOCK_HEAD + 4..).unwrap_or_default();
    if count > MOST_CHANNELS || list.len() != count * CHANNEL {
        return Err(Fault::Settings);
    }
    let mut channels = Vec::with_capacity(count);
    for (number, channel) in list.chunks_exact_mut(CHANNEL).enumerate() {
        let name = channel[..CHANNEL_NAME].split(|byte| *byte == 0).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let opens = (changes.opens)(&name);
        if !opens {
            let nobodys = format!("adit-{number:02}");
            channel[..CHANNEL_NAME].fill(0);
            channel[..nobodys.len()].copy_from_slice(nobodys.as_bytes());
        }
        channels.push(opens.then_some(name));
    }
    Ok(channels)
}

/// The blocks of a client's settings; they end with the frame.
fn client_blocks(body: &[u8]) -> Result<&[u8], Fault> {
    let rest = body.strip_prefix(&CONNECT_INITIAL).ok_or(Fault::Order)?;
    let mut inner = whole(rest)?;
    for tag in [OCTETS, OCTETS, BOOLEAN, SEQUENCE, SEQUENCE, SEQUENCE] {
        inner = element(inner, tag)?.1;
    }
    let (user_data, rest) = element(inner, OCTETS)?;
    if !rest.is_empty() {
        return Err(Fault::Cut);
    }
    let rest = user_data.strip_prefix(&T124).ok_or(Fault::Settings)?;
    // Clients count this length differently, and no target looks at it.
    let (_, rest) = per_length(rest)?;
    per_whole(rest.strip_prefix(&CREATE_REQUEST).ok_or(Fault::Settings)?)
}

/// What a target answers: the number of its own channel, and those of the client's channels in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) channels: Vec<u16>,
    pub(crate) own: u16,
}

/// Reads a target's settings; `None`: it does not go on.
pub(crate) fn of_target(frame: &[u8]) -> Result<Option<Answer>, Fault> {
    let body = frame.get(7..).ok_or(Fault::Cut)?;
    let rest = body.strip_prefix(&CONNECT_RESPONSE).ok_or(Fault::Order)?;
    let inner = whole(rest)?;
    let (result, inner) = element(inner, ENUMERATED)?;
    if result != [0] {
        return Ok(None);
    }
    let inner = element(inner, INTEGER)?.1;
    let inner = element(inner, SEQUENCE)?.1;
    let user_data = element(inner, OCTETS)?.0;
    let rest = user_data.strip_prefix(&T124).ok_or(Fault::Settings)?;
    let (_, rest) = per_length(rest)?;
    // Before it stands what the target calls itself in a conference.
    let key = rest.windows(SERVER_KEY.len()).take(LONGEST_NODE).position(|key| key == SERVER_KEY);
    let key = key.ok_or(Fault::Settings)?;
    let mut blocks = per_whole(&rest[key + SERVER_KEY.len()..])?;
    let mut answer = None;
    while !blocks.is_empty() {
        let length = usize::from(u16_at(blocks, 2)?);
        let (block, rest) = blocks.split_at_checked(length).ok_or(Fault::Cut)?;
        match u16_at(block, 0)? {
            SC_SECURITY if u32_at(block, BLOCK_HEAD)? != 0 => return Err(Fault::Encrypted),
            SC_NETWORK if answer.is_some() => return Err(Fault::Settings),
            SC_NETWORK => answer = Some(numbers(block)?),
            _ if length < BLOCK_HEAD => return Err(Fault::Cut),
            _ => {}
        }
        blocks = rest;
    }
    answer.ok_or(Fault::Settings).map(Some)
}

fn numbers(block: &[u8]) -> Result<Answer, Fault> {
    let own = u16_at(block, BLOCK_HEAD)?;
    let count = usize::from(u16_at(block, BLOCK_HEAD + 2)?);
    if count > MOST_CHANNELS {
        return Err(Fault::Settings);
    }
    let number = |nth| u16_at(block, BLOCK_HEAD + 4 + 2 * nth);
    let channels = (0..count).map(number).collect::<Result<_, _>>()?;
    Ok(Answer { channels, own })
}

/// A target's settings: its own channel, and so many of the client's, which follow it.
pub(crate) fn response(own: u16, channels: usize) -> Result<Vec<u8>, Fault> {
    let count = u16::try_from(channels).map_err(|_| Fault::Settings)?;
    let mut network = Vec::new();
    for part in [SC_NETWORK, 8 + 2 * (count + count % 2), own, count] {
        network.extend(part.to_le_bytes());
    }
    network.extend((1..=count).flat_map(|nth| own.saturating_add(nth).to_le_bytes()));
    network.resize(8 + 2 * usize::from(count + count % 2), 0);
    let core = [1, 0x0c, 12, 0, 4, 0, 8, 0, 1, 0, 0, 0];
    let security = [2, 0x0c, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let blocks = [&core[..], &network, &security].concat();
    let inner = [&CREATE_RESPONSE[..], &SERVER_KEY, &per(&blocks)?].concat();
    let user_data = [&T124[..], &per(&inner)?].concat();
    let inner = [&CONNECTED[..], &[OCTETS], &ber(&user_data)?, &user_data].concat();
    framed(&[&CONNECT_RESPONSE, &ber(&inner)?, &inner])
}

/// The length of these bytes as BER has it.
fn ber(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let [high, low] = u16::try_from(bytes.len()).map_err(|_| Fault::Settings)?.to_be_bytes();
    Ok(vec![0x82, high, low])
}

/// Bytes behind their length as PER has it.
fn per(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let length = u16::try_from(bytes.len()).ok().filter(|length| *length < 0x8000);
    let length = length.ok_or(Fault::Settings)? | 0x8000;
    Ok([&length.to_be_bytes()[..], bytes].concat())
}

/// What a client says of who it is, from the header of security on: without compression and windows of
/// single programs where `plain`, and as `account` where there is one; else with what was typed, if something was.
pub(crate) fn client_info(
    data: &[u8],
    account: Option<&Account>,
    plain: bool,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    if u16_at(data, 0)? & INFO_PACKET == 0 {
        return Err(Fault::Order);
    }
    let mut made = Zeroizing::new(data.to_vec());
    let mut flags = u32_at(data, INFO_FLAGS)?;
    // Who has typed a password need not be asked for it again by a host without NLA.
    if u16_at(data, INFO_LENGTHS + 4)? > 0 {
        flags |= AUTO_LOGON;
    }
    if plain {
        flags &= !(COMPRESSION | COMPRESSION_KINDS | WINDOWS);
    }
    if let Some(account) = account {
        flags = (flags & !SMART_CARD) | AUTO_LOGON;
        made = signed_in(data, flags, account)?;
    }
    let place = made.get_mut(INFO_FLAGS..INFO_FLAGS + 4).ok_or(Fault::Cut)?;
    place.copy_from_slice(&flags.to_le_bytes());
    Ok(made)
}

/// The same with the account in place of domain, user and password.
fn signed_in(data: &[u8], flags: u32, account: &Account) -> Result<Zeroizing<Vec<u8>>, Fault> {
    if flags & UNICODE == 0 {
        return Err(Fault::Settings);
    }
    let lengths = |nth: usize| u16_at(data, INFO_LENGTHS + 2 * nth).map(usize::from);
    let mut rest = data.get(INFO_TEXTS..).ok_or(Fault::Cut)?;
    for nth in 0..3 {
        rest = rest.get(lengths(nth)? + 2..).ok_or(Fault::Cut)?;
    }
    let texts = [&account.domain, &account.user, account.password.expose_secret()];
    let texts = texts.map(|text| Zeroizing::new(utf16(text)));
    let mut made = Zeroizing::new(Vec::with_capacity(data.len() + LONGEST_TEXTS));
    made.extend(&data[..INFO_LENGTHS]);
    for text in &texts {
        made.extend(u16::try_from(text.len()).map_err(|_| Fault::Settings)?.to_le_bytes());
    }
    made.extend(&data[INFO_LENGTHS + 6..INFO_TEXTS]);
    for text in &texts {
        made.extend(text.as_slice());
        made.extend([0, 0]);
    }
    made.extend(rest);
    Ok(made)
}

/// UTF-16 in the order of bytes that Windows has.
pub(crate) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// An element of BER with this tag, and what follows.
pub(crate) fn element(bytes: &[u8], tag: u8) -> Result<(&[u8], &[u8]), Fault> {
    let (first, rest) = bytes.split_first().ok_or(Fault::Cut)?;
    if *first != tag {
        return Err(Fault::Settings);
    }
    let (length, rest) = ber_length(rest)?;
    rest.split_at_checked(length).ok_or(Fault::Cut)
}

fn ber_length(bytes: &[u8]) -> Result<(usize, &[u8]), Fault> {
    match bytes {
        [0x81, length, rest @ ..] => Ok((usize::from(*length), rest)),
        [0x82, high, low, rest @ ..] => Ok((usize::from(u16::from_be_bytes([*high, *low])), rest)),
        [length, rest @ ..] if *length < 0x80 => Ok((usize::from(*length), rest)),
        [..] => Err(Fault::Cut),
    }
}

/// What is as long as the length before it says, to the end.
fn whole(bytes: &[u8]) -> Result<&[u8], Fault> {
    let (length, rest) = ber_length(bytes)?;
    if rest.len() == length { Ok(rest) } else { Err(Fault::Cut) }
}

fn per_whole(bytes: &[u8]) -> Result<&[u8], Fault> {
    let (length, rest) = per_length(bytes)?;
    if rest.len() == length { Ok(rest) } else { Err(Fault::Cut) }
}

const CONNECT_INITIAL: [u8; 2] = [0x7f, 0x65];
const CONNECT_RESPONSE: [u8; 2] = [0x7f, 0x66];
const OCTETS: u8 = 0x04;
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;
/// The object identifier of T.124.
const T124: [u8; 7] = [0, 5, 0, 0x14, 0x7c, 0, 1];
/// A request for a conference "1" with the user data of a client, "Duca".
const CREATE_REQUEST: [u8; 12] = [0, 8, 0, 0x10, 0, 1, 0xc0, 0, b'D', b'u', b'c', b'a'];
/// What stands before the user data of a server.
const SERVER_KEY: [u8; 5] = [0, b'M', b'c', b'D', b'n'];
const LONGEST_NODE: usize = 16;
/// An answer to it, of the node 31219: it went well.
const CREATE_RESPONSE: [u8; 8] = [0x14, 0x76, 0x0a, 1, 1, 0, 1, 0xc0];
/// What stands before the user data of a server: it went well, and the domain's parameters.
const CONNECTED: [u8; 34] = [
    0x0a, 1, 0, 2, 1, 0, 0x30, 0x1a, 2, 1, 34, 2, 1, 3, 2, 1, 0, 2, 1, 1, 2, 1, 0, 2, 1, 1, 2, 3,
    0, 0xff, 0xf8, 2, 1, 2,
];

const CS_CORE: u16 = 0xc001;
const CS_NETWORK: u16 = 0xc003;
const CS_MULTITRANSPORT: u16 = 0xc00a;
const SC_SECURITY: u16 = 0x0c02;
const SC_NETWORK: u16 = 0x0c03;
const BLOCK_HEAD: usize = 4;
/// Where a client says which layout its keyboard has; before [`SELECTED`].
const LAYOUT: usize = 16;
/// Where a client says how many bits a pixel should have, and that 24 may be 32.
const DEPTH: usize = 140;
const EARLY: usize = 144;
const WANTS_32: u8 = 2;
/// Where it says how many bits it can have, and that 32 are among them.
const DEPTHS: usize = 142;
const HAS_32: u8 = 8;
/// Errors told, keys of any length, its network, 32 bits, and that channels need no joining. Not: graphics
/// on a channel of their own, where its monitors are, networks measured.
const EARLY_SHOWN: u16 = 0x0001 | WANTS_32 as u16 | 0x0008 | 0x0020 | 0x0800;
/// Where it says what its network is like.
const NETWORK: usize = 210;
const LAN: u8 = 6;
const MEASURED: u8 = 7;
/// Where a client says what the target has chosen.
const SELECTED: usize = 212;
const MOST_CHANNELS: usize = 31;
const CHANNEL: usize = 12;
const CHANNEL_NAME: usize = 8;

const INFO_PACKET: u16 = 0x40;
const INFO_FLAGS: usize = 8;
const INFO_LENGTHS: usize = 12;
const INFO_TEXTS: usize = 22;
const AUTO_LOGON: u32 = 0x8;
const UNICODE: u32 = 0x10;
const COMPRESSION: u32 = 0x80;
const COMPRESSION_KINDS: u32 = 0x1e00;
const SMART_CARD: u32 = 0x40000;
/// Of single programs (MS-RDPERP), on a channel of their own.
const WINDOWS: u32 = 0x8000 | 0x0200_0000;
/// Of an account: more never moves what holds the password.
const LONGEST_TEXTS: usize = 8 * 1024;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A client's settings with these channels.
    pub(crate) fn client(channels: &[&str]) -> Vec<u8> {
        let mut core = vec![1, 0xc0, 216, 0];
        core.resize(216, 0);
        // 15 to 32 bits, and whatever comes early.
        (core[DEPTHS], core[EARLY], core[EARLY + 1], core[NETWORK]) = (0xf, 0xff, 0xff, MEASURED);
        let mut network = vec![3, 0xc0];
        let count = u8::try_from(channels.len()).unwrap();
        network.extend(u16::try_from(8 + 12 * channels.len()).unwrap().to_le_bytes());
        network.extend([count, 0, 0, 0]);
        for name in channels {
            let mut channel = name.as_bytes().to_vec();
            channel.resize(12, 0);
            network.extend(channel);
        }
        let transport = [0x0a, 0xc0, 8, 0, 3, 0, 0, 0];
        let blocks = [core, network, transport.to_vec()].concat();
        let inner = [&CREATE_REQUEST[..], &per(&blocks)].concat();
        let user_data = [&T124[..], &per(&inner)].concat();
        let domain = [0x30, 3, 2, 1, 34];
        let inner = [
            &[4, 1, 1, 4, 1, 1, 1, 1, 0xff][..],
            &domain,
            &domain,
            &domain,
            &[4, 0x82],
            &u16::try_from(user_data.len()).unwrap().to_be_bytes(),
            &user_data,
        ]
        .concat();
        let body =
            [&[0x7f, 0x65, 0x82][..], &u16::try_from(inner.len()).unwrap().to_be_bytes(), &inner];
        frame(&body.concat())
    }

    /// A target's settings with these channels.
    pub(crate) fn target(channels: &[u16], encryption: u8) -> Vec<u8> {
        let mut network = vec![3, 0x0c];
        network.extend(u16::try_from(8 + 2 * channels.len()).unwrap().to_le_bytes());
        network.extend(1003_u16.to_le_bytes());
        network.extend(u16::try_from(channels.len()).unwrap().to_le_bytes());
        network.extend(channels.iter().flat_map(|channel| channel.to_le_bytes()));
        let security = [2, 0x0c, 12, 0, encryption, 0, 0, 0, 0, 0, 0, 0];
        let blocks = [&[1, 0x0c, 8, 0, 4, 0, 8, 0][..], &security, &network].concat();
        let inner =
            [&[0x14, 0x76, 0x0a, 1, 1, 0, 1, 0xc0][..], &SERVER_KEY, &per(&blocks)].concat();
        let user_data = [&T124[..], &per(&inner)].concat();
        let inner = [
            &[0x0a, 1, 0, 2, 1, 0, 0x30, 3, 2, 1, 34, 4, 0x81][..],
            &[u8::try_from(user_data.len()).unwrap()],
            &user_data,
        ]
        .concat();
        let body = [&[0x7f, 0x66, 0x81][..], &[u8::try_from(inner.len()).unwrap()], &inner];
        frame(&body.concat())
    }

    /// What a client says of itself, as `alice` with the password `typed`.
    pub(crate) fn info() -> Vec<u8> {
        let mut data = vec![0x40, 0, 0, 0, 0, 0, 0, 0];
        data.extend((UNICODE | COMPRESSION | 0x0600).to_le_bytes());
        let texts = ["", "alice", "typed", "", ""].map(utf16);
        for text in &texts {
            data.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
        }
        for text in &texts {
            data.extend(text);
            data.extend([0, 0]);
        }
        data.extend(b"extra");
        data
    }

    /// In the headers of TPKT and X.224.
    pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len() + 7).unwrap().to_be_bytes();
        [&[3, 0], &length[..], &[2, 0xf0, 0x80], body].concat()
    }

    fn per(bytes: &[u8]) -> Vec<u8> {
        super::per(bytes).unwrap()
    }

    #[test]
    fn a_channel_that_is_not_opened_keeps_its_place_and_loses_its_name() {
        let mut frame = client(&["RDPDR", "cliprdr", "drdynvc"]);
        let before = frame.clone();
        let opens = |name: &str| name != "rdpdr";
        let changes = Changes {
            protocol: Protocols::ALL,
            layout: None,
            coloured: false,
            recorded: false,
            opens: &opens,
        };
        let named = of_client(&mut frame, &changes).unwrap();
        let wanted = [None, Some("cliprdr".to_owned()), Some("drdynvc".to_owned())];
        assert_eq!(named, wanted);
        assert_eq!(frame.len(), before.len());
        let has = |frame: &[u8], name: &[u8]| frame.windows(name.len()).any(|part| part == name);
        assert!(has(&before, b"RDPDR") && !has(&frame, b"RDPDR"));
        assert!(has(&frame, b"adit-00\0") && has(&frame, b"cliprdr\0"));
        assert!(frame.ends_with(&[8, 0, 0, 0, 0, 0]), "no graphics beside this connection");
        assert!(
            has(&frame, &[11, 0, 0, 0, 3, 0xc0]),
            "what the target chose is before the channels"
        );
    }

    #[test]
    fn what_the_page_and_freerdps_server_say_is_understood() {
        let hex = |text: &str| data_encoding::HEXLOWER.decode(text.trim().as_bytes()).unwrap();
        let mut client = hex(include_str!("testdata/client-settings.hex"));
        let changes = Changes {
            protocol: Protocols::NLA,
            layout: Some(0x407),
            coloured: true,
            recorded: false,
            opens: &|_| true,
        };
        assert_eq!(of_client(&mut client, &changes), Ok(vec![Some("drdynvc".to_owned())]));
        // Behind the version, the measures, the colours and the word for SAS.
        let sas = client.windows(2).position(|two| two == [0x03, 0xaa]).unwrap();
        assert_eq!(client[sas + 2..sas + 6], [0x07, 0x04, 0, 0]);
        let core = sas - 14;
        assert_eq!(client[core + DEPTH..core + DEPTH + 2], [24, 0]);
        assert_eq!(client[core + EARLY] & WANTS_32, WANTS_32);
        let target = hex(include_str!("testdata/target-settings.hex"));
        let answer = Answer { channels: vec![1004], own: 1003 };
        assert_eq!(of_target(&target), Ok(Some(answer)));
    }

    #[test]
    fn settings_that_are_cut_or_doubled_are_refused() {
        let whole = client(&["cliprdr"]);
        let changes = Changes {
            protocol: Protocols::TLS,
            layout: None,
            coloured: false,
            recorded: false,
            opens: &|_| true,
        };
        for length in 0..whole.len() {
            let mut cut = whole[..length].to_vec();
            assert!(of_client(&mut cut, &changes).is_err(), "{length}");
        }
        let mut doubled = whole.clone();
        let at = doubled.windows(2).position(|two| two == [0x0a, 0xc0]).unwrap();
        doubled[at..at + 2].copy_from_slice(&CS_NETWORK.to_le_bytes());
        assert_eq!(of_client(&mut doubled, &changes), Err(Fault::Settings));
    }

    #[test]
    fn a_target_numbers_its_channels_and_has_no_encryption_of_its_own() {
        let answer = Answer { channels: vec![1004, 1005], own: 1003 };
        assert_eq!(of_target(&target(&[1004, 1005], 0)), Ok(Some(answer)));
        assert_eq!(of_target(&target(&[1004], 2)), Err(Fault::Encrypted));
        let whole = target(&[1004], 0);
        for length in 0..whole.len() {
            assert!(of_target(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn the_relays_account_takes_the_place_of_what_was_typed() {
        let account = Account::new("CORP\\svc-desk", "a secret".into());
        let made = client_info(&info(), Some(&account), true).unwrap();
        let has = |text: &str| made.windows(text.len() * 2).any(|part| part == utf16(text));
        assert!(has("CORP") && has("svc-desk") && has("a secret"));
        assert!(!has("alice") && !has("typed"));
        assert!(made.ends_with(b"extra"));
        assert_eq!(u32_at(&made, INFO_FLAGS), Ok(UNICODE | AUTO_LOGON));
        let lengths = (0..5).map(|nth| u16_at(&made, INFO_LENGTHS + 2 * nth).unwrap());
        assert_eq!(lengths.collect::<Vec<_>>(), [8, 16, 16, 0, 0]);
    }

    #[test]
    fn single_windows_and_compression_are_asked_of_no_target_that_is_looked_into() {
        let mut said = info();
        let all = u32_at(&said, INFO_FLAGS).unwrap() | 0x8000 | 0x0200_0000;
        said[INFO_FLAGS..INFO_FLAGS + 4].copy_from_slice(&all.to_le_bytes());
        let flags = |plain| u32_at(&client_info(&said, None, plain).unwrap(), INFO_FLAGS).unwrap();
        assert_eq!(flags(false), all | AUTO_LOGON);
        assert_eq!(flags(true), UNICODE | AUTO_LOGON);
    }

    #[test]
    fn a_password_that_was_typed_signs_in_and_without_one_the_host_asks() {
        let passed = client_info(&info(), None, false).unwrap();
        assert_eq!(
            u32_at(&passed, INFO_FLAGS),
            Ok(u32_at(&info(), INFO_FLAGS).unwrap() | AUTO_LOGON)
        );
        assert_eq!((&passed[..8], &passed[12..]), (&info()[..8], &info()[12..]));
        let mut without = info();
        let at = INFO_LENGTHS + 4;
        without[at..at + 2].fill(0);
        assert_eq!(*client_info(&without, None, false).unwrap(), without);
    }
}
