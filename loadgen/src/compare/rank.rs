//! Are two sets of runs different, and by how much? Tests on ranks, exact, and the range that the shift lies in.
//!
//! Ranks because a single run with a hiccup then counts as one run and not as its size. Exact because a comparison has few runs:
//! probabilities are counted out over all ways in which signs or sides could have fallen, ties included. The ranges are those of Hodges
//! and Lehmann: the shifts that the test would not refuse.
use std::cmp::Ordering;

/// More values a side would make the counting slow, and are never needed.
pub const VALUES_MAX: usize = 100;

/// By how much one side lies above the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// The most likely value.
    pub middle: f64,
    /// It is not lower than this, but for the error asked for.
    pub low: f64,
    /// It is not higher.
    pub high: f64,
}

/// Wilcoxon's test on pairs: the probability of differences as lopsided as these, or more, if both sides are alike.
/// Differences of zero say nothing and are left out.
///
/// # Panics
/// With more than [`VALUES_MAX`] differences.
pub fn signed_rank_p(differences: &[f64]) -> f64 {
    assert!(differences.len() <= VALUES_MAX);
    let told: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    let ranks = doubled_ranks(&told.iter().map(|difference| difference.abs()).collect::<Vec<_>>());
    let positive = told.iter().zip(&ranks).filter(|(difference, _)| **difference > 0.0);
    let sum = positive.map(|(_, rank)| rank).sum();
    two_sided(&sums_of_some(&ranks), sum)
}

/// The test of Mann and Whitney on two sets without pairs.
///
/// # Panics
/// With more than [`VALUES_MAX`] values on a side.
pub fn rank_sum_p(base: &[f64], other: &[f64]) -> f64 {
    assert!(base.len() <= VALUES_MAX && other.len() <= VALUES_MAX);
    let all: Vec<f64> = base.iter().chain(other).copied().collect();
    let ranks = doubled_ranks(&all);
    let sum = ranks[..base.len()].iter().sum();
    two_sided(&sums_of(base.len(), &ranks), sum)
}

/// How far pairs lie apart, from their differences; `None` if they are too few for so small an error.
///
/// # Panics
/// With more than [`VALUES_MAX`] differences.
pub fn paired_shift(differences: &[f64], error: f64) -> Option<Shift> {
    assert!(differences.len() <= VALUES_MAX);
    let ranks: Vec<usize> = (1..=differences.len()).collect();
    let means = differences
        .iter()
        .enumerate()
        .flat_map(|(index, one)| differences[index..].iter().map(move |other| f64::midpoint(*one, *other)));
    shift(means.collect(), &sums_of_some(&ranks), 0, error)
}

/// How far `other` lies above `base`; `None` if they are too few for so small an error.
///
/// # Panics
/// With more than [`VALUES_MAX`] values on a side.
pub fn unpaired_shift(base: &[f64], other: &[f64], error: f64) -> Option<Shift> {
    assert!(base.len() <= VALUES_MAX && other.len() <= VALUES_MAX);
    let ranks: Vec<usize> = (1..=base.len() + other.len()).collect();
    let lowest = base.len() * (base.len() + 1) / 2;
    let differences = base.iter().flat_map(|one| other.iter().map(move |other| other - one));
    shift(differences.collect(), &sums_of(base.len(), &ranks), lowest, error)
}

/// The fewest pairs for which the test can say anything with so small an error: all to one side must be rarer than it. Never more than
/// [`VALUES_MAX`] and one: a smaller error than that is beyond all that is compared.
pub fn pairs_min(error: f64) -> usize {
    (1..=VALUES_MAX).find(|pairs| 2.0 * 0.5_f64.powi(*pairs as i32) <= error).unwrap_or(VALUES_MAX + 1)
}

/// The middle of all `shifts`, and those that the test of this distribution would just refuse: as many from either end as it leaves to
/// half the error. `lowest` is the least sum that can be.
fn shift(mut shifts: Vec<f64>, distribution: &[f64], lowest: usize, error: f64) -> Option<Shift> {
    shifts.sort_by(f64::total_cmp);
    let mut below = 0.0;
    let refused = distribution[lowest.min(distribution.len())..].iter().take_while(|probability| {
        below += **probability;
        // A sum of probabilities is exact to some 1e-13 here.
        below <= error / 2.0 + 1e-12
    });
    let refused = refused.count().checked_sub(1)?;
    let high = shifts.len().checked_sub(1 + refused)?;
    if refused > high {
        return None;
    }
    Some(Shift { middle: median(&shifts), low: shifts[refused], high: shifts[high] })
}

/// The middle of sorted values.
///
/// # Panics
/// If there are none.
pub fn median(sorted: &[f64]) -> f64 {
    quantile(sorted, 0.5)
}

/// Of sorted values the one that `share` of them do not exceed, between two values by their distance.
///
/// # Panics
/// If there are none.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// Twice the rank of each value, from 2 up; equal values share the mean of their ranks, which doubled is whole.
fn doubled_ranks(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|one, other| values[*one].total_cmp(&values[*other]));
    let mut ranks = vec![0; values.len()];
    let mut from = 0;
    while from < order.len() {
        let equal = |place: &&usize| values[**place].total_cmp(&values[order[from]]) == Ordering::Equal;
        let until = from + order[from..].iter().take_while(equal).count();
        for place in &order[from..until] {
            ranks[*place] = from + 1 + until;
        }
        from = until;
    }
    ranks
}

/// Probability of each sum, if each rank is in it or not by the toss of a coin.
fn sums_of_some(ranks: &[usize]) -> Vec<f64> {
    let mut sums = vec![0.0; ranks.iter().sum::<usize>() + 1];
    sums[0] = 1.0;
    for rank in ranks {
        for sum in (0..sums.len()).rev() {
            let with = sum.checked_sub(*rank).map_or(0.0, |without| sums[without]);
            sums[sum] = f64::midpoint(sums[sum], with);
        }
    }
    sums
}

