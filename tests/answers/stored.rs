//! What lies in the log after a batch was taken: header and records, whatever the topic makes of its codec and times.

use bytes::Bytes;
use harness::Transcript;
use harness::records::{self, Batch, CODECS, Codec, altered};
use harness::verbs::code;

/// A time of the past, so that answers are the same in every run.
const THEN: i64 = 1_700_000_000_000;

/// A stored batch in words; times of the present are called so.
fn stored(batch: &Bytes) -> String {
    let time = |at: usize| {
        let time = i64::from_be_bytes(records::field(batch, at));
        if records::now_ms().abs_diff(time) < 600_000 { "now".to_string() } else { time.to_string() }
    };
    let int = |at: usize| i32::from_be_bytes(records::field(batch, at));
    let short = |at: usize| i16::from_be_bytes(records::field(batch, at));
    let head = format!(
        "attributes {:#x}, leader epoch {}, last delta {}, times {} to {}, producer {} {} {}, {} records:",
        short(21),
        int(12),
        int(23),
        time(27),
        time(35),
        i64::from_be_bytes(records::field(batch, 43)),
        short(51),
        int(53),
        int(57),
    );
    let base = i64::from_be_bytes(records::field(batch, 0));
    let mut lines = vec![head];
    for record in records::decode(batch) {
        let is_now = records::now_ms().abs_diff(record.timestamp) < 600_000;
        let time = if is_now { "now".to_string() } else { record.timestamp.to_string() };
        let (key, value) = (&record.key, record.value.as_ref().map(Bytes::len));
        lines.push(format!("  +{} at {time}, key {key:?}, value of {value:?}", record.offset - base));
    }
    lines.join("\n")
}

fn keep(transcript: &mut Transcript, what: &str, topic: &str, batch: Bytes) {
    let answer = transcript.client().try_produce(topic, 0, batch);
    let text = match answer.error_code {
        code::NONE => {
            let part = transcript.client().fetch(topic, 0, answer.base_offset);
            let batches = records::batches(&part.records.unwrap_or_default());
            batches.iter().map(stored).collect::<Vec<_>>().join("\n")
        }
        error => format!("refused with {error}"),
    };
    transcript.note_text(what, text);
}

#[test]
fn batches_are_stored_as_kafka_stores_them() {
    let Some(mut transcript) = Transcript::begin("stored", &[]) else { return };
    for times in ["CreateTime", "LogAppendTime"] {
        for target in ["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"] {
            let topic = format!("{target}-{times}");
            let configs = [("compression.type", target), ("message.timestamp.type", times)];
            transcript.client().create_topic_with(&topic, 1, &configs);
            for codec in CODECS {
                let batch = Batch::numbered(0, 3, 40).keyed().at(THEN).codec(codec).encode();
                keep(&mut transcript, &format!("{codec:?} into {topic}"), &topic, batch);
            }
        }
    }
    transcript.close();
}

#[test]
fn odd_batches_that_are_taken_are_stored_as_kafka_stores_them() {
    let Some(mut transcript) = Transcript::begin("stored_odd", &[]) else { return };
    for target in ["producer", "uncompressed", "gzip"] {
        let topic = format!("odd-{target}");
        transcript.client().create_topic_with(&topic, 1, &[("compression.type", target)]);
        for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
            let good = Batch::numbered(0, 3, 40).at(THEN).codec(codec).encode();
            let long = |at: usize, value: i64| altered(&good, at, &value.to_be_bytes());
            let bits = |bits: i16| altered(&good, 21, &(bits | codec as i16).to_be_bytes());
            for (what, batch) in [
                ("leader epoch 9", altered(&good, 12, &9_i32.to_be_bytes())),
                ("unknown attributes", bits(0x4000)),
                ("log append time", bits(0x08)),
                ("max timestamp 0", long(35, 0)),
                ("max timestamp ahead", long(35, THEN + 1_000_000)),
                ("max timestamp -1", long(35, -1)),
                ("base timestamp -1", long(27, -1)),
                ("base timestamp -9", long(27, -9)),
                ("producer -2", long(43, -2)),
                ("a sequence without producer", altered(&good, 53, &7_i32.to_be_bytes())),
                ("an epoch without producer", altered(&good, 51, &7_i16.to_be_bytes())),
                (
                    "a whole producer",
                    Batch::numbered(0, 3, 40)
                        .at(THEN)
                        .codec(codec)
                        .from_producer((70_000 + codec as i64, 3), 9)
                        .encode(),
                ),
                ("13 bytes behind", Bytes::from([&good[..], &[0; 13][..]].concat())),
                ("nulls", {
                    let mut batch = Batch::of(&["a", "b"]).at(THEN).codec(codec);
                    batch.records[0].value = None;
                    batch.encode()
                }),
            ] {
                let is_recompressed = match codec {
                    Codec::None => target == "gzip",
                    Codec::Gzip => target == "uncompressed",
                    _ => target != "producer",
                };
                match what {
                    "log append time" if is_recompressed => {
                        transcript
                            .differs("Kafka takes the time that the client claims for that of every record");
                    }
                    "base timestamp -9" | "producer -2" if is_recompressed => {
                        transcript.differs("Kafka fails with an exception of its own");
                    }
                    _ => {}
                }
                keep(&mut transcript, &format!("{what}, {codec:?} into {target}"), &topic, batch);
            }
        }
    }
    transcript.close();
}

/// Bytes of one batch of text in a topic's own codec and level.
fn packed_bytes(transcript: &mut Transcript, codec: &str, level: Option<&str>) -> usize {
    let topic = format!("level-{codec}-{}", level.unwrap_or("default"));
    let key = format!("compression.{codec}.level");
    let mut configs = vec![("compression.type", codec)];
    configs.extend(level.map(|level| (key.as_str(), level)));
    transcript.client().create_topic_with(&topic, 1, &configs);
    let lines: Vec<String> = (0..2_000_u32)
        .map(|number| {
            format!(
                "10.0.{}.{} GET /page/{} 200 {}",
                number % 7,
                number % 251,
                number % 31,
                number.wrapping_mul(2_654_435_761)
            )
        })
        .collect();
    let batch = Batch::of(&lines.iter().map(String::as_str).collect::<Vec<_>>()).at(THEN);
    transcript.client().produce(&topic, 0, &batch);
    transcript.client().fetch(&topic, 0, 0).records.unwrap().len()
}

#[test]
fn the_level_of_a_codec_is_honoured() {
    let Some(mut transcript) = Transcript::begin("levels", &[]) else { return };
    for (codec, levels) in [("gzip", ["1", "6", "9"]), ("lz4", ["1", "9", "17"]), ("zstd", ["-5", "3", "19"])]
    {
        let default = packed_bytes(&mut transcript, codec, None);
        let sizes = levels.map(|level| packed_bytes(&mut transcript, codec, Some(level)));
        let order = |a: usize, b: usize| match (a.abs_diff(b) * 100 / a, a > b) {
            (0, _) => "as large as",
            (_, true) => "larger than",
            (_, false) => "smaller than",
        };
        let [low, middle, high] = levels;
        let text = format!(
            "level {low} is {} {middle}, {low} is {} {high}, {middle} is {} the default",
            order(sizes[0], sizes[1]),
            order(sizes[0], sizes[2]),
            order(sizes[1], default),
        );
        transcript.note_text(codec, text);
    }
    transcript.close();
}
