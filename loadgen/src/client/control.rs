//! Requests that are rare, asked one at a time over a connection that waits.
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, InitProducerIdRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{
    Decodable as _, HeaderVersion as _, Request, StrBytes, encode_request_header_into_buffer,
};

use super::{ClientError, is_retriable};
use crate::machine::Peer;

/// What every broker and this generator have in common since Kafka 0.10.
const API_VERSIONS_KEY: i16 = 18;
/// Answers to rare requests are small; the limit is that of a broken length field.
const FRAME_BYTES_MAX: usize = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// The versions of each API that a broker offers.
#[derive(Clone, Debug, Default)]
pub struct Versions(Vec<(i16, i16, i16)>);

impl Versions {
    /// The highest version of `R` that the broker offers, the crate knows and `own_max` allows.
    ///
    /// # Errors
    /// [`ClientError::NoCommonVersion`].
    pub fn choose<R: Request>(&self, own_max: i16) -> Result<i16, ClientError> {
        let (_, broker_min, broker_max) =
            self.0.iter().copied().find(|(key, ..)| *key == R::KEY).unwrap_or((R::KEY, 0, -1));
        let (own_min, own_max) = (R::VERSIONS.min, R::VERSIONS.max.min(own_max));
        let version = broker_max.min(own_max);
        if version < broker_min.max(own_min) {
            return Err(ClientError::NoCommonVersion {
                api: api_name::<R>(),
                broker_min,
                broker_max,
                own_min,
                own_max,
            });
        }
        Ok(version)
    }
}

/// A connection that asks and waits. Reconnects by itself on the next question after it failed.
#[derive(Debug)]
pub struct Control {
    addresses: Vec<SocketAddr>,
    client_id: String,
    stream: Option<(SocketAddr, TcpStream)>,
    versions: Versions,
    features: BTreeMap<String, i16>,
    correlation_id: i32,
}

impl Control {
    /// Connects to the first broker of `bootstrap` (`host:port`, comma between several) that answers.
    ///
    /// # Errors
    /// If none does, or its answer cannot be read.
    pub fn connect(bootstrap: &str, client_id: &str) -> Result<Self, ClientError> {
        let mut addresses = Vec::new();
        for address in bootstrap.split(',') {
            addresses.extend(resolve(address.trim())?);
        }
        let mut control = Self {
            addresses,
            client_id: client_id.to_owned(),
            stream: None,
            versions: Versions::default(),
            features: BTreeMap::new(),
            correlation_id: 0,
        };
        control.ask_versions()?;
        Ok(control)
    }

    /// The name this client gives itself.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// What the broker offered at the last connect.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Who is at the other end of the open connection; `None` between two.
    pub fn peer(&self) -> Option<Peer> {
        let (address, stream) = self.stream.as_ref()?;
        Some(Peer {
            own: stream.local_addr().ok()?,
            address: *address,
            api_count: self.versions.0.len(),
            features: self.features.clone(),
        })
    }

    /// Asks in the highest common version up to `own_max` and waits for the answer. Returns also the version.
    ///
    /// # Errors
    /// If there is no such version, the connection fails, or the answer cannot be read.
    pub fn ask<R: Request>(&mut self, own_max: i16, request: &R) -> Result<(R::Response, i16), ClientError> {
        if self.stream.is_none() {
            self.ask_versions()?;
        }
        let version = self.versions.choose::<R>(own_max)?;
        Ok((self.ask_in(version, request)?, version))
    }

