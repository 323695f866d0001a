//! Latency by percentile: one plot and one table for each kind of latency, counted from the intended time and from the sending.
use super::markup::{Table, figure, made, words};
use super::plot::{Axis, Line, Plot, Stroke};
use super::scale::{Scale, Words};
use super::{named, section};
use crate::quantity::{grouped, time};
use crate::saved::{Latency, Run, Saved};

const COLUMNS: [&str; 6] = ["p50", "p90", "p99", "p99.9", "p99.99", "p99.999"];

/// One kind of latency: its name, what it counts from, and where it lies.
struct Kind {
    heading: &'static str,
    note: &'static str,
    rows: &'static [Row],
}

/// One way to count it.
struct Row {
    words: &'static str,
    stroke: Option<Stroke>,
    of: fn(&Run) -> Option<&Latency>,
}

const fn drawn(words: &'static str, stroke: Stroke, of: fn(&Run) -> Option<&Latency>) -> Row {
    Row { words, stroke: Some(stroke), of }
}

const fn told(words: &'static str, of: fn(&Run) -> Option<&Latency>) -> Row {
    Row { words, stroke: None, of }
}

const INTENDED: &str = "from the intended time";
const SENT: &str = "service time, from the sending";

const KINDS: &[Kind] = &[
    Kind {
        heading: "From the sender to the reader",
        note: "Per record. Counted from the intended time a stall of the broker shows in everything that was due in it; counted from the sending it shows only in what was under way.",
        rows: &[
            drawn(INTENDED, Stroke::Full, |run| run.end_to_end_latency.as_ref()),
            drawn(SENT, Stroke::Dashed, |run| run.end_to_end_service.as_ref()),
        ],
    },
    Kind {
        heading: "Acknowledgement",
        note: "Per record. Latency counts from the time at which the record was meant to leave, service time from the sending of its batch: the distance between them is what senders wait and many tools leave out.",
        rows: &[
            drawn(INTENDED, Stroke::Full, |run| {
                run.produce.as_ref().filter(|p| p.open_loop).map(|p| &p.latency)
            }),
            drawn("closed loop, from the making of the batch", Stroke::Full, |run| {
                run.produce.as_ref().filter(|p| !p.open_loop).map(|p| &p.latency)
            }),
            drawn(SENT, Stroke::Dashed, |run| run.produce.as_ref().map(|produce| &produce.service)),
            told("of it waiting to be sent", |run| {
                run.produce.as_ref().filter(|p| p.open_loop).map(|p| &p.wait)
            }),
            told("waiting for the generator alone", |run| {
                Some(&run.produce.as_ref()?.schedule.as_ref()?.own_wait)
            }),
        ],
    },
    Kind {
        heading: "Fetch",
        note: "Per record read, from asking for the answer that had it to its last byte; the broker's waiting for new records is part of it.",
        rows: &[drawn("fetch", Stroke::Full, |run| {
            run.consume.as_ref().map(|consume| &consume.fetch_latency)
        })],
    },
    Kind {
        heading: "Commits of groups",
        note: "Offsets committed at a rate.",
        rows: &[
            drawn(INTENDED, Stroke::Full, |run| run.group.as_ref().map(|group| &group.commit_latency)),
            drawn(SENT, Stroke::Dashed, |run| run.group.as_ref().map(|group| &group.commit_service)),
        ],
    },
    Kind {
        heading: "Groups",
        note: "Stop the world: time without a reader, by partition and rebalance. Join and sync wait for other members, too.",
        rows: &[
            drawn("stop the world", Stroke::Full, |run| {
                run.group.as_ref().map(|group| &group.stop_the_world)
            }),
            drawn("join", Stroke::Dashed, |run| run.group.as_ref().map(|group| &group.join_latency)),
            drawn("sync", Stroke::Dotted, |run| run.group.as_ref().map(|group| &group.sync_latency)),
            told("heartbeat", |run| run.group.as_ref().map(|group| &group.heartbeat_latency)),
        ],
    },
];

/// All kinds that a result has.
pub(super) fn html(results: &[Saved]) -> String {
    let mut out: String = KINDS.iter().map(|kind| kind_html(kind, results)).collect();
    out.push_str(&events(results));
    out
}

