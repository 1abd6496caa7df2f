//! A recorded desktop shown again: the target's side of a connection to a page, played by the relay.
//!
//! What a target settled with the page that was recorded is settled anew: the page may have other
//! channels, and has none that carries. From the target's first Demand Active on it is sent what was
//! recorded. INVARIANT: nothing that a page says goes anywhere.

use bytes::{Buf as _, Bytes, BytesMut};
use rustls::pki_types::CertificateDer;

use crate::cleanpath::{Request, yes};
use crate::frame::{
    ATTACH, ATTACHED, DISCONNECT, ERECT, FIRST_USER, Fault, JOIN, JOINED, SEND_INDICATION,
    SEND_REQUEST, Sent, fast_body, framed, is_fast_path, length, mcs, send_indication, u32_at,
};
use crate::negotiation::{Protocols, confirm};
use crate::settings::{Changes, of_client, response};
use crate::watch::is_demand;

/// A page that is shown a recorded desktop.
pub struct Replay {
    /// The target's own channel, on which its frames were recorded.
    channel: u16,
    at: At,
    heard: BytesMut,
}

/// How far the page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Settings,
    Joins,
    Open,
}

impl Replay {
    /// Answers a page's request as the target would. `shown`: what of the recording comes first.
    pub fn begin(
        request: &Request,
        certificate: &CertificateDer<'_>,
        shown: &[u8],
    ) -> Result<(Self, Bytes), Fault> {
        if request.offered.both(Protocols::TLS) == Protocols::NONE {
            return Err(Fault::Settings);
        }
        let (_, sent) = demand(shown).ok_or(Fault::Settings)?;
        let answer = yes(confirm(0, Protocols::TLS), std::slice::from_ref(certificate));
        let answer = answer.map_err(|_| Fault::Settings)?;
        Ok((Self { channel: sent.channel, at: At::Settings, heard: BytesMut::new() }, answer))
    }

    /// Takes what the page says, and gives what it is answered.
    pub fn heard(&mut self, bytes: &[u8]) -> Result<Vec<Bytes>, Fault> {
        let mut answers = Vec::new();
        if self.at == At::Open {
            return Ok(answers);
        }
        self.heard.extend_from_slice(bytes);
        while let Some(whole) = length(&self.heard)? {
            if self.heard.len() < whole || self.at == At::Open {
                break;
            }
            let frame = self.heard.split_to(whole);
            answers.extend(self.answer(&frame)?.map(Bytes::from));
        }
        Ok(answers)
    }

    pub(crate) fn fuzz(bytes: &[u8]) -> Result<Vec<Bytes>, Fault> {
        Self { channel: 1003, at: At::Settings, heard: BytesMut::new() }.heard(bytes)
    }

    /// Whether what was recorded may be sent.
    pub fn is_open(&self) -> bool {
        self.at == At::Open
    }

    fn answer(&mut self, frame: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        match self.at {
            At::Settings => {
                mcs(frame)?;
                let changes = Changes {
                    protocol: Protocols::TLS,
                    layout: None,
                    coloured: false,
                    recorded: false,
                    opens: &|_| false,
                };
                let channels = of_client(&mut frame.to_vec(), &changes)?.len();
                self.at = At::Joins;
                response(self.channel, channels).map(Some)
            }
            At::Joins => match mcs(frame)? {
                (ERECT | DISCONNECT, _) => Ok(None),
                (ATTACH, _) => framed(&[&[ATTACHED << 2 | 2, 0, 0, USER]]).map(Some),
                (JOIN, body) => {
                    let channel = body.get(3..5).ok_or(Fault::Cut)?;
                    let head = [JOINED << 2 | 2, 0, 0, USER];
                    framed(&[&head, channel, channel]).map(Some)
                }
                (SEND_REQUEST, _) => {
                    self.at = At::Open;
                    self.heard.clear();
                    send_indication(SERVER, self.channel, &LICENSED).map(Some)
                }
                _ => Err(Fault::Order),
            },
            At::Open => Ok(None),
        }
    }
}

/// Has a page forget what it shows: the recording goes on at a Demand Active.
pub fn forget(shown: &[u8]) -> Option<Bytes> {
    let (_, sent) = demand(shown)?;
    let mut data = vec![DEACTIVATE_LENGTH, 0, DEACTIVATE, 0];
    data.extend(SERVER.to_le_bytes());
    data.extend(u32_at(sent.data, 6).ok()?.to_le_bytes());
    data.extend([1, 0, 0]);
    send_indication(SERVER, sent.channel, &data).ok().map(Bytes::from)
}

/// What of these frames is sent from the target's settings on; `None`: they are not in here.
pub fn from_demand(shown: &Bytes) -> Option<Bytes> {
    demand(shown).map(|(at, _)| shown.slice(at..))
}

/// What of these frames is sent where one begins in the middle: no rest of something larger.
pub fn from_whole(shown: &Bytes) -> Option<Bytes> {
    let mut rest = shown.clone();
    while let Some(frame) = first(&rest) {
        if !is_rest(frame) {
            return Some(rest);
        }
        let length = frame.len();
        rest.advance(length);
    }
    None
}

