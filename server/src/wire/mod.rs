//! What do the bytes of a request mean?
//!
//! Pure and bounded by construction: one table of fields per message gives decode and encode for every version; every
//! length is held against the bytes that are there, and what a request unfolds to against a budget of memory.

#![deny(clippy::indexing_slicing, clippy::expect_used)]

pub mod answer;
pub mod codes;
pub mod fetch;
pub mod header;
pub mod messages;
pub mod primitives;
pub mod versions;

pub use answer::Answer;
pub use codes::ErrorCode;
pub use header::RequestHeader;
pub use primitives::{Context, Field, Reader, WireError, Writer};
pub use versions::ApiKey;

#[cfg(test)]
mod tests;
