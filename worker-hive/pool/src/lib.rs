//! Picks sessions, leases them to streams, and runs the window of chunk requests.
