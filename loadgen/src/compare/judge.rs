//! One figure's verdict.
use serde::Serialize;

use super::rank::{
    Shift, VALUES_MAX, median, paired_shift, pairs_min, quantile, rank_sum_p, signed_rank_p, unpaired_shift,
};
use crate::figures::Figure;

/// What can be said of one figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// Different beyond chance, to the good.
    Better,
    /// Different beyond chance, to the bad.
    Worse,
    /// If there is a difference, it does not matter.
    Same {
        /// It is no larger than this share.
        bound: f64,
    },
    /// The runs are too few or lie too far apart.
    CannotTell {
        /// So many pairs, or runs a side, would tell, if they are spread as these; an estimate but for the fewest.
        needed: usize,
    },
}

/// One figure, judged.
#[derive(Clone, Debug, Serialize)]
pub struct Judgement {
    /// The figure's name.
    pub name: &'static str,
    /// For the table.
    #[serde(skip)]
    pub figure: Figure,
    /// The one build's runs.
    pub base: Spread,
    /// The other's.
    pub with: Spread,
    /// Change from the one to the other as a share, with the range it lies in; `null`: too few runs.
    pub change: Option<Change>,
    /// How likely ranks as lopsided as these are by chance.
    pub p: f64,
    /// What follows.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Where the values of one side lie.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The middle half of the values is so wide, as a share of the median.
    pub middle_half: f64,
}

/// A change as a share of what was before.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Change {
    /// The most likely one.
    pub middle: f64,
    /// Not less than this.
    pub low: f64,
    /// Not more.
    pub high: f64,
}

/// Judges one figure; all values are above zero, and of pairs the sides are equally long and not empty.
///
/// # Panics
/// If they are not, or are more than the tests count out.
pub fn judge(
    figure: &Figure,
    base: &[f64],
    with: &[f64],
    paired: bool,
    margin: f64,
    error: f64,
) -> Judgement {
    assert!(base.iter().chain(with).all(|value| *value > 0.0), "{}", figure.name);
    let logs = |values: &[f64]| values.iter().map(|value| value.ln()).collect::<Vec<_>>();
    let (base_logs, with_logs) = (logs(base), logs(with));
    let (p, shift) = if paired {
        assert_eq!(base.len(), with.len());
        let differences: Vec<f64> =
            base_logs.iter().zip(&with_logs).map(|(base, with)| with - base).collect();
        (signed_rank_p(&differences), paired_shift(&differences, error))
    } else {
        (rank_sum_p(&base_logs, &with_logs), unpaired_shift(&base_logs, &with_logs, error))
    };
    let verdict = match shift {
        None => Verdict::CannotTell { needed: fewest(paired, error) },
        Some(shift) => decide(figure, p, shift, base.len().min(with.len()), margin, error),
    };
    let share = |log: f64| log.exp_m1();
    let change = shift.map(|shift| Change {
        middle: share(shift.middle),
        low: share(shift.low),
        high: share(shift.high),
    });
    Judgement {
        name: figure.name,
        figure: *figure,
        base: spread(base),
        with: spread(with),
        change,
        p,
        verdict,
    }
}

fn decide(figure: &Figure, p: f64, shift: Shift, count: usize, margin: f64, error: f64) -> Verdict {
    let bound = shift.low.exp_m1().abs().max(shift.high.exp_m1().abs());
    if bound <= margin {
        return Verdict::Same { bound };
    }
    let apart = shift.low > 0.0 || shift.high < 0.0;
    if apart && p <= error {
        return if (shift.middle > 0.0) == figure.more_is_better { Verdict::Better } else { Verdict::Worse };
    }
    // The range shrinks with the root of the count. It tells once it is narrower than what matters, or than the change that shows.
    let half = (shift.high - shift.middle).max(shift.middle - shift.low);
    let enough = margin.ln_1p().max(shift.middle.abs());
    let needed = (count as f64 * (half / enough).powi(2)).ceil();
    Verdict::CannotTell { needed: (needed as usize).max(count + 1) }
}

/// The fewest runs a side that could tell anything.
fn fewest(paired: bool, error: f64) -> usize {
    if paired {
        return pairs_min(error);
    }
    // All of one side below the other: one way of all choices, on either end.
    let rarest = |count: u32| (1..=count).fold(2.0, |p, k| p * f64::from(k) / f64::from(count + k));
    (1..=VALUES_MAX).find(|count| rarest(*count as u32) <= error).unwrap_or(VALUES_MAX + 1)
}

