//! What the command line may say.

use crate::config::Source;
use clap::Parser;
use std::path::PathBuf;

/// An event-streaming broker that every Apache Kafka client and tool can use unchanged.
///
/// Without arguments it serves on 127.0.0.1:9092 and keeps its data under ./data.
#[derive(Debug, Parser)]
#[command(name = "thalweg", version)]
pub struct Arguments {
    /// Settings: TOML with flat quoted keys, or Kafka's server.properties by its ending.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, over the file and the environment; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Cores to run on: a number, or a list of CPUs such as 0,2-3.
    #[arg(long)]
    cores: Option<String>,
}

impl Arguments {
    /// All places that settings come from; `--cores` counts as the last `--set`.
    pub fn source(self, environment: impl Iterator<Item = (String, String)>) -> Source {
        let mut flags = self.set;
        flags.extend(self.cores.map(|cores| format!("thalweg.cores={cores}")));
        Source { file: self.config, environment: environment.collect(), flags }
    }
}

/// The environment as text; what is no text is none of ours.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CoreSet, load};

    #[test]
    fn flags_come_in_their_order_and_cores_last() {
        let line = ["thalweg", "--set", "num.partitions=2", "--cores", "3,", "--set", "num.partitions=4"];
        let source = Arguments::parse_from(line).source(std::iter::empty());
        let config = load(&source).unwrap().config;
        assert_eq!((config.num_partitions, config.thalweg_cores), (4, CoreSet::List(vec![3])));
        assert!(Arguments::try_parse_from(["thalweg", "--no-such-flag"]).is_err());
    }
}