/// Probability of each sum of `count` of the ranks, if all choices are alike.
fn sums_of(count: usize, ranks: &[usize]) -> Vec<f64> {
    let whole: usize = ranks.iter().sum();
    // Row k: choices of k ranks so far, by their sum. Each row is scaled to a sum of one, so that no count grows past a float.
    let mut rows = vec![vec![0.0; whole + 1]; count + 1];
    rows[0][0] = 1.0;
    for (taken, rank) in ranks.iter().enumerate() {
        for chosen in (1..=count.min(taken + 1)).rev() {
            // Of all choices of `chosen` among `taken + 1`, this share has the new one in it.
            let share = chosen as f64 / (taken + 1) as f64;
            let (before, from) = rows.split_at_mut(chosen);
            let (without, row) = (&before[chosen - 1], &mut from[0]);
            for sum in (0..row.len()).rev() {
                let with = sum.checked_sub(*rank).map_or(0.0, |rest| without[rest]);
                row[sum] = row[sum] * (1.0 - share) + with * share;
            }
        }
    }
    rows.swap_remove(count)
}

fn two_sided(distribution: &[f64], sum: usize) -> f64 {
    let below: f64 = distribution[..=sum].iter().sum();
    let above: f64 = distribution[sum..].iter().sum();
    (2.0 * below.min(above)).min(1.0)
}

#[cfg(test)]
mod tests {
    //! Expected values: scipy 1.x, `stats.wilcoxon(d, mode="exact")` and `stats.mannwhitneyu(a, b, method="exact")`; with ties, and for the
    //! ranges, all sign patterns or choices counted out one by one in Python (`itertools`).
    use super::*;

    const PAIRS: [f64; 10] = [0.8, -0.3, 1.7, 2.4, -0.6, 1.1, 3.2, 0.9, -0.1, 1.5];
    const BASE: [f64; 7] = [10.1, 11.4, 9.8, 12.0, 10.6, 11.1, 9.5];
    const OTHER: [f64; 6] = [11.9, 12.5, 10.9, 13.1, 12.2, 11.6];

    fn assert_near(found: f64, known: f64) {
        assert!((found - known).abs() < 1e-12, "{found} is not {known}");
    }

    #[test]
    fn the_test_on_pairs_gives_the_known_probabilities() {
        assert_near(signed_rank_p(&PAIRS), 0.027_343_75);
        assert_near(signed_rank_p(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), 0.031_25);
        // 40 pairs, where counting out by hand ends: 180 of 820 on the lesser side.
        let many: Vec<f64> =
            (1..=40).map(|value| f64::from(value) * if value * 7 % 5 == 0 { -1.0 } else { 1.0 }).collect();
        assert_near(signed_rank_p(&many), 0.001_517_616_927_230_847);
    }

    #[test]
    fn equal_differences_share_their_ranks_and_zeros_say_nothing() {
        let ties = [1.0, 1.0, -1.0, 2.0, 2.0, -2.0, 3.0, 4.0];
        assert_near(signed_rank_p(&ties), 0.164_062_5);
        let with_zeros: Vec<f64> = ties.into_iter().chain([0.0, 0.0]).collect();
        assert_near(signed_rank_p(&with_zeros), 0.164_062_5);
        assert_near(signed_rank_p(&[0.0; 12]), 1.0);
        assert_near(signed_rank_p(&[]), 1.0);
    }

    #[test]
    fn the_test_without_pairs_gives_the_known_probabilities() {
        assert_near(rank_sum_p(&BASE, &OTHER), 0.022_144_522_144_522_144);
        assert_near(rank_sum_p(&OTHER, &BASE), 0.022_144_522_144_522_144);
        assert_near(rank_sum_p(&[1.0, 2.0, 2.0, 3.0, 3.0], &[2.0, 3.0, 4.0, 4.0, 5.0, 5.0]), 2.0 / 33.0);
        let one: Vec<f64> = (0..30).map(|index| f64::from(index * 37 % 101)).collect();
        let other: Vec<f64> = (0..28).map(|index| f64::from(index * 53 % 97) + 12.25).collect();
        assert_near(rank_sum_p(&one, &other), 0.357_244_609_626_065_8);
    }

    #[test]
    fn the_range_of_a_shift_is_the_known_one() {
        let ends = |shift: Option<Shift>| {
            let shift = shift.unwrap();
            [shift.middle, shift.low, shift.high].map(|end| (end * 1e6).round() as i64)
        };
        assert_eq!(ends(paired_shift(&PAIRS, 0.05)), [1_050_000, 250_000, 2_000_000]);
        assert_eq!(ends(paired_shift(&PAIRS, 0.01)), [1_050_000, -300_000, 2_400_000]);
        assert_eq!(ends(paired_shift(&PAIRS[..6], 0.05)), [900_000, -600_000, 2_400_000]);
        assert_eq!(ends(unpaired_shift(&BASE, &OTHER, 0.05)), [1_400_000, 200_000, 2_500_000]);
        assert_eq!(ends(unpaired_shift(&BASE, &OTHER, 0.01)), [1_400_000, -200_000, 3_000_000]);
    }

    #[test]
    fn too_few_pairs_tell_no_range() {
        assert_eq!(paired_shift(&PAIRS[..5], 0.05), None);
        assert_eq!(unpaired_shift(&BASE[..3], &OTHER[..3], 0.05), None);
        assert_eq!(paired_shift(&[], 0.05), None);
        assert_eq!([pairs_min(0.05), pairs_min(0.01), pairs_min(0.005)], [6, 8, 9]);
    }
}
