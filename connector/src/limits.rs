//! What the kernel lets this process hold.

/// Raises the number of files the process may open to what its user may have: each session is a
/// socket, and the usual start, 1024, is fewer than a site's sessions.
pub(crate) fn raise_open_files() {
    #[cfg(unix)]
    raise();
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "the standard library has no call for resource limits")]
fn raise() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls take a valid pointer to a `rlimit` that outlives them, and nothing else.
    let raised = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0
        }
    };
    tracing::debug!(raised, limit = limit.rlim_cur, "Open files");
}
