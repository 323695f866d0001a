//! Apache Kafka's own command line tools, unchanged, of the release that is replaced (3.5.1) and of the newest one (4.3.1).

use harness::Broker;
use harness::kafka_tools::Kafka;
use harness::process::Output;
use harness::records::{self, Batch, CODECS};
use harness::scratch::Scratch;
use harness::verbs::fresh;
use std::time::{Duration, Instant};

/// One release's tools against one broker.
struct Tools {
    kafka: Kafka,
    bootstrap: String,
}

impl Tools {
    fn of(release: &str, broker: &Broker) -> Option<Self> {
        Some(Self { kafka: Kafka::installed(release)?, bootstrap: broker.address() })
    }

    fn run(&self, tool: &str, arguments: &[&str]) -> Output {
        self.run_with_input(tool, arguments, "")
    }

    fn run_with_input(&self, tool: &str, arguments: &[&str], input: &str) -> Output {
        let mut all = vec!["--bootstrap-server", &self.bootstrap];
        all.extend(arguments);
        self.kafka
            .run_with_input(tool, &all, input.as_bytes())
            .succeeded(&format!("kafka-{tool} {} {arguments:?}", self.kafka.release()))
    }

    /// What `kafka-get-offsets --time` prints, sorted.
    fn offsets(&self, topic: &str, time: &str) -> Vec<String> {
        let output = self.run("get-offsets", &["--topic", topic, "--time", time]);
        let mut lines: Vec<String> = output.lines().into_iter().map(str::to_string).collect();
        lines.sort();
        lines
    }

    /// Size and validity of each batch in segment files, as `kafka-dump-log` sees them.
    fn dump(&self, files: &[std::path::PathBuf]) -> Vec<(i64, i64)> {
        let files: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
        let output = self.kafka.run("dump-log", &["--files", &files.join(",")]).succeeded("kafka-dump-log");
        let mut ranges = Vec::new();
        for line in output.lines().into_iter().filter(|line| line.starts_with("baseOffset:")) {
            assert!(line.contains("isvalid: true"), "{line}");
            ranges.push((number_behind(line, "baseOffset: "), number_behind(line, "lastOffset: ") + 1));
        }
        let complaints: Vec<_> = output
            .lines()
            .into_iter()
            .filter(|line| line.contains("Found") || line.contains("invalid"))
            .collect();
        assert!(complaints.is_empty(), "{complaints:?}\n{}", output.stderr);
        ranges
    }
}

fn number_behind(line: &str, label: &str) -> i64 {
    let text = line.split(label).nth(1).unwrap_or_else(|| panic!("{label:?} in {line:?}"));
    text.split_whitespace().next().unwrap().parse().unwrap()
}

fn topics_are_managed(release: &str) {
    let broker = Broker::shared();
    let Some(tools) = Tools::of(release, &broker) else { return };
    let topic = fresh("managed");
    let created = tools.run(
        "topics",
        &["--create", "--topic", &topic, "--partitions", "2", "--config", "retention.ms=7200000"],
    );
    assert!(created.stdout.contains(&format!("Created topic {topic}.")), "{}", created.stdout);
    assert!(tools.run("topics", &["--list"]).lines().contains(&topic.as_str()));
    let described = tools.run("topics", &["--describe", "--topic", &topic]);
    assert!(described.stdout.contains("PartitionCount: 2\tReplicationFactor: 1"), "{}", described.stdout);
    assert!(described.stdout.contains("retention.ms=7200000"), "{}", described.stdout);
    assert_eq!(described.lines().len(), 3, "a line for the topic and one a partition: {}", described.stdout);
    tools.run("topics", &["--alter", "--topic", &topic, "--partitions", "5"]);
    let described = tools.run("topics", &["--describe", "--topic", &topic]);
    assert!(described.stdout.contains("PartitionCount: 5"), "{}", described.stdout);
    tools.run("topics", &["--delete", "--topic", &topic]);
    assert!(!tools.run("topics", &["--list"]).lines().contains(&topic.as_str()));
}

