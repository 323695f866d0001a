//! What does each request do?

use crate::wire::RequestHeader;
use std::net::IpAddr;
use std::time::Instant;

/// What is known of a request besides its body.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// API, version, correlation id, client id.
    pub header: RequestHeader,
    /// The listener it came in by: an index into `Config::listeners`.
    pub listener: usize,
    /// Who sent it.
    pub client_host: IpAddr,
    /// When its last byte was there.
    pub received: Instant,
    /// Its connection: different for every connection of the broker's life.
    pub connection_id: u64,
}
