//! Produce requests around finished batches, and their answers: the hot path, so coded by hand.
//!
//! One batch of one partition a request. The crate `kafka-protocol` is the judge in the tests, and decodes every answer
//! that is not plain success.
use bytes::Bytes;
use kafka_protocol::messages::ProduceRequest;

use super::control::decode;
use super::{ClientError, Frame};
use crate::batch::{Body, HEADER_BYTES};

/// Produce v13 names topics by id; the generator names them.
pub(crate) const PRODUCE_VERSION_MAX: i16 = 12;
/// From here on: compact lengths and tagged fields.
const FLEXIBLE_VERSION: i16 = 9;
/// Ends of partition, topic and request: no tagged fields.
const FLEXIBLE_TAIL: &[u8] = &[0, 0, 0];

/// Makes the produce requests of a run and reads their answers. The same for all connections.
#[derive(Clone, Debug)]
pub struct ProduceFrames {
    version: i16,
    /// From the API key to the partition count; the correlation id in it is set for each request.
    prefix: Vec<u8>,
    /// What a well-formed answer says before the partition's number.
    answer_prefix: Vec<u8>,
}

/// What a broker says of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The partition.
    pub partition: i32,
    /// Kafka's error code; 0: the batch is in the log, as `acks` promises it.
    pub code: i16,
    /// Offset of its first record; -1 if the broker does not say.
    pub base_offset: i64,
    /// What the broker has to say about an error.
    pub message: Option<String>,
}

impl ProduceFrames {
    /// Requests in this version; `acks` as on the wire (0, 1, -1).
    pub fn new(version: i16, client_id: &str, topic: &str, acks: i16, timeout_ms: i32) -> Self {
        let flexible = version >= FLEXIBLE_VERSION;
        let mut prefix = Vec::new();
        prefix.extend_from_slice(&0_i16.to_be_bytes()); // key of Produce
        prefix.extend_from_slice(&version.to_be_bytes());
        prefix.extend_from_slice(&[0; 4]); // correlation id
        prefix.extend_from_slice(&(client_id.len() as i16).to_be_bytes());
        prefix.extend_from_slice(client_id.as_bytes());
        if flexible {
            prefix.extend_from_slice(&[0, 0]); // no tagged fields in the header; no transactional id
        } else {
            prefix.extend_from_slice(&(-1_i16).to_be_bytes());
        }
        prefix.extend_from_slice(&acks.to_be_bytes());
        prefix.extend_from_slice(&timeout_ms.to_be_bytes());
        let topic_start = prefix.len();
        if flexible {
            prefix.push(2); // one topic
            write_unsigned(&mut prefix, topic.len() as u32 + 1);
            prefix.extend_from_slice(topic.as_bytes());
            prefix.push(2); // one partition
        } else {
            prefix.extend_from_slice(&1_i32.to_be_bytes());
            prefix.extend_from_slice(&(topic.len() as i16).to_be_bytes());
            prefix.extend_from_slice(topic.as_bytes());
            prefix.extend_from_slice(&1_i32.to_be_bytes());
        }
        // An answer repeats the topic as the request wrote it, behind the empty tagged fields of its header.
        let header_tags: &[u8] = if flexible { &[0] } else { &[] };
        let answer_prefix = [header_tags, &prefix[topic_start..]].concat();
        Self { version, prefix, answer_prefix }
    }

    /// A request with one batch: `header` and `body`. Does not copy the body.
    pub fn frame(
        &self,
        correlation_id: i32,
        partition: i32,
        header: &[u8; HEADER_BYTES],
        body: &Body,
    ) -> Frame {
        const CORRELATION_AT: usize = 8;
        let flexible = self.version >= FLEXIBLE_VERSION;
        let mut head = Vec::with_capacity(4 + self.prefix.len() + 9 + HEADER_BYTES);
        head.extend_from_slice(&[0; 4]);
        head.extend_from_slice(&self.prefix);
        head[CORRELATION_AT..CORRELATION_AT + 4].copy_from_slice(&correlation_id.to_be_bytes());
        head.extend_from_slice(&partition.to_be_bytes());
        if flexible {
            write_unsigned(&mut head, body.batch_bytes() as u32 + 1);
        } else {
            head.extend_from_slice(&(body.batch_bytes() as i32).to_be_bytes());
        }
        head.extend_from_slice(header);
        let tail = if flexible { FLEXIBLE_TAIL } else { &[] };
        let counted = head.len() - 4 + body.bytes().len() + tail.len();
        head[..4].copy_from_slice(&(counted as i32).to_be_bytes());
        Frame { head, body: Some(body.clone()), tail }
    }

