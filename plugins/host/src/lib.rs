//! Runs plugins: WebAssembly components behind the hooks of the request flow.
//!
//! What it does: nothing yet. What it refuses to do: nothing yet. Who calls it: nobody yet. What stays true: nothing yet.
