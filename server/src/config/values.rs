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

/// Which cores the broker runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoreSet {
    /// This many, any of them.
    Count(usize),
    /// These CPUs.
    List(Vec<usize>),
}

impl CoreSet {
    /// How many shards that makes.
    pub fn count(&self) -> usize {
        match self {
            Self::Count(count) => *count,
            Self::List(list) => list.len(),
        }
    }
}

/// A value that can be read from its text and written again.
pub(super) trait Value: Sized {
    const TYPE: KeyType;
    fn parse(text: &str) -> Result<Self, String>;
    fn text(&self) -> String;
}

macro_rules! number {
    ($($type:ty, $kind:ident, $bits:literal);*) => {$(
        impl Value for $type {
            const TYPE: KeyType = KeyType::$kind;
            fn parse(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| concat!("a whole number of ", $bits, " bits is wanted").to_owned())
            }
            fn text(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
number!(i32, Int, "32"; i64, Long, "64"; usize, Long, "64, not negative,"; u64, Long, "64, not negative,");

impl Value for bool {
    const TYPE: KeyType = KeyType::Boolean;
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("true or false is wanted".to_owned()),
        }
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    const TYPE: KeyType = KeyType::String;
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.trim().to_owned())
    }
    fn text(&self) -> String {
        self.clone()
    }
}

/// A key that may be left unset.
impl<T: Value> Value for Option<T> {
    const TYPE: KeyType = T::TYPE;
    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }
    fn text(&self) -> String {
        self.as_ref().map(Value::text).unwrap_or_default()
    }
}

impl Value for Vec<String> {
    const TYPE: KeyType = KeyType::List;
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }
    fn text(&self) -> String {
        self.join(",")
    }
}

impl Value for CoreSet {
    const TYPE: KeyType = KeyType::String;
    fn parse(text: &str) -> Result<Self, String> {
        let reason = || "a number of cores, or a list of CPUs such as 0,2-3, is wanted".to_owned();
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::Count(std::thread::available_parallelism().map_or(1, usize::from)));
        }
        if let Ok(count) = text.parse::<usize>() {
            return (1..=1024).contains(&count).then_some(Self::Count(count)).ok_or_else(reason);
        }
        let mut cpus = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
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
        if cpus.is_empty() { Err(reason()) } else { Ok(Self::List(cpus)) }
    }
    fn text(&self) -> String {
        match self {
            Self::Count(count) => count.to_string(),
            Self::List(list) => list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",") + ",",
        }
    }
}