fn events_are_written_watched_and_counted(release: &str) {
    let broker = Broker::shared();
    let Some(tools) = Tools::of(release, &broker) else { return };
    let topic = fresh("iis_log");
    let events: Vec<String> = (0..500).map(|number| format!("event {number}")).collect();
    tools.run_with_input("console-producer", &["--topic", &topic], &(events.join("\n") + "\n"));
    assert_eq!(tools.offsets(&topic, "-1"), [format!("{topic}:0:500")]);
    assert_eq!(tools.offsets(&topic, "-2"), [format!("{topic}:0:0")]);
    let largest = tools.offsets(&topic, "-3"); // offset of the newest record: several may bear the same millisecond, one is named
    assert!(largest.len() == 1 && number_behind(&largest[0], ":0:") < 500, "{largest:?}");

    let watched =
        tools.run("console-consumer", &["--topic", &topic, "--from-beginning", "--max-messages", "500"]);
    assert_eq!(watched.lines(), events);
    let middle = ["--topic", &topic, "--partition", "0", "--offset", "490", "--max-messages", "10"];
    assert_eq!(tools.run("console-consumer", &middle).lines(), events[490..]);

    let group = fresh("watchers");
    let mut read = Vec::new();
    for _ in 0..2 {
        let grouped = ["--topic", &topic, "--from-beginning", "--group", &group, "--max-messages", "200"];
        read.extend(tools.run("console-consumer", &grouped).lines().into_iter().map(str::to_string));
    }
    assert_eq!(read, events[..400], "the second reader goes on where the first one stopped");
    committed_offsets_can_be_read(&tools, &group, &topic);
}

/// The offsets topic is a topic as any other, its records those of Kafka.
fn committed_offsets_can_be_read(tools: &Tools, group: &str, topic: &str) {
    let old = tools.kafka.release().starts_with("3.");
    let (formatter, expected) = if old {
        let expected = format!("[{group},{topic},0]::OffsetAndMetadata(offset=400");
        ("kafka.coordinator.group.GroupMetadataManager$OffsetsMessageFormatter", expected)
    } else {
        let expected = format!("{{\"group\":\"{group}\",\"topic\":\"{topic}\",\"partition\":0}}");
        ("org.apache.kafka.tools.consumer.OffsetsMessageFormatter", expected)
    };
    let arguments = [
        "--topic",
        "__consumer_offsets",
        "--from-beginning",
        "--formatter",
        formatter,
        "--timeout-ms",
        "5000",
    ];
    let output = tools.run("console-consumer", &arguments);
    assert!(output.stdout.contains(&expected), "{expected}\n{}", output.stdout);
    if !old {
        assert!(output.stdout.contains("\"offset\":400"), "{}", output.stdout);
    }
}

fn configs_are_described_and_altered(release: &str) {
    let broker = Broker::shared();
    let Some(tools) = Tools::of(release, &broker) else { return };
    let topic = fresh("configured");
    broker.client().create_topic(&topic, 1);
    let target = ["--entity-type", "topics", "--entity-name", topic.as_str()];
    let run = |verb: &[&str]| tools.run("configs", &[&target[..], verb].concat());
    run(&["--alter", "--add-config", "retention.ms=3600000,max.message.bytes=2000000"]);
    let described = run(&["--describe"]).stdout;
    assert!(described.contains("retention.ms=3600000 sensitive=false"), "{described}");
    assert!(
        described.contains(
            "DYNAMIC_TOPIC_CONFIG:max.message.bytes=2000000, DEFAULT_CONFIG:message.max.bytes=1048588"
        ),
        "{described}"
    );
    run(&["--alter", "--delete-config", "retention.ms"]);
    let described = run(&["--describe", "--all"]).stdout;
    assert!(described.contains("retention.ms=604800000 sensitive=false"), "{described}");
    let address = broker.address();
    let arguments = [
        &["--bootstrap-server", address.as_str()],
        &target[..],
        &["--alter", "--add-config", "cleanup.policy=shred"],
    ]
    .concat();
    let refused = tools.kafka.run("configs", &arguments);
    assert!(
        !refused.status.success() && refused.stderr.contains("InvalidConfigurationException"),
        "{}",
        refused.stderr
    );
}

fn the_brokers_versions_are_listed(release: &str) {
    let broker = Broker::shared();
    let Some(tools) = Tools::of(release, &broker) else { return };
    let output = tools.run("broker-api-versions", &[]).stdout;
    assert!(output.starts_with(&broker.address()), "{output}");
    for api in [
        "Produce(0): 0 to ",
        "Fetch(1): 4 to ",
        "ApiVersions(18): 0 to ",
        "JoinGroup(11): ",
        "CreateTopics(19): ",
    ] {
        assert!(output.contains(api), "{api} in {output}");
    }
}

