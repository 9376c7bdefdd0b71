//! Side-by-side and micro benchmarks.
