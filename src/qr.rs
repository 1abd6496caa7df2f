//! A text as a picture that phones read.

use api::Qr;
use qrcodegen::{QrCode, QrCodeEcc};

/// As the path of an SVG. `None`: the text is too long.
pub(crate) fn of(text: &str) -> Option<Qr> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let mut path = String::new();
    for y in 0..code.size() {
        let mut x = 0;
        while x < code.size() {
            let run = (x..code.size()).take_while(|x| code.get_module(*x, y)).count();
            let run = i32::try_from(run).unwrap_or_default();
            if run > 0 {
                let (left, top) = (x + QUIET, y + QUIET);
                path.push_str(&format!("M{left} {top}h{run}v1h-{run}z"));
            }
            x += run.max(1);
        }
    }
    let size = u32::try_from(code.size() + 2 * QUIET).unwrap_or_default();
    Some(Qr { size, path })
}

/// What has to be blank around it (ISO/IEC 18004).
const QUIET: i32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_the_codes_and_nothing_else() {
        let code = QrCode::encode_text("otpauth://totp/x", QrCodeEcc::Medium).unwrap();
        let picture = of("otpauth://totp/x").unwrap();
        let mut drawn = std::collections::BTreeSet::new();
        for run in picture.path.split('M').skip(1) {
            let (x, rest) = run.split_once(' ').unwrap();
            let (y, rest) = rest.split_once('h').unwrap();
            let (length, _) = rest.split_once('v').unwrap();
            let (x, y, length): (i32, i32, i32) =
                (x.parse().unwrap(), y.parse().unwrap(), length.parse().unwrap());
            drawn.extend((x..x + length).map(|x| (x - QUIET, y - QUIET)));
        }
        let all = (0..code.size()).flat_map(|x| (0..code.size()).map(move |y| (x, y)));
        let dark: std::collections::BTreeSet<_> =
            all.filter(|(x, y)| code.get_module(*x, *y)).collect();
        assert_eq!(drawn, dark);
        assert!(of(&"x".repeat(5000)).is_none());
    }
}
