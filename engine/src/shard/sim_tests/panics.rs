//! A panic in a loop of the engine is as a failed write: nobody is answered, and the next start has what was.

use super::elders::{identity, plain, settings, stage};
use super::start_all;
use crate::io::Disk;
use crate::io::sim::{End, SimDisk, Simulation};
use crate::log::LogSettings;
use crate::shard::{Isolation, LogError, Read};
use crate::units::{LeaderEpoch, LogId, Offset};
use std::time::Duration;

const LOG: LogId = LogId([1; 16]);

#[test]
fn a_panic_in_a_loop_stops_its_directory_and_takes_nothing_back() {
    let simulation = Simulation::new(7);
    let disk = SimDisk::new(&simulation, 7);
    let own = disk.clone();
    let life = async move {
        let engine = start_all(&own, &settings(), 1, |_| 0).await.0.remove(0);
        engine.create(identity(1), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
        let kept = stage(&engine, 1, plain(5_000)).await;
        engine.durable(LOG, kept.offset_end).await.unwrap();
        engine.panic_in_a_loop();
        own.sleep(Duration::from_millis(1)).await;
        let never = engine.durable(LOG, kept.offset_end.advance(1)).await;
        assert!(matches!(never, Err(LogError::Offline { .. })), "{never:?}");
        assert!(engine.stopped().is_some_and(|reason| reason.contains("panicked")));
        assert!(engine.bounds(LOG).is_err());
    };
    simulation.run(life).unwrap();
    disk.end_life(End::PowerCut);
    let own = disk.clone();
    let life = async move {
        let engine = start_all(&own, &settings(), 1, |_| 0).await.0.remove(0);
        assert!(engine.bounds(LOG).unwrap().high_watermark == Offset::new(1));
        let read = Read {
            offset: Offset::ZERO,
            bytes_max: 1,
            first_batch_whole: true,
            isolation: Isolation::Uncommitted,
        };
        assert!(engine.read(LOG, read).await.unwrap().bytes > 5_000);
    };
    simulation.run(life).unwrap();
}
