//! Questions that a client asks a broker, on a connection each: does it answer, who leads, where do partitions begin and end.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const API_VERSIONS: i16 = 18;
const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const CREATE_TOPICS: i16 = 19;
const CREATE_PARTITIONS: i16 = 37;
/// A broker that recovers may take a connection and answer when it is done.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Thousands of partitions take Kafka's controller some seconds.
const MADE_WITHIN: Duration = Duration::from_mins(2);
/// Kafka makes no more in one request, nearly.
const PARTITIONS_AT_ONCE_MAX: usize = 5000;
/// An answer about 10 000 partitions is a quarter of a megabyte.
const ANSWER_BYTES_MAX: u32 = 16 << 20;

/// Asks `ListOffsets` for the offset after the last record.
pub const LATEST: i64 = -1;
/// Asks it for the first.
pub const EARLIEST: i64 = -2;

/// A topic and which of its partitions are asked about: those below `partition_end`.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its name.
    pub topic: String,
    /// The number after the last.
    pub partition_end: usize,
}

/// The broker's first word.
pub fn api_versions(port: u16) -> io::Result<()> {
    let answer = ask(port, &head(API_VERSIONS, 0), ANSWER_WITHIN)?;
    error_free("ApiVersions", Answer(&answer).skip(4)?.i16()?)
}

/// Succeeds if the broker names a leader for every partition asked about.
pub fn leaders(port: u16, asked: &[Asked]) -> io::Result<()> {
    let mut body = head(METADATA, 4);
    body.extend((asked.len() as i32).to_be_bytes());
    for asked in asked {
        text(&mut body, &asked.topic);
    }
    body.push(0); // a topic that is missing is not made
    let led = led(&ask(port, &body, ANSWER_WITHIN)?)?;
    let wanted = asked.iter().map(|asked| asked.partition_end).sum::<usize>();
    if led >= wanted {
        Ok(())
    } else {
        Err(io::Error::other(format!("{led} of {wanted} partitions are led")))
    }
}

/// How many partitions have a leader, by an answer to Metadata v4.
fn led(answer: &[u8]) -> io::Result<usize> {
    let mut answer = Answer(answer);
    answer.skip(4 + 4)?; // correlation id, throttle time
    for _ in 0..answer.i32()? {
        answer.skip(4)?.skip_text()?.skip(4)?.skip_text()?; // a broker: id, host, port, rack
    }
    answer.skip_text()?.skip(4)?; // cluster, controller
    let mut led = 0;
    for _ in 0..answer.i32()? {
        error_free("Metadata", answer.i16()?)?;
        answer.skip_text()?.skip(1)?; // name, whether it is internal
        for _ in 0..answer.i32()? {
            error_free("Metadata", answer.i16()?)?;
            led += usize::from(answer.skip(4)?.i32()? >= 0);
            for _ in ["replicas", "in sync"] {
                let count = answer.i32()?.max(0) as usize;
                answer.skip(4 * count)?;
            }
        }
    }
    Ok(led)
}

/// Makes the topic, with one copy of each partition and the broker's own settings, in steps that every broker takes.
pub fn create(port: u16, asked: &Asked) -> io::Result<()> {
    let timeout_ms = (MADE_WITHIN.as_millis() as i32).to_be_bytes();
    let mut made = asked.partition_end.min(PARTITIONS_AT_ONCE_MAX);
    let mut body = head(CREATE_TOPICS, 2);
    body.extend(1_i32.to_be_bytes());
    text(&mut body, &asked.topic);
    body.extend((made as i32).to_be_bytes());
    body.extend(1_i16.to_be_bytes());
    body.extend([0; 4 + 4]); // neither assignments nor settings
    body.extend(timeout_ms);
    body.push(0); // for real
    accepted("CreateTopics", &ask(port, &body, MADE_WITHIN)?)?;
    while made < asked.partition_end {
        made = asked.partition_end.min(made + PARTITIONS_AT_ONCE_MAX);
        let mut body = head(CREATE_PARTITIONS, 0);
        body.extend(1_i32.to_be_bytes());
        text(&mut body, &asked.topic);
        body.extend((made as i32).to_be_bytes());
        body.extend((-1_i32).to_be_bytes()); // wherever the broker likes
        body.extend(timeout_ms);
        body.push(0);
        accepted("CreatePartitions", &ask(port, &body, MADE_WITHIN)?)?;
    }
    Ok(())
}

