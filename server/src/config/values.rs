//! How values are written.

/// A key's type, as DescribeConfigs numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum KeyType {
    /// true or false.
    Boolean = 1,
    /// Any text.
    String = 2,
    /// 32 bits.
    Int = 3,
    /// 64 bits.
    Long = 5,
    /// Floating point.
    Double = 6,
    /// Comma-separated.
    List = 7,
}

impl KeyType {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Int => "int",
            Self::Long => "long",
            Self::Double => "double",
            Self::List => "list",
        }
    }

    /// A value of this type as Kafka prints it again: trimmed, `TRUE` as `true`, a list without blanks or repetitions.
    pub fn normal(self, text: &str) -> String {
        let text = text.trim();
        match self {
            Self::Boolean => text.to_ascii_lowercase(),
            Self::Int | Self::Long => {
                text.parse::<i64>().map_or(text.to_owned(), |number| number.to_string())
            }
            Self::Double => text.parse::<f64>().map_or(text.to_owned(), |number| format!("{number:?}")),
            Self::String => text.to_owned(),
            Self::List => words(text).join(","),
        }
    }
}

/// The words of a comma-separated list, each once.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        if !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    }
    words
}

/// Which cores the broker runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoreSet {
    /// Every CPU the process may use.
    All,
    /// This many, any of them.
    Count(usize),
    /// These CPUs.
    List(Vec<usize>),
}

impl CoreSet {
    /// How many shards that makes.
    pub fn count(&self) -> usize {
        match self {
            Self::All => std::thread::available_parallelism().map_or(1, usize::from),
            Self::Count(count) => *count,
            Self::List(list) => list.len(),
        }
    }
}

/// A value that can be read from its text and written again.
pub(super) trait Value: Sized {
    const TYPE: KeyType;
    /// An empty text is a value too: the key is unset then.
    const MAY_BE_EMPTY: bool = false;
    fn parse(text: &str) -> Result<Self, String>;
    /// `None` where the key is unset.
    fn text(&self) -> Option<String>;
}

macro_rules! number {
    ($($type:ty, $kind:ident);*) => {$(
        impl Value for $type {
            const TYPE: KeyType = KeyType::$kind;
            fn parse(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| concat!("Not a number of type ", stringify!($type)).to_owned())
            }
            fn text(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}
number!(i32, Int; i64, Long; usize, Long; u64, Long);

impl Value for f64 {
    const TYPE: KeyType = KeyType::Double;
    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| "Not a number of type DOUBLE".to_owned())
    }
    fn text(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }
}

impl Value for bool {
    const TYPE: KeyType = KeyType::Boolean;
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("Expected value to be either true or false".to_owned()),
        }
    }
    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for String {
    const TYPE: KeyType = KeyType::String;
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.trim().to_owned())
    }
    fn text(&self) -> Option<String> {
        Some(self.clone())
    }
}

/// A key that may be left unset.
impl<T: Value> Value for Option<T> {
    const TYPE: KeyType = T::TYPE;
    const MAY_BE_EMPTY: bool = true;
    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }
    fn text(&self) -> Option<String> {
        self.as_ref().and_then(Value::text)
    }
}

impl Value for Vec<String> {
    const TYPE: KeyType = KeyType::List;
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }
    fn text(&self) -> Option<String> {
        Some(self.join(","))
    }
}

impl Value for CoreSet {
    const TYPE: KeyType = KeyType::String;
    fn parse(text: &str) -> Result<Self, String> {
        let reason =
            || "a number of cores from 1 to 1024, or a list of CPUs such as 0,2-3, is wanted".to_owned();
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::All);
        }
        if let Ok(count) = text.parse::<usize>() {
            return (1..=1024).contains(&count).then_some(Self::Count(count)).ok_or_else(reason);
        }
        let mut cpus = Vec::new();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (start, end) = part.split_once('-').unwrap_or((part, part));
            let start: usize = start.trim().parse().map_err(|_| reason())?;
            let end: usize = end.trim().parse().map_err(|_| reason())?;
            if start > end || end >= 4096 {
                return Err(reason());
            }
            cpus.extend(start..=end);
        }
        cpus.sort_unstable();
        cpus.dedup();
        if cpus.is_empty() || cpus.len() > 1024 { Err(reason()) } else { Ok(Self::List(cpus)) }
    }
    fn text(&self) -> Option<String> {
        Some(match self {
            Self::All => String::new(),
            Self::Count(count) => count.to_string(),
            Self::List(list) => list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",") + ",",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_a_number_or_a_list() {
        assert_eq!(CoreSet::parse("4"), Ok(CoreSet::Count(4)));
        assert_eq!(CoreSet::parse("0, 2-3,2"), Ok(CoreSet::List(vec![0, 2, 3])));
        assert_eq!(CoreSet::parse("3,"), Ok(CoreSet::List(vec![3])));
        assert_eq!(CoreSet::parse(" "), Ok(CoreSet::All));
        for wrong in ["0", "-1", "3-1", "a", ",", "0-5000", "1025", "0-"] {
            assert!(CoreSet::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_value_is_printed_as_kafka_prints_it() {
        assert_eq!(KeyType::Boolean.normal(" TRUE"), "true");
        assert_eq!(KeyType::List.normal("compact, delete ,compact"), "compact,delete");
        assert_eq!(KeyType::Double.normal("1"), "1.0");
        assert_eq!(KeyType::Long.normal(" 5"), "5");
    }
}
