//! Runs of groups against a coordinator that keeps its promises, and against one that does not.
use thalweg_loadgen::result::GroupFigures;

use super::Scene;
use crate::fake::Faults;

const QUICK: &str = "--heartbeat-ms 20 --fetch-max-wait-ms 20 --commit-interval-ms 50 --drain 5";

fn group(scene: &Scene, words: &str) -> (GroupFigures, u8) {
    let result = scene.run(&format!("group {QUICK} {words}"));
    assert_eq!(result.failures, [""; 0], "{:?}", result.group);
    let status = result.exit_status();
    (result.group.unwrap(), status)
}

/// The topic with so many records, over all partitions.
fn filled(partition_count: usize, faults: Faults) -> Scene {
    let scene = Scene::new(partition_count, faults);
    scene.run("produce --count 2000 --batch-records 10 --record-bytes 50 --connections 2");
    scene
}

#[test]
fn members_come_leave_and_restart_and_every_record_reaches_one_of_them_once() {
    let scene = filled(7, Faults::default());
    let script = "--event 0:join:5 --event 0.6:leave:2 --event 1.2:restart:1 --time 2.5";
    for assignor in ["range", "cooperative-sticky"] {
        let (figures, status) =
            group(&scene, &format!("--read --group {assignor} --assignor {assignor} {script}"));
        assert_eq!((figures.read_records, figures.missed_records, status), (2000, Some(0), 0), "{figures:?}");
        assert_eq!(
            (figures.doubled_records, figures.overlaps, figures.live_members),
            (0, 0, 3),
            "{figures:?}"
        );
        assert!(figures.rebalances >= 3 && figures.stop_the_world.samples > 0, "{figures:?}");
        for event in &figures.events {
            assert_eq!((event.group_count, event.never_stable), (1, 0), "{event:?}");
        }
        assert!(
            figures.errors.keys().all(|name| name.contains("RebalanceInProgress")),
            "{:?}",
            figures.errors
        );
    }
}

#[test]
fn what_is_sent_meanwhile_is_read_to_its_end() {
    let scene = Scene::new(4, Faults::default());
    let words = "--read --feed --rate 2000 --batch-records 5 --record-bytes 20 --connections 2 --time 2 \
                 --event 0:join:2 --event 0.5:join:2 --event 1:leave:1";
    let (figures, status) = group(&scene, words);
    assert_eq!((figures.read_records, figures.missed_records, status), (4000, Some(0), 0), "{figures:?}");
}

#[test]
fn forgotten_commits_show_as_doubled_records_and_offsets_that_go_back_and_commits_ahead_as_missed_ones() {
    let script =
        "--read --event 0:join:2 --event 0.8:leave:1 --event 1.6:leave:1 --event 1.7:join:1 --time 2.6";
    let scene = filled(2, Faults { forget_commits: true, ..Faults::default() });
    let (figures, status) = group(&scene, script);
    assert!(figures.doubled_records > 0, "{figures:?}");
    assert!(figures.gone_back_offsets > 0, "{figures:?}");
    assert_eq!(
        (figures.missed_records, status),
        (Some(0), 3),
        "records came twice, and answered commits went back"
    );

    let scene = filled(2, Faults { commits_ahead: 5, ..Faults::default() });
    let words = "--feed --count 1000 --rate 400 --batch-records 1 --record-bytes 20 --connections 2";
    let (figures, status) = group(&scene, &format!("{script} {words}"));
    assert!(figures.missed_records.is_some_and(|missed| missed > 0), "{figures:?}");
    assert!(figures.missed_examples[0].contains("offsets"), "{:?}", figures.missed_examples);
    assert_eq!(status, 3);
}

#[test]
fn commits_leave_at_their_rate_and_are_spread_over_many_groups() {
    let scene = Scene::new(3, Faults::default());
    let words =
        "--groups 10 --event 0:join:2:0.3 --commit-rate 500 --commit-partitions 2 --warm-up 1 --time 2";
    let (figures, status) = group(&scene, words);
    assert_eq!((figures.live_members, figures.unsent_commits, status), (20, 0, 0), "{figures:?}");
    assert_eq!(figures.commit_latency.samples, 500);
    assert!(figures.committed_offsets_per_s >= figures.commits_per_s, "{figures:?}");
    assert_eq!(figures.events[0].group_count, 10);
    assert_eq!(figures.missed_records, None);
}

#[test]
fn a_member_that_dies_costs_its_partitions_until_somebody_notices() {
    let scene = filled(2, Faults::default());
    // This coordinator never notices: the partition stays without a reader, and the run says so.
    let (figures, _) = group(&scene, "--event 0:join:2 --event 0.6:die:1 --time 1.2");
    assert_eq!((figures.live_members, figures.events[1].never_stable), (1, 1), "{figures:?}");
    assert!(figures.stable_share < 0.9, "{figures:?}");
}
