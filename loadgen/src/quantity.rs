//! Numbers as people read them: three digits that count, a unit that suits the size, thousands apart.
use crate::figures::Unit;

/// Three digits that count; whole from 100 on, with a thin space between thousands.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() {
        return "-".to_owned();
    }
    // Each bound a bit early: what is rounded up to it is shown as what lies above.
    if magnitude >= 99.95 {
        return grouped(value);
    }
    let digits = match magnitude {
        _ if magnitude >= 9.995 => 1,
        _ if magnitude >= 0.9995 => 2,
        _ if magnitude >= 0.09995 => 3,
        _ if magnitude == 0.0 => 0,
        _ => 4,
    };
    format!("{value:.digits$}")
}

/// A count or a large number, whole.
pub fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut out = String::new();
    if value < 0.0 && digits != "0" {
        out.push('-');
    }
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A time in us, ms or s.
pub fn time(us: f64) -> String {
    let (scale, unit) = time_unit(us);
    format!("{}\u{a0}{unit}", number(us / scale))
}

/// Microseconds in the unit that suits so long a time, and its name.
pub fn time_unit(us: f64) -> (f64, &'static str) {
    match us.abs() {
        // A bit earlier than at the full unit, so that no rounding gives 1000 of the smaller one.
        us if us >= 999_500.0 => (1e6, "s"),
        us if us >= 999.5 => (1e3, "ms"),
        _ => (1.0, "µs"),
    }
}

/// A number of bytes in kB, MB or GB.
pub fn bytes(bytes: f64) -> String {
    let (scale, unit) = match bytes.abs() {
        bytes if bytes >= 999.5e6 => (1e9, "GB"),
        bytes if bytes >= 999.5e3 => (1e6, "MB"),
        bytes if bytes >= 999.5 => (1e3, "kB"),
        _ => (1.0, "B"),
    };
    format!("{}\u{a0}{unit}", number(bytes / scale))
}

/// A figure with its unit.
pub fn quantity(value: f64, unit: Unit) -> String {
    match unit {
        Unit::PerS => format!("{}\u{a0}/s", number(value)),
        Unit::Us => time(value),
        Unit::Bytes => bytes(value),
        Unit::Ratio => number(value),
    }
}

/// A count in the shortest form, for the ticks of an axis: 20k, 1.5M.
pub fn short(value: f64) -> String {
    let magnitude = value.abs();
    let (scale, letter) = match magnitude {
        _ if magnitude >= 1e9 => (1e9, "G"),
        _ if magnitude >= 1e6 => (1e6, "M"),
        _ if magnitude >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let text = format!("{:.3}", value / scale);
    format!("{}{letter}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A change as a signed percentage.
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    let digits = usize::from(value.abs() < 10.0);
    let text = format!("{value:+.digits$}");
    // A change that rounds to nothing has no sign.
    if text.trim_start_matches(['+', '-', '0', '.']).is_empty() { "0.0".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits_that_count() {
        let shown = [0.0, 0.01234, 0.5, 1.234, 12.34, 123.4, 12345.6, 1_234_567.0, -1234.0].map(number);
        let known = [
            "0",
            "0.0123",
            "0.500",
            "1.23",
            "12.3",
            "123",
            "12\u{202f}346",
            "1\u{202f}234\u{202f}567",
            "-1\u{202f}234",
        ];
        assert_eq!(shown, known);
    }

    #[test]
    fn times_have_the_unit_that_suits() {
        let shown = [0.0, 12.0, 999.4, 999.9, 1500.0, 999_600.0, 61e6].map(time);
        let known = ["0 µs", "12.0 µs", "999 µs", "1.00 ms", "1.50 ms", "1.00 s", "61.0 s"];
        assert_eq!(shown.map(|shown| shown.replace('\u{a0}', " ")), known);
    }

    #[test]
    fn ticks_are_short_and_changes_have_a_sign() {
        assert_eq!(
            [0.0, 500.0, 2000.0, 20_000.0, 1.5e6, 0.25].map(short),
            ["0", "500", "2000", "20k", "1.5M", "0.25"]
        );
        assert_eq!([0.0123, -0.2, 0.0, -0.0001].map(percent), ["+1.2", "-20", "0.0", "0.0"]);
    }
}
