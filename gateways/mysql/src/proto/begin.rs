//! What the relay writes in place of a client, to log in.

use bytes::{BufMut as _, BytesMut};

use super::{CHANGE_USER, capability, counted, packet, short, text};

/// How the relay begins at a server, in place of a client.
#[derive(Clone, Copy, Debug)]
pub struct Begin<'a> {
    pub capabilities: u32,
    pub extended: u32,
    pub longest_packet: u32,
    pub charset: u8,
    pub user: &'a str,
    pub answer: &'a [u8],
    pub database: Option<&'a str>,
    pub plugin: &'a str,
    pub attributes: &'a [(Vec<u8>, Vec<u8>)],
}

impl Begin<'_> {
    /// Appends the packet that asks for TLS.
    pub fn write_tls(&self, out: &mut BytesMut, number: &mut u8) {
        packet(out, number, |out| self.write_head(out));
    }

    /// Appends the answer to a greeting.
    pub fn write(&self, out: &mut BytesMut, number: &mut u8) {
        packet(out, number, |out| {
            self.write_head(out);
            text(out, self.user.as_bytes());
            if self.capabilities & capability::PLUGIN_AUTH_LENENC != 0 {
                counted(out, self.answer);
            } else {
                short(out, self.answer);
            }
            if self.capabilities & capability::CONNECT_WITH_DB != 0 {
                text(out, self.database.unwrap_or_default().as_bytes());
            }
            text(out, self.plugin.as_bytes());
            if self.capabilities & capability::CONNECT_ATTRS != 0 {
                write_attributes(out, self.attributes);
            }
        });
    }

    /// Appends the command that changes a connection's user.
    pub fn write_change(&self, out: &mut BytesMut, number: &mut u8) {
        packet(out, number, |out| {
            out.put_u8(CHANGE_USER);
            text(out, self.user.as_bytes());
            short(out, self.answer);
            text(out, self.database.unwrap_or_default().as_bytes());
            out.put_u16_le(self.charset.into());
            text(out, self.plugin.as_bytes());
            if self.capabilities & capability::CONNECT_ATTRS != 0 {
                write_attributes(out, self.attributes);
            }
        });
    }

    fn write_head(&self, out: &mut BytesMut) {
        out.put_u32_le(self.capabilities);
        out.put_u32_le(self.longest_packet);
        out.put_u8(self.charset);
        out.extend_from_slice(&[0; 19]);
        out.put_u32_le(self.extended);
    }
}

fn write_attributes(out: &mut BytesMut, attributes: &[(Vec<u8>, Vec<u8>)]) {
    let mut pairs = BytesMut::new();
    for (name, value) in attributes {
        counted(&mut pairs, name);
        counted(&mut pairs, value);
    }
    counted(out, &pairs);
}
