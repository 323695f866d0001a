//! Files that were cut, flipped, swapped or taken away while the broker was stopped: it says by name what is wrong and serves the
//! rest, or refuses the start in one line. It never serves wrong bytes and never forgets a log.
//!
//! The table below is the one in `docs/reliability.md`, "Damaged files".
mod data;
mod look;

use data::Damage::{
    CutToHalf, CutToNothing, FlippedEnd, FlippedHead, FlippedMiddle, Older, Removed, Swapped,
};
use data::{Damage, Kind, Master, copy, do_damage, master, mend};
use harness::broker::Sources;
use harness::siege::alone;
use harness::{Against, Broker};
use look::{Outcome, outcome};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::thread;

/// Topics by what lies where: sealed segments, an active one that was written back, records in the journal alone.
const TOPICS: [(&str, i32); 3] = [("sealed", 2), ("active", 2), ("fresh", 2)];
const SETTINGS: [(&str, &str); 2] = [("log.segment.bytes", "1048576"), ("offsets.topic.num.partitions", "3")];
/// Cases under way at once.
const AT_ONCE: usize = 3;

/// What a case may lead to.
#[derive(Clone, Copy, Debug)]
enum Expect {
    Whole,
    /// Not started; the line holds these words.
    Refused(&'static str),
    /// Exactly these partitions of `sealed` or `active` are offline.
    Offline(&'static str, &'static [i32]),
    /// Whatever the bit was part of: logs whose bytes are gone are offline, by name.
    SomeOffline,
}

/// The table. Several in a row: it depends on what the place held.
fn expected(kind: Kind, damage: Damage) -> &'static [Expect] {
    use Expect::{Offline, Refused, SomeOffline};
    use Kind::*;
    match (kind, damage) {
        (JournalInUse | JournalFree, CutToHalf | CutToNothing | Removed) => {
            &[Refused("is missing or cut: restore it")]
        }
        (JournalInUse, FlippedHead | FlippedMiddle | FlippedEnd) => {
            &[Expect::Whole, SomeOffline, Refused("the metadata log is offline")]
        }
        (JournalInUse, Older) => &[Refused("are older than their manifest: put back")],
        (JournalInUse | JournalFree, _) => &[Expect::Whole],
        (Manifest, Older) => &[Refused("is older than its journal files: put back")],
        (Manifest, _) => &[Refused("manifest is missing or does not check: restore it")],
        (MetaProperties, Removed) => &[Refused("meta.properties: it is missing")],
        // Kafka's file has no checksum: another cluster's id reads as one.
        (MetaProperties, FlippedHead | FlippedMiddle | FlippedEnd) => {
            &[Expect::Whole, Refused("meta.properties")]
        }
        (MetaProperties, _) => &[Refused("meta.properties")],
        (Sealed | Directory | Id, Swapped) => &[Offline("sealed", &[0, 1])],
        (Active, Swapped) => &[Offline("active", &[0, 1])],
        // What the journal still holds is written again.
        (Active, FlippedHead | FlippedMiddle | FlippedEnd) => &[Offline("active", &[0]), Expect::Whole],
        (Sealed | Directory, _) => &[Offline("sealed", &[0])],
        (Active, _) => &[Offline("active", &[0])],
        (Index | Id, _) => &[Expect::Whole],
    }
}

fn fits(expected: &[Expect], outcome: &Outcome) -> bool {
    expected.iter().any(|expect| match (expect, outcome) {
        (Expect::Whole, Outcome::Whole) => true,
        (Expect::Refused(words), Outcome::Refused(said)) => said.contains(words) && !said.contains('\n'),
        (Expect::SomeOffline, Outcome::Offline(_)) => true,
        (Expect::Offline(topic, partitions), Outcome::Offline(found)) => {
            let named: BTreeSet<_> =
                partitions.iter().map(|partition| ((*topic).to_owned(), *partition)).collect();
            *found == named
        }
        _ => false,
    })
}

/// One case: damage, a start, putting it back, another start. What is wrong with it, if anything.
fn case(master: &Master, kind: Kind, damage: Damage) -> Option<String> {
    let mut broker = Broker::prepared(&SETTINGS, Sources::default());
    copy(&master.data, &broker.data_dir());
    do_damage(master, kind, damage, &broker.data_dir())?;
    let first = outcome(&mut broker, master);
    if !fits(expected(kind, damage), &first) {
        return Some(format!("{kind:?} {damage:?}: {first:?}, expected {:?}", expected(kind, damage)));
    }
    if broker.is_alive() {
        broker.kill();
        // A start has gone on with these files: a copy from before is older than what was written since.
        let is_written = matches!(
            kind,
            Kind::JournalInUse | Kind::JournalFree | Kind::Manifest | Kind::MetaProperties | Kind::Active
        );
        if is_written {
            return None;
        }
    }
    mend(master, &broker.data_dir(), kind, damage);
    let second = outcome(&mut broker, master);
    (second != Outcome::Whole).then(|| format!("{kind:?} {damage:?}, put back: {second:?}"))
}

fn damage_everything(clean: bool) {
    if !Against::chosen().is_thalweg() {
        return;
    }
    let _alone = alone();
    let damages = [CutToHalf, CutToNothing, FlippedHead, FlippedMiddle, FlippedEnd, Swapped, Removed, Older];
    let master = master(clean);
    let cases = Kind::all().into_iter().flat_map(|kind| damages.map(|damage| (kind, damage)));
    let next = Mutex::new(cases.collect::<Vec<_>>().into_iter());
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((kind, damage)) = next.lock().unwrap().next() else { return };
                    let what = case(&master, kind, damage);
                    wrong.lock().unwrap().extend(what);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_damaged_file_is_named_and_nothing_wrong_is_served_after_a_kill() {
    damage_everything(false);
}

#[test]
fn a_damaged_file_is_named_and_nothing_wrong_is_served_after_a_clean_stop() {
    damage_everything(true);
}
