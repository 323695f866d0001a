//! A ladder of rates: latency over the rate offered, and where the knee is.
use super::markup::{Table, figure, words};
use super::plot::{Axis, Border, Line, Plot, Stroke};
use super::scale::{Scale, Words};
use super::{named, section};
use crate::quantity::{grouped, number, time};
use crate::saved::{Ladder, Latency, Part, Saved, Step};

const PERCENTILES: [(&str, Stroke, usize); 3] =
    [("p99.9", Stroke::Dotted, 1), ("p99", Stroke::Full, 0), ("p50", Stroke::Dashed, 2)];

/// One step, and what was measured in it.
type Rung<'run> = (&'run Step, &'run Part);

/// All ladders in one plot, each with a table.
pub(super) fn html(results: &[Saved]) -> String {
    let ladders: Vec<(usize, &Ladder, Vec<Rung<'_>>)> = results
        .iter()
        .enumerate()
        .filter_map(|(index, saved)| {
            let ladder = saved.run.ladder.as_ref()?;
            let mut rungs: Vec<Rung<'_>> = ladder.steps.iter().zip(&saved.run.parts).collect();
            rungs.sort_by(|(one, _), (other, _)| {
                one.offered_records_per_s.total_cmp(&other.offered_records_per_s)
            });
            (!rungs.is_empty()).then_some((index, ladder, rungs))
        })
        .collect();
    let Some((_, first, _)) = ladders.first() else { return String::new() };
    let lines: Vec<Line> =
        ladders.iter().flat_map(|(index, ladder, rungs)| lines(results, *index, ladder, rungs)).collect();
    let borders = ladders.iter().filter_map(|(index, ladder, _)| {
        let text =
            if results.len() > 1 { format!("knee of {}", results[*index].name) } else { "knee".to_owned() };
        Some(Border { at: ladder.knee_records_per_s?, text })
    });
    // The words of several would lie over each other; the table has them.
    let borders = if ladders.len() > 1 { Vec::new() } else { borders.collect() };
    let places = || lines.iter().flat_map(|line| &line.points);
    let plot = Plot {
        about: "Latency over the offered rate. The table below has the values.".to_owned(),
        x: Axis {
            title: "records a second offered".to_owned(),
            scale: Scale::from_zero(places().map(|(x, _)| *x)),
            words: Words::Count,
        },
        y: Axis {
            title: "latency, logarithmic".to_owned(),
            scale: Scale::around(places().filter_map(|(_, y)| *y)),
            words: Words::Time,
        },
        lines,
        borders,
    };
    let tables: String =
        ladders.iter().map(|(index, ladder, rungs)| table(results, *index, ladder, rungs)).collect();
    let of = if first.measured == "end_to_end" { "from sender to reader" } else { "to the acknowledgement" };
    let follows = if ladders.iter().all(|(_, ladder, _)| ladder.knee_records_per_s.is_none()) {
        "no step was kept here"
    } else {
        "what follows on this page was measured there"
    };
    let note = format!(
        "Latency {of}, from the intended time. A step is kept if p99 stays within {} and {} % of the rate is acknowledged; \
         the knee is the highest rate that is kept, and {}.",
        time(first.p99_max_ms * 1e3),
        number(first.kept_percent),
        follows
    );
    section("Latency over rate", &note, &(plot.html() + &tables))
}

fn latency<'run>(ladder: &Ladder, part: &'run Part) -> Option<&'run Latency> {
    if ladder.measured == "end_to_end" {
        part.end_to_end_latency.as_ref()
    } else {
        part.produce.as_ref().map(|produce| &produce.latency)
    }
}

/// Of a single ladder three percentiles, of several p99 alone.
fn lines(results: &[Saved], index: usize, ladder: &Ladder, rungs: &[Rung<'_>]) -> Vec<Line> {
    let several = results.len() > 1;
    let shown = PERCENTILES.iter().filter(|(name, ..)| !several || *name == "p99");
    let line = |(name, stroke, colour): &(&str, Stroke, usize)| {
        let at = |part| latency(ladder, part).and_then(|latency| latency.at(name));
        let told = |step: &Step, us: Option<f64>| {
            let why = if step.kept { "kept".to_owned() } else { step.reasons.join(", ") };
            let us = us.map_or("-".to_owned(), time);
            format!("{} records/s: {name} {us}; {why}", grouped(step.offered_records_per_s))
        };
        Line {
            name: if several { format!("{}: {name}", results[index].name) } else { (*name).to_owned() },
            colour: if several { index } else { *colour },
            stroke: *stroke,
            points: rungs.iter().map(|(step, part)| (step.offered_records_per_s, at(part))).collect(),
            marks: rungs.iter().map(|(step, part)| told(step, at(part))).collect(),
        }
    };
    shown.map(line).collect()
}

fn table(results: &[Saved], index: usize, ladder: &Ladder, rungs: &[Rung<'_>]) -> String {
    let mut table = Table::new(&["offered /s", "acknowledged /s", "p50", "p99", "p99.9", "max", ""]);
    for (step, part) in rungs {
        let latency = latency(ladder, part);
        let at = |name| latency.and_then(|latency| latency.at(name)).map_or("-".to_owned(), time);
        let class = if ladder.knee_records_per_s == Some(step.offered_records_per_s) { "knee" } else { "" };
        let verdict = match (class, step.kept) {
            ("knee", _) => "kept: the knee".to_owned(),
            (_, true) => "kept".to_owned(),
            (_, false) => step.reasons.join(", "),
        };
        table.marked_row(
            class,
            vec![
                figure(&grouped(step.offered_records_per_s)),
                figure(&number(step.achieved_records_per_s)),
                figure(&at("p50")),
                figure(&at("p99")),
                figure(&at("p99.9")),
                figure(&latency.map_or("-".to_owned(), |latency| time(latency.max_us))),
                words(&verdict),
            ],
        );
    }
    let heading =
        if results.len() > 1 { format!("<h3>{}</h3>", named(results, index)) } else { String::new() };
    heading + &table.html()
}
