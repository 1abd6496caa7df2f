//! The character sets that a MySQL client may have, by the numbers of their collations and by name.
//!
//! <https://dev.mysql.com/doc/refman/8.4/en/charset-charsets.html>; the numbers are those of
//! `information_schema.collations`, the same in MariaDB.

use database::Charset;

/// The one of a collation. A server takes its own default for a number that it does not know.
pub(crate) fn of_collation(number: u8) -> Charset {
    named(match number {
        1 | 84 => "big5",
        2 | 9 | 21 | 27 | 77 => "latin2",
        5 | 8 | 15 | 31 | 47..=49 | 94 => "latin1",
        7 | 74 => "koi8r",
        12 | 91 => "ujis",
        13 | 88 => "sjis",
        14 | 23 | 50..=52 => "cp1251",
        16 | 71 => "hebrew",
        18 | 89 => "tis620",
        19 | 85 => "euckr",
        20 | 41 | 42 | 79 => "latin7",
        22 | 75 => "koi8u",
        24 | 86 => "gb2312",
        25 | 70 => "greek",
        26 | 34 | 44 | 66 | 99 => "cp1250",
        28 | 87 => "gbk",
        29 | 58 | 59 => "cp1257",
        30 | 78 => "latin5",
        36 | 68 => "cp866",
        39 | 53 => "macroman",
        57 | 67 => "cp1256",
        95 | 96 => "cp932",
        97 | 98 => "eucjpms",
        248..=250 => "gb18030",
        _ => "utf8mb4",
    })
}

/// The one of this name. armscii8, cp850, cp852, dec8, geostd8, hp8, keybcs2, macce and swe7 are not
/// known here.
pub(crate) fn named(name: &str) -> Charset {
    let label = match name.to_ascii_lowercase().as_str() {
        "big5" => "big5",
        "cp1250" => "windows-1250",
        "cp1251" => "windows-1251",
        "cp1256" => "windows-1256",
        "cp1257" => "windows-1257",
        "cp866" => "ibm866",
        "euckr" => "euc-kr",
        "gb18030" => "gb18030",
        "gb2312" | "gbk" => "gbk",
        "greek" => "iso-8859-7",
        "hebrew" => "iso-8859-8",
        "koi8r" => "koi8-r",
        "koi8u" => "koi8-u",
        // In MySQL it has the euro.
        "latin1" => "windows-1252",
        "latin2" => "iso-8859-2",
        "latin5" => "iso-8859-9",
        "latin7" => "iso-8859-13",
        "macroman" => "macintosh",
        "sjis" | "cp932" => "shift_jis",
        "tis620" => "windows-874",
        "ujis" | "eucjpms" => "euc-jp",
        _ => return Charset::Utf8,
    };
    Charset::named(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collations_and_names_are_known() {
        let shown = |charset: Charset, bytes: &[u8]| charset.text(bytes, bytes.len(), 99).text;
        assert_eq!(&*shown(of_collation(8), b"\xf1\x80"), "ñ€");
        assert_eq!(&*shown(named("LATIN1"), b"\xf1\x80"), "ñ€");
        assert_eq!(&*shown(of_collation(28), b"\xd6\xd0"), "中");
        for utf8 in [0, 33, 45, 46, 63, 83, 192, 224, 255] {
            assert_eq!(of_collation(utf8), Charset::Utf8, "{utf8}");
        }
        for name in "big5 cp1250 cp1251 cp1256 cp1257 cp866 cp932 eucjpms euckr gb18030 gb2312 gbk \
            greek hebrew koi8r koi8u latin1 latin2 latin5 latin7 macroman sjis tis620 ujis"
            .split_whitespace()
        {
            assert!(matches!(named(name), Charset::Other(_)), "{name}");
        }
    }
}
