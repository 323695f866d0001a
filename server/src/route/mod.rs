//! Which core owns this, and how does work get there?

pub mod placement;

pub use placement::{ShardId, owner};
