//! Runs that are done, on disk: kept under their conditions, and used again only while these and the builds are the same.
//!
//! `results/WORKLOAD/BROKER-ROUND.json` is the load generator's result, `BROKER-ROUND.kept.json` beside it what was made of it.

use crate::outcome::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where one run is kept.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    folder: PathBuf,
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// Everything that makes a figure another one, written out: whoever wants to know why a run was measured anew compares two.
    conditions: Value,
    outcome: Outcome,
}

impl Place {
    pub(crate) fn new(results: &Path, workload: &str, broker: &str, round: usize) -> Self {
        Self { folder: results.join(workload), name: format!("{broker}-{}", round + 1) }
    }

    /// The load generator's own result; there is none of a broker that was idle.
    pub(crate) fn result(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.name))
    }

    fn kept(&self) -> PathBuf {
        self.folder.join(format!("{}.kept.json", self.name))
    }

    /// What was kept, if it was measured under these conditions. What cannot be read was not kept.
    pub(crate) fn load(&self, conditions: &Value) -> Option<Outcome> {
        let kept: Kept = serde_json::from_slice(&fs::read(self.kept()).ok()?).ok()?;
        (kept.conditions == *conditions && kept.outcome.cannot.is_none()).then_some(kept.outcome)
    }

    /// An empty place: what was there is of other conditions.
    pub(crate) fn clear(&self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        for path in [self.kept(), self.result()] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Kept whole or not at all.
    pub(crate) fn save(&self, conditions: Value, outcome: Outcome) -> io::Result<Outcome> {
        let kept = Kept { conditions, outcome };
        let part = self.folder.join(format!("{}.part", self.name));
        fs::write(&part, format!("{:#}\n", serde_json::to_value(&kept)?))?;
        fs::rename(part, self.kept())?;
        Ok(kept.outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_run_is_used_again_under_its_own_conditions_only() {
        let results = std::env::temp_dir().join(format!("thalweg-kept-{}", std::process::id()));
        let place = Place::new(&results, "peak", "kafka", 0);
        place.clear().unwrap();
        let mut outcome = Outcome::default();
        outcome.push("rate", "records/s", Some(5.0));
        outcome.push("p99.9", "ms", None);
        let (mine, other) = (json!({"build": "a", "time_s": 6.0}), json!({"build": "b", "time_s": 6.0}));
        place.save(mine.clone(), outcome.clone()).unwrap();
        assert_eq!(place.load(&mine).unwrap().figures, outcome.figures);
        assert!(place.load(&other).is_none(), "another build");
        fs::write(place.kept(), "{").unwrap();
        assert!(place.load(&mine).is_none(), "half a file");
        place.save(mine.clone(), Outcome::cannot("away".to_owned())).unwrap();
        assert!(place.load(&mine).is_none(), "a broker that could not may be able to now");
        place.clear().unwrap();
        assert!(place.load(&mine).is_none());
        fs::remove_dir_all(&results).unwrap();
    }
}
