//! Many logs get their first batches at about the same time: their files are made together, each for itself.

use super::elders::{identity, plain, settings, stage};
use super::start_all;
use crate::io::Disk;
use crate::io::sim::{End, SimDisk, Simulation};
use crate::log::LogSettings;
use crate::units::{LeaderEpoch, LogId, Offset};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

const LOGS: u8 = 100;

/// One after the other they took 0.4 to 3 ms each: the first second of a topic of ten thousand partitions took up to half a minute.
#[test]
fn what_is_made_for_many_logs_at_about_the_same_time_is_synced_together() {
    for seed in 0..20 {
        let simulation = Simulation::new(seed);
        let disk = SimDisk::new(&simulation, seed);
        let (inner, own) = (simulation.clone(), disk.clone());
        let syncs = simulation.run(async move {
            let engine = start_all(&own, &settings(), 1, |_| 0).await.0.remove(0);
            for log in 0..LOGS {
                engine.create(identity(log), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
            }
            let before = own.root_syncs();
            let durable = Rc::new(Cell::new(0));
            for log in 0..LOGS {
                let (engine, durable) = (engine.clone(), Rc::clone(&durable));
                inner.spawn(async move {
                    let staged = stage(&engine, log, plain(100)).await;
                    engine.durable(LogId([log; 16]), staged.offset_end).await.unwrap();
                    durable.set(durable.get() + 1);
                });
            }
            while durable.get() < LOGS {
                own.sleep(Duration::from_millis(1)).await;
            }
            own.root_syncs() - before
        });
        // The first goes alone; who comes meanwhile is served at once.
        assert!(syncs.is_some_and(|syncs| (1..=2).contains(&syncs)), "seed {seed}: {syncs:?}");
        disk.end_life(End::PowerCut);
        let own = disk.clone();
        let all_there = simulation.run(async move {
            let engine = start_all(&own, &settings(), 1, |_| 0).await.0.remove(0);
            (0..LOGS).all(|log| engine.bounds(LogId([log; 16])).unwrap().log_end == Offset::new(1))
        });
        assert_eq!(all_there, Some(true), "seed {seed}");
    }
}
