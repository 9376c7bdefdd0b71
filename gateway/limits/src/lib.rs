//! Streams and bytes per second of viewers and tenants, counted and paced.
//!
//! What it does: nothing yet. What it refuses to do: nothing yet. Who calls it: nobody yet. What stays true: nothing yet.
