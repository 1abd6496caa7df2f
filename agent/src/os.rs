//! The few things that only the operating system itself can do. All of the agent's `unsafe` is here.
#![expect(unsafe_code, reason = "these are system calls; each one says why it is sound")]

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Lets this process have as many files open as it may: each local connection of a tunnel is one.
/// Where that is refused the tunnel works with fewer.
pub fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives both calls and is of the type that they take.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Takes one of the three standard files out of its place, which is given `/dev/null`: dropping
/// what is returned really closes it, so that whoever reads the other end sees it end.
pub fn take_standard(fd: impl AsFd) -> io::Result<OwnedFd> {
    let taken = fd.as_fd().try_clone_to_owned()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    // SAFETY: both are open files; replacing what a number stands for frees no memory.
    match unsafe { libc::dup2(null.as_raw_fd(), fd.as_fd().as_raw_fd()) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(taken),
    }
}

/// Whether whoever started this process asked it to outlive its terminal.
pub fn hangup_is_ignored() -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only fills `action`, and only then is it read.
    unsafe {
        let asked = libc::sigaction(libc::SIGHUP, std::ptr::null(), action.as_mut_ptr());
        asked == 0 && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// The machine's name, `unknown` where it has none.
pub fn host_name() -> String {
    let mut name = [0u8; 256];
    // SAFETY: the buffer is as long as is said; its last byte stays 0.
    let result = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let name = name.split(|&b| b == 0).next().unwrap_or_default();
    match String::from_utf8_lossy(name).into_owned() {
        name if result == 0 && !name.is_empty() => name,
        _ => "unknown".to_owned(),
    }
}

/// A terminal that gives each key as it is pressed and shows none. Dropping it restores the terminal.
pub struct Hidden<'a> {
    terminal: BorrowedFd<'a>,
    before: libc::termios,
}

impl<'a> Hidden<'a> {
    pub fn new(terminal: BorrowedFd<'a>) -> io::Result<Self> {
        let mut settings = MaybeUninit::uninit();
        // SAFETY: the call fills `settings` when it succeeds, and only then is it read.
        let before = unsafe {
            if libc::tcgetattr(terminal.as_raw_fd(), settings.as_mut_ptr()) != 0 {
                return Err(io::Error::last_os_error());
            }
            settings.assume_init()
        };
        let mut hidden = before;
        // Without ISIG a Ctrl-C is a byte: the terminal is never left without its echo.
        hidden.c_lflag &= !(libc::ECHO | libc::ICANON | libc::ISIG);
        hidden.c_cc[libc::VMIN] = 1;
        hidden.c_cc[libc::VTIME] = 0;
        set(terminal, &hidden)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        drop(set(self.terminal, &self.before));
    }
}

fn set(terminal: BorrowedFd<'_>, settings: &libc::termios) -> io::Result<()> {
    // SAFETY: `settings` is a whole termios that outlives the call.
    match unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSAFLUSH, settings) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::FromRawFd;

    use super::*;

    #[test]
    fn a_hidden_terminal_echoes_nothing_and_is_restored() {
        let (mut keyboard, terminal) = pty();
        let flags = |terminal: &File| {
            let mut settings = MaybeUninit::<libc::termios>::uninit();
            // SAFETY: as in `Hidden::new`.
            unsafe {
                assert_eq!(libc::tcgetattr(terminal.as_raw_fd(), settings.as_mut_ptr()), 0);
                settings.assume_init().c_lflag
            }
        };
        let before = flags(&terminal);
        let hidden = Hidden::new(terminal.as_fd()).unwrap();
        assert_eq!(flags(&terminal) & (libc::ECHO | libc::ICANON), 0);
        keyboard.write_all(b"s").unwrap();
        let mut byte = [0];
        (&terminal).read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"s");
        drop(hidden);
        assert_eq!(flags(&terminal), before);
    }

    fn pty() -> (File, File) {
        let (mut keyboard, mut terminal) = (-1, -1);
        let null = std::ptr::null_mut();
        // SAFETY: both numbers are written when the call succeeds, and nobody else owns them.
        unsafe {
            let result =
                libc::openpty(&raw mut keyboard, &raw mut terminal, null, null.cast(), null.cast());
            assert_eq!(result, 0);
            (File::from_raw_fd(keyboard), File::from_raw_fd(terminal))
        }
    }
}
