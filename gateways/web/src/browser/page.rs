//! The relay's own pages: their frame, their style, and text that can not become markup.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use super::{Next, OWN};
use crate::problem::Refusal;

/// Markup. Made of what stands in the source, and of texts from anywhere, which are escaped: there
/// is no way to put one in as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Html(String);

impl Html {
    /// A text from anywhere.
    pub fn text(text: &str) -> Self {
        let mut escaped = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '"' => escaped.push_str("&quot;"),
                '\'' => escaped.push_str("&#39;"),
                // Neither what has no picture of its own nor what turns the order of others.
                c if access::text::is_hidden(c) => escaped.push('\u{fffd}'),
                c => escaped.push(c),
            }
        }
        Self(escaped)
    }

    /// A text from anywhere with a capital and a full stop, and what is between backticks as code.
    pub fn sentence(text: &str) -> Self {
        let mut chars = text.chars();
        let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
        let text = format!("{first}{}.", chars.as_str());
        Self::all(text.split('`').enumerate().map(|(n, part)| match n % 2 {
            0 => Self::text(part),
            _ => Self::of("<code>{}</code>", &[Self::text(part)]),
        }))
    }

    /// What stands in the source, with each `{}` filled by the next part.
    pub fn of(source: &'static str, parts: &[Self]) -> Self {
        let (mut filled, mut parts) = (String::new(), parts.iter());
        for (n, piece) in source.split("{}").enumerate() {
            if n > 0 {
                filled.push_str(parts.next().map(|part| part.0.as_str()).unwrap_or_default());
            }
            filled.push_str(piece);
        }
        debug_assert!(parts.next().is_none(), "more parts than places: {source}");
        Self(filled)
    }

    /// One after the other.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        Self(parts.into_iter().map(|part| part.0).collect())
    }

    /// The same where this host's pages are below a path: links and forms lead there.
    #[must_use]
    pub fn below(self, base: &str) -> Self {
        // No text holds a quote, so these stand in the source.
        let rooted = |text: String, name: &str| {
            text.replace(&format!(" {name}=\"/"), &format!(" {name}=\"{base}/"))
        };
        Self(["href", "src", "action", "formaction"].into_iter().fold(self.0, rooted))
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

/// A file of the relay's own pages. Its path holds its hash, so that it may be kept for ever.
#[derive(Debug, PartialEq, Eq)]
pub struct Asset {
    pub path: String,
    pub kind: &'static str,
    pub text: &'static str,
}

/// The file at a path.
pub fn asset(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

/// A whole page. `narrow`: for one thing to read or to do.
pub fn document(title: &str, narrow: bool, header: Html, main: Html) -> Html {
    let [style, script] = &*ASSETS;
    let class = Html::text(if narrow { "narrow" } else { "wide" });
    Html::of(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{} · Adit</title>\n\
         <link rel=\"stylesheet\" href=\"{}\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <script src=\"{}\" defer></script>\n</head>\n<body class=\"{}\">\n\
         <header>{}</header>\n<main>{}</main>\n</body>\n</html>\n",
        &[
            Html::text(title),
            Html::text(&style.path),
            Html::text(&script.path),
            class,
            header,
            main,
        ],
    )
}

/// What browsers are told of each of these pages: nothing but its own files, in nobody's frame, kept
/// by nobody, and its address told to nobody.
pub fn security() -> [(HeaderName, HeaderValue); 6] {
    [
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (OPENER, HeaderValue::from_static("same-origin")),
    ]
}

/// A refusal, at an application's host.
pub(super) fn refusal(refusal: &Refusal, id: &str, next: &Next<'_>) -> Html {
    let brand =
        Html::of("<a class=\"brand\" href=\"https://{}/\">Adit</a>", &[Html::text(next.relay)]);
    let ask = refusal.code().0 == "access.denied";
    // What is said to programs is of tokens.
    let hint = if ask { Some(DENIED) } else { refusal.said_hint() };
    let hint = hint.map(|hint| Html::of("<p>{}</p>", &[Html::sentence(hint)]));
    let ask = ask.then(|| {
        let parts = [Html::text(next.relay), Html::text(next.host)];
        Html::of("<p><a href=\"https://{}/ask?to={}\">Ask for access</a></p>", &parts)
    });
    let parts = [
        Html::text(title(refusal)),
        Html::sentence(refusal.detail()),
        hint.unwrap_or_default(),
        ask.unwrap_or_default(),
        Html::text(refusal.code().0),
        Html::text(id),
    ];
    let main = Html::of(
        "<h1>{}</h1><p>{}</p>{}{}<p class=\"small soft\"><span class=\"mono\">{}</span><br>\
         Request <span class=\"mono\">{}</span></p>",
        &parts,
    );
    document(title(refusal), true, brand, main)
}

fn title(refusal: &Refusal) -> &'static str {
    match refusal.status().as_u16() {
        401 => "You are not signed in",
        403 => "You can not open this",
        404 => "Nothing is here",
        429 | 503 => "Not just now",
        502 | 504 => "The application does not answer",
        _ => "This did not work",
    }
}

static ASSETS: LazyLock<[Asset; 2]> = LazyLock::new(|| {
    let asset = |name: &str, kind, text: &'static str| {
        let hash = HEXLOWER.encode(&digest(&SHA256, text.as_bytes()).as_ref()[..8]);
        Asset { path: format!("{OWN}/{hash}.{name}"), kind, text }
    };
    [
        asset("css", "text/css; charset=utf-8", include_str!("../../assets/adit.css")),
        asset("js", "text/javascript; charset=utf-8", include_str!("../../assets/adit.js")),
    ]
});

/// What to do without access.
pub const DENIED: &str = "look at the address again, or ask your administrator for access";
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        let hostile = "<script>alert(\"1\")</script>&'\u{202e}\n";
        let page = Html::of("<p title=\"{}\">{}</p>", &[Html::text(hostile), Html::text(hostile)]);
        let escaped = "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;\u{fffd}\u{fffd}";
        let expected = format!("<p title=\"{escaped}\">{escaped}</p>");
        assert_eq!(String::from_utf8(page.into_bytes()).unwrap(), expected);
        let told = Html::sentence("run `a <b>` again").0;
        assert_eq!(told, "Run <code>a &lt;b&gt;</code> again.");
    }

    #[test]
    fn below_a_path_links_and_forms_lead_there_and_texts_stay() {
        let hostile = Html::text(" href=\"/x action='/y");
        let page = Html::of(
            "<form action=\"/a\"><a href=\"/b\">{}</a><a href=\"https://x/\"><input value=\"{}\">",
            &[hostile.clone(), Html::text("/go?to=a")],
        );
        let expected = format!(
            "<form action=\"/p/a\"><a href=\"/p/b\">{}</a><a href=\"https://x/\">\
             <input value=\"/go?to=a\">",
            hostile.0
        );
        assert_eq!(page.below("/p").0, expected);
        assert!(
            document("T", true, Html::default(), Html::default())
                .below("/p")
                .0
                .contains("\"/p/.adit/")
        );
    }

    #[test]
    fn files_are_found_by_their_hash_and_hold_nothing_from_elsewhere() {
        let page = document("T", true, Html::default(), Html::default()).0;
        for asset in &*ASSETS {
            assert_eq!(super::asset(&asset.path), Some(asset));
            assert!(page.contains(&asset.path) && asset.path.starts_with("/.adit/"));
            assert!(!asset.text.contains("http") && !asset.text.contains("url("));
        }
        assert!(super::asset("/.adit/adit.css").is_none());
        assert!(!page.contains("style=") && !page.contains("onclick"));
    }
}
