//! What is run, in which order, and how long that takes.
//!
//! ```text
//! round 1:  peak: A B C | half of it: A B C | ...      a machine that slows down slows all of them
//! round 2:  peak: B C A | half of it: B C A | ...
//! ```

use crate::contender::Contender;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// A topic to train with, and a sync of what is in it, seconds.
const TRAIN_AROUND_S: f64 = 3.0;

/// What is removed, or dropped from the page cache, is free memory, and a virtual machine's host takes that back for half a minute:
/// meanwhile everything stands still for 20-70 ms each two seconds (PERF.md). Nobody is measured so long, seconds.
pub(crate) const REST_S: f64 = 40.0;

/// The file `plan.toml`, which says what its keys mean.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanFile {
    profile: BTreeMap<String, Profile>,
    workload: Vec<Workload>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    rounds: usize,
    warm_up_s: f64,
    time_s: f64,
    fill_gb: f64,
    train_s: f64,
}

/// Written out are the keys that make a figure another one.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Workload {
    pub(crate) name: String,
    #[serde(skip_serializing)]
    pub(crate) title: String,
    pub(crate) load: Option<String>,
    #[serde(default)]
    pub(crate) flags: Vec<String>,
    pub(crate) partitions: usize,
    pub(crate) rate: Option<Rate>,
    #[serde(default)]
    pub(crate) fill: bool,
    /// Seconds of warm-up on top of the profile's, for what takes longer until it is as it stays.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) warm_up_more_s: f64,
    #[serde(skip_serializing)]
    rounds_max: Option<usize>,
    #[serde(default, skip_serializing)]
    full_only: bool,
    /// How many windows a run has, for the plan's estimate.
    #[serde(skip_serializing)]
    windows: Option<usize>,
    #[serde(default, skip_serializing)]
    without: Vec<Without>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

/// Records a second, offered to every broker alike.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum Rate {
    Fixed { records_per_s: u64 },
    Share { percent: u64, of: String },
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Without {
    broker: String,
    why: String,
}

/// What the command line puts over the plan.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) profile: String,
    pub(crate) only: Vec<String>,
    pub(crate) rounds: Option<usize>,
    pub(crate) warm_up_s: Option<f64>,
    pub(crate) time_s: Option<f64>,
    pub(crate) fill_gb: Option<f64>,
    pub(crate) train_s: Option<f64>,
    pub(crate) partitions_max: Option<usize>,
}

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sizes {
    pub(crate) warm_up_s: f64,
    pub(crate) time_s: f64,
    pub(crate) fill_gb: f64,
    /// Of the same load, before a broker that compiles while it runs is measured.
    pub(crate) train_s: f64,
}

/// What is run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) sizes: Sizes,
    pub(crate) rounds: usize,
    pub(crate) workloads: Vec<Workload>,
    is_default: bool,
}

/// One run: a round of a workload with a broker, by their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) round: usize,
    pub(crate) workload: usize,
    pub(crate) contender: usize,
}

impl PlanFile {
    pub(crate) fn load(path: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        toml::from_str(&text).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
    }

    /// The workloads that are wanted, and those that give them their rate.
    pub(crate) fn plan(self, wanted: &Wanted) -> io::Result<Plan> {
        let profile = self.profile.get(&wanted.profile).ok_or_else(|| {
            io::Error::other(format!("there is no profile {:?}: default, full", wanted.profile))
        })?;
        if let Some(unknown) =
            wanted.only.iter().find(|name| self.workload.iter().all(|known| known.name != **name))
        {
            let names: Vec<&str> = self.workload.iter().map(|known| known.name.as_str()).collect();
            return Err(io::Error::other(format!("there is no workload {unknown:?}: {}", names.join(", "))));
        }
        let is_default = wanted.profile == "default";
        let is_named = |workload: &Workload| match wanted.only.as_slice() {
            [] => !(workload.full_only && is_default),
            only => only.contains(&workload.name),
        };
        let chosen: Vec<&Workload> = self.workload.iter().filter(|workload| is_named(workload)).collect();
        let gives_rate =
            |workload: &Workload| chosen.iter().any(|chosen| chosen.rate_of() == Some(&workload.name));
        let kept = self.workload.iter().filter(|workload| is_named(workload) || gives_rate(workload));
        let mut workloads: Vec<Workload> = kept.cloned().collect();
        for workload in &mut workloads {
            workload.partitions = workload.partitions.min(wanted.partitions_max.unwrap_or(usize::MAX));
        }
        let sizes = Sizes {
            warm_up_s: wanted.warm_up_s.unwrap_or(profile.warm_up_s),
            time_s: wanted.time_s.unwrap_or(profile.time_s),
            fill_gb: wanted.fill_gb.unwrap_or(profile.fill_gb),
            train_s: wanted.train_s.unwrap_or(profile.train_s),
        };
        Ok(Plan { sizes, rounds: wanted.rounds.unwrap_or(profile.rounds), workloads, is_default })
    }
}

impl Workload {
    pub(crate) fn rate_of(&self) -> Option<&String> {
        match &self.rate {
            Some(Rate::Share { of, .. }) => Some(of),
            _ => None,
        }
    }

    /// Why this broker does not run it.
    pub(crate) fn left_out(&self, contender: &Contender) -> Option<&str> {
        self.without.iter().find(|without| without.broker == contender.id).map(|without| without.why.as_str())
    }

    /// Whether this broker compiles, and there is something to train it with: nobody writes to an idle broker, and a catch-up reads
    /// what it reads once.
    pub(crate) fn trains(&self, contender: &Contender) -> bool {
        contender.compiles && self.load.as_deref().is_some_and(|load| load != "catch_up.toml")
    }

