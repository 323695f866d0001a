//! How are records sent? One [`Sender`] per connection, many senders per thread, all driven by one event loop.
//!
//! ```text
//!  Schedule -> Source -> Lane -> Frame -> Link -> socket          Link -> answer -> Lane -> Recorder
//!  when due    records   order   bytes    queue                          what it says    figures, ledger
//! ```
mod lane;
mod plan;
mod recorder;
mod sender;
mod source;
mod worker;

pub use lane::{Answered, Lane, Pending, Retry};
pub use plan::{Plan, Sending, prepare};
pub use recorder::{Recorder, Totals};
pub use sender::{Context, Sender};
pub use source::Source;
pub use worker::Worker;
