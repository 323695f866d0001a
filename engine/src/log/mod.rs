//! What does one partition remember?

mod bounds;
mod settings;

pub use bounds::LogBounds;
pub use settings::{LogIdentity, LogSettings};
