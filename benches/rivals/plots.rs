//! All workloads in three images, for PERF.md: a block of rows for each workload, a row for each broker, a logarithmic axis below.
//!
//! ```text
//!  o Thalweg  [] Kafka             marks differ in colour and shape
//!  Peak produce: batches of 16 KiB
//!  ------------------------o 1.2 M          a rate: one mark
//!  ---------[] 230 k
//!  One partition at half of the peak
//!  ------o====|=====o 2.1 ms                latencies: p50, p99, p99.9
//!        1     10    100  ms
//! ```
//! The colours are those of the load generator's pages; they follow the reader's choice of light or dark.

use crate::contender::Contender;
use crate::tables::Section;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use thalweg_benches::numbers::number;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 12.0;
/// Room for the words behind the last mark.
const RIGHT: f64 = 124.0;
const TITLE: f64 = 22.0;
const LEGEND: f64 = 30.0;
const LABEL: f64 = 24.0;
const ROW: f64 = 17.0;
const AXIS: f64 = 34.0;
/// Width of a letter of 12 pixels, at most.
const LETTER: f64 = 7.5;

const STYLE: &str = "\
svg { --card: #ffffff; --ink: #1d2127; --soft: #5b626c; --grid: #eceae5; --c0: #0067a5; --c1: #bf4e0a; --c2: #00775a; } \
@media (prefers-color-scheme: dark) { svg { --card: #1b1f25; --ink: #e5e8ec; --soft: #a0a7b1; --grid: #272d35; --c0: #62b4ee; --c1: #f08a4b; --c2: #45c79d; } } \
text { font: 12px system-ui, sans-serif; fill: var(--soft); } .title { font-size: 15px; font-weight: 600; fill: var(--ink); } .label { fill: var(--ink); } \
.back { fill: var(--card); } .grid { stroke: var(--grid); } .c0 { --own: var(--c0); } .c1 { --own: var(--c1); } .c2 { --own: var(--c2); } \
.mark { fill: var(--own); } .line { stroke: var(--own); stroke-width: 2; } .stem { stroke: var(--own); stroke-opacity: .25; }";

/// What an image shows of every workload that has it.
struct Image {
    file: &'static str,
    title: &'static str,
    unit: &'static str,
    /// Of workloads whose rate is a plan, or of the others.
    open_loop: bool,
    /// Names of figures; the first set of which a broker has any is its. Several are drawn as one line.
    figures: &'static [&'static [&'static str]],
}

const IMAGES: &[Image] = &[
    Image {
        file: "rates.svg",
        title: "As much as the broker takes: records acknowledged",
        unit: "records/s",
        open_loop: false,
        figures: &[&["acknowledged"]],
    },
    Image {
        file: "cpu.svg",
        title: "The same, by second of the broker's processor time",
        unit: "records by CPU second",
        open_loop: false,
        figures: &[&["records by CPU second of the broker"]],
    },
    Image {
        file: "latencies.svg",
        title: "At the same rate for all: p50, p99, p99.9 from the intended time",
        unit: "ms",
        open_loop: true,
        figures: &[
            &["end to end, p50", "end to end, p99", "end to end, p99.9"],
            &["end to end, p50 without", "end to end, p99 without", "end to end, p99.9 without"],
            &["acknowledgement, p50", "acknowledgement, p99", "acknowledgement, p99.9"],
        ],
    },
];

/// A workload in an image.
struct Block<'all> {
    label: &'all str,
    /// By contender; nothing, if it has no such figure.
    rows: Vec<Vec<f64>>,
}

