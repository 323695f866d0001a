//! A log is deleted while it gets its first blocks: its own end, and nobody else's.

use super::elders::{identity, plain, settings};
use super::start_all;
use crate::batch::Origin;
use crate::io::Disk;
use crate::io::sim::{End, Faults, SimDisk, Simulation};
use crate::log::{LogIdentity, LogSettings};
use crate::shard::Append;
use crate::units::{LeaderEpoch, LogId, Offset, Timestamp};
use std::time::Duration;

/// Found by the crash campaign: the directory was gone when its names were to be synced, which stopped the whole log
/// directory. Anybody who may delete a topic could do that.
#[test]
fn a_log_that_is_deleted_while_its_first_file_is_made_stops_nothing() {
    for seed in 0..300 {
        let simulation = Simulation::new(seed);
        let disk = SimDisk::new(&simulation, seed);
        let (inner, own) = (simulation.clone(), disk.clone());
        simulation
            .run(async move {
                let disk = own;
                let engine = start_all(&disk, &settings(), 1, |_| 0).await.0.remove(0);
                let again = LogIdentity { log_id: LogId([2; 16]), ..identity(1) };
                let first = LogId([1; 16]);
                engine.create(identity(1), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
                // Some requests take a second: the deletion comes in the middle of what the first batch needs.
                disk.set_faults(Faults { slow: 15_000, ..Faults::default() });
                let appending = engine.clone();
                inner.spawn(async move {
                    let append = Append { records: plain(100), zstd_allowed: true, origin: Origin::Client };
                    // Whether it is taken depends on who comes first.
                    let _ = appending.stage(first, &append, Timestamp(super::model::NOW)).await;
                });
                disk.sleep(Duration::from_millis(seed * 13 % 2_000)).await;
                let deleting = engine.clone();
                inner.spawn(async move { deleting.delete(first).await.unwrap() });
                disk.sleep(Duration::from_millis(seed % 5 * 300)).await;
                // The name is used again at once.
                engine.create(again, LogSettings::default(), LeaderEpoch(0)).await.unwrap();
                let staged = super::elders::stage(&engine, 2, plain(100)).await;
                engine.durable(LogId([2; 16]), staged.offset_end).await.unwrap();
                disk.sleep(Duration::from_secs(30)).await;
                assert_eq!(engine.stopped(), None, "seed {seed}");
                engine.stop().await.unwrap();
            })
            .unwrap();
        disk.end_life(End::PowerCut);
        let own = disk.clone();
        simulation
            .run(async move {
                let engine = start_all(&own, &settings(), 1, |_| 0).await.0.remove(0);
                assert_eq!(engine.bounds(LogId([2; 16])).unwrap().log_end, Offset::new(1), "seed {seed}");
            })
            .unwrap();
    }
}
