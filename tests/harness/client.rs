//! A small blocking client that speaks single requests: `kafka-protocol` encodes, the test decides what and when.
//!
//! Every read has an end (30 s), so that a broker which never answers fails a test instead of hanging it.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// No answer in these tests is larger.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    next_correlation_id: i32,
}

impl Client {
    /// Connects to `address`; answers are waited for 30 seconds.
    ///
    /// # Errors
    /// If the connection is refused or takes longer than `limit`.
    ///
    /// # Panics
    /// If the address is not `IP:port`.
    pub fn connect_within(address: &str, limit: Duration) -> io::Result<Self> {
        let address: SocketAddr = address.parse().expect("an address is IP:port");
        let stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        Ok(Self { stream, next_correlation_id: 1 })
    }

    /// The socket itself, for tests that write bytes no client would.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// One request, one answer.
    ///
    /// # Panics
    /// If the broker closes the connection, does not answer or answers what cannot be decoded.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.try_call(version, request)
            .unwrap_or_else(|error| panic!("API {} version {version}: {error}", R::KEY))
    }

    /// One request, one answer.
    ///
    /// # Errors
    /// If the broker closes the connection, does not answer or answers what cannot be decoded.
    pub fn try_call<R: Request>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        let correlation_id = self.send(version, request)?;
        self.receive::<R>(version, correlation_id)
    }

    /// Sends a request without waiting; returns its correlation id.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> io::Result<i32> {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        self.stream.write_all(&encode_frame(version, correlation_id, request))?;
        Ok(correlation_id)
    }

    /// The answer that must come next.
    ///
    /// # Errors
    /// If the connection ends, or the answer belongs to another request or does not decode to its last byte.
    pub fn receive<R: Request>(&mut self, version: i16, correlation_id: i32) -> io::Result<R::Response> {
        let mut frame = Bytes::from(self.receive_frame()?);
        let header =
            ResponseHeader::decode(&mut frame, R::Response::header_version(version)).map_err(malformed)?;
        if header.correlation_id != correlation_id {
            return Err(malformed(format!(
                "answer {} where {correlation_id} was due",
                header.correlation_id
            )));
        }
        let answer = R::Response::decode(&mut frame, version).map_err(malformed)?;
        if !frame.is_empty() {
            return Err(malformed(format!("{} bytes behind the answer to API {}", frame.len(), R::KEY)));
        }
        Ok(answer)
    }

    /// The next frame without its length.
    ///
    /// # Errors
    /// If the connection ends or the frame's length makes no sense.
    pub fn receive_frame(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > ANSWER_BYTES_MAX {
            return Err(malformed(format!("an answer of {length} bytes")));
        }
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame)?;
        Ok(frame)
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Whether the broker closes this connection within the time, having answered nothing more.
    ///
    /// # Panics
    /// If the socket refuses a time limit.
    pub fn is_closed_within(&mut self, limit: Duration) -> bool {
        self.stream.set_read_timeout(Some(limit)).expect("a socket takes a time limit");
        let outcome = self.stream.read(&mut [0; 1]);
        self.stream.set_read_timeout(Some(ANSWER_WITHIN)).expect("a socket takes a time limit");
        match outcome {
            Ok(length) => length == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

/// A whole request frame: length, header, body.
///
/// # Panics
/// If `kafka-protocol` has no such version of the request.
pub fn encode_frame<R: Request>(version: i16, correlation_id: i32, request: &R) -> Vec<u8> {
    let mut body = BytesMut::new();
    RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("thalweg-tests")))
        .encode(&mut body, R::header_version(version))
        .expect("a header can be encoded");
    request
        .encode(&mut body, version)
        .unwrap_or_else(|error| panic!("API {} version {version}: {error}", R::KEY));
    frame(&body)
}

/// `body` behind its length.
pub fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

fn malformed(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{error}"))
}