    /// A new producer id and epoch for an idempotent producer.
    ///
    /// # Errors
    /// As [`Self::ask`]; `Refused` if the broker gives none.
    pub fn producer_id(&mut self) -> Result<(i64, i16), ClientError> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(60_000)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        let start = Instant::now();
        loop {
            let (answer, _) = self.ask(i16::MAX, &request)?;
            match answer.error_code {
                0 => return Ok((answer.producer_id.0, answer.producer_epoch)),
                // A broker that just started may have to load something first.
                code if is_retriable(code) && start.elapsed() < ANSWER_TIMEOUT => sleep(REFUSED_PAUSE),
                code => {
                    let subject = "an idempotent producer".into();
                    return Err(ClientError::Refused { api: "InitProducerId", subject, code });
                }
            }
        }
    }

    fn ask_versions(&mut self) -> Result<(), ClientError> {
        self.open()?;
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("thalweg-loadgen"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let answer = self.ask_in(3, &request)?;
        if answer.error_code != 0 {
            return Err(ClientError::Refused {
                api: "ApiVersions",
                subject: "the broker".into(),
                code: answer.error_code,
            });
        }
        let listed = answer.api_keys.iter().map(|key| (key.api_key, key.min_version, key.max_version));
        self.versions = Versions(listed.collect());
        let features = answer.finalized_features.iter();
        self.features =
            features.map(|feature| (feature.name.to_string(), feature.max_version_level)).collect();
        Ok(())
    }

    fn open(&mut self) -> Result<(), ClientError> {
        let mut failed = std::io::Error::other("no address given");
        for address in &self.addresses {
            let connected = TcpStream::connect_timeout(address, CONNECT_TIMEOUT).and_then(|stream| {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
                stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
                Ok(stream)
            });
            match connected {
                Ok(stream) => {
                    self.stream = Some((*address, stream));
                    return Ok(());
                }
                Err(error) => failed = error,
            }
        }
        Err(ClientError::Unreachable { addresses: self.addresses.clone(), source: failed })
    }

    fn ask_in<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response, ClientError> {
        self.correlation_id += 1;
        let frame = encode(request, version, self.correlation_id, &self.client_id)?;
        let Some((address, stream)) = &mut self.stream else {
            return Err(ClientError::Unreachable {
                addresses: self.addresses.clone(),
                source: std::io::ErrorKind::NotConnected.into(),
            });
        };
        let address = *address;
        let exchanged = stream.write_all(&frame).and_then(|()| {
            let mut length = [0; 4];
            stream.read_exact(&mut length)?;
            let frame_bytes = i32::from_be_bytes(length);
            if usize::try_from(frame_bytes).is_ok_and(|bytes| bytes <= FRAME_BYTES_MAX) {
                let mut answer = vec![0; frame_bytes as usize];
                stream.read_exact(&mut answer)?;
                Ok(answer)
            } else {
                Err(std::io::Error::other(format!("frame of {frame_bytes} bytes")))
            }
        });
        let answer = exchanged.map_err(|source| {
            self.stream = None;
            ClientError::Io { address, source }
        })?;
        decode::<R>(answer.into(), version, self.correlation_id).inspect_err(|_| self.stream = None)
    }
}

/// A request as a whole frame, length first.
pub(crate) fn encode<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: &str,
) -> Result<BytesMut, ClientError> {
    let mut frame = BytesMut::zeroed(4);
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_string(client_id.to_owned())));
    encode_request_header_into_buffer(&mut frame, &header)
        .and_then(|()| request.encode(&mut frame, version))
        .map_err(|error| ClientError::Encode { api: api_name::<R>(), version, reason: error.to_string() })?;
    let counted = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&counted.to_be_bytes());
    Ok(frame)
}

/// Reads the answer to a request of type `R`; byte fields share the frame's memory.
pub(crate) fn decode<R: Request>(
    mut frame: Bytes,
    version: i16,
    correlation_id: i32,
) -> Result<R::Response, ClientError> {
    let fault = |reason: String| ClientError::Decode { api: api_name::<R>(), version, reason };
    // ApiVersions answers have the first header in every version, so that any client can read them.
    let header_version = if R::KEY == API_VERSIONS_KEY { 0 } else { R::Response::header_version(version) };
    let header =
        ResponseHeader::decode(&mut frame, header_version).map_err(|error| fault(error.to_string()))?;
    if header.correlation_id != correlation_id {
        return Err(fault(format!("answers question {}, asked was {correlation_id}", header.correlation_id)));
    }
    let answer = R::Response::decode(&mut frame, version).map_err(|error| fault(error.to_string()))?;
    if !frame.is_empty() {
        return Err(fault(format!("{} bytes are left over", frame.len())));
    }
    Ok(answer)
}

/// All addresses of `host:port`.
pub(crate) fn resolve(address: &str) -> Result<Vec<SocketAddr>, ClientError> {
    let fault = |source| ClientError::Resolve { address: address.to_owned(), source };
    let mut found: Vec<_> = address.to_socket_addrs().map_err(fault)?.collect();
    // Brokers in tests listen on IPv4; a name with both kinds is tried there first.
    found.sort_by_key(SocketAddr::is_ipv6);
    Ok(found)
}

/// The API's name, from the type's.
fn api_name<R: Request>() -> &'static str {
    let path = std::any::type_name::<R>();
    let name = path.rsplit("::").next().unwrap_or(path);
    name.strip_suffix("Request").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::{FetchRequest, MetadataRequest, ProduceRequest};

    #[test]
    fn the_highest_version_known_to_both_is_chosen() {
        let versions = Versions(vec![(0, 0, 99), (3, 0, 5)]);
        assert_eq!(versions.choose::<ProduceRequest>(12).unwrap(), 12);
        assert_eq!(versions.choose::<MetadataRequest>(12).unwrap(), 5);
        let missing = versions.choose::<FetchRequest>(12).unwrap_err();
        assert_eq!(missing.to_string(), "broker offers Fetch 0--1, this generator speaks 4-12");
    }

    #[test]
    fn an_answer_to_another_question_or_with_bytes_left_over_is_refused() {
        let answer = |bytes: &'static [u8]| decode::<MetadataRequest>(Bytes::from_static(bytes), 0, 7);
        assert!(answer(&[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0]).is_ok());
        assert!(
            answer(&[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap_err().to_string().contains("asked was 7")
        );
        assert!(
            answer(&[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 9])
                .unwrap_err()
                .to_string()
                .contains("1 bytes are left")
        );
    }
}
