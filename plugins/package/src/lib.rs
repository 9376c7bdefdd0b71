//! A plugin on disk: manifest, settings, pins and signatures.
//!
//! What it does: nothing yet. What it refuses to do: nothing yet. Who calls it: nobody yet. What stays true: nothing yet.