/// Where the first Demand Active is.
fn demand(shown: &[u8]) -> Option<(usize, Sent<'_>)> {
    let mut at = 0;
    while let Some(frame) = first(&shown[at..]) {
        if let Ok((SEND_INDICATION, body)) = mcs(frame)
            && let Ok(sent) = Sent::read(body)
            && is_demand(sent.data)
        {
            return Some((at, sent));
        }
        at += frame.len();
    }
    None
}

/// The first of these frames.
fn first(frames: &[u8]) -> Option<&[u8]> {
    frames.get(..length(frames).ok()??)
}

/// Whether a frame goes on with what another has begun (MS-RDPBCGR 2.2.9.1.2.1).
fn is_rest(frame: &[u8]) -> bool {
    let update = fast_body(frame).and_then(<[u8]>::first);
    // Bit by bit: whether something came before, and whether more comes.
    is_fast_path(frame) && update.is_some_and(|update| matches!(update >> 4 & 3, 1 | 3))
}

/// The target among users, and the page, by what is counted from the first user on.
const SERVER: u16 = FIRST_USER + 1;
const USER: u8 = 6;
const DEACTIVATE: u8 = 0x16;
const DEACTIVATE_LENGTH: u8 = 13;
/// That no licence is needed (MS-RDPELE 2.2.2.7.1).
const LICENSED: [u8; 20] = [0x80, 0, 0, 0, 0xff, 3, 16, 0, 7, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0];

#[cfg(test)]
mod tests {
    use futures_util::stream::iter;

    use super::*;
    use crate::guard::tests::{demand as told, sent};
    use crate::negotiation::request;
    use crate::settings::tests::{client, frame, info};
    use crate::settings::{Answer, of_target};

    async fn asked() -> Request {
        let pdu = ironrdp_rdcleanpath::RDCleanPathPdu::new_request(
            request(Protocols::TLS),
            "desk".to_owned(),
            String::new(),
            None,
        );
        Request::read(&mut iter([Bytes::from(pdu.unwrap().to_der().unwrap())])).await.unwrap()
    }

    fn shown() -> Bytes {
        let picture = [&[0, 0x82, 0][..], &[9; 509]].concat();
        [picture.clone(), sent(SEND_INDICATION, 1003, &told(1)), picture].concat().into()
    }

    #[tokio::test]
    async fn a_page_is_answered_as_its_target_did_whatever_channels_it_has() {
        let certificate = CertificateDer::from(vec![1, 2, 3]);
        let (mut replay, answer) = Replay::begin(&asked().await, &certificate, &shown()).unwrap();
        assert!(!answer.is_empty());
        for channels in [&[][..], &["cliprdr", "drdynvc"]] {
            let mut one = Replay { channel: 1003, at: At::Settings, heard: BytesMut::new() };
            let answers = one.heard(&client(channels)).unwrap();
            let numbers = (0..channels.len()).map(|nth| 1004 + u16::try_from(nth).unwrap());
            let wanted = Answer { channels: numbers.collect(), own: 1003 };
            assert_eq!(of_target(&answers[0]), Ok(Some(wanted)));
        }
        replay.heard(&client(&["drdynvc"])).unwrap();
        let said = [
            frame(&[ERECT << 2, 1, 0, 1, 0]),
            frame(&[ATTACH << 2]),
            frame(&[JOIN << 2, 0, 6, 3, 0xeb]),
        ];
        // However it comes.
        let answers: Vec<_> =
            said.concat().iter().flat_map(|byte| replay.heard(&[*byte]).unwrap()).collect();
        let joined = frame(&[JOINED << 2 | 2, 0, 0, 6, 3, 0xeb, 3, 0xeb]);
        assert_eq!(answers, [frame(&[ATTACHED << 2 | 2, 0, 0, 6]), joined]);
        assert!(!replay.is_open());
        let answers = replay.heard(&sent(SEND_REQUEST, 1003, &info())).unwrap();
        assert!(replay.is_open() && answers.len() == 1);
        assert_eq!(replay.heard(&[0xff; 100]).unwrap(), Vec::<Bytes>::new(), "nobody listens");
    }

    #[test]
    fn what_comes_before_a_screens_settings_is_left_out() {
        let shown = shown();
        let from = from_demand(&shown).unwrap();
        assert_eq!(from.len(), shown.len() - 512);
        assert_eq!(from_demand(&shown.slice(..512)), None);
        // MS-RDPBCGR 2.2.3.1.1
        let deactivate = [13, 0, 0x16, 0, 0xea, 3, 7, 0, 0, 0, 1, 0, 0];
        let (_, body) =
            mcs(&forget(&shown).unwrap()).map(|(kind, body)| (kind, body.to_vec())).unwrap();
        assert_eq!(Sent::read(&body).unwrap().data, deactivate);
    }

    #[test]
    fn the_rest_of_a_picture_is_left_out_where_its_beginning_was() {
        let part = |fragment: u8| vec![0, 4, fragment << 4 | 4, 0];
        let (single, last, start, next) = (part(0), part(1), part(2), part(3));
        let cases = [
            (vec![&next, &last, &single, &start], Some(2)),
            (vec![&start, &next], Some(0)),
            (vec![&single], Some(0)),
            (vec![&next, &next, &last], None),
        ];
        for (frames, wanted) in cases {
            let all = Bytes::from(frames.into_iter().flatten().copied().collect::<Vec<_>>());
            let found = from_whole(&all).map(|rest| (all.len() - rest.len()) / 4);
            assert_eq!(found, wanted);
        }
    }
}
