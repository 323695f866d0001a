//! Several named listeners: each client is told the address of the one it came by.

use harness::broker::{Against, free_port};
use harness::verbs::text;
use harness::{Broker, Client};
use kafka_protocol::messages::{DescribeClusterRequest, FindCoordinatorRequest, MetadataRequest};
use std::time::Duration;

fn connect(address: &str) -> Client {
    Client::connect_within(address, Duration::from_secs(10)).unwrap()
}

/// The host and port that each way of asking for brokers tells.
fn told(client: &mut Client) -> Vec<(String, i32)> {
    let metadata = client.call(9, &MetadataRequest::default().with_topics(Some(vec![])));
    let cluster = client.call(0, &DescribeClusterRequest::default());
    assert_eq!((metadata.brokers.len(), cluster.brokers.len()), (1, 1), "one broker, whatever its listeners");
    let coordinator = loop {
        let request = FindCoordinatorRequest::default()
            .with_key_type(0)
            .with_coordinator_keys(vec![text("a group that is only looked for")]);
        let found = client.call(4, &request).coordinators.remove(0);
        if found.error_code == 0 {
            break found; // 15 while the topic of offsets is made
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    vec![
        (metadata.brokers[0].host.to_string(), metadata.brokers[0].port),
        (cluster.brokers[0].host.to_string(), cluster.brokers[0].port),
        (coordinator.host.to_string(), coordinator.port),
    ]
}

#[test]
fn each_listener_tells_its_own_address_and_what_is_advertised_for_it() {
    let (outside, advertised) = (free_port(), "kafka.example.com");
    let is_thalweg = Against::chosen().is_thalweg();
    let mut listeners = format!("INSIDE://127.0.0.1:{{port}},OUTSIDE://127.0.0.1:{outside}");
    let mut protocols = "INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT".to_string();
    if !is_thalweg {
        listeners.push_str(",CONTROLLER://127.0.0.1:{controller}");
        protocols.push_str(",CONTROLLER:PLAINTEXT");
    }
    let broker = Broker::with(&[
        ("listeners", &listeners),
        ("advertised.listeners", &format!("INSIDE://127.0.0.1:{{port}},OUTSIDE://{advertised}:19093")),
        ("listener.security.protocol.map", &protocols),
        ("inter.broker.listener.name", "INSIDE"),
    ]);
    let inside = broker.address();
    let (host, port) = inside.split_once(':').unwrap();
    let expected = (host.to_string(), port.parse().unwrap());
    assert_eq!(told(&mut connect(&inside)), vec![expected; 3]);
    let mut client = connect(&format!("127.0.0.1:{outside}"));
    assert_eq!(told(&mut client), vec![(advertised.to_string(), 19093); 3]);
}

#[test]
fn an_empty_host_serves_both_families_and_tells_the_machines_name() {
    if !Against::chosen().is_thalweg() {
        harness::skip::skip_test(
            "an empty host",
            "only a broker of ours is asked: Kafka tells a name that DNS gives",
        );
        return;
    }
    let broker = Broker::with(&[("listeners", "PLAINTEXT://:{port}")]);
    let address = broker.address();
    let port = address.rsplit(':').next().unwrap();
    let by_v4 = told(&mut connect(&address));
    assert_eq!(by_v4[0].1.to_string(), port);
    assert!(!by_v4[0].0.is_empty() && by_v4[0].0 != "0.0.0.0", "{by_v4:?}");
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        assert_eq!(told(&mut connect(&format!("[::1]:{port}"))), by_v4);
    }
}