/// Whether an answer to CreateTopics v2 or CreatePartitions v0 accepts all topics.
fn accepted(api: &str, answer: &[u8]) -> io::Result<()> {
    let mut answer = Answer(answer);
    answer.skip(4 + 4)?; // correlation id, throttle time
    for _ in 0..answer.i32()? {
        let (_, code, why) = (answer.text()?, answer.i16()?, answer.text()?);
        error_free(api, code).map_err(|error| io::Error::other(format!("{error}: {why}")))?;
    }
    Ok(())
}

/// The offset at `time` ([`LATEST`], [`EARLIEST`]) of every partition asked about, in order; fails if one of them cannot tell.
pub fn offsets(port: u16, asked: &[Asked], time: i64) -> io::Result<Vec<i64>> {
    let mut body = head(LIST_OFFSETS, 1);
    body.extend((-1_i32).to_be_bytes());
    body.extend((asked.len() as i32).to_be_bytes());
    for asked in asked {
        text(&mut body, &asked.topic);
        body.extend((asked.partition_end as i32).to_be_bytes());
        for partition in 0..asked.partition_end as i32 {
            body.extend(partition.to_be_bytes());
            body.extend(time.to_be_bytes());
        }
    }
    let found = found_offsets(&ask(port, &body, ANSWER_WITHIN)?)?;
    let wanted = asked.iter().flat_map(|asked| (0..asked.partition_end as i32).map(|at| (&asked.topic, at)));
    let offset = |(topic, at): (&String, i32)| {
        let missing = || io::Error::other(format!("ListOffsets says nothing of {topic}-{at}"));
        found.get(&(topic.clone(), at)).copied().ok_or_else(missing)
    };
    wanted.map(offset).collect()
}

/// Offsets by topic and partition of an answer to ListOffsets v1. Kafka answers in an order of its own.
fn found_offsets(answer: &[u8]) -> io::Result<HashMap<(String, i32), i64>> {
    let mut answer = Answer(answer);
    answer.skip(4)?; // correlation id
    let mut found = HashMap::new();
    for _ in 0..answer.i32()? {
        let topic = answer.text()?;
        for _ in 0..answer.i32()? {
            let partition = answer.i32()?;
            error_free("ListOffsets", answer.i16()?)?;
            found.insert((topic.clone(), partition), answer.skip(8)?.i64()?);
        }
    }
    Ok(found)
}

fn error_free(api: &str, code: i16) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::other(format!("{api} was answered with error {code}"))) }
}

fn head(api_key: i16, version: i16) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(api_key.to_be_bytes());
    body.extend(version.to_be_bytes());
    body.extend(7_i32.to_be_bytes());
    text(&mut body, "figures");
    body
}

fn text(body: &mut Vec<u8>, text: &str) {
    body.extend((text.len() as i16).to_be_bytes());
    body.extend(text.as_bytes());
}

/// One request, one answer, on a connection of its own.
fn ask(port: u16, body: &[u8], within: Duration) -> io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(within))?;
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    socket.write_all(&frame)?;
    let mut bytes = [0; 4];
    socket.read_exact(&mut bytes)?;
    let answer_bytes = u32::from_be_bytes(bytes);
    if answer_bytes > ANSWER_BYTES_MAX {
        return Err(io::Error::other(format!("an answer of {answer_bytes} B")));
    }
    let mut answer = vec![0; answer_bytes as usize];
    socket.read_exact(&mut answer)?;
    Ok(answer)
}