    /// Reads the answer to request `correlation_id`.
    ///
    /// # Errors
    /// If it is not that answer or cannot be read.
    pub fn acknowledgement(
        &self,
        answer: &[u8],
        correlation_id: i32,
    ) -> Result<Acknowledgement, ClientError> {
        if let Some(success) = self.plain_success(answer, correlation_id) {
            return Ok(success);
        }
        let decoded = decode::<ProduceRequest>(Bytes::copy_from_slice(answer), self.version, correlation_id)?;
        let partition = decoded.responses.first().and_then(|topic| topic.partition_responses.first());
        let Some(partition) = partition else {
            let reason = "one partition was asked, none is answered".to_owned();
            return Err(ClientError::Decode { api: "Produce", version: self.version, reason });
        };
        Ok(Acknowledgement {
            partition: partition.index,
            code: partition.error_code,
            base_offset: partition.base_offset,
            message: partition.error_message.as_ref().map(|message| message.as_str().to_owned()),
        })
    }

    /// The fields of an answer without error; `None`: anything is unusual, the full decoder must look.
    fn plain_success(&self, answer: &[u8], correlation_id: i32) -> Option<Acknowledgement> {
        let rest = answer
            .strip_prefix(&correlation_id.to_be_bytes())?
            .strip_prefix(self.answer_prefix.as_slice())?;
        let (partition, rest) = rest.split_first_chunk()?;
        let (code, rest) = rest.split_first_chunk()?;
        let (base_offset, _) = rest.split_first_chunk()?;
        let code = i16::from_be_bytes(*code);
        (code == 0).then(|| Acknowledgement {
            partition: i32::from_be_bytes(*partition),
            code,
            base_offset: i64::from_be_bytes(*base_offset),
            message: None,
        })
    }
}

/// An unsigned variable-length integer: seven bits a byte, lowest first.
fn write_unsigned(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BodyMaker, BodyShape, Codec, Stamp};
    use crate::client::control::encode;
    use crate::client::topic::topic_name;
    use crate::payload::{Keys, Payload};
    use kafka_protocol::messages::ProduceResponse;
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
    use kafka_protocol::protocol::Encodable as _;

    const VERSIONS: std::ops::RangeInclusive<i16> = 3..=PRODUCE_VERSION_MAX;

    #[test]
    fn requests_are_those_of_the_judge_in_every_version() {
        let shape = BodyShape { records_max: 5, batch_bytes_max: 1 << 20, codec: Codec::None };
        let body = BodyMaker::new(Payload::filler(100, 50, Keys::own(0), 1, 1), shape)
            .make(5, None, Vec::new(), false)
            .unwrap();
        let stamp = Stamp { timestamp_ms: 1, producer_id: 2, producer_epoch: 3, base_sequence: 4 };
        let header = stamp.header_for(&body);
        for version in VERSIONS {
            let frame =
                ProduceFrames::new(version, "client", "topic", -1, 30_000).frame(99, 7, &header, &body);
            let written = [&frame.head, body.bytes(), frame.tail].concat();
            let data = PartitionProduceData::default()
                .with_index(7)
                .with_records(Some([&header[..], body.bytes()].concat().into()));
            let topic =
                TopicProduceData::default().with_name(topic_name("topic")).with_partition_data(vec![data]);
            let request =
                ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
            assert_eq!(written, encode(&request, version, 99, "client").unwrap(), "version {version}");
        }
    }

    fn answer(version: i16, code: i16) -> Vec<u8> {
        let partition =
            PartitionProduceResponse::default().with_index(7).with_error_code(code).with_base_offset(1 << 40);
        let topic = TopicProduceResponse::default()
            .with_name(topic_name("topic"))
            .with_partition_responses(vec![partition]);
        let mut bytes = 99_i32.to_be_bytes().to_vec();
        if version >= FLEXIBLE_VERSION {
            bytes.push(0);
        }
        ProduceResponse::default().with_responses(vec![topic]).encode(&mut bytes, version).unwrap();
        bytes
    }

    #[test]
    fn answers_are_read_in_every_version_and_success_needs_no_full_decoder() {
        for version in VERSIONS {
            let frames = ProduceFrames::new(version, "client", "topic", -1, 30_000);
            let good = frames.acknowledgement(&answer(version, 0), 99).unwrap();
            assert_eq!((good.partition, good.code, good.base_offset), (7, 0, 1 << 40), "version {version}");
            assert!(frames.plain_success(&answer(version, 0), 99).is_some(), "version {version}");
            assert_eq!(frames.acknowledgement(&answer(version, 45), 99).unwrap().code, 45);
            assert!(frames.acknowledgement(&answer(version, 0), 98).is_err());
        }
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        for version in VERSIONS {
            let frames = ProduceFrames::new(version, "client", "topic", -1, 30_000);
            assert!(frames.acknowledgement(&answer(version, 45)[..20], 99).is_err());
        }
    }
}
