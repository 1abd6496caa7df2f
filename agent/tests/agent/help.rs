use crate::program::Machine;

#[test]
fn the_help_names_every_command_variable_and_exit_code() {
    let help = Machine::new().run(&["--help"]);
    assert_eq!((help.code(), help.stderr.as_str()), (Some(0), ""));
    assert_eq!(help.text(), HELP);
}

#[test]
fn wrong_usage_has_its_exit_code() {
    let machine = Machine::new();
    for arguments in [&["frob"][..], &["tunnel"], &["token", "new", "x", "--uses", "0"], &[]] {
        let output = machine.run(arguments);
        assert_eq!(output.code(), Some(2), "{arguments:?}");
        assert_eq!(output.text(), "", "{arguments:?}");
    }
}

#[test]
fn completions_work_without_a_login() {
    for shell in ["bash", "zsh", "fish"] {
        let output = Machine::new().run(&["completions", shell]);
        assert_eq!(output.code(), Some(0));
        assert!(output.text().contains("ssh-config"), "{shell}");
    }
}

#[test]
fn a_token_is_never_taken_from_the_command_line() {
    let output = Machine::new().run(&["login", "https://relay.test", "--token", "adit_login_x"]);
    assert_eq!(output.code(), Some(2));
}

#[test]
fn without_a_terminal_a_missing_token_is_a_usage_error() {
    let output = testkit::run(
        std::process::Command::new("setsid")
            .args(["--wait", env!("CARGO_BIN_EXE_adit"), "login", "https://relay.test"])
            .env_remove("ADIT_TOKEN"),
        std::time::Duration::from_secs(20),
    )
    .unwrap();
    assert_eq!(output.code(), Some(2), "{}", output.stderr);
    assert!(output.stderr.contains("--token-file"), "{}", output.stderr);
}

const HELP: &str = "\
Reach the applications behind an Adit relay with the clients you already have

Usage: adit [OPTIONS] <COMMAND>

Commands:
  login        Sign this machine in to a relay
  logout       Sign this machine out and remove its key
  ls           List the applications you can reach
  ssh          Log in to an SSH application with the system's ssh
  proxy        Connect stdin and stdout to an application
  tunnel       Open a local port that leads to an application
  db           Open a database with its own client, or print what other programs need to be told
  rdp          Open a desktop with a Remote Desktop client, or write the file that it opens
  token        Issue, list and revoke your own tokens
  key          Register, list and remove your own SSH keys
  request      Ask for access to an application, for some time
  requests     Show what you have asked for and what became of it
  password     Change the password that signs you in to the portal
  sign-in      Print a link that signs your browser in
  sign-ins     List the browsers that are signed in as you, and sign them out
  sessions     List your open sessions, and end them
  ssh-cert     Have a certificate that signs ssh in at the relay, and renew it when it is about to
               end
  ssh-config   Print or install SSH configuration, so that `ssh APP.adit` just works
  completions  Print a completion script for a shell
  status       Show who you are signed in as, and whether the relay answers
  doctor       Say what is wrong between this machine and the relay, and what helps
  admin        Administer the relay

Options:
      --relay <URL>  The relay, for example https://relay.example.com
      --ca <FILE>    The relay's CA certificate (PEM), where it is not publicly trusted
      --json         Print data as JSON
  -h, --help         Print help
  -V, --version      Print version

Environment:
  ADIT_RELAY  the relay, as --relay
  ADIT_CA     the relay's CA certificate, as --ca
  ADIT_TOKEN  a token, for use without `adit login`; one for an application is
              enough for tunnel, ssh and proxy
  ADIT_HOME   where the login is kept (default: ~/.config/adit)
  ADIT_LOG    log to stderr, for finding out why: debug, info, …
  HTTPS_PROXY, NO_PROXY
              the HTTP proxy to the relay, where UDP does not get through

Exit codes:
  0  done             3  denied, or not signed in
  1  failed           4  no such thing
  2  wrong usage      5  the relay does not answer
                      6  the audit log is damaged
";
