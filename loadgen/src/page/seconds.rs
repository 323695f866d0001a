//! What happened second by second: throughput and latency, where a stall shows that a total hides.
use super::plot::{Axis, Border, Line, Plot, Stroke};
use super::scale::{Scale, Words};
use super::section;
use crate::saved::{Run, Saved, Second};

/// One of the series of a run.
struct Kind {
    heading: &'static str,
    unit: &'static str,
    of: fn(&Run) -> &Vec<Second>,
}

const KINDS: [Kind; 3] = [
    Kind { heading: "Second by second: sending", unit: "records", of: |run| &run.produce_series },
    Kind { heading: "Second by second: reading", unit: "records", of: |run| &run.consume_series },
    Kind { heading: "Second by second: commits", unit: "commits", of: |run| &run.group_series },
];

/// Throughput and latency over time, for each half that was run.
pub(super) fn html(results: &[Saved]) -> String {
    KINDS.iter().map(|kind| kind_html(kind, results)).collect()
}

/// One value of a second.
struct Measure {
    words: &'static str,
    /// Where it is drawn beside others of the same result.
    colour: usize,
    stroke: Stroke,
    of: fn(&Second) -> f64,
}

const RATE: Measure =
    Measure { words: "throughput", colour: 0, stroke: Stroke::Full, of: |second| second.records as f64 };
const ERRORS: Measure =
    Measure { words: "errors", colour: 1, stroke: Stroke::Full, of: |second| second.errors as f64 };
const LATENCIES: [Measure; 3] = [
    Measure { words: "max", colour: 1, stroke: Stroke::Dotted, of: |second| second.max_us },
    Measure { words: "p99", colour: 0, stroke: Stroke::Full, of: |second| second.p99_us },
    Measure { words: "p50", colour: 2, stroke: Stroke::Dashed, of: |second| second.p50_us },
];

/// The seconds of one result, with its number.
type Numbered<'all> = (usize, &'all [Second]);

fn kind_html(kind: &Kind, results: &[Saved]) -> String {
    let all = results.iter().map(|saved| (kind.of)(&saved.run)).enumerate();
    // The last second is rarely a whole one.
    let series: Vec<Numbered<'_>> = all
        .filter(|(_, series)| series.len() > 2)
        .map(|(index, series)| (index, &series[..series.len() - 1]))
        .collect();
    if series.is_empty() {
        return String::new();
    }
    let plot = |title: &str, measures: &[Measure], is_latency: bool| {
        let lines = lines(results, &series, measures, is_latency);
        let is_empty = lines.iter().all(|line| line.points.iter().all(|(_, y)| y.is_none()));
        let about = format!("{}: {title}, over time", kind.heading);
        if is_empty { String::new() } else { drawn(about, title, results, lines, is_latency) }
    };
    let mut content = plot(&format!("{} a second", kind.unit), &[RATE], false);
    if results.len() == 1 {
        content.push_str(&plot("latency, logarithmic", &LATENCIES, true));
    } else {
        // All three of several results in one plot could not be told apart.
        for (place, measure) in LATENCIES.iter().enumerate().rev() {
            content.push_str(&plot(
                &format!("{}, logarithmic", measure.words),
                &LATENCIES[place..=place],
                true,
            ));
        }
    }
    if series.iter().any(|(_, series)| series.iter().any(|second| second.errors > 0)) {
        content.push_str(&plot("errors a second", &[ERRORS], false));
    }
    let note = "All of the run, warm-up included; seconds count from its start.";
    section(kind.heading, note, &content)
}

fn lines(results: &[Saved], series: &[Numbered<'_>], measures: &[Measure], is_latency: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    for (index, series) in series {
        for measure in measures {
            let value =
                |second: &Second| Some((measure.of)(second)).filter(|value| !is_latency || *value > 0.0);
            let several = results.len() > 1;
            lines.push(Line {
                name: if several { results[*index].name.clone() } else { measure.words.to_owned() },
                colour: if several { *index } else { measure.colour },
                stroke: if several { Stroke::Full } else { measure.stroke },
                points: series.iter().map(|second| (second.at_s as f64, value(second))).collect(),
                marks: Vec::new(),
            });
        }
    }
    lines
}

fn drawn(about: String, title: &str, results: &[Saved], lines: Vec<Line>, is_latency: bool) -> String {
    let values = || lines.iter().flat_map(|line| line.points.iter().filter_map(|(_, y)| *y));
    let last = lines.iter().flat_map(|line| &line.points).map(|(x, _)| *x).fold(1.0, f64::max);
    let mut warm_ups: Vec<f64> =
        results.iter().filter_map(|saved| saved.run.setting("/common/warm_up_s")?.as_f64()).collect();
    warm_ups.sort_by(f64::total_cmp);
    warm_ups.dedup();
    // Several ends of warm-ups, or restarts of several, in one plot would not say whose they are.
    let mut borders = match warm_ups.as_slice() {
        [one] if *one > 0.0 && *one < last => {
            vec![Border { at: *one, text: "measured from here".to_owned() }]
        }
        _ => Vec::new(),
    };
    if let [one] = results {
        let restarts = one.run.crash.iter().flat_map(|crash| &crash.restarts);
        // The plot has no room for words at each of them; the table below has the times.
        borders.extend(restarts.map(|restart| Border { at: restart.at_s, text: String::new() }));
    }
    Plot {
        about,
        x: Axis {
            title: "seconds from the start of the run".to_owned(),
            scale: Scale::Linear { low: 0.0, high: last },
            words: Words::Count,
        },
        y: Axis {
            title: title.to_owned(),
            scale: if is_latency { Scale::around(values()) } else { Scale::from_zero(values()) },
            words: if is_latency { Words::Time } else { Words::Count },
        },
        lines,
        borders,
    }
    .html()
}
