//! `DescribeConfigs`, `AlterConfigs`, `IncrementalAlterConfigs`.
//!
//! Topics have configurations that can be changed; the broker's own is read at its start and only shown.

mod alter;
mod describe;

pub(super) use alter::{alter_configs, incremental_alter_configs};
pub(super) use describe::describe_configs;

/// Kinds of resources, as the wire numbers them.
mod resource {
    pub(super) const TOPIC: i8 = 2;
    pub(super) const BROKER: i8 = 4;
    pub(super) const BROKER_LOGGER: i8 = 8;
    pub(super) const CLIENT_METRICS: i8 = 16;
    pub(super) const GROUP: i8 = 32;
}
