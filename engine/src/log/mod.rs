//! What does one partition remember?

mod bounds;
mod durability;
mod early;
mod epochs;
mod partition;
mod producers;
mod retention;
mod settings;

pub use bounds::LogBounds;
pub use durability::{Durability, DurabilityMode};
pub use early::EarlyGauge;
pub(crate) use early::Urgency;
pub(crate) use epochs::Epochs;
pub(crate) use partition::{Admission, Part, PartitionLog, WriteBack};
pub(crate) use producers::{Claim, Producers, Verdict};
pub use settings::{LogIdentity, LogSettings};
