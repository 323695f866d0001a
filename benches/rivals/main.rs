//! Brokers side by side: the same work for each, in turn, on the same directory and processors. `run` builds and starts it.
//!
//! `plan` says what is run, `contender` who, `measure` runs one of it, `work` looks whether all did the same, `kept` has
//! what is done already, `tables`, `plots` and `pages` show it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the report of a bench is what it prints")]

mod contender;
mod kept;
mod measure;
mod outcome;
mod pages;
mod plan;
mod plots;
mod tables;
mod work;

use clap::Parser;
use contender::{Contender, Programs, checksum};
use kept::Place;
use measure::{Stage, Task};
use outcome::Outcome;
use plan::{Plan, PlanFile, Rate, Sizes, Step, Wanted, Workload};
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use tables::{Section, Setting};
use thalweg_benches::brokers::cpus::Cpus;
use thalweg_benches::machine::{facts, load_average};
use thalweg_benches::numbers::number;

/// Whose peak gives the rates of the workloads that are a share of it, the first of them that is run.
const REFERENCES: [&str; 3] = ["kafka", "kafka-sync", "thalweg"];
/// The figure that a peak is.
const PEAK: &str = "acknowledged";

/// Runs brokers in turn and writes rivals.md, rivals.json, plots of all workloads and a page for each.
#[derive(Debug, Parser)]
struct Arguments {
    /// How much: default ends within an hour, full does not.
    #[arg(long, default_value = "default")]
    profile: String,
    /// Says what would be run and how long it takes, and runs nothing.
    #[arg(long)]
    plan: bool,
    /// Keeps what was measured before under the same conditions with the same builds.
    #[arg(long)]
    resume: bool,
    /// Only this workload; may be given several times. What it takes its rate from is run as well.
    #[arg(long)]
    only: Vec<String>,
    /// Brokers, with commas: thalweg, kafka, kafka-sync.
    #[arg(long, value_delimiter = ',', default_value = "thalweg,kafka,kafka-sync")]
    brokers: Vec<String>,
    /// Rounds; the profile's unless given.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds that are measured in each run.
    #[arg(long)]
    time_s: Option<f64>,
    /// Seconds before that.
    #[arg(long)]
    warm_up_s: Option<f64>,
    /// What a topic is filled with where that belongs to the workload, 10^9 bytes.
    #[arg(long)]
    fill_gb: Option<f64>,
    /// Seconds of the same load into another topic, before a JVM is measured.
    #[arg(long)]
    train_s: Option<f64>,
    /// No topic has more partitions, to try it out.
    #[arg(long)]
    partitions_max: Option<usize>,
    /// Leaves the machine's page cache as it is, to try it out.
    #[arg(long)]
    keep_page_cache: bool,
    /// Settings of Thalweg, KEY=VALUE; may be given several times.
    #[arg(long)]
    set: Vec<String>,
    /// First of two ports that are free.
    #[arg(long, default_value_t = 19_700)]
    port: u16,
    /// Folder of this bench: plan and loads.
    #[arg(long)]
    here: PathBuf,
    /// Folder of the binaries.
    #[arg(long)]
    binaries: PathBuf,
    /// Folder for data, results and tables, on the file system to measure.
    #[arg(long)]
    output: PathBuf,
    /// Folder of Kafka's jars.
    #[arg(long)]
    kafka: Option<PathBuf>,
    /// What was built and how, for the tables.
    #[arg(long, default_value = "unknown")]
    build: String,
}

impl Arguments {
    fn wanted(&self) -> Wanted {
        Wanted {
            profile: self.profile.clone(),
            only: self.only.clone(),
            rounds: self.rounds,
            warm_up_s: self.warm_up_s,
            time_s: self.time_s,
            fill_gb: self.fill_gb,
            train_s: self.train_s,
            partitions_max: self.partitions_max,
        }
    }

