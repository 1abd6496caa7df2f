//! The character sets that a PostgreSQL client may have.
//!
//! <https://www.postgresql.org/docs/18/multibyte.html#MULTIBYTE-CHARSET-SUPPORTED>

use database::Charset;

/// The one of this name, as a server tells it. SQL_ASCII says nothing of bytes beyond it, and EUC_TW,
/// JOHAB and MULE_INTERNAL are not known here.
pub(crate) fn named(name: &[u8]) -> Charset {
    let label = match name {
        b"LATIN1" => return Charset::Latin1,
        b"LATIN2" => "iso-8859-2",
        b"LATIN3" => "iso-8859-3",
        b"LATIN4" => "iso-8859-4",
        b"LATIN5" => "iso-8859-9",
        b"LATIN6" => "iso-8859-10",
        b"LATIN7" => "iso-8859-13",
        b"LATIN8" => "iso-8859-14",
        b"LATIN9" => "iso-8859-15",
        b"LATIN10" => "iso-8859-16",
        b"ISO_8859_5" => "iso-8859-5",
        b"ISO_8859_6" => "iso-8859-6",
        b"ISO_8859_7" => "iso-8859-7",
        b"ISO_8859_8" => "iso-8859-8",
        b"WIN866" => "ibm866",
        b"WIN874" => "windows-874",
        b"WIN1250" => "windows-1250",
        b"WIN1251" => "windows-1251",
        b"WIN1252" => "windows-1252",
        b"WIN1253" => "windows-1253",
        b"WIN1254" => "windows-1254",
        b"WIN1255" => "windows-1255",
        b"WIN1256" => "windows-1256",
        b"WIN1257" => "windows-1257",
        b"WIN1258" => "windows-1258",
        b"KOI8R" => "koi8-r",
        b"KOI8U" => "koi8-u",
        b"EUC_JP" | b"EUC_JIS_2004" => "euc-jp",
        b"SJIS" | b"SHIFT_JIS_2004" => "shift_jis",
        b"EUC_KR" | b"UHC" => "euc-kr",
        b"EUC_CN" | b"GBK" => "gbk",
        b"GB18030" => "gb18030",
        b"BIG5" => "big5",
        _ => return Charset::Utf8,
    };
    Charset::named(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_a_server_are_known() {
        let server = "LATIN2 LATIN3 LATIN4 LATIN5 LATIN6 LATIN7 LATIN8 LATIN9 LATIN10 ISO_8859_5 \
            ISO_8859_6 ISO_8859_7 ISO_8859_8 WIN866 WIN874 WIN1250 WIN1251 WIN1252 WIN1253 WIN1254 \
            WIN1255 WIN1256 WIN1257 WIN1258 KOI8R KOI8U EUC_JP EUC_JIS_2004 SJIS SHIFT_JIS_2004 \
            EUC_KR UHC EUC_CN GBK GB18030 BIG5";
        for name in server.split_whitespace() {
            assert!(matches!(named(name.as_bytes()), Charset::Other(_)), "{name}");
        }
        for name in ["UTF8", "UNICODE", "SQL_ASCII", "EUC_TW", "JOHAB", "MULE_INTERNAL", ""] {
            assert_eq!(named(name.as_bytes()), Charset::Utf8, "{name}");
        }
        let shown = |name: &[u8], bytes: &[u8]| named(name).text(bytes, bytes.len(), 99).text;
        assert_eq!(&*shown(b"LATIN1", b"\xf1\xa4"), "ñ¤");
        assert_eq!(&*shown(b"LATIN9", b"\xf1\xa4"), "ñ€");
        assert_eq!(&*shown(b"KOI8R", b"\xc1"), "а");
    }
}