/// The rows of a kind, for each result that has them.
fn measured<'all>(kind: &'all Kind, results: &'all [Saved]) -> Vec<(usize, &'all Row, &'all Latency)> {
    let of = |(index, saved): (usize, &'all Saved)| {
        kind.rows.iter().filter_map(move |row| {
            (row.of)(&saved.run).filter(|latency| latency.is_measured()).map(|latency| (index, row, latency))
        })
    };
    results.iter().enumerate().flat_map(of).collect()
}

fn kind_html(kind: &Kind, results: &[Saved]) -> String {
    let found = measured(kind, results);
    if found.is_empty() {
        return String::new();
    }
    let lines: Vec<Line> = found
        .iter()
        .enumerate()
        .filter_map(|(place, (index, row, latency))| {
            // Colours are for results; where there is one, they tell its rows apart.
            let colour = if results.len() > 1 { *index } else { place };
            line(results, *index, colour, row, latency)
        })
        .collect();
    let places = || lines.iter().flat_map(|line| &line.points);
    let nines = places().map(|(x, _)| *x).fold(1.0, f64::max);
    let plot = Plot {
        about: format!(
            "{}: latency by percentile, both on logarithmic axes. The table below has the values.",
            kind.heading
        ),
        x: Axis {
            title: "percentile (logarithm of 1 / (1 \u{2212} p))".to_owned(),
            scale: Scale::Nines { high: nines * 1.02 },
            words: Words::Count,
        },
        y: Axis {
            title: "latency, logarithmic".to_owned(),
            scale: Scale::around(places().filter_map(|(_, y)| *y)),
            words: Words::Time,
        },
        lines,
        borders: Vec::new(),
    };
    section(kind.heading, kind.note, &(plot.html() + &table(results, &found)))
}

/// From the least to the worst, through every percentile that the samples tell.
fn line(results: &[Saved], index: usize, colour: usize, row: &Row, latency: &Latency) -> Option<Line> {
    let stroke = row.stroke?;
    let (mut points, mut marks) =
        (vec![(0.0, Some(latency.min_us))], vec![format!("least: {}", time(latency.min_us))]);
    for percentile in &latency.percentiles {
        if let (Some(beyond), Some(us)) = (percentile.beyond(), percentile.us) {
            points.push((-beyond.log10(), Some(us)));
            marks.push(format!("{}: {}", percentile.name, time(us)));
        }
    }
    points.push(((latency.samples as f64).log10(), Some(latency.max_us)));
    marks.push(format!("max: {}", time(latency.max_us)));
    let name = if results.len() > 1 {
        format!("{}: {}", results[index].name, row.words)
    } else {
        row.words.to_owned()
    };
    Some(Line { name, colour, stroke, points, marks })
}

fn table(results: &[Saved], found: &[(usize, &Row, &Latency)]) -> String {
    let mut head = vec![""];
    head.extend(COLUMNS);
    head.extend(["max", "samples"]);
    let mut table = Table::new(&head);
    for (index, row, latency) in found {
        let name = if results.len() > 1 {
            format!("{}: {}", named(results, *index), row.words)
        } else {
            row.words.to_owned()
        };
        let mut cells = vec![made(name)];
        cells.extend(COLUMNS.map(|name| figure(&latency.at(name).map_or("-".to_owned(), time))));
        cells.push(figure(&time(latency.max_us)));
        cells.push(figure(&grouped(latency.samples as f64)));
        table.marked_row(if row.stroke.is_none() { "minor" } else { "" }, cells);
    }
    table.html()
}

/// What each line of a group's script brought about.
fn events(results: &[Saved]) -> String {
    let mut table = Table::new(&["result", "event", "p50", "p99", "max", "groups", "never stable"]);
    for (index, saved) in results.iter().enumerate() {
        for event in saved.run.group.iter().flat_map(|group| &group.events) {
            let latency = &event.time_to_stable;
            table.row(vec![
                made(named(results, index)),
                words(&event.event),
                figure(&latency.at("p50").map_or("-".to_owned(), time)),
                figure(&latency.at("p99").map_or("-".to_owned(), time)),
                figure(&if latency.is_measured() { time(latency.max_us) } else { "-".to_owned() }),
                figure(&grouped(latency.samples as f64)),
                figure(&grouped(event.never_stable as f64)),
            ]);
        }
    }
    if table.is_empty() {
        return String::new();
    }
    let note = "From the last member that acted to the next assignment in which every partition has exactly one reader, by group.";
    section("Time to a stable assignment", note, &table.of_results(results.len()).html())
}
