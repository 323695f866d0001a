//! A workload file: a named set of flags, units in every key.
//! ```toml
//! command = "produce"
//! about = "what it shows"
//! [common]
//! warm_up_s = 5
//! [produce]
//! rate_records_per_s = 20_000
//! ```
use std::path::Path;

use serde::Deserialize;

use super::scenes::{BacklogFlags, CrashFlags, LadderFlags, TailFlags};
use super::{CommonFlags, ConsumeFlags, GroupFlags, ProduceFlags, RoundtripFlags, SpecError};

/// One file; tables of other commands than its own stay empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// The command it is for.
    pub command: String,
    /// What the workload shows, for people.
    #[serde(default)]
    pub about: String,
    /// Keys of every command.
    #[serde(default)]
    pub common: CommonFlags,
    /// Keys of the sending half.
    #[serde(default)]
    pub produce: ProduceFlags,
    /// Keys of the reading half.
    #[serde(default)]
    pub consume: ConsumeFlags,
    /// Keys of `roundtrip`.
    #[serde(default)]
    pub roundtrip: RoundtripFlags,
    /// Keys of `group`.
    #[serde(default)]
    pub group: GroupFlags,
    /// Keys of `ladder`.
    #[serde(default)]
    pub ladder: LadderFlags,
    /// Keys of `backlog`, and of the backlog of `tail`.
    #[serde(default)]
    pub backlog: BacklogFlags,
    /// Keys of `tail`.
    #[serde(default)]
    pub tail: TailFlags,
    /// Keys of `crash`.
    #[serde(default)]
    pub crash: CrashFlags,
}

impl Workload {
    /// The file at `path`, or an empty workload if there is none to read.
    ///
    /// # Errors
    /// If the file cannot be read, holds a key that is not known, or is for another command.
    pub fn load(path: Option<&Path>, command: &'static str) -> Result<Self, SpecError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path)
            .map_err(|source| SpecError::Read { path: path.to_owned(), source })?;
        let workload: Self = toml::from_str(&text)
            .map_err(|source| SpecError::Parse { path: path.to_owned(), source: Box::new(source) })?;
        if workload.command == command {
            return Ok(workload);
        }
        Err(SpecError::OtherCommand { path: path.to_owned(), wanted: workload.command, given: command })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Arguments, Spec};
    use clap::Parser as _;

    #[test]
    fn every_workload_that_ships_is_a_run() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/loadgen");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let command =
                text.lines().find_map(|line| line.strip_prefix("command = ")).unwrap().trim_matches('"');
            let words = ["thalweg-loadgen", command, "--workload", path.to_str().unwrap()];
            let arguments = Arguments::try_parse_from(words).unwrap();
            Spec::from_command(arguments.command).unwrap();
            names.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
        names.sort();
        assert_eq!(
            names,
            [
                "backlog",
                "catchup",
                "churn",
                "crash",
                "fan_out",
                "fat_stream",
                "group_life",
                "group_storm",
                "iis_events",
                "keys_zipf",
                "ladder",
                "many_partitions",
                "produce_small",
                "tail_backfill",
                "tail_latency"
            ]
        );
    }
}
