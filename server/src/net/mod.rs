//! How do requests enter and answers leave?

pub mod budget;
mod connection;
mod frame;
mod http;
mod listener;
mod pipeline;
mod pulse;
mod send;

pub use http::serve_http;
pub use listener::{Acceptor, Doors, bind};
pub use pulse::pulse;
