//! Benchmarks beside raw loops and rivals.