/// Writes `plots/*.svg` below `output`; an image without anything to show is left out.
pub(crate) fn write(output: &Path, contenders: &[Contender], sections: &[Section<'_>]) -> io::Result<()> {
    let plots = output.join("plots");
    fs::create_dir_all(&plots)?;
    let labels: Vec<&str> = contenders.iter().map(|contender| contender.label).collect();
    for image in IMAGES {
        if let Some(svg) = image.svg(&labels, &image.blocks(contenders.len(), sections)) {
            fs::write(plots.join(image.file), svg)?;
        }
    }
    Ok(())
}

impl Image {
    fn blocks<'all>(&self, contenders: usize, sections: &'all [Section<'_>]) -> Vec<Block<'all>> {
        let wanted = sections.iter().filter(|section| section.records_per_s.is_some() == self.open_loop);
        let block = |section: &'all Section<'_>| {
            let row = |contender| {
                let values = |names: &[&str]| -> Vec<f64> {
                    names.iter().filter_map(|name| section.middle(contender, name)).collect()
                };
                self.figures
                    .iter()
                    .map(|names| values(names))
                    .find(|found| !found.is_empty())
                    .unwrap_or_default()
            };
            Block { label: &section.workload.title, rows: (0..contenders).map(row).collect() }
        };
        wanted.map(block).filter(|block| block.rows.iter().any(|row| !row.is_empty())).collect()
    }

    fn svg(&self, contenders: &[&str], blocks: &[Block<'_>]) -> Option<String> {
        let values =
            || blocks.iter().flat_map(|block| block.rows.iter().flatten()).filter(|value| **value > 0.0);
        let (least, most) = (values().copied().reduce(f64::min)?, values().copied().reduce(f64::max)?);
        let low = least.log10().floor();
        let high = most.log10().ceil().max(low + 1.0);
        let at_power = |power: f64| LEFT + (WIDTH - LEFT - RIGHT) * ((power - low) / (high - low));
        let x = |value: f64| at_power(value.max(least).log10());
        let block_height = LABEL + ROW * contenders.len() as f64;
        let bottom = TITLE + LEGEND + block_height * blocks.len() as f64;
        let height = bottom + AXIS;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
             aria-label=\"{title}, {unit}, by workload and broker, on a logarithmic axis\"><style>{STYLE}</style>\
             <rect class=\"back\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\"/><text class=\"title\" x=\"{LEFT}\" y=\"{TITLE}\">{title}</text>",
            title = escaped(self.title),
            unit = escaped(self.unit),
        );
        // Writing into a String cannot fail, here and below.
        let mut at = LEFT;
        for (place, label) in contenders.iter().enumerate() {
            let y = TITLE + LEGEND - 8.0;
            let _ = write!(
                out,
                "<g class=\"c{}\">{}<text x=\"{:.1}\" y=\"{y:.1}\">{}</text></g>",
                place % 3,
                mark(place, at + 5.0, y - 4.0),
                at + 14.0,
                escaped(label)
            );
            at += 34.0 + label.chars().count() as f64 * LETTER;
        }
        for decade in low as i32..=high as i32 {
            let (at, words) = (at_power(f64::from(decade)), short(10_f64.powi(decade)));
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{at:.1} {:.1}V{bottom:.1}\"/><text text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{words}</text>",
                TITLE + LEGEND,
                at.max(LEFT + 8.0),
                bottom + 16.0
            );
        }
        let _ = write!(
            out,
            "<text text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}, logarithmic</text>",
            WIDTH - LEFT,
            bottom + 30.0,
            escaped(self.unit)
        );
        for (place, block) in blocks.iter().enumerate() {
            let top = TITLE + LEGEND + block_height * place as f64;
            let _ = write!(
                out,
                "<text class=\"label\" x=\"{LEFT}\" y=\"{:.1}\">{}</text>",
                top + LABEL - 8.0,
                escaped(block.label)
            );
            for (contender, row) in block.rows.iter().enumerate() {
                let y = top + LABEL + ROW * (contender as f64 + 0.5) - 2.0;
                let _ = write!(out, "<g class=\"c{}\">", contender % 3);
                write_row(&mut out, contender, y, row, x);
                out.push_str("</g>");
            }
        }
        out.push_str("</svg>\n");
        Some(out)
    }
}

/// One value has a mark; of several the first and the last have one, and those between a stroke.
fn write_row(out: &mut String, contender: usize, y: f64, row: &[f64], x: impl Fn(f64) -> f64) {
    let (Some(first), Some(last)) = (row.first().copied(), row.last().copied()) else {
        let _ = write!(out, "<text x=\"{:.1}\" y=\"{:.1}\">-</text>", LEFT + 2.0, y + 4.0);
        return;
    };
    let _ = write!(out, "<path class=\"stem\" d=\"M{LEFT} {y:.1}H{:.1}\"/>", x(first));
    if row.len() > 1 {
        let _ = write!(out, "<path class=\"line\" d=\"M{:.1} {y:.1}H{:.1}\"/>", x(first), x(last));
        for between in &row[1..row.len() - 1] {
            let _ = write!(out, "<path class=\"line\" d=\"M{:.1} {:.1}v10\"/>", x(*between), y - 5.0);
        }
        out.push_str(&mark(contender, x(last), y));
    }
    out.push_str(&mark(contender, x(first), y));
    let words: Vec<String> = row.iter().map(|value| short(*value)).collect();
    let _ = write!(out, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", x(last) + 9.0, y + 4.0, words.join(" "));
}

fn mark(contender: usize, x: f64, y: f64) -> String {
    let form = match contender % 3 {
        0 => format!("M{:.1} {y:.1}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z", x - 4.0),
        1 => format!("M{:.1} {:.1}h7v7h-7z", x - 3.5, y - 3.5),
        _ => format!("M{x:.1} {:.1}l4.6 8h-9.2z", y - 5.0),
    };
    format!("<path class=\"mark\" d=\"{form}\"/>")
}

/// Three digits that count, thousands and millions by their letters.
fn short(value: f64) -> String {
    let (scaled, letter) = match value {
        value if value >= 1e6 => (value / 1e6, " M"),
        value if value >= 1e3 => (value / 1e3, " k"),
        value => (value, ""),
    };
    let digits = number(scaled);
    let plain =
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
    if plain == "0" { format!("{scaled}") } else { format!("{plain}{letter}") }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn svg(rows: Vec<Vec<f64>>) -> Option<String> {
        IMAGES[2].svg(&["Thalweg", "Kafka"], &[Block { label: "half & <quarter>", rows }])
    }

    #[test]
    fn a_row_has_its_values_in_place_and_in_words() {
        let text = svg(vec![vec![0.1, 1.0, 10.0], vec![]]).unwrap();
        let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
        assert!(text.contains(&format!("<path class=\"line\" d=\"M{middle:.1} ")), "{text}");
        assert!(text.contains(">0.1 1 10</text>") && text.contains(">-</text>"), "{text}");
        assert!(text.contains("half &amp; &lt;quarter&gt;"), "{text}");
        assert_eq!(text.matches("class=\"mark\"").count(), 4, "two in the legend: {text}");
    }

    #[test]
    fn nothing_to_show_is_no_image() {
        assert!(svg(vec![vec![], vec![]]).is_none());
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.01, 0.284, 10.0, 426_540.0, 1_402_924.0, 1000.0].map(short),
            ["0.01", "0.28", "10", "427 k", "1.4 M", "1 k"]
        );
    }
}
