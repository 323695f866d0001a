//! One rate after the other, until one is not kept; then halves, to find the highest that is.
use std::time::Duration;

use super::{RunError, Stop, pause, produce as sending_run, roundtrip as trip_run};
use crate::histogram::LatencySummary;
use crate::machine::Machine;
use crate::result::{LadderFigures, LadderStep, RunResult};
use crate::spec::{Common, Ladder, Produce, Roundtrip};

pub(super) fn run(
    common: &Common,
    produce: &Produce,
    roundtrip: &Roundtrip,
    ladder: &Ladder,
    machine: &Machine,
    stop: &Stop,
) -> Result<RunResult, RunError> {
    let mut result = RunResult::new(machine.clone(), sending_run::unix_ms());
    let mut search = Search::new(ladder.rates_records_per_s.clone(), ladder.halving_count);
    let mut steps: Vec<LadderStep> = Vec::new();
    while let Some(rate) = search.next() {
        if !steps.is_empty() {
            pause(Duration::from_secs_f64(ladder.rest_s), stop);
        }
        let produce = Produce {
            rate_records_per_s: rate,
            time_s: Some(common.warm_up_s + ladder.steady_s),
            ..produce.clone()
        };
        let part = if ladder.end_to_end {
            trip_run::run(common, &produce, roundtrip, machine.clone(), stop)?
        } else {
            sending_run::run(common, &produce, machine.clone(), stop)?
        };
        let is_cut = stop.is_asked();
        if !is_cut {
            let step = judge(rate, ladder, &part);
            search.on_step(rate, step.kept);
            if common.progress {
                eprintln!("{}", words(&step));
            }
            steps.push(step);
        }
        result.take_part(format!("{rate} records/s"), part);
        if is_cut {
            result.failures.push("stopped before the ladder's end: its last step is not judged".to_owned());
            break;
        }
    }
    result.ladder = Some(LadderFigures {
        p99_max_ms: ladder.p99_max_ms,
        kept_percent: ladder.kept_percent,
        measured: if ladder.end_to_end { "end_to_end" } else { "produce" },
        steps,
        knee_records_per_s: search.kept,
        broken_records_per_s: search.broken,
    });
    Ok(result)
}

/// Whether a step kept its rate and its bound.
fn judge(rate: u64, ladder: &Ladder, part: &RunResult) -> LadderStep {
    let mut step = LadderStep {
        offered_records_per_s: rate,
        achieved_records_per_s: part.produce.as_ref().map_or(0.0, |produce| produce.rates.records_per_s),
        p99_ms: None,
        kept: false,
        reasons: Vec::new(),
    };
    let measured = if ladder.end_to_end {
        part.end_to_end_latency.as_ref()
    } else {
        part.produce.as_ref().map(|produce| &produce.latency)
    };
    step.p99_ms = measured.and_then(p99_ms);
    match step.p99_ms {
        None => step.reasons.push("too few samples to tell p99: a longer --steady is needed".to_owned()),
        Some(p99) if p99 > ladder.p99_max_ms => step.reasons.push(format!("p99 {p99:.3} ms")),
        Some(_) => {}
    }
    let achieved_percent = step.achieved_records_per_s * 100.0 / rate as f64;
    if achieved_percent < ladder.kept_percent {
        step.reasons.push(format!("{achieved_percent:.1} % of the rate acknowledged"));
    }
    let schedule = part.produce.as_ref().and_then(|produce| produce.schedule.as_ref());
    if schedule.is_some_and(|schedule| !schedule.kept) {
        step.reasons.push("the generator did not keep its own schedule".to_owned());
    }
    if part.exit_status() != 0 {
        step.reasons.push("records were refused, lost or not sent".to_owned());
    }
    step.kept = step.reasons.is_empty();
    step
}

fn p99_ms(latency: &LatencySummary) -> Option<f64> {
    Some(latency.percentiles.iter().find(|found| found.name == "p99")?.us? / 1e3)
}

fn words(step: &LadderStep) -> String {
    let told = if step.kept { "kept".to_owned() } else { step.reasons.join(", ") };
    format!("{} records/s: {told}", step.offered_records_per_s)
}

/// Which rate to try next. A machine.
#[derive(Clone, Debug)]
struct Search {
    rates: Vec<u64>,
    climbed: usize,
    halvings_left: u32,
    /// The highest rate kept.
    kept: Option<u64>,
    /// The lowest not kept.
    broken: Option<u64>,
}

impl Search {
    fn new(rates: Vec<u64>, halving_count: u32) -> Self {
        Self { rates, climbed: 0, halvings_left: halving_count, kept: None, broken: None }
    }

    /// Up the list until a rate is not kept, then between it and the highest that was.
    fn next(&self) -> Option<u64> {
        let Some(broken) = self.broken else { return self.rates.get(self.climbed).copied() };
        let kept = self.kept.unwrap_or(0);
        let middle = kept.midpoint(broken);
        // Nearer than one in a hundred no two runs are alike.
        let is_near = broken - kept <= (broken / 100).max(1);
        (self.halvings_left > 0 && !is_near).then_some(middle)
    }

    fn on_step(&mut self, rate: u64, is_kept: bool) {
        if self.broken.is_some() {
            self.halvings_left = self.halvings_left.saturating_sub(1);
        } else {
            self.climbed += 1;
        }
        if is_kept {
            self.kept = self.kept.max(Some(rate));
        } else {
            self.broken = Some(self.broken.map_or(rate, |broken| broken.min(rate)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All rates tried of a broker that keeps everything up to `limit`, and the knee.
    fn climb(rates: &[u64], halving_count: u32, limit: u64) -> (Vec<u64>, Option<u64>, Option<u64>) {
        let mut search = Search::new(rates.to_vec(), halving_count);
        let mut tried = Vec::new();
        while let Some(rate) = search.next() {
            tried.push(rate);
            search.on_step(rate, rate <= limit);
        }
        (tried, search.kept, search.broken)
    }

    #[test]
    fn the_ladder_ends_at_the_first_rate_that_is_not_kept_and_halves_from_there() {
        let found = climb(&[100, 200, 400, 800], 3, 310);
        assert_eq!(found, (vec![100, 200, 400, 300, 350, 325], Some(300), Some(325)));
    }

    #[test]
    fn a_broker_that_keeps_all_has_its_knee_above_the_ladder() {
        assert_eq!(climb(&[100, 200], 5, 1_000), (vec![100, 200], Some(200), None));
    }

    #[test]
    fn a_broker_that_does_not_keep_the_first_is_searched_below_it() {
        assert_eq!(climb(&[100, 200], 2, 30), (vec![100, 50, 25], Some(25), Some(50)));
        assert_eq!(climb(&[100], 0, 30), (vec![100], None, Some(100)));
    }

    #[test]
    fn halving_ends_where_two_rates_are_the_same_to_a_run() {
        let (tried, kept, broken) = climb(&[1_000, 2_000], 60, 1_500);
        assert!(tried.len() < 12, "{tried:?}");
        assert!(kept <= Some(1_500) && broken > Some(1_500));
        assert!(climb(&[1], 60, 0).0.len() == 1, "nothing lies below one record a second");
    }
}
