//! How are records read? One [`Fetcher`] per connection with partitions of its own, many per thread, one event loop.
//!
//! ```text
//!  positions -> fetch -> Link -> socket     Link -> answer -> batches -> positions, Tally (figures, Checker)
//! ```
mod fetcher;
mod plan;
mod tally;
mod worker;

pub use fetcher::{Context, Fetcher, Position};
pub use plan::{Plan, Reading, prepare};
pub use tally::{ReadTotals, Tally};
pub use worker::{Goal, Worker};
