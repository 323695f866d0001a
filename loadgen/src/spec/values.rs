//! Values that a flag or key can take, with the words for them.
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::SpecError;
use super::check::invalid;

/// What the records say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Bytes of one size, compressible as asked.
    #[default]
    Filler,
    /// Filebeat's events of a web server's log, JSON of 1.1-1.5 kB.
    Iis,
}

/// How often each key of a key space comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum KeySpread {
    /// All alike.
    #[default]
    Uniform,
    /// A few often, most rarely, by Zipf's law.
    Zipf,
}

/// Which acknowledgement a batch waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Acks {
    /// None: a batch counts as done when the kernel has it.
    #[value(name = "0")]
    #[serde(rename = "0")]
    None,
    /// The leader's.
    #[value(name = "1")]
    #[serde(rename = "1")]
    Leader,
    /// That of all replicas in sync.
    #[default]
    #[value(name = "all", alias = "-1")]
    #[serde(rename = "all")]
    All,
}

impl Acks {
    /// As on the wire.
    pub fn wire(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadFrom {
    /// At the log's start.
    #[default]
    Earliest,
    /// At its end.
    Latest,
    /// At this offset, in every partition.
    Offset(i64),
}

impl FromStr for ReadFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            _ => match text.parse() {
                Ok(offset) if offset >= 0 => Ok(Self::Offset(offset)),
                _ => Err("earliest, latest or an offset".to_owned()),
            },
        }
    }
}

/// Which partitions are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Partitions {
    /// All that the topic has.
    All,
    /// These.
    Some(Vec<i32>),
}

impl FromStr for Partitions {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        if text == "all" {
            return Ok(Self::All);
        }
        let fault = || invalid("--partitions", text, "all, or numbers and ranges as in 0,3,8-11");
        let mut listed = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (i32, i32) =
                (first.parse().map_err(|_| fault())?, last.parse().map_err(|_| fault())?);
            if first < 0 || last < first || last - first > 1_000_000 {
                return Err(fault());
            }
            listed.extend(first..=last);
        }
        listed.sort_unstable();
        listed.dedup();
        Ok(Self::Some(listed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_lists_are_read() {
        assert_eq!("0,3,8-10".parse::<Partitions>().unwrap(), Partitions::Some(vec![0, 3, 8, 9, 10]));
        assert_eq!("all".parse::<Partitions>().unwrap(), Partitions::All);
    }
}
