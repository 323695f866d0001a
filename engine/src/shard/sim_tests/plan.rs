//! What one life of a broker is to do, what goes wrong in it, and how it ends.

use super::damage::Hurt;
use crate::io::sim::{Faults, Random};
use crate::shard::EngineSettings;
use std::path::PathBuf;

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Clean,
    /// Killed, or the power cut, when nothing was asked for so long that a later commit proves each one to be synced.
    Quiet,
    PowerCut,
    Kill,
    /// A write or sync fails sooner or later.
    Fault,
    /// The disk fills up; what was accepted must not suffer, and the end is clean.
    Full,
}

/// What one life does.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) ending: Ending,
    pub(super) faults: Faults,
    /// The log directory that they come to; the others are well.
    pub(super) faulty: usize,
    pub(super) shard_count: usize,
    /// Operations of each actor.
    pub(super) operations: u64,
    pub(super) settings: EngineSettings,
    /// Bits of journals were turned: what cannot be trusted is offline, and what is served is right.
    pub(super) rotten: bool,
    /// What was done to the files before.
    pub(super) hurt: Hurt,
    /// The journals are read twice before anybody starts on them: both times they must say the same.
    pub(super) twice: bool,
    /// At its end no files are left of what was removed.
    pub(super) tidy: bool,
}

impl Plan {
    pub(super) fn random(random: &mut Random, directory_count: usize) -> Self {
        let ending = match random.below(20) {
            0..3 => Ending::Clean,
            3..5 => Ending::Quiet,
            5..11 => Ending::PowerCut,
            11..15 => Ending::Kill,
            15..17 => Ending::Full,
            _ => Ending::Fault,
        };
        // Slow requests open the windows between one step of the engine and the next.
        let slow = [0, 0, 300, 5000][random.below(4) as usize];
        let mut faults = Faults { slow, ..Faults::default() };
        match ending {
            Ending::PowerCut | Ending::Kill => {
                let most = [100, 1000, 6000][random.below(3) as usize];
                faults.cut_after_steps = Some(1 + random.below(most));
            }
            Ending::Fault => match random.below(6) {
                0 | 5 => faults.write_fails = [100, 2000][random.below(2) as usize],
                1 => faults.storage_bytes_max = (16 << 20) + random.below(16 << 20),
                2 => faults.sync_fails = 3000,
                _ => faults.sync_fails = 200,
            },
            Ending::Clean if random.below(3) == 0 => {
                faults.read_fails = [300, 5000][random.below(2) as usize];
            }
            Ending::Clean | Ending::Quiet | Ending::Full => {}
        }
        let operations = [3, 20, 60][random.below(3) as usize];
        Self {
            ending,
            faults,
            faulty: random.below(directory_count as u64) as usize,
            shard_count: 1 + random.below(3) as usize,
            operations,
            settings: random_settings(random, directory_count),
            rotten: false,
            hurt: Hurt::default(),
            twice: random.below(4) == 0,
            tidy: false,
        }
    }

    /// Cut during its recovery or right behind it.
    pub(super) fn short(random: &mut Random, directory_count: usize) -> Self {
        let ending = [Ending::PowerCut, Ending::Kill][random.below(2) as usize];
        let most = [20, 60, 200][random.below(3) as usize];
        let faults = Faults { cut_after_steps: Some(1 + random.below(most)), ..Faults::default() };
        let operations = random.below(2) * 3;
        Self { ending, faults, operations, ..Self::random(random, directory_count) }
    }

    /// Nothing goes wrong but what was done to the files before.
    pub(super) fn hurt(random: &mut Random, directory_count: usize, hurt: Hurt) -> Self {
        let ending = [Ending::Clean, Ending::Quiet][random.below(2) as usize];
        Self { ending, faults: Faults::default(), hurt, ..Self::random(random, directory_count) }
    }

    /// A last look at a disk that is well.
    pub(super) fn calm(directory_count: usize) -> Self {
        let mut random = Random::new(1);
        Self {
            ending: Ending::Clean,
            faults: Faults::default(),
            shard_count: 2,
            operations: 2,
            tidy: true,
            twice: true,
            ..Self::random(&mut random, directory_count)
        }
    }
}

fn random_settings(random: &mut Random, directory_count: usize) -> EngineSettings {
    EngineSettings {
        directories: (0..directory_count).map(|number| PathBuf::from(format!("sim{number}"))).collect(),
        journal_file_bytes: [576 << 10, 1 << 20][random.below(2) as usize],
        journal_files_max: 4,
        commit_bytes_max: [32 << 10, 128 << 10][random.below(2) as usize],
        commit_entries_max: 64,
        state_bytes_max: 320 << 10,
        large_run_bytes: [12 << 10, 64 << 10][random.below(2) as usize],
        cold_bytes_per_s_min: [1 << 20, 1 << 30][random.below(2) as usize],
        write_back_bytes_per_s: [0, 20 << 20][random.below(2) as usize],
        tail_memory_bytes: [1 << 20, 8 << 20][random.below(2) as usize],
        cache_bytes: 1 << 20,
        unpacked_bytes_max: 1 << 20,
        producer_expiration_ms: 86_400_000,
        producers_max: 1000,
        retention_check_ms: 2_000,
        retention_delay_ms: random.below(2) * 2_000,
        open_files_max: [4, 100][random.below(2) as usize],
        scrub_bytes_per_s: [0, 16 << 20][random.below(2) as usize],
        scrub_interval_ms: 5_000,
    }
}
