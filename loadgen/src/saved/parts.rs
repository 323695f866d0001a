//! Results that are made of several runs, as the runs that a page shows.
use super::{Ladder, Part, Run, Saved};

impl Saved {
    /// A result of several runs as those runs, each by its name. Of a ladder the highest step that was kept stands for it.
    pub fn unfolded(results: &[Self]) -> Vec<Self> {
        results.iter().flat_map(Self::runs).collect()
    }

    fn runs(&self) -> Vec<Self> {
        if let Some(ladder) = &self.run.ladder {
            let Some((part, rate)) = knee(&self.run, ladder) else { return vec![self.clone()] };
            let mut run = self.run.with(part);
            run.step_records_per_s = Some(rate);
            run.ladder = Some(ladder.clone());
            return vec![Self { run, ..self.clone() }];
        }
        if self.run.parts.is_empty() {
            return vec![self.clone()];
        }
        let named = |part: &Part| Self {
            path: self.path.clone(),
            name: format!("{}: {}", self.name, part.name),
            run: self.run.with(part),
        };
        self.run.parts.iter().map(named).collect()
    }
}

impl Run {
    /// A part as a run of its own, with the whole's machine and settings, and what was told of the whole.
    pub(crate) fn with(&self, part: &Part) -> Self {
        let told = |whole: &[String], part: &[String]| whole.iter().chain(part).cloned().collect();
        Self {
            start_unix_ms: self.start_unix_ms,
            spec: self.spec.clone(),
            machine: self.machine.clone(),
            produce: part.produce.clone(),
            consume: part.consume.clone(),
            readers: part.readers.clone(),
            end_to_end_latency: part.end_to_end_latency.clone(),
            end_to_end_service: part.end_to_end_service.clone(),
            verdict: part.verdict.clone(),
            resources: part.resources.clone(),
            warnings: told(&self.warnings, &part.warnings),
            failures: told(&self.failures, &part.failures),
            produce_series: part.produce_series.clone(),
            consume_series: part.consume_series.clone(),
            ..Self::default()
        }
    }
}

/// The part of the highest rate that was kept, with that rate.
fn knee<'run>(run: &'run Run, ladder: &Ladder) -> Option<(&'run Part, f64)> {
    let kept = ladder.steps.iter().zip(&run.parts).filter(|(step, _)| step.kept);
    let highest =
        kept.max_by(|(one, _), (other, _)| one.offered_records_per_s.total_cmp(&other.offered_records_per_s));
    highest.map(|(step, part)| (part, step.offered_records_per_s))
}

#[cfg(test)]
mod tests {
    use super::super::Step;
    use super::*;
    use std::path::PathBuf;

    fn saved(run: Run) -> Vec<Saved> {
        Saved::unfolded(&[Saved { path: PathBuf::new(), name: "r".to_owned(), run }])
    }

    fn parts(names: &[&str]) -> Vec<Part> {
        names.iter().map(|name| Part { name: (*name).to_owned(), ..Part::default() }).collect()
    }

    #[test]
    fn a_run_of_parts_is_shown_as_its_parts_and_any_other_as_itself() {
        let found = saved(Run { parts: parts(&["alone", "beside a backfill"]), ..Run::default() });
        assert_eq!(
            found.iter().map(|run| run.name.as_str()).collect::<Vec<_>>(),
            ["r: alone", "r: beside a backfill"]
        );
        assert_eq!(saved(Run::default())[0].name, "r");
    }

    #[test]
    fn the_highest_step_that_was_kept_stands_for_a_ladder() {
        let step = |rate, kept| Step { offered_records_per_s: rate, kept, ..Step::default() };
        let steps = vec![step(100.0, true), step(400.0, false), step(200.0, true)];
        let ladder = Some(Ladder { steps, ..Ladder::default() });
        let mut run = Run { parts: parts(&["a", "b", "c"]), ladder, ..Run::default() };
        run.parts[2].warnings.push("of the knee".to_owned());
        let found = saved(run);
        assert_eq!((found.len(), found[0].run.offered_per_s()), (1, Some(200.0)));
        assert_eq!(found[0].run.warnings, ["of the knee"]);
    }
}
