//! One plot as SVG: axes with ticks, lines, marks. Made twice, for a wide page and for a phone, since text in an image shrinks with it.
//!
//! ```text
//!  unit of y
//!  ticks ┬──────────────────  lines, in the colour of their result
//!        └────────────────── ticks
//!                   name of x
//! ```
//! No font can be measured here. Letters are taken as wider than those of any common typeface, so that ticks keep their distance.
use std::fmt::Write as _;

use super::markup::escaped;
use super::scale::{Scale, Words};

const WIDE: (f64, f64) = (760.0, 340.0);
const NARROW: (f64, f64) = (360.0, 300.0);
const FONT: f64 = 12.0;
/// Width of a letter, as a share of the font's size.
const LETTER: f64 = 0.62;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 46.0;
const RIGHT: f64 = 22.0;
/// Distance between ticks of the upright axis, at least.
const TICK_HEIGHT: f64 = 30.0;
/// Colours there are; more results begin again with other shapes.
pub(super) const COLOURS: usize = 6;
const SHAPES: usize = 4;

/// One axis.
pub(super) struct Axis {
    pub(super) title: String,
    pub(super) scale: Scale,
    pub(super) words: Words,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stroke {
    Full,
    Dashed,
    Dotted,
}

/// One line.
#[derive(Clone)]
pub(super) struct Line {
    /// What it shows, in the words of the legend.
    pub(super) name: String,
    /// Number of its colour and shape.
    pub(super) colour: usize,
    pub(super) stroke: Stroke,
    /// Places in the units of the axes; without a value there is a gap.
    pub(super) points: Vec<(f64, Option<f64>)>,
    /// A mark at each point, with these words; none: the line alone.
    pub(super) marks: Vec<String>,
}

/// A line across the plot at a place of the level axis.
pub(super) struct Border {
    pub(super) at: f64,
    pub(super) text: String,
}

/// A plot.
pub(super) struct Plot {
    /// For those who cannot see it.
    pub(super) about: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
    pub(super) borders: Vec<Border>,
}

/// Where the axes lie in one image.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * FONT * LETTER
}

impl Stroke {
    fn class(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Dashed => "dashed",
            Self::Dotted => "dotted",
        }
    }
}

impl Plot {
    /// Legend and both images.
    pub(super) fn html(&self) -> String {
        let legend = self.legend();
        let (wide, narrow) = (self.svg("wide", WIDE), self.svg("narrow", NARROW));
        format!("<figure>{legend}{wide}{narrow}</figure>")
    }

    fn legend(&self) -> String {
        if self.lines.len() < 2 {
            return String::new();
        }
        let mut out = String::from("<figcaption class=\"legend\">");
        for line in &self.lines {
            let mark = if line.marks.is_empty() { String::new() } else { shape(line.colour, 14.0, 6.0, "") };
            let _ = write!(
                out,
                "<span class=\"c{}\"><svg class=\"key\" viewBox=\"0 0 28 12\" aria-hidden=\"true\"><path class=\"line {}\" \
                 d=\"M1 6H27\"/>{mark}</svg>{}</span>",
                line.colour % COLOURS,
                line.stroke.class(),
                escaped(&line.name)
            );
        }
        out.push_str("</figcaption>");
        out
    }

    fn svg(&self, class: &str, (width, height): (f64, f64)) -> String {
        let y_count = ((height - TOP - BOTTOM) / TICK_HEIGHT) as usize;
        let y_ticks = self.y.scale.ticks(y_count, self.y.words);
        let widest = y_ticks.iter().map(|(_, text)| text_width(text)).fold(0.0, f64::max);
        let frame = Frame { left: widest + 12.0, right: width - RIGHT, top: TOP, bottom: height - BOTTOM };
        let mut out = format!(
            "<svg class=\"plot {class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\"{}>",
            escaped(&self.about),
            self.hover(&frame)
        );
        self.write_axes(&mut out, &frame, &y_ticks);
        for border in &self.borders {
            self.write_border(&mut out, &frame, border);
        }
        for line in &self.lines {
            self.write_line(&mut out, &frame, line);
        }
        out.push_str("</svg>");
        out
    }

    /// What the script needs to tell values under the pointer; only for evenly counted time.
    fn hover(&self, frame: &Frame) -> String {
        let Scale::Linear { low, high } = self.x.scale else { return String::new() };
        let (kind, bottom, top) = match self.y.scale {
            Scale::Linear { low, high } => ("linear", low, high),
            Scale::Log { low, high } => ("log", low, high),
            Scale::Nines { .. } | Scale::Names(_) => return String::new(),
        };
        let unit = if self.y.words == Words::Time { "us" } else { "" };
        format!(
            " data-x=\"{:.1} {:.1} {low} {high}\" data-y=\"{:.1} {:.1} {bottom} {top} {kind} {unit}\"",
            frame.left, frame.right, frame.bottom, frame.top
        )
    }

