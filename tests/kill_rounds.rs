//! A few rounds of the crash campaign: kills under load with hundreds of partitions, everything audited behind each.
//! `tests/campaign kill` makes hundreds of them; `docs/reliability.md` says what is audited and what was found.

use harness::kill::{Settings, campaign};
use harness::siege::alone;
use harness::{Against, skip};

#[test]
fn rounds_of_kills_under_load_lose_nothing_and_change_nothing() {
    if !Against::chosen().is_thalweg() {
        return;
    }
    let _alone = alone();
    let seed = std::env::var("THALWEG_KILL_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    skip::loud(&format!("kill rounds: THALWEG_KILL_SEED={seed}"));
    let summary = campaign(Settings { rounds: 6, seed, dumps: true });
    assert!(summary.violations.is_empty(), "seed {seed}: {:#?}\n{}", summary.violations, summary.words());
    assert!(summary.acknowledged_records > 0 && summary.committed_offsets > 0, "{}", summary.words());
    assert!(summary.kills >= 6, "{}", summary.words());
}
