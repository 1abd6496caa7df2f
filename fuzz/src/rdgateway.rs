//! What clients of an RD Gateway send.

use bytes::{Buf as _, BytesMut};
use rdgateway::proto::{Fault, Packet, packet};

/// Packets: where each ends is what it says, how they come in changes nothing, and no more is kept
/// than was sent.
pub(crate) fn packets(bytes: &[u8]) {
    let whole = read(bytes, bytes.len().max(1));
    let pieces = read(bytes, 1 + bytes.len() % 7);
    assert_eq!(whole, pieces);
}

fn read(bytes: &[u8], piece: usize) -> (Vec<String>, Option<Fault>) {
    let (mut input, mut all) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        input.extend_from_slice(piece);
        loop {
            let before = input.remaining();
            match packet(&mut input) {
                Ok(Some(packet)) => {
                    let taken = before - input.remaining();
                    assert!(taken >= 8 + size(&packet), "{packet:?} of {taken} bytes");
                    all.push(format!("{packet:?}"));
                }
                Ok(None) => break,
                Err(fault) => return (all, Some(fault)),
            }
        }
    }
    (all, None)
}

/// The bytes of it that can only have been sent.
fn size(packet: &Packet) -> usize {
    match packet {
        Packet::Data(data) => 2 + data.len(),
        Packet::ChannelCreate { names, .. } => names.len() * 2,
        Packet::TunnelAuth { client } => client.encode_utf16().count() * 2,
        Packet::Handshake { .. }
        | Packet::TunnelCreate { .. }
        | Packet::KeepAlive
        | Packet::CloseChannel
        | Packet::CloseChannelResponse => 0,
    }
}
