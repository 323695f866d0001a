//! Every message as a table of its fields; names are those of Kafka's protocol guide.

mod admin;
mod data;
mod groups;
pub mod internal;
mod metadata;

pub use admin::*;
pub use data::*;
pub use groups::*;
pub use metadata::*;
