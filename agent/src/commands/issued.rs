//! What is shown of a token that was just issued: the only time its text is seen.

use api::{Issued, SshLogin};

use crate::exit::Failure;
use crate::times;
use crate::ui::Ui;

/// Where a program reads stdout, the token alone is there and the rest on stderr. Where a person
/// does, the token stands among what a client is told with it.
pub(super) fn show(issued: &Issued, ui: &Ui) -> Result<(), Failure> {
    if ui.wants_json() {
        return ui.json(issued);
    }
    let facts: Option<Vec<(&str, String)>> = issued.ssh.as_ref().map(|login| facts(login, issued));
    match &facts {
        Some(facts) if ui.is_read_by_a_person() => {
            let password = ("Password", issued.token.expose().to_owned());
            ui.facts(issued, &[facts.as_slice(), &[password]].concat())?;
        }
        Some(_) | None => ui.data(issued.token.expose())?,
    }
    ui.say(format_args!("{}", good(issued)));
    match (&facts, &issued.command) {
        (Some(_), _) if ui.is_read_by_a_person() => {}
        (Some(facts), _) => {
            let password = [("Password", "the token".to_owned())];
            for (name, value) in facts.iter().chain(&password) {
                ui.say(format_args!("{name:WIDTH$}  {value}"));
            }
        }
        (None, Some(command)) => ui.say(format_args!("Use it with: {command}")),
        (None, None) => {}
    }
    for warning in &issued.warnings {
        ui.say(format_args!("Note: {warning}"));
    }
    Ok(())
}

/// What a client is told besides the token.
fn facts(login: &SshLogin, issued: &Issued) -> Vec<(&'static str, String)> {
    let application = issued.application.as_deref().unwrap_or("the application");
    let own = || format!("your account at {application}");
    vec![
        ("Command", login.command()),
        ("Host", login.host.clone()),
        ("Port", login.port.to_string()),
        ("User name", login.user.clone().unwrap_or_else(own)),
        ("Prompt", login.prompt.clone()),
    ]
}

fn good(issued: &Issued) -> String {
    let uses = match (issued.uses, &issued.ssh) {
        (Some(1), Some(_)) => "for one connection".to_owned(),
        (Some(uses), Some(_)) => format!("for {uses} connections"),
        (None, Some(_)) => "for any number of connections".to_owned(),
        (Some(1), None) => "once".to_owned(),
        (Some(uses), None) => format!("{uses} times"),
        (None, None) => "any number of times".to_owned(),
    };
    let until = match issued.expires {
        Some(expires) => format!("until {}", times::utc(expires)),
        None => "until revoked".to_owned(),
    };
    format!("{} token {}: good {uses}, {until}.", issued.kind, issued.id)
}

/// Of the longest name.
const WIDTH: usize = "User name".len();

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::Paper;

    #[test]
    fn a_program_gets_the_token_alone_and_a_person_all_that_a_client_asks() {
        let (out, err) = shown(&ssh("ubuntu"), false);
        assert_eq!(out, "adit_access_x\n");
        assert_eq!(
            err,
            "access token t1: good for one connection, until 2027-01-15 08:00 UTC.\n\
             Command    ssh -p 2222 ubuntu@relay.test\n\
             Host       relay.test\n\
             Port       2222\n\
             User name  ubuntu\n\
             Prompt     Access token:\n\
             Password   the token\n"
        );
        let (out, err) = shown(&ssh("ubuntu"), true);
        assert_eq!(
            out,
            "Command    ssh -p 2222 ubuntu@relay.test\n\
             Host       relay.test\n\
             Port       2222\n\
             User name  ubuntu\n\
             Prompt     Access token:\n\
             Password   adit_access_x\n"
        );
        assert_eq!(err, "access token t1: good for one connection, until 2027-01-15 08:00 UTC.\n");
    }

    #[test]
    fn who_has_their_own_account_is_told_to_name_it() {
        let mut issued = ssh("");
        issued["ssh"].as_object_mut().unwrap().remove("user");
        let (_, err) = shown(&issued, false);
        assert!(err.contains("ssh -p 2222 LOGIN@relay.test\n"), "{err}");
        assert!(err.contains("User name  your account at web1.hq\n"), "{err}");
    }

    #[test]
    fn what_opens_no_ssh_application_says_its_command() {
        let issued = json!({ "id": "t1", "token": "adit_api_x", "kind": "api", "uses": 2,
            "command": "adit tunnel echo" });
        let (out, err) = shown(&issued, true);
        assert_eq!(out, "adit_api_x\n");
        assert_eq!(
            err,
            "api token t1: good 2 times, until revoked.\nUse it with: adit tunnel echo\n"
        );
    }

    fn ssh(user: &str) -> Value {
        json!({ "id": "t1", "token": "adit_access_x", "kind": "access", "uses": 1,
            "application": "web1.hq", "expires": 1_800_000_000_u64, "command": "(not shown)",
            "ssh": { "host": "relay.test", "port": 2222, "user": user, "prompt": "Access token:" } })
    }

    fn shown(issued: &Value, person: bool) -> (String, String) {
        let paper = Paper::default();
        let ui = if person { paper.ui(false).on_terminal() } else { paper.ui(false) };
        let issued: Issued = serde_json::from_value(issued.clone()).unwrap();
        show(&issued, &ui).unwrap();
        (paper.out(), paper.err())
    }
}