    fn contenders(&self) -> io::Result<Vec<Contender>> {
        let programs = Programs {
            thalweg: self.binaries.join("thalweg"),
            settings: self.set.clone(),
            kafka: self.kafka.clone(),
        };
        self.brokers.iter().map(|id| programs.contender(id, !self.plan)).collect()
    }
}

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let plan = PlanFile::load(&arguments.here.join("plan.toml"))?.plan(&arguments.wanted())?;
    let contenders = arguments.contenders()?;
    if arguments.plan {
        print!("{}", plan.text(&contenders));
        return Ok(ExitCode::SUCCESS);
    }
    let course = Course::new(&arguments, plan, contenders)?;
    let done = course.run(arguments.resume)?;
    let sections = course.sections(&done);
    let text = course.write(&sections)?;
    pages::write(&course.stage.loadgen, &course.output, &course.contenders, &sections)?;
    plots::write(&course.output, &course.contenders, &sections)?;
    print!("{text}");
    // Where something is wrong with ours, or with anybody's work, nobody is to overlook it.
    let ours_cannot = done
        .iter()
        .any(|(step, outcome)| course.contenders[step.contender].id == "thalweg" && outcome.cannot.is_some());
    let is_faulty = sections.iter().any(|section| !section.faults(&course.contenders).is_empty());
    Ok(if ours_cannot || is_faulty { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A whole run: plan, brokers, place.
struct Course {
    plan: Plan,
    contenders: Vec<Contender>,
    stage: Stage,
    output: PathBuf,
    facts: Vec<(&'static str, String)>,
    /// Of the load generator's program.
    loadgen_build: String,
}

impl Course {
    fn new(arguments: &Arguments, plan: Plan, contenders: Vec<Contender>) -> io::Result<Self> {
        let output = arguments.output.clone();
        fs::create_dir_all(&output)?;
        let loadgen = arguments.binaries.join("thalweg-loadgen");
        let mut facts = facts(&output, &arguments.build);
        facts.push(("load of the machine at the start", load_average()));
        Ok(Self {
            loadgen_build: checksum(&loadgen)?,
            stage: Stage {
                loadgen,
                loads: arguments.here.join("loads"),
                directory: output.join("data"),
                cpus: Cpus::shared_out()?,
                port: arguments.port,
                sizes: plan.sizes,
                keeps_page_cache: arguments.keep_page_cache,
            },
            plan,
            contenders,
            output,
            facts,
        })
    }

    fn run(&self, resume: bool) -> io::Result<Vec<(Step, Outcome)>> {
        let steps = self.plan.steps(&self.contenders);
        let mut done: Vec<(Step, Outcome)> = Vec::new();
        let since = Instant::now();
        for (at, step) in steps.iter().copied().enumerate() {
            let rest: f64 = steps[at..].iter().map(|step| self.plan.seconds(*step, &self.contenders)).sum();
            let (workload, contender) =
                (&self.plan.workloads[step.workload], &self.contenders[step.contender]);
            let counted = format!("{}/{}, about {:.0} min left", at + 1, steps.len(), rest / 60.0);
            let (name, label) = (&workload.name, contender.label);
            let begun = Instant::now();
            let (outcome, is_kept) = self.step(step, resume, &done)?;
            let how =
                if is_kept { "kept".to_owned() } else { format!("{:.0} s", begun.elapsed().as_secs_f64()) };
            eprintln!(
                "[{counted}] round {}, {name}, {label}: {} [{how}]",
                step.round + 1,
                in_short(&outcome)
            );
            done.push((step, outcome));
            // Whoever ends it early has tables of what is done.
            if steps.get(at + 1).is_some_and(|next| next.round > step.round) {
                self.write(&self.sections(&done))?;
            }
        }
        self.stage.end()?;
        eprintln!("{} runs in {:.1} min", steps.len(), since.elapsed().as_secs_f64() / 60.0);
        Ok(done)
    }

    /// One run, or what is kept of it.
    fn step(&self, step: Step, resume: bool, done: &[(Step, Outcome)]) -> io::Result<(Outcome, bool)> {
        let (workload, contender) = (&self.plan.workloads[step.workload], &self.contenders[step.contender]);
        let records_per_s = match self.rate(workload, done) {
            Ok(rate) => rate,
            Err(why) => return Ok((Outcome::cannot(why), false)),
        };
        let place = Place::new(&self.output.join("results"), &workload.name, contender.id, step.round);
        let conditions = self.conditions(workload, contender, records_per_s)?;
        if let Some(kept) = place.load(&conditions).filter(|_| resume) {
            return Ok((kept, true));
        }
        place.clear()?;
        let result = place.result();
        let outcome = self.stage.run(Task { workload, contender, records_per_s, result: &result })?;
        Ok((place.save(conditions, outcome)?, false))
    }

    /// Everything that makes a figure another one.
    fn conditions(
        &self,
        workload: &Workload,
        contender: &Contender,
        records_per_s: Option<u64>,
    ) -> io::Result<Value> {
        let load =
            workload.load.as_ref().map(|load| fs::read_to_string(self.stage.loads.join(load))).transpose()?;
        let Sizes { warm_up_s, time_s, fill_gb, train_s } = self.stage.sizes;
        let is_trained = workload.trains(contender);
        Ok(json!({
            "workload": workload, "load": load, "records_per_s": records_per_s,
            "warm_up_s": warm_up_s, "time_s": time_s, "fill_gb": workload.fill.then_some(fill_gb), "train_s": is_trained.then_some(train_s),
            "broker": contender.id, "build": contender.build, "loadgen_build": self.loadgen_build,
            "cpus": self.stage.cpus.condition(), "keeps_page_cache": self.stage.keeps_page_cache,
            "machine": self.facts[0].1, "file_system": self.facts[1].1,
        }))
    }

    /// The rate that is offered, or why there is none.
    fn rate(&self, workload: &Workload, done: &[(Step, Outcome)]) -> Result<Option<u64>, String> {
        match &workload.rate {
            None => Ok(None),
            Some(Rate::Fixed { records_per_s }) => Ok(Some(*records_per_s)),
            Some(Rate::Share { percent, of }) => {
                let told = || format!("there is no peak of {of} to take a share of");
                let (_, peak) = self.peak(of, done).ok_or_else(told)?;
                // Hundreds: a plan is read by people, too.
                let share = (peak * *percent as f64 / 100.0 / 100.0).round().max(1.0) as u64;
                Ok(Some(share * 100))
            }
        }
    }

    /// The reference's peak in the first round, and who that is.
    fn peak(&self, of: &str, done: &[(Step, Outcome)]) -> Option<(&Contender, f64)> {
        REFERENCES.iter().find_map(|id| {
            let (step, outcome) = done.iter().find(|(step, outcome)| {
                let is_peak = self.plan.workloads[step.workload].name == of && step.round == 0;
                is_peak && self.contenders[step.contender].id == *id && outcome.cannot.is_none()
            })?;
            let figure = outcome.figures.iter().find(|figure| figure.name == PEAK)?;
            Some((&self.contenders[step.contender], figure.value?))
        })
    }

    fn sections(&self, done: &[(Step, Outcome)]) -> Vec<Section<'_>> {
        let rounds = |workload: usize, contender: usize| {
            let own =
                done.iter().filter(|(step, _)| (step.workload, step.contender) == (workload, contender));
            own.map(|(step, outcome)| (step.round, outcome.clone())).collect()
        };
        let section = |(at, workload)| Section {
            workload,
            records_per_s: self.rate(workload, done).unwrap_or(None),
            reference: self.reference(workload, done),
            rounds: (0..self.contenders.len()).map(|contender| rounds(at, contender)).collect(),
        };
        self.plan.workloads.iter().enumerate().map(section).collect()
    }

    /// Where a rate comes from, in words.
    fn reference(&self, workload: &Workload, done: &[(Step, Outcome)]) -> Option<String> {
        let Some(Rate::Share { percent, of }) = &workload.rate else { return None };
        let (whose, peak) = self.peak(of, done)?;
        Some(format!("{percent} % of {}'s {} in the first round of {of}", whose.label, number(peak)))
    }

    /// Writes the tables; their text.
    fn write(&self, sections: &[Section<'_>]) -> io::Result<String> {
        let Sizes { warm_up_s, time_s, fill_gb, train_s } = self.plan.sizes;
        let rounds = self.plan.rounds;
        let window = format!(
            "{time_s} s measured after {warm_up_s} s of warm-up, {} in turn; {}",
            tables::counted(rounds as u64, "round"),
            self.stage.cpus.condition()
        );
        let mut facts = self.facts.clone();
        facts.push(("load of the machine at the end", load_average()));
        let setting =
            Setting { contenders: &self.contenders, facts: &facts, window: &window, fill_gb, train_s };
        let mut text = tables::head(setting);
        for section in sections {
            text.push_str(&section.markdown(setting));
        }
        let facts: serde_json::Map<String, Value> =
            facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let sections: Vec<Value> = sections.iter().map(|section| section.json(&self.contenders)).collect();
        let all = json!({ "facts": facts, "window": window, "workloads": sections });
        save(&self.output.join("rivals.md"), &text)?;
        save(&self.output.join("rivals.json"), &format!("{all:#}\n"))?;
        Ok(text)
    }
}

fn save(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}

/// For the line of progress.
fn in_short(outcome: &Outcome) -> String {
    if let Some(why) = &outcome.cannot {
        return format!("cannot: {why}");
    }
    if let Some(fault) = outcome.faults.first() {
        return format!("WRONG: {fault}");
    }
    let shown = outcome.figures.iter().take(2).map(|figure| {
        let value = figure.value.map_or("-".to_owned(), number);
        format!("{} {value} {}", figure.name, figure.unit).trim_end().to_owned()
    });
    shown.collect::<Vec<_>>().join(", ")
}