fn spread(values: &[f64]) -> Spread {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = median(&sorted);
    let half = quantile(&sorted, 0.75) - quantile(&sorted, 0.25);
    Spread { median: middle, middle_half: half / middle }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::figure;

    const ERROR: f64 = 0.05;
    const MARGIN: f64 = 0.05;

    /// Runs around `middle` that lie `wide` apart as a share, always the same ones.
    fn runs(middle: f64, wide: f64, count: usize, salt: usize) -> Vec<f64> {
        let place = |index: usize| ((index * 37 + salt * 11) % 17) as f64 / 16.0 - 0.5;
        (0..count).map(|index| middle * (1.0 + wide * place(index))).collect()
    }

    fn verdict(name: &str, base: &[f64], with: &[f64], paired: bool) -> Verdict {
        judge(figure(name).unwrap(), base, with, paired, MARGIN, ERROR).verdict
    }

    #[test]
    fn more_throughput_is_better_and_more_latency_is_worse() {
        let (base, with) = (runs(1000.0, 0.04, 10, 1), runs(1200.0, 0.04, 10, 2));
        for paired in [true, false] {
            assert_eq!(verdict("produced_records_per_s", &base, &with, paired), Verdict::Better);
            assert_eq!(verdict("produced_records_per_s", &with, &base, paired), Verdict::Worse);
            assert_eq!(verdict("latency_p99_us", &base, &with, paired), Verdict::Worse);
            assert_eq!(verdict("latency_p99_us", &with, &base, paired), Verdict::Better);
        }
    }

    #[test]
    fn runs_that_are_alike_and_close_are_the_same_within_a_bound() {
        let (base, with) = (runs(1000.0, 0.02, 12, 1), runs(1001.0, 0.02, 12, 5));
        for paired in [true, false] {
            let Verdict::Same { bound } = verdict("latency_p99_us", &base, &with, paired) else {
                panic!("{:?}", verdict("latency_p99_us", &base, &with, paired));
            };
            assert!(bound > 0.0 && bound <= MARGIN);
        }
        assert_eq!(verdict("latency_p99_us", &base, &base, true), Verdict::Same { bound: 0.0 });
    }

    #[test]
    fn a_true_difference_that_does_not_matter_is_no_verdict_of_worse() {
        let base = runs(1000.0, 0.02, 12, 1);
        let slightly: Vec<f64> = base.iter().map(|value| value * 1.01).collect();
        assert!(
            matches!(verdict("latency_p99_us", &base, &slightly, true), Verdict::Same { bound } if bound < 0.011)
        );
    }

    #[test]
    fn too_few_pairs_tell_nothing_and_say_how_many_could() {
        let (base, with) = (runs(1000.0, 0.01, 5, 1), runs(2000.0, 0.01, 5, 1));
        assert_eq!(verdict("latency_p99_us", &base, &with, true), Verdict::CannotTell { needed: 6 });
        assert_eq!(
            verdict("latency_p99_us", &base[..3], &with[..3], false),
            Verdict::CannotTell { needed: 4 }
        );
    }

    #[test]
    fn too_wide_a_spread_tells_nothing_and_says_how_many_runs_would() {
        let (base, with) = (runs(1000.0, 0.8, 12, 1), runs(1020.0, 0.8, 12, 7));
        for paired in [true, false] {
            let found = verdict("latency_p99_us", &base, &with, paired);
            assert!(
                matches!(found, Verdict::CannotTell { needed } if needed > 50 && needed < 5000),
                "{found:?}"
            );
        }
    }

    #[test]
    fn one_run_with_a_hiccup_does_not_make_a_verdict() {
        let base = runs(1000.0, 0.02, 12, 1);
        let mut with = runs(1001.0, 0.02, 12, 5);
        with[4] = 900_000.0;
        assert!(matches!(verdict("latency_p99_us", &base, &with, true), Verdict::Same { .. }));
    }

    #[test]
    fn the_change_is_that_of_the_pairs_and_the_spread_that_of_the_sides() {
        // A machine that drifts to half its speed: pairs still show ten percent, each side by itself is wide.
        let drift = |index: usize| 1000.0 / (1.0 + index as f64 / 10.0);
        let base: Vec<f64> = (0..10).map(drift).collect();
        let with: Vec<f64> = base.iter().map(|value| value * 1.1).collect();
        let found = judge(figure("produced_records_per_s").unwrap(), &base, &with, true, MARGIN, ERROR);
        assert_eq!(found.verdict, Verdict::Better);
        let change = found.change.unwrap();
        assert!((change.middle - 0.1).abs() < 1e-9 && (change.low - 0.1).abs() < 1e-9);
        assert!(found.base.middle_half > 0.2);
        assert!(matches!(verdict("produced_records_per_s", &base, &with, false), Verdict::CannotTell { .. }));
    }
}