/// What is left to read of an answer.
struct Answer<'a>(&'a [u8]);

impl Answer<'_> {
    fn take<const COUNT: usize>(&mut self) -> io::Result<[u8; COUNT]> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn skip(&mut self, bytes: usize) -> io::Result<&mut Self> {
        self.0 = self.0.get(bytes..).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(self)
    }

    fn i16(&mut self) -> io::Result<i16> {
        self.take().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> io::Result<i32> {
        self.take().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> io::Result<i64> {
        self.take().map(i64::from_be_bytes)
    }

    fn text(&mut self) -> io::Result<String> {
        // A text that is not there has the length -1.
        let bytes = self.i16()?.max(0) as usize;
        let text = self.0.get(..bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.0 = &self.0[bytes..];
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn skip_text(&mut self) -> io::Result<&mut Self> {
        self.text()?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Metadata v4 of one broker and one topic of two partitions, with these leaders and this code for the second.
    fn metadata(leaders: [i32; 2], code: i16) -> Vec<u8> {
        let mut body = vec![0; 4 + 4];
        body.extend(1_i32.to_be_bytes());
        body.extend(1_i32.to_be_bytes());
        text(&mut body, "localhost");
        body.extend(9092_i32.to_be_bytes());
        body.extend((-1_i16).to_be_bytes());
        text(&mut body, "cluster");
        body.extend(1_i32.to_be_bytes());
        body.extend(1_i32.to_be_bytes());
        body.extend(0_i16.to_be_bytes());
        text(&mut body, "t");
        body.push(0);
        body.extend(2_i32.to_be_bytes());
        for (at, leader) in (0_i32..).zip(leaders) {
            body.extend((code * at as i16).to_be_bytes());
            body.extend(at.to_be_bytes());
            body.extend(leader.to_be_bytes());
            body.extend([0, 0, 0, 1, 0, 0, 0, 1].repeat(2));
        }
        body
    }

    #[test]
    fn a_partition_without_a_leader_does_not_count_and_an_error_is_told() {
        assert_eq!(led(&metadata([1, 1], 0)).unwrap(), 2);
        assert_eq!(led(&metadata([1, -1], 0)).unwrap(), 1);
        assert!(led(&metadata([1, 1], 5)).unwrap_err().to_string().contains("error 5"));
        let whole = metadata([1, 1], 0);
        assert!((0..whole.len()).all(|bytes| led(&whole[..bytes]).is_err()), "a cut answer is no answer");
    }

    #[test]
    fn a_topic_that_is_refused_is_told_with_the_reason() {
        let answer = |code: i16| {
            let mut body = vec![0; 4 + 4];
            body.extend(1_i32.to_be_bytes());
            text(&mut body, "t");
            body.extend(code.to_be_bytes());
            text(&mut body, "too many");
            body
        };
        assert!(accepted("CreateTopics", &answer(0)).is_ok());
        let told = accepted("CreateTopics", &answer(37)).unwrap_err().to_string();
        assert!(told.contains("error 37: too many"), "{told}");
    }

    #[test]
    fn offsets_are_found_in_whatever_order_they_are_answered() {
        let mut body = vec![0; 4];
        body.extend(1_i32.to_be_bytes());
        text(&mut body, "t");
        body.extend(2_i32.to_be_bytes());
        for (partition, offset) in [(1_i32, 70_i64), (0, 50)] {
            body.extend(partition.to_be_bytes());
            body.extend(0_i16.to_be_bytes());
            body.extend((-1_i64).to_be_bytes());
            body.extend(offset.to_be_bytes());
        }
        let found = found_offsets(&body).unwrap();
        assert_eq!((found[&("t".to_owned(), 0)], found[&("t".to_owned(), 1)]), (50, 70));
    }
}
