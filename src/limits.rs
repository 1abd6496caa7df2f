//! What the kernel lets this process hold.

/// Raises the number of files the process may open to what its user may have: each peer is a
/// socket, and the usual start, 1024, is fewer than a relay's sessions.
#[expect(unsafe_code, reason = "the standard library has no call for resource limits")]
pub(crate) fn raise_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls take a valid pointer to a `rlimit` that outlives them, and nothing else.
    let raised = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0
        }
    };
    tracing::info!(raised, limit = limit.rlim_cur, "Open files");
}
