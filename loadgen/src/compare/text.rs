//! A comparison as a table.
use std::fmt::Write as _;

use super::{Comparison, Judgement, Verdict};
use crate::quantity::{percent, quantity};

const HEAD: [&str; 8] = ["figure", "base", "spread", "with", "spread", "change %", "between %", "p"];

/// The whole table. Writing into a String cannot fail, so the results of `write!` say nothing.
pub fn text(comparison: &Comparison) -> String {
    let mut out = String::new();
    let _ = if comparison.paired {
        writeln!(out, "{} pairs, Wilcoxon's signed ranks", comparison.base_count)
    } else {
        writeln!(out, "{} runs against {}, Mann-Whitney", comparison.base_count, comparison.with_count)
    };
    let _ = writeln!(
        out,
        "margin {} %; the table errs in at most {} % of cases, a figure in {:.2} %; spread: the middle half of the runs\n",
        comparison.margin * 100.0,
        comparison.error * 100.0,
        comparison.figure_error * 100.0
    );
    let rows: Vec<([String; 8], String)> =
        comparison.judgements.iter().map(|found| (cells(found), words(comparison, found))).collect();
    let mut widths = HEAD.map(str::len);
    for (cells, _) in &rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    write_row(&mut out, &HEAD.map(str::to_owned), "verdict", &widths);
    for (cells, verdict) in &rows {
        write_row(&mut out, cells, verdict, &widths);
    }
    if !comparison.notes.is_empty() {
        out.push('\n');
    }
    for note in &comparison.notes {
        let _ = writeln!(out, "note: {note}");
    }
    out
}

fn write_row(out: &mut String, cells: &[String; 8], verdict: &str, widths: &[usize; 8]) {
    for (place, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let _ = if place == 0 { write!(out, "{cell:<width$}") } else { write!(out, "  {cell:>width$}") };
    }
    let _ = writeln!(out, "  {verdict}");
}

fn cells(found: &Judgement) -> [String; 8] {
    let (figure, spread) = (&found.figure, |share: f64| format!("{:.1} %", share * 100.0));
    let (change, range) = match &found.change {
        Some(change) => {
            (percent(change.middle), format!("{} .. {}", percent(change.low), percent(change.high)))
        }
        None => ("-".to_owned(), "-".to_owned()),
    };
    [
        figure.title.to_owned(),
        quantity(found.base.median, figure.unit),
        spread(found.base.middle_half),
        quantity(found.with.median, figure.unit),
        spread(found.with.middle_half),
        change,
        range,
        if found.p < 0.0001 { "<0.0001".to_owned() } else { format!("{:.4}", found.p) },
    ]
}

fn words(comparison: &Comparison, found: &Judgement) -> String {
    match &found.verdict {
        Verdict::Better => "better".to_owned(),
        Verdict::Worse => "WORSE".to_owned(),
        Verdict::Same { bound } => format!("no difference larger than {:.1} %", bound * 100.0),
        Verdict::CannotTell { needed } => {
            let runs = if comparison.paired { "pairs" } else { "runs a side" };
            let count = comparison.base_count.min(comparison.with_count);
            // Below the fewest that can tell, the count is known; above it, estimated from the spread.
            let about = if found.change.is_none() { "" } else { "about " };
            format!("cannot tell: {about}{needed} {runs} needed, {count} given")
        }
    }
}
