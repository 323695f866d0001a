//! The cluster over shards in memory that can lose their power between any two steps.

mod fake;
mod lives;
mod random;