/// A sealed segment may be written back a while after it was sealed; then its file holds batches and nothing else.
fn wait_until_whole(files: &[std::path::PathBuf]) {
    let whole = |path: &std::path::PathBuf| {
        let bytes = bytes::Bytes::from(std::fs::read(path).unwrap());
        !bytes.is_empty()
            && records::batches(&bytes).iter().map(bytes::Bytes::len).sum::<usize>() == bytes.len()
    };
    let deadline = Instant::now() + Duration::from_mins(1);
    while !files.iter().all(whole) {
        assert!(Instant::now() < deadline, "sealed segments are not written back: {files:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn segments_can_be_dumped(release: &str) {
    let mut broker = Broker::with(&[("log.segment.bytes", "1048576")]);
    let Some(tools) = Tools::of(release, &broker) else { return };
    let mut client = broker.client();
    client.create_topic("dumped", 1);
    client.create_topic("small", 1);
    let mut sent = Vec::new();
    for number in 0..60 {
        let batch = Batch::numbered(number * 100, 100, 1000).codec(CODECS[number % 3 / 2]);
        let base = client.produce("dumped", 0, &batch);
        sent.push((base, base + 100));
    }
    for codec in CODECS {
        client.produce("small", 0, &Batch::numbered(0, 7, 50).codec(codec));
    }
    let segments = broker.segments("dumped", 0);
    assert!(segments.len() >= 4, "{segments:?}");
    let sealed = &segments[..segments.len() - 1];
    wait_until_whole(sealed);
    let sealed = tools.dump(sealed);
    assert_eq!(sealed, sent[..sealed.len()], "sealed segments, while the broker runs");
    broker.stop();
    assert_eq!(tools.dump(&broker.segments("dumped", 0)), sent, "every segment, after a clean stop");
    let small = tools.dump(&broker.segments("small", 0));
    assert_eq!(small, [(0, 7), (7, 14), (14, 21), (21, 28), (28, 35)]);
}

fn records_are_removed_and_directories_described(release: &str) {
    let broker = Broker::shared();
    let Some(tools) = Tools::of(release, &broker) else { return };
    let topic = fresh("removed");
    let mut client = broker.client();
    client.create_topic(&topic, 2);
    client.produce(&topic, 1, &Batch::numbered(0, 50, 100));
    let scratch = Scratch::new("offsets");
    let file = scratch.path().join("offsets.json");
    let offsets =
        format!("{{\"version\":1,\"partitions\":[{{\"topic\":\"{topic}\",\"partition\":1,\"offset\":30}}]}}");
    std::fs::write(&file, offsets).unwrap();
    let removed = tools.run("delete-records", &["--offset-json-file", &file.display().to_string()]);
    assert!(
        removed.stdout.contains(&format!("partition: {topic}-1\tlow_watermark: 30")),
        "{}",
        removed.stdout
    );
    assert_eq!(tools.offsets(&topic, "-2"), [format!("{topic}:0:0"), format!("{topic}:1:30")]);
    let described = tools.run("log-dirs", &["--describe", "--topic-list", &topic]).stdout;
    let json = described.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{described}"));
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    let directory = &json["brokers"][0]["logDirs"][0];
    assert!(directory["error"].is_null(), "{json}");
    let mut partitions: Vec<(String, i64)> = directory["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["partition"].as_str().unwrap().to_owned(), one["size"].as_i64().unwrap()))
        .collect();
    partitions.sort();
    assert_eq!(partitions[0], (format!("{topic}-0"), 0));
    assert!(partitions[1].0 == format!("{topic}-1") && partitions[1].1 > 5000, "{partitions:?}");
}

macro_rules! for_both_releases {
    ($($scenario:ident),* $(,)?) => {
        mod release_3_5_1 { $(#[test] fn $scenario() { super::$scenario("3.5.1"); })* }
        mod release_4_3_1 { $(#[test] fn $scenario() { super::$scenario("4.3.1"); })* }
    };
}

for_both_releases!(
    topics_are_managed,
    events_are_written_watched_and_counted,
    configs_are_described_and_altered,
    the_brokers_versions_are_listed,
    segments_can_be_dumped,
    records_are_removed_and_directories_described,
);
