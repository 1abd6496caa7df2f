//! Finds in SQL what it says of prepared statements, which `PREPARE` and `DEALLOCATE` make and give up as
//! messages of the protocol do, under the same names. Only how a text begins is read.

/// What a text says of prepared statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Says<'a> {
    Prepare {
        name: String,
        /// What is prepared.
        text: &'a str,
    },
    Deallocate {
        name: String,
    },
}

pub(crate) fn says(text: &str) -> Option<Says<'_>> {
    let (verb, rest) = word(text)?;
    // Nearly all others are left by their first letter.
    match verb.as_bytes().first()?.to_ascii_lowercase() {
        b'p' if verb.eq_ignore_ascii_case("prepare") => {
            let (name, rest) = name(rest)?;
            let (word, text) = word(types(rest)?)?;
            let text = text.trim().trim_end_matches(';').trim_end();
            word.eq_ignore_ascii_case("as").then_some(Says::Prepare { name, text })
        }
        b'd' if verb.eq_ignore_ascii_case("deallocate") => {
            let (first, behind) = name(rest)?;
            let second = name(behind).filter(|_| first == "prepare");
            Some(Says::Deallocate { name: second.map_or(first, |(name, _)| name) })
        }
        _ => None,
    }
}

/// A word, and what stands behind it.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = behind_space(text);
    let end = text.find(|c: char| c.is_ascii() && !is_word(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A name as the server keeps it, and what stands behind it.
fn name(text: &str) -> Option<(String, &str)> {
    let text = behind_space(text);
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = word(text)?;
        return Some((kept(word.to_ascii_lowercase()), rest));
    };
    let (mut name, mut rest) = (String::new(), quoted);
    loop {
        let (part, behind) = rest.split_once('"')?;
        name.push_str(part);
        match behind.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((kept(name), behind)),
        }
    }
}

fn kept(mut name: String) -> String {
    name.truncate(name.floor_char_boundary(LONGEST_NAME));
    name
}

/// What stands behind a list of types in parentheses, if there is one.
fn types(text: &str) -> Option<&str> {
    let text = behind_space(text);
    let mut open = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => open += 1,
            ')' => open = open.checked_sub(1)?,
            _ => {}
        }
        if open == 0 {
            return Some(if c == ')' { &text[at + 1..] } else { text });
        }
    }
    None
}

/// What stands behind spaces and comments.
fn behind_space(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        text = match text.as_bytes() {
            [b'-', b'-', ..] => text.split_once('\n').map_or("", |(_, rest)| rest),
            [b'/', b'*', ..] => behind_comment(text),
            _ => return text,
        };
    }
}

/// What stands behind a comment, which may have others in it.
fn behind_comment(text: &str) -> &str {
    let (bytes, mut at, mut depth) = (text.as_bytes(), 0, 0_usize);
    while let Some(two) = bytes.get(at..at + 2) {
        at += match two {
            b"/*" => {
                depth += 1;
                2
            }
            b"*/" => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        if depth == 0 {
            return &text[at..];
        }
    }
    ""
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$')
}

/// A server cuts names at so many bytes.
const LONGEST_NAME: usize = 63;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_prepared_and_given_up_is_read() {
        let prepare = |name: &str, text| Some(Says::Prepare { name: name.to_owned(), text });
        let gone = |name: &str| Some(Says::Deallocate { name: name.to_owned() });
        for (text, said) in [
            ("prepare sp as select $1", prepare("sp", "select $1")),
            ("PREPARE Sp(int, numeric(10, 2)) AS\n select $1; ", prepare("sp", "select $1")),
            ("/* a /* b */ */ prepare -- c\n \"S\"\"p\"as select 1", prepare("S\"p", "select 1")),
            ("execute sp(1, 'x')", None),
            ("deallocate sp", gone("sp")),
            ("deallocate prepare sp", gone("sp")),
            ("prepare transaction 'x'", None),
            ("prepare sp", None),
            ("prepare sp (int as select 1", None),
            ("deallocate", None),
            ("deallocates sp", None),
            ("select 1", None),
            ("/* prepare sp as", None),
            ("", None),
        ] {
            assert_eq!(says(text), said, "{text}");
        }
        let long = "é".repeat(40);
        assert_eq!(says(&format!("deallocate {long}")), gone(&"é".repeat(31)));
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "(prepare|deallocate|/\\*|\\*/|--|\"|\\(|\\)|[aé \n;]){0,20}") {
            says(&text);
        }
    }
}
