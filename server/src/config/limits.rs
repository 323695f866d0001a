//! What a key's value may be, and the one check of it; both tables of keys use it.

use super::values::KeyType;

/// What values a key takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limits {
    /// Whatever its type takes.
    Any,
    /// A whole number from the first to the second, both included.
    Range(i64, i64),
    /// The same, or this one besides.
    RangeOr(i64, i64, i64),
    /// A number from 0 to 1.
    Ratio,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of these words, which may be empty.
    ListOf(&'static [&'static str]),
    /// Only this, because of that: the key is known, what it asks for is not there.
    Only(&'static str, &'static str),
}

impl Limits {
    /// Whether `text` is a value of `kind` within the limits.
    ///
    /// # Errors
    /// What would fit, in Kafka's words where it has them.
    pub fn check(self, kind: KeyType, text: &str) -> Result<(), String> {
        let text = text.trim();
        let number = match kind {
            KeyType::Int => text.parse::<i32>().map(i64::from).ok(),
            KeyType::Long => text.parse::<i64>().ok(),
            _ => None,
        };
        match kind {
            KeyType::Int if number.is_none() => return Err("Not a number of type INT".to_owned()),
            KeyType::Long if number.is_none() => return Err("Not a number of type LONG".to_owned()),
            KeyType::Double if !text.parse::<f64>().is_ok_and(f64::is_finite) => {
                return Err("Not a number of type DOUBLE".to_owned());
            }
            KeyType::Boolean if !["true", "false"].contains(&text.to_ascii_lowercase().as_str()) => {
                return Err("Expected value to be either true or false".to_owned());
            }
            _ => {}
        }
        let fits = match self {
            Self::Any => true,
            Self::Range(min, max) => number.is_some_and(|number| (min..=max).contains(&number)),
            Self::RangeOr(min, max, other) => {
                number.is_some_and(|number| (min..=max).contains(&number) || number == other)
            }
            Self::Ratio => text.parse().is_ok_and(|ratio: f64| (0.0..=1.0).contains(&ratio)),
            Self::OneOf(known) => known.contains(&text),
            Self::ListOf(known) => {
                text.is_empty() || text.split(',').all(|word| known.contains(&word.trim()))
            }
            Self::Only(only, _) => kind.normal(text) == only,
        };
        if fits { Ok(()) } else { Err(self.wanted(number)) }
    }

    fn wanted(self, number: Option<i64>) -> String {
        match self {
            Self::Any => "another value is wanted".to_owned(),
            Self::Range(min, _) if number.is_some_and(|number| number < min) => {
                format!("Value must be at least {min}")
            }
            Self::Range(_, max) => format!("Value must be no more than {max}"),
            Self::RangeOr(min, max, other) => {
                format!("Value must be between {min} and {max} or equal to {other}")
            }
            Self::Ratio => "Value must be between 0 and 1".to_owned(),
            Self::OneOf(known) | Self::ListOf(known) => {
                format!("String must be one of: {}", known.join(", "))
            }
            Self::Only(only, reason) => {
                let only = if only.is_empty() { "an empty value" } else { only };
                format!("{reason}; only {only} is taken")
            }
        }
    }

    /// For people, in tables; empty where the type says it all.
    pub fn text(self) -> String {
        let bound = |number: i64| match number {
            i64::MAX | 0x7fff_ffff => None,
            number => Some(number.to_string()),
        };
        match self {
            Self::Any => String::new(),
            Self::Range(min, max) => {
                bound(max).map_or(format!("{min} or more"), |max| format!("{min} to {max}"))
            }
            Self::RangeOr(min, max, other) => format!("{other}, or {min} to {max}"),
            Self::Ratio => "0 to 1".to_owned(),
            Self::OneOf(known) => known.join(", "),
            Self::ListOf(known) => format!("list of {}", known.join(", ")),
            Self::Only("", _) => "only empty".to_owned(),
            Self::Only(only, _) => format!("only {only}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_at_their_edges() {
        let range = Limits::Range(1, 9);
        for (text, fits) in
            [("0", false), ("1", true), (" 9 ", true), ("10", false), ("", false), ("1.5", false)]
        {
            assert_eq!(range.check(KeyType::Int, text).is_ok(), fits, "{text}");
        }
        assert!(Limits::RangeOr(1, 9, -1).check(KeyType::Int, "-1").is_ok());
        assert!(Limits::RangeOr(1, 9, -1).check(KeyType::Int, "0").is_err());
        assert!(Limits::Ratio.check(KeyType::Double, "1e-1").is_ok());
        for text in ["NaN", "1.01", "-0.1", "inf"] {
            assert!(Limits::Ratio.check(KeyType::Double, text).is_err(), "{text}");
        }
        let words = Limits::ListOf(&["compact", "delete"]);
        assert!(words.check(KeyType::List, "compact, delete").is_ok());
        assert!(words.check(KeyType::List, " ").is_ok(), "4.3 takes an empty list");
        for text in [",", "delete,", "delete,shred"] {
            assert!(words.check(KeyType::List, text).is_err(), "{text}");
        }
        assert!(Limits::Only("false", "x").check(KeyType::Boolean, "FALSE").is_ok());
    }

    #[test]
    fn a_number_that_does_not_fit_its_type_is_none() {
        assert!(Limits::Any.check(KeyType::Int, "2147483648").unwrap_err().contains("INT"));
        assert!(Limits::Any.check(KeyType::Long, "2147483648").is_ok());
        assert!(Limits::Any.check(KeyType::Boolean, "yes").is_err());
    }
}
