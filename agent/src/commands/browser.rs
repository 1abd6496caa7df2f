//! The browser of whoever runs the command.

use std::env::var_os;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::files;

/// Shows a link in the browser by way of `page`, a file that only its owner can read: the link holds
/// a code, and everybody on the machine can read a program's arguments. Says whether a browser took it.
pub(super) async fn open(link: &str, page: &Path) -> io::Result<bool> {
    let Some(program) = program(|name| var_os(name)) else { return Ok(false) };
    files::replace(page, document(link).as_bytes())?;
    let mut browser = Command::new(program);
    browser.arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut browser) = browser.spawn() else { return Ok(false) };
    // Some come back at once, others when their last window is closed.
    match timeout(MOMENT, browser.wait()).await {
        Ok(ended) => Ok(ended?.success()),
        Err(_) => Ok(true),
    }
}

/// What opens a page here; `None`: nobody sits before a screen of this machine.
fn program(variable: impl Fn(&str) -> Option<OsString>) -> Option<OsString> {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    let screen = || set("DISPLAY").or(set("WAYLAND_DISPLAY"));
    match set("BROWSER") {
        Some(browser) => Some(browser),
        None if cfg!(target_os = "macos") => Some("open".into()),
        None => screen().map(|_| "xdg-open".into()),
    }
}

/// A page that goes on to the link at once.
fn document(link: &str) -> String {
    let link: String = link.chars().map(escaped).collect();
    format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta http-equiv=\"refresh\" content=\"0; url={link}\">\n<title>adit</title>\n\
         <a href=\"{link}\">Sign in</a>\n"
    )
}

fn escaped(c: char) -> String {
    match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        c => c.to_string(),
    }
}

const MOMENT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_looked_for_only_where_somebody_could_see_it() {
        type Set = &'static [(&'static str, &'static str)];
        let cases: [(Set, Option<&str>); 4] = [
            (&[("BROWSER", "firefox"), ("DISPLAY", ":0")], Some("firefox")),
            (&[("WAYLAND_DISPLAY", "wayland-0")], Some("xdg-open")),
            (&[("BROWSER", ""), ("DISPLAY", "")], None),
            (&[], None),
        ];
        for (set, expected) in cases.into_iter().filter(|_| !cfg!(target_os = "macos")) {
            let value = |name: &str| set.iter().find(|(key, _)| *key == name).map(|s| s.1.into());
            assert_eq!(program(value), expected.map(OsString::from), "{set:?}");
        }
    }

    #[test]
    fn a_page_leads_to_its_link_and_nowhere_else() {
        let page = document("https://x/\"><script>&#code");
        assert_eq!(
            page.matches("https://x/&quot;&gt;&lt;script&gt;&amp;#code").count(),
            2,
            "{page}"
        );
        assert!(!page.contains("<script"), "{page}");
    }
}
