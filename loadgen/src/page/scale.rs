//! From values to places on an axis, and the ticks that people expect there.
use crate::quantity::{short, time};

/// What a file says beyond this is drawn at the end of the axis: ticks of such axes could not be counted.
const SENSIBLE: std::ops::RangeInclusive<f64> = 1e-6..=1e18;

/// What an axis counts in.
#[derive(Clone, Debug)]
pub(super) enum Scale {
    /// From nothing, evenly.
    Linear { low: f64, high: f64 },
    /// Each decade as wide as the others.
    Log { low: f64, high: f64 },
    /// Shares beyond a percentile: each nine as wide as the others, up to so many of them.
    Nines { high: f64 },
    /// Things side by side, by their names.
    Names(Vec<String>),
}

/// How ticks are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// A time, from microseconds.
    Time,
    /// A plain count.
    Count,
}

impl Scale {
    /// From zero to a bit above the highest of `values`.
    pub(super) fn from_zero(values: impl Iterator<Item = f64>) -> Self {
        let highest = values.filter(|value| SENSIBLE.contains(value)).fold(0.0, f64::max);
        Self::Linear { low: 0.0, high: if highest > 0.0 { highest * 1.05 } else { 1.0 } }
    }

    /// Around all of `values`, which are above zero.
    pub(super) fn around(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|value| SENSIBLE.contains(value)) {
            (low, high) = (low.min(value), high.max(value));
        }
        if high == 0.0 {
            return Self::Log { low: 1.0, high: 10.0 };
        }
        // At least a factor of ten, so that noise does not look like a mountain range.
        let room = (10.0 / (high / low)).max(1.0).sqrt();
        Self::Log { low: low / room / 1.25, high: high * room * 1.25 }
    }

    /// Where `value` lies: 0 at the low end, 1 at the high one.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = match self {
            Self::Linear { low, high } => (value - low) / (high - low),
            Self::Log { low, high } => (value.max(*low) / low).ln() / (high / low).ln(),
            Self::Nines { high } => value / high,
            Self::Names(names) => (value + 0.5) / names.len().max(1) as f64,
        };
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// At most `count` ticks with words: value and text.
    pub(super) fn ticks(&self, count: usize, words: Words) -> Vec<(f64, String)> {
        let tell = |value: f64| match words {
            Words::Time => trimmed_time(value),
            Words::Count => short(value),
        };
        match self {
            Self::Linear { low, high } => {
                let step = nice_step((high - low) / count.max(1) as f64);
                let first = (low / step).ceil() as i64;
                let last = (high / step).floor() as i64;
                (first..=last).map(|at| at as f64 * step).map(|value| (value, tell(value))).collect()
            }
            Self::Log { low, high } => {
                let thinned = [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]];
                let found = thinned.iter().map(|steps| decades(*low, *high, steps, 1));
                let fits = |ticks: &Vec<f64>| ticks.len() <= count;
                let wide = (2..20).map(|every| decades(*low, *high, &[1.0], every));
                let ticks = found.chain(wide).find(fits).unwrap_or_default();
                ticks.into_iter().map(|value| (value, tell(value))).collect()
            }
            Self::Nines { high } => {
                let all = [
                    (0.0, "0"),
                    (std::f64::consts::LOG10_2, "p50"),
                    (1.0, "p90"),
                    (2.0, "p99"),
                    (3.0, "p99.9"),
                    (4.0, "p99.99"),
                    (5.0, "p99.999"),
                    (6.0, "p99.9999"),
                    (7.0, "p99.99999"),
                    (8.0, "p99.999999"),
                    (9.0, "p99.9999999"),
                ];
                // The first two lie close together: the median is what people look for.
                let shown = all.into_iter().skip(1).filter(|(at, _)| at <= high);
                shown.map(|(at, text)| (at, text.to_owned())).collect()
            }
            Self::Names(names) => {
                let every = names.len().div_ceil(count.max(1)).max(1);
                names.iter().enumerate().step_by(every).map(|(at, name)| (at as f64, name.clone())).collect()
            }
        }
    }
}

/// A time for a tick: without zeros behind the point.
fn trimmed_time(us: f64) -> String {
    let text = time(us);
    let (number, unit) = text.split_once('\u{a0}').unwrap_or((&text, ""));
    let number =
        if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number}\u{a0}{unit}")
}

/// 1, 2 or 5 times a power of ten, not below `step`.
fn nice_step(step: f64) -> f64 {
    let decade = 10_f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|part| part * decade)
        .find(|nice| *nice >= step * 0.999)
        .unwrap_or(decade * 10.0)
}

fn decades(low: f64, high: f64, steps: &[f64], every: i32) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let all = (first..=last).filter(|decade| decade % every == 0);
    let all = all.flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)));
    all.filter(|value| *value >= low * 0.999 && *value <= high * 1.001).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scale: &Scale, count: usize, words: Words) -> Vec<String> {
        scale.ticks(count, words).into_iter().map(|(_, text)| text.replace('\u{a0}', " ")).collect()
    }

    #[test]
    fn ticks_are_round_and_never_too_many() {
        assert_eq!(
            texts(&Scale::from_zero([19_000.0].into_iter()), 5, Words::Count),
            ["0", "5000", "10k", "15k"]
        );
        assert_eq!(
            texts(&Scale::Log { low: 150.0, high: 40_000.0 }, 12, Words::Time),
            ["200 µs", "500 µs", "1 ms", "2 ms", "5 ms", "10 ms", "20 ms"]
        );
        assert_eq!(texts(&Scale::Log { low: 150.0, high: 40_000.0 }, 3, Words::Time), ["1 ms", "10 ms"]);
        for high in [1.0, 7.0, 33.0, 999.0, 1e5, 3.3e7] {
            assert!(texts(&Scale::from_zero([high].into_iter()), 6, Words::Count).len() <= 7);
            assert!(texts(&Scale::Log { low: 0.5, high: 100.0 * high }, 6, Words::Time).len() <= 6);
        }
    }

    #[test]
    fn every_nine_is_as_wide_as_the_others() {
        let scale = Scale::Nines { high: 5.0 };
        assert!((scale.place(2.0) - 0.4).abs() < 1e-9 && (scale.place(5.0) - 1.0).abs() < 1e-9);
        assert_eq!(texts(&scale, 9, Words::Count), ["p50", "p90", "p99", "p99.9", "p99.99", "p99.999"]);
    }

    #[test]
    fn values_beyond_all_measure_cost_no_time() {
        for values in [[1e-320, 1e-300], [1e300, 1.7e308], [1e-6, 1e18]] {
            for scale in [Scale::from_zero(values.into_iter()), Scale::around(values.into_iter())] {
                assert!(scale.ticks(10, Words::Time).len() <= 11, "{scale:?}");
            }
        }
    }

    #[test]
    fn values_outside_or_unknown_stay_on_the_axis() {
        for scale in
            [Scale::Linear { low: 0.0, high: 0.0 }, Scale::around([].into_iter()), Scale::Nines { high: 1.0 }]
        {
            for value in [f64::NAN, f64::INFINITY, -5.0, 0.0, 1e300] {
                assert!((0.0..=1.0).contains(&scale.place(value)));
            }
        }
    }
}
