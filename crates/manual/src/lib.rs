//! What a package carries about a program's command line, drawn from the command line itself: its
//! pages for `man` and its completions for shells.

use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;

/// Writes `man1/PROGRAM.1`, a page like it for each subcommand, and the completions of bash, zsh and
/// fish at the places below `/usr/share` where shells look for them.
///
/// # Errors
/// When a folder can't be made or a file can't be written; what was written stays.
pub fn write(program: &Command, share: &Path) -> io::Result<()> {
    let name = program.get_name().to_owned();
    let pages = share.join("man/man1");
    std::fs::create_dir_all(&pages)?;
    clap_mangen::generate_to(program.clone(), &pages)?;
    for (shell, place) in PLACES {
        let folder = share.join(place);
        std::fs::create_dir_all(&folder)?;
        let file = match shell {
            Shell::Zsh => format!("_{name}"),
            Shell::Fish => format!("{name}.fish"),
            _ => name.clone(),
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut program.clone(), &name, &mut script);
        std::fs::write(folder.join(file), script)?;
    }
    Ok(())
}

const PLACES: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions"),
    (Shell::Zsh, "zsh/vendor-completions"),
    (Shell::Fish, "fish/vendor_completions.d"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_and_each_shell_its_completions() {
        let program = Command::new("tool").about("Does it.").subcommand(Command::new("run"));
        let share = tempfile::tempdir().expect("folder");

        write(&program, share.path()).expect("written");

        let text = |path: &str| std::fs::read_to_string(share.path().join(path)).expect(path);
        assert!(text("man/man1/tool.1").contains("Does it."));
        assert!(text("man/man1/tool-run.1").contains("tool\\-run"));
        assert!(text("bash-completion/completions/tool").contains("complete"));
        assert!(text("zsh/vendor-completions/_tool").starts_with("#compdef tool"));
        assert!(text("fish/vendor_completions.d/tool.fish").contains("complete -c tool"));
    }
}
