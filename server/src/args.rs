//! What the command line may say.

use crate::config::Source;
use clap::Parser;
use std::path::PathBuf;

/// Behind the list of flags.
const MORE: &str = "\
Settings have Kafka's names: listeners, advertised.listeners, log.dirs, num.partitions, ... docs/config.md and
config/broker.toml list all of them. Each source stands over those before it: defaults, the file, the environment
(THALWEG_LOG_DIRS=/data for log.dirs), the flags.

Examples:
  thalweg
  thalweg --set log.dirs=/var/lib/thalweg/data --set num.partitions=3
  thalweg --config server.properties --cores 4

SIGTERM and SIGINT stop it cleanly, a second one at once; SIGHUP opens the log's file anew. It ends with 0 after a
clean stop, with 1 where it cannot run (one line on stderr says why and what to do), with 2 for a wrong flag.";

/// An event-streaming broker that every Apache Kafka client and tool can use unchanged.
///
/// Without arguments it serves on 127.0.0.1:9092 and keeps its data under ./data.
#[derive(Debug, Parser)]
#[command(name = "thalweg", version, after_help = MORE)]
pub struct Arguments {
    /// Settings: TOML with flat quoted keys, or Kafka's server.properties by its ending.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, over the file and the environment; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Cores to run on: a number, or a list of CPUs such as 0,2-3 (one CPU: 3,). All, unless said.
    #[arg(long, value_name = "NUMBER|LIST")]
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