    /// What one run takes, roughly.
    fn seconds(&self, sizes: Sizes, contender: &Contender) -> f64 {
        let pace = contender.pace;
        let trained = if self.trains(contender) { sizes.train_s + TRAIN_AROUND_S } else { 0.0 };
        let rest = if self.fill && trained == 0.0 { REST_S } else { 0.0 };
        let filled = if self.fill { sizes.fill_gb * pace.gb_s + pace.again_s } else { 0.0 };
        let is_tail = self.load.as_deref() == Some("tail.toml");
        let windows = self.windows.unwrap_or(if is_tail { 2 } else { 1 }) as f64;
        let measured = windows * (sizes.warm_up_s + self.warm_up_more_s + sizes.time_s);
        pace.start_s + rest + filled + trained + measured + self.partitions as f64 * pace.partition_s
    }
}

impl Plan {
    /// All runs in their order; the brokers take turns in being the first.
    pub(crate) fn steps(&self, contenders: &[Contender]) -> Vec<Step> {
        let mut steps = Vec::new();
        for round in 0..self.rounds {
            for (workload, of) in self.workloads.iter().enumerate() {
                if self.is_default && of.rounds_max.is_some_and(|max| round >= max) {
                    continue;
                }
                for turn in 0..contenders.len() {
                    let contender = (turn + round) % contenders.len();
                    if of.left_out(&contenders[contender]).is_none() {
                        steps.push(Step { round, workload, contender });
                    }
                }
            }
        }
        steps
    }

    /// How long a step takes, roughly, seconds.
    pub(crate) fn seconds(&self, step: Step, contenders: &[Contender]) -> f64 {
        self.workloads[step.workload].seconds(self.sizes, &contenders[step.contender])
    }

    /// For people: each workload with its brokers, rounds and minutes, and the sum.
    pub(crate) fn text(&self, contenders: &[Contender]) -> String {
        let (steps, mut text, mut sum_s) = (self.steps(contenders), String::new(), 0.0);
        let Sizes { warm_up_s, time_s, fill_gb, train_s } = self.sizes;
        let labels: Vec<&str> = contenders.iter().map(|contender| contender.label).collect();
        let _ = writeln!(text, "brokers: {}", labels.join("; "));
        let _ = writeln!(
            text,
            "windows of {time_s} s after {warm_up_s} s of warm-up, a JVM after {train_s} s of training before; {fill_gb} GB where a topic is filled first\n"
        );
        for (at, workload) in self.workloads.iter().enumerate() {
            let own: Vec<Step> = steps.iter().copied().filter(|step| step.workload == at).collect();
            let seconds: f64 = own.iter().map(|step| self.seconds(*step, contenders)).sum();
            sum_s += seconds;
            let (name, runs) = (&workload.name, own.len());
            let _ = writeln!(text, "{name:34} {runs:3} runs {:6.1} min   {}", seconds / 60.0, workload.title);
        }
        let _ = writeln!(text, "\n{} runs, about {:.0} minutes", steps.len(), sum_s / 60.0);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::Programs;

    fn file() -> PlanFile {
        PlanFile::load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/rivals/plan.toml"))).unwrap()
    }

    fn contenders() -> Vec<Contender> {
        let programs = Programs { thalweg: "thalweg".into(), settings: vec![], kafka: None };
        ["thalweg", "kafka", "kafka-sync"].map(|id| programs.contender(id, false).unwrap()).to_vec()
    }

    fn wanted(profile: &str) -> Wanted {
        Wanted { profile: profile.to_owned(), ..Wanted::default() }
    }

    #[test]
    fn the_default_profile_ends_within_an_hour() {
        let (plan, contenders) = (file().plan(&wanted("default")).unwrap(), contenders());
        let seconds: f64 = plan.steps(&contenders).iter().map(|step| plan.seconds(*step, &contenders)).sum();
        assert!(seconds < 60.0 * 60.0, "{}", plan.text(&contenders));
    }

    #[test]
    fn a_peak_is_known_before_a_share_of_it_is_offered() {
        for profile in ["default", "full"] {
            let plan = file().plan(&wanted(profile)).unwrap();
            for (at, workload) in plan.workloads.iter().enumerate() {
                let Some(of) = workload.rate_of() else { continue };
                let peak = plan.workloads.iter().position(|peak| peak.name == *of);
                assert!(peak.is_some_and(|peak| peak < at), "{} needs {of}", workload.name);
            }
        }
    }

    #[test]
    fn what_gives_a_rate_is_run_as_well_and_names_that_do_not_exist_are_refused() {
        let only = |name: &str| Wanted { only: vec![name.to_owned()], ..wanted("default") };
        let plan = file().plan(&only("partitions_100")).unwrap();
        let names: Vec<&str> = plan.workloads.iter().map(|workload| workload.name.as_str()).collect();
        assert_eq!(names, ["partitions_1_peak", "partitions_100"]);
        assert!(file().plan(&only("nothing")).unwrap_err().to_string().contains("tail_backfill"));
        assert!(file().plan(&wanted("huge")).is_err());
    }

    #[test]
    fn each_round_begins_with_another_broker() {
        let (plan, contenders) = (file().plan(&wanted("full")).unwrap(), contenders());
        let first = |round| plan.steps(&contenders).into_iter().find(|step| step.round == round);
        let begins: Vec<usize> = (0..2).filter_map(first).map(|step| step.contender).collect();
        assert_eq!(begins, [0, 1]);
    }

    #[test]
    fn every_load_of_the_plan_is_there() {
        let loads = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/rivals/loads"));
        for workload in file().workload {
            assert!(workload.load.is_none_or(|load| loads.join(load).is_file()), "{}", workload.name);
        }
    }
}
