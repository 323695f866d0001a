//! One or several results as a page for people: a single file of HTML with its style, its images and no address of anything else.
//!
//! ```text
//!  results, history -> head, latency, seconds, ladder, history, conditions -> plot -> scale
//!                                     markup: every string of a file is escaped
//! ```
//! A policy in the page itself forbids it to load anything, so that a fault here could not either.
mod conditions;
mod flags;
mod head;
mod history;
mod ladder;
mod latency;
mod markup;
mod plot;
mod resources;
mod scale;
mod seconds;

pub use flags::{ReportError, ReportFlags, write};

use std::fmt::Write as _;

use self::markup::escaped;
use crate::history::Point;
use crate::saved::Saved;

const STYLE: &str = include_str!("style.css");
/// What the page may load: nothing.
const POLICY: &str = include_str!("policy.html");
const HOVER: &str = include_str!("hover.js");

/// The page. Results are drawn over each other, in the order given; `past` is what earlier commits had.
pub fn page(results: &[Saved], past: &[Point]) -> String {
    let title = head::title(results);
    let runs = Saved::unfolded(results);
    let sections = [
        head::html(&runs, &title),
        ladder::html(results),
        latency::html(&runs),
        seconds::html(&runs),
        resources::html(&runs),
        history::html(past),
        conditions::html(&runs),
    ];
    let mut out = String::new();
    // Writing into a String cannot fail, here and in all sections.
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         {POLICY}\
         <link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        escaped(&title)
    );
    for section in sections {
        out.push_str(&section);
        out.push('\n');
    }
    let _ = write!(
        out,
        "<footer>Made by thalweg-loadgen {} at commit {}. Latencies are never averaged; a percentile that the samples cannot tell is left open.</footer>\n\
         </main>\n<script>\n{HOVER}</script>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        escaped(env!("LOADGEN_COMMIT"))
    );
    out
}

/// A section under a heading; nothing, if it holds nothing.
fn section(heading: &str, note: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!(
        "<section><h2>{}</h2><p class=\"note\">{}</p>{content}</section>",
        escaped(heading),
        escaped(note)
    )
}

/// A result's name with its colour, where there are several.
fn named(results: &[Saved], index: usize) -> String {
    let name = escaped(&results[index].name);
    if results.len() < 2 {
        return name;
    }
    format!("<span class=\"swatch c{}\"></span>{name}", index % plot::COLOURS)
}
