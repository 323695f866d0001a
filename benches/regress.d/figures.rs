//! What is counted, each by its name, and how much more of it is too much.
//!
//! A name is a kind and what it was counted of: `instructions/stage/4k`. Less is better in all of them.

use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// One kind of figure, and when it is worse.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Growth beyond this share is a regression...
    share_max: f64,
    /// ...if it is also more than so many: a tenth of next to nothing is nothing.
    more_max: f64,
    pub(crate) unit: &'static str,
}

/// All kinds. The shares lie well above what was seen between two countings of one build (PERF.md).
pub(crate) const KINDS: &[Kind] = &[
    Kind { name: "instructions", share_max: 0.02, more_max: 2.0, unit: "each" },
    Kind { name: "syscalls", share_max: 0.15, more_max: 0.02, unit: "a record" },
    Kind { name: "allocations", share_max: 0.03, more_max: 0.02, unit: "a record" },
    Kind { name: "allocated_bytes", share_max: 0.05, more_max: 16.0, unit: "a record" },
    Kind { name: "written_bytes", share_max: 0.05, more_max: 64.0, unit: "a record" },
    Kind { name: "cpu_ns", share_max: 0.10, more_max: 50.0, unit: "a record" },
];

impl Kind {
    /// The kind of a figure, by its name.
    pub(crate) fn of(figure: &str) -> Option<&'static Self> {
        let name = figure.split('/').next()?;
        KINDS.iter().find(|kind| kind.name == name)
    }

    /// Whether `head` is too much where `base` was before.
    pub(crate) fn is_worse(&self, base: f64, head: f64) -> bool {
        head > base * (1.0 + self.share_max) && head > base + self.more_max
    }

    /// Whether it is as much less as would be too much the other way round.
    pub(crate) fn is_better(&self, base: f64, head: f64) -> bool {
        self.is_worse(head, base)
    }
}

/// Figures by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures(pub(crate) BTreeMap<String, f64>);

impl Figures {
    pub(crate) fn set(&mut self, kind: &str, of: &str, value: f64) {
        self.0.insert(format!("{kind}/{of}"), value);
    }

    /// As JSON: one object of names and numbers.
    pub(crate) fn load(path: &Path) -> io::Result<Self> {
        let wrong = |what: &str| io::Error::other(format!("{}: {what}", path.display()));
        let text = std::fs::read(path).map_err(|error| wrong(&error.to_string()))?;
        let value: Value = serde_json::from_slice(&text)?;
        let object = value.as_object().ok_or_else(|| wrong("no object"))?;
        let number = |(name, value): (&String, &Value)| Some((name.clone(), value.as_f64()?));
        object.iter().map(number).collect::<Option<_>>().map(Self).ok_or_else(|| wrong("no number"))
    }

    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, serde_json::to_string_pretty(&self.0)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worse_is_more_by_the_share_and_by_the_number() {
        let kind = Kind::of("instructions/stage/4k").unwrap();
        assert!(!kind.is_worse(1000.0, 1019.0));
        assert!(kind.is_worse(1000.0, 1021.0));
        assert!(!kind.is_worse(10.0, 12.0), "two instructions");
        assert!(kind.is_better(1021.0, 1000.0));
        assert!(Kind::of("colours/stage").is_none());
    }

    #[test]
    fn figures_are_read_as_they_were_written() {
        let path = std::env::temp_dir().join(format!("thalweg-figures-{}", std::process::id()));
        let mut figures = Figures::default();
        figures.set("syscalls", "tiny", 2.25);
        figures.save(&path).unwrap();
        let found = Figures::load(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(found, figures);
    }
}
