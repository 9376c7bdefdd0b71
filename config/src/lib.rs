//! Typed, validated settings of both binaries.
