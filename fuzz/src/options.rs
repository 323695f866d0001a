//! The command line of every target.

use std::path::PathBuf;

/// What can be said.
pub(crate) const USAGE: &str = "usage: TARGET [SECONDS] [--tries N] [--seed N] | --input FILE";

const SECONDS: u64 = 10;

pub(crate) struct Options {
    pub(crate) seconds: u64,
    pub(crate) tries_max: u64,
    pub(crate) seed: Option<u64>,
    pub(crate) input: Option<PathBuf>,
}

impl Options {
    pub(crate) fn from_arguments() -> Result<Self, String> {
        let mut options = Self { seconds: SECONDS, tries_max: u64::MAX, seed: None, input: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--tries" => {
                    options.tries_max = number(&value()?)?;
                    options.seconds = u64::from(u32::MAX); // so many tries, however long they take
                }
                "--seed" => options.seed = Some(number(&value()?)?),
                "--input" => options.input = Some(value()?.into()),
                seconds => options.seconds = number(seconds)?,
            }
        }
        Ok(options)
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}
