//! Files that tell Remote Desktop's clients where a desktop is, and show their token at the RD
//! Gateway door. Signed with the relay's certificate, so that Windows says whose they are.

mod cms;

use data_encoding::BASE64;
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret as _, SecretString};

pub(crate) use cms::CmsError;

/// What a file is about.
#[derive(Debug)]
pub(crate) struct RdpFile<'a> {
    /// What the desktop is called: its name at the door, and what the client shows.
    pub(crate) target: &'a str,
    pub(crate) gateway: (&'a str, u16),
    pub(crate) token: &'a SecretString,
    /// Whether the token is good for one connection.
    pub(crate) once: bool,
    /// The account at the desktop, where it is known.
    pub(crate) login: Option<&'a str>,
    pub(crate) shares: Shares,
}

/// What a client is told that it may share. It may be told otherwise: what holds it to that is the door.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    pub(crate) clipboard: bool,
    pub(crate) drives: bool,
    pub(crate) printers: bool,
    pub(crate) audio: bool,
}

impl RdpFile<'_> {
    /// The file's text, whose lines end as on Windows.
    pub(crate) fn signed(&self, key: &CertifiedKey) -> Result<SecretString, CmsError> {
        let (settings, (scope, blob)) = (self.settings(), self.signed_part());
        let signature = cms::detached(key, &blob)?;
        let length = u32::try_from(signature.len()).map_err(|_| CmsError::Form)?;
        // As rdpsign.exe puts them before the signature.
        let head = [0x0001_0001_u32, 1, length].map(u32::to_le_bytes).concat();
        let signature = BASE64.encode(&[head, signature].concat());
        let lines = settings.iter().map(|(key, value)| format!("{key}{value}\r\n"));
        let text: String = lines.collect();
        Ok(format!("{text}signscope:s:{scope}\r\nsignature:s:{signature}\r\n").into())
    }

    /// In the order in which they are signed; what is not signed comes last.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let (host, port) = self.gateway;
        let gateway = if port == 443 { host.to_owned() } else { format!("{host}:{port}") };
        let again = if self.once { "0" } else { "1" };
        let mut all = vec![
            ("full address:s:", on_one_line(self.target)),
            ("alternate full address:s:", on_one_line(self.target)),
            ("enablecredsspsupport:i:", "1".to_owned()),
            // A token that is used up does not connect a second time.
            ("autoreconnection enabled:i:", again.to_owned()),
            ("gatewayhostname:s:", on_one_line(&gateway)),
            ("gatewayusagemethod:i:", "1".to_owned()),
            ("gatewayprofileusagemethod:i:", "1".to_owned()),
            // By a token.
            ("gatewaycredentialssource:i:", "5".to_owned()),
            ("promptcredentialonce:i:", "0".to_owned()),
            ("authentication level:i:", "2".to_owned()),
        ];
        let Shares { clipboard, drives, printers, audio } = self.shares;
        let is = |may: bool| if may { "1" } else { "0" }.to_owned();
        // 0: it sounds here; 2: nowhere.
        let mode = if audio { "0" } else { "2" };
        all.push(("audiomode:i:", mode.to_owned()));
        if !audio {
            all.push(("audiocapturemode:i:", is(false)));
        }
        if !drives {
            all.push(("redirectdrives:i:", is(false)));
        }
        all.push(("redirectprinters:i:", is(printers)));
        if !drives {
            all.push(("redirectcomports:i:", is(false)));
        }
        all.push(("redirectclipboard:i:", is(clipboard)));
        if !drives {
            all.push(("drivestoredirect:s:", String::new()));
        }
        all.push(("gatewayaccesstoken:s:", on_one_line(self.token.expose_secret())));
        if let Some(login) = self.login {
            all.push(("username:s:", on_one_line(login)));
        }
        all
    }

    /// The names of the settings that are signed, and what is signed.
    fn signed_part(&self) -> (String, Vec<u8>) {
        let named = |(key, value): (&'static str, String)| {
            let (_, name) = SIGNED.iter().find(|(signed, _)| *signed == key)?;
            Some((format!("{key}{value}\r\n"), *name))
        };
        let (lines, names): (Vec<_>, Vec<_>) =
            self.settings().into_iter().filter_map(named).unzip();
        let scope = names.join(",");
        let text = format!("{}signscope:s:{scope}\r\n\0", lines.concat());
        let blob = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        (scope, blob)
    }
}

/// A value can not begin another line, whatever is in it.
fn on_one_line(value: &str) -> String {
    value.chars().filter(|c| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}')).collect()
}

/// What rdpsign.exe signs of the settings that are written here, under its names for them.
const SIGNED: &[(&str, &str)] = &[
    ("full address:s:", "Full Address"),
    ("alternate full address:s:", "Alternate Full Address"),
    ("enablecredsspsupport:i:", "EnableCredSspSupport"),
    ("autoreconnection enabled:i:", "AutoReconnection Enabled"),
    ("gatewayhostname:s:", "GatewayHostname"),
    ("gatewayusagemethod:i:", "GatewayUsageMethod"),
    ("gatewayprofileusagemethod:i:", "GatewayProfileUsageMethod"),
    ("gatewaycredentialssource:i:", "GatewayCredentialsSource"),
    ("promptcredentialonce:i:", "PromptCredentialOnce"),
    ("authentication level:i:", "Authentication Level"),
    ("audiomode:i:", "AudioMode"),
    ("redirectdrives:i:", "RedirectDrives"),
    ("redirectprinters:i:", "RedirectPrinters"),
    ("redirectcomports:i:", "RedirectCOMPorts"),
    ("redirectclipboard:i:", "RedirectClipboard"),
    ("drivestoredirect:s:", "DrivesToRedirect"),
];

#[cfg(test)]
mod tests;
