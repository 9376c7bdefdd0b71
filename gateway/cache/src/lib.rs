//! The on-disk slice cache with streaming, single-flight fills.
