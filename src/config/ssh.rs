//! The section `ssh`: what the SSH door says in an admin's words.

use gateway_ssh::Texts;

use super::document::Section;

pub(super) fn ssh(section: &mut Section<'_>) -> Option<Texts> {
    let banner = section.text("banner", LINES, Texts::lines);
    let token_prompt = section.text("token_prompt", LINE, Texts::line);
    let menu_title = section.text("menu_title", LINE, Texts::line);
    let help = section.text("help", LINE, Texts::line);
    let browser = section.flag("browser");
    let usual = Texts::default();
    Some(Texts {
        banner: banner?,
        token_prompt: token_prompt?.unwrap_or(usual.token_prompt),
        menu_title: menu_title?.unwrap_or(usual.menu_title),
        help: help?,
        browser: browser?.unwrap_or(usual.browser),
    })
}

const LINE: &str = "one line of at most 200 bytes without control characters";
const LINES: &str = "lines of at most 2048 bytes together without control characters";
