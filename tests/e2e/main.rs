//! End to end: the three programs as they are shipped, real clients, real servers.