    fn write_axes(&self, out: &mut String, frame: &Frame, y_ticks: &[(f64, String)]) {
        let Frame { left, right, bottom, .. } = frame;
        let _ = write!(out, "<text class=\"title\" x=\"0\" y=\"14\">{}</text>", escaped(&self.y.title));
        for (value, text) in y_ticks {
            let y = frame.y(self.y.scale.place(*value));
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{left:.1} {y:.1}H{right:.1}\"/><text class=\"tick y\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                left - 8.0,
                y + 4.0,
                escaped(text)
            );
        }
        let _ = write!(out, "<path class=\"axis\" d=\"M{left:.1} {bottom:.1}H{right:.1}\"/>");
        let mut free = f64::NEG_INFINITY;
        for (value, text) in self.x_ticks(frame) {
            let (x, half) = (frame.x(self.x.scale.place(value)), text_width(&text) / 2.0);
            // Kept inside of the image at both ends, and away from the tick before.
            let middle = x.clamp(half, right + RIGHT - half);
            if middle - half < free {
                continue;
            }
            free = middle + half + 6.0;
            let _ = write!(
                out,
                "<path class=\"axis\" d=\"M{x:.1} {bottom:.1}v5\"/><text class=\"tick x\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>",
                bottom + 19.0,
                escaped(&text)
            );
        }
        let _ = write!(
            out,
            "<text class=\"title x\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            f64::midpoint(*left, *right),
            bottom + 40.0,
            escaped(&self.x.title)
        );
    }

    fn x_ticks(&self, frame: &Frame) -> Vec<(f64, String)> {
        let room = frame.right - frame.left;
        let widest = match &self.x.scale {
            Scale::Names(names) => names.iter().map(|name| text_width(name)).fold(0.0, f64::max),
            _ => 0.0,
        };
        self.x.scale.ticks((room / (widest + 14.0).max(64.0)) as usize, self.x.words)
    }

    fn write_border(&self, out: &mut String, frame: &Frame, border: &Border) {
        let x = frame.x(self.x.scale.place(border.at));
        let width = text_width(&border.text);
        // Beside the line, on the side with room.
        let (anchor, shift) = if x + 6.0 + width < frame.right { ("start", 6.0) } else { ("end", -6.0) };
        let _ = write!(
            out,
            "<path class=\"border\" d=\"M{x:.1} {:.1}V{:.1}\"/><text class=\"tick\" text-anchor=\"{anchor}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            if border.text.is_empty() { frame.top } else { frame.top - 14.0 },
            frame.bottom,
            x + shift,
            frame.top - 6.0,
            escaped(&border.text)
        );
    }

    fn write_line(&self, out: &mut String, frame: &Frame, line: &Line) {
        let place = |(x, y): (f64, f64)| (frame.x(self.x.scale.place(x)), frame.y(self.y.scale.place(y)));
        let mut path = String::new();
        let mut pen_is_down = false;
        for (x, y) in &line.points {
            let Some(y) = y else {
                pen_is_down = false;
                continue;
            };
            let (x, y) = place((*x, *y));
            // A point between two gaps is a line without length, which only its round ends show.
            let _ = write!(
                path,
                "{}",
                if pen_is_down { format!("L{x:.1} {y:.1}") } else { format!("M{x:.1} {y:.1}h.01") }
            );
            pen_is_down = true;
        }
        let colour = line.colour % COLOURS;
        let _ = write!(
            out,
            "<g class=\"c{colour}\" data-name=\"{}\"><path class=\"line {}\" d=\"{path}\"/>",
            escaped(&line.name),
            line.stroke.class()
        );
        for ((x, y), words) in line.points.iter().zip(&line.marks) {
            if let Some(y) = y {
                let (x, y) = place((*x, *y));
                out.push_str(&shape(line.colour, x, y, words));
            }
        }
        out.push_str("</g>");
    }
}

impl Frame {
    fn x(&self, place: f64) -> f64 {
        self.left + (self.right - self.left) * place
    }

    fn y(&self, place: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * place
    }
}

/// A mark whose form tells results apart where colours do not.
fn shape(colour: usize, x: f64, y: f64, words: &str) -> String {
    let form = match colour % SHAPES {
        0 => format!("M{:.1} {y:.1}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z", x - 3.5),
        1 => format!("M{:.1} {:.1}h6.4v6.4h-6.4z", x - 3.2, y - 3.2),
        2 => format!("M{x:.1} {:.1}l4.2 7.4h-8.4z", y - 4.6),
        _ => format!("M{x:.1} {:.1}l4.4 4.4l-4.4 4.4l-4.4 -4.4z", y - 4.4),
    };
    let title = if words.is_empty() { String::new() } else { format!("<title>{}</title>", escaped(words)) };
    format!("<path class=\"mark\" d=\"{form}\">{title}</path>")
}
