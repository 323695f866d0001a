//! The head: what was run, the figures that count, and what stands against believing them.
use std::fmt::Write as _;

use super::markup::{Table, escaped, figure, made, utc};
use super::named;
use crate::quantity::{grouped, number, time};
use crate::saved::{Latency, Run, Saved};

/// A latency of one run, of the kind that says most about it.
struct Main<'run> {
    what: &'static str,
    latency: &'run Latency,
}

/// One mark, good or not.
struct Mark {
    class: &'static str,
    words: String,
}

/// What the page is called.
pub(super) fn title(results: &[Saved]) -> String {
    let mut words: Vec<String> = results.iter().map(|saved| described(&saved.run)).collect();
    words.dedup();
    match (words.as_slice(), results.len()) {
        ([], _) => "Figures over commits".to_owned(),
        ([one], 1) => one.clone(),
        ([one], count) => format!("{count} runs: {one}"),
        (_, count) => format!("{count} runs side by side"),
    }
}

fn described(run: &Run) -> String {
    let topic = run.setting("/common/topic").and_then(|topic| topic.as_str());
    let load = match run.offered_per_s() {
        Some(rate) => format!(" at {} records/s", grouped(rate)),
        None if run.ladder.is_some() => ", a ladder of rates".to_owned(),
        None if run.produce.is_some() => " as fast as answers come".to_owned(),
        None => String::new(),
    };
    let command = if run.command().is_empty() { "run" } else { run.command() };
    let topic = topic.map(|topic| format!(" on {topic}")).unwrap_or_default();
    format!("{command}{topic}{load}")
}

/// Title, figures, marks, warnings.
pub(super) fn html(results: &[Saved], title: &str) -> String {
    let mut starts: Vec<i64> = results.iter().map(|saved| saved.run.start_unix_ms).collect();
    starts.sort_unstable();
    let mut when = starts.first().map(|start| utc(*start)).unwrap_or_default();
    if let Some(last) = starts.last().map(|last| utc(*last)).filter(|last| *last != when) {
        let _ = write!(when, " to {last}");
    }
    if results.is_empty() {
        // A history alone.
        return format!("<header><p class=\"over\">thalweg-loadgen</p><h1>{}</h1></header>", escaped(title));
    }
    let mut out = format!(
        "<header><p class=\"over\">thalweg-loadgen &middot; {}</p><h1>{}</h1>",
        escaped(&when),
        escaped(title)
    );
    out.push_str(&match results {
        [one] => cards(&one.run),
        several => table(several),
    });
    out.push_str(&told(results));
    out.push_str("</header>");
    out
}

/// The latency that counts: to the reader's hands before to the acknowledgement.
fn main_latency(run: &Run) -> Option<Main<'_>> {
    let since = |open: bool| if open { "from the intended time" } else { "closed loop" };
    let found = [
        run.end_to_end_latency.as_ref().map(|latency| ("end to end, from the intended time", latency)),
        run.group.as_ref().map(|group| ("commits, from the intended time", &group.commit_latency)),
        run.produce.as_ref().map(|produce| (since(produce.open_loop), &produce.latency)),
        run.consume.as_ref().map(|consume| ("fetches", &consume.fetch_latency)),
    ];
    let measured = found.into_iter().flatten().find(|(_, latency)| latency.is_measured());
    measured.map(|(what, latency)| Main { what, latency })
}

/// The rate that was reached, and what it is a rate of.
fn reached(run: &Run) -> Option<(f64, &'static str)> {
    let sent = run.produce.as_ref().map(|produce| (produce.rates.records_per_s, "records/s sent"));
    let read = run.consume.as_ref().map(|consume| (consume.rates.records_per_s, "records/s read"));
    let committed = run.group.as_ref().map(|group| (group.commits_per_s, "commits/s"));
    sent.or(read).or(committed)
}

fn card(head: &str, value: &str, under: &str) -> String {
    let (head, value) = (escaped(head), escaped(value));
    format!("<div class=\"card\"><dt>{head}</dt><dd>{value}<small>{}</small></dd></div>", escaped(under))
}

fn cards(run: &Run) -> String {
    let mut out = String::from("<dl class=\"cards\">");
    if let Some(ladder) = &run.ladder {
        let (value, under) = match (ladder.knee_records_per_s, ladder.broken_records_per_s) {
            (Some(knee), Some(broken)) => (grouped(knee), format!("{} are not kept", grouped(broken))),
            (Some(knee), None) => (grouped(knee), "the end of the ladder: the knee lies above".to_owned()),
            (None, Some(broken)) => ("-".to_owned(), format!("below {}", grouped(broken))),
            (None, None) => ("-".to_owned(), "no step was judged".to_owned()),
        };
        out.push_str(&card("knee, records/s", &value, &under));
    }
    if let Some((rate, what)) = reached(run) {
        let under = match run.offered_per_s() {
            Some(offered) => format!("{:.1} % of {} offered", rate / offered * 100.0, grouped(offered)),
            None => "as fast as answers came".to_owned(),
        };
        out.push_str(&card(what, &number(rate), &under));
    }
    if let Some(Main { what, latency }) = main_latency(run) {
        for name in ["p50", "p99", "p99.9"] {
            let (value, under) = match latency.at(name) {
                Some(us) => (time(us), what.to_owned()),
                None => (
                    "-".to_owned(),
                    format!("{} measurements are too few", grouped(latency.measurements as f64)),
                ),
            };
            out.push_str(&card(name, &value, &under));
        }
        let under = format!("of {} samples", grouped(latency.samples as f64));
        out.push_str(&card("max", &time(latency.max_us), &under));
    }
    out.push_str("</dl><p>");
    out.push_str(&badges(run));
    out.push_str("</p>");
    out
}

fn table(results: &[Saved]) -> String {
    let mut table = Table::new(&["result", "offered /s", "reached /s", "p50", "p99", "p99.9", "max", ""]);
    for (index, saved) in results.iter().enumerate() {
        let run = &saved.run;
        let latency = main_latency(run).map(|main| main.latency);
        let at = |name| latency.and_then(|latency| latency.at(name)).map_or("-".to_owned(), time);
        table.row(vec![
            made(named(results, index)),
            figure(&run.offered_per_s().map_or("-".to_owned(), grouped)),
            figure(&reached(run).map_or("-".to_owned(), |(rate, _)| number(rate))),
            figure(&at("p50")),
            figure(&at("p99")),
            figure(&at("p99.9")),
            figure(&latency.map_or("-".to_owned(), |latency| time(latency.max_us))),
            made(badges(run)),
        ]);
    }
    let mut kinds: Vec<&str> =
        results.iter().filter_map(|saved| main_latency(&saved.run)).map(|main| main.what).collect();
    kinds.dedup();
    format!("{}<p class=\"note\">Latencies: {}.</p>", table.html(), escaped(&kinds.join("; ")))
}

fn badges(run: &Run) -> String {
    let mut out = String::new();
    for Mark { class, words } in marks(run) {
        let _ = write!(out, "<span class=\"badge {class}\">{}</span>", escaped(&words));
    }
    out
}

fn marks(run: &Run) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut mark = |class, words: &str| marks.push(Mark { class, words: words.to_owned() });
    if !run.failures.is_empty() {
        mark("bad", "did not go as asked");
    }
    if let Some(produce) = &run.produce {
        match &produce.schedule {
            Some(schedule) if schedule.kept => mark("good", "the generator kept its schedule"),
            Some(_) => mark("bad", "the generator did not keep its schedule"),
            None if !produce.open_loop => mark("warn", "closed loop"),
            None => {}
        }
        if produce.unsent_records > 0 {
            mark("bad", "the offered rate was not reached");
        }
        if produce.refused_records > 0 {
            mark("bad", &format!("records refused: {}", grouped(produce.refused_records as f64)));
        }
        if produce.unknown_records > 0 {
            mark("warn", &format!("records of unknown outcome: {}", grouped(produce.unknown_records as f64)));
        }
    }
    match &run.verdict {
        Some(verdict) if verdict.faults.is_empty() => mark("good", "verified"),
        Some(_) => mark("bad", "the proof failed"),
        None => {}
    }
    if run.group.as_ref().is_some_and(|group| group.missed_records.is_some_and(|missed| missed > 0)) {
        mark("bad", "records reached nobody");
    }
    marks
}

/// Failures, faults and warnings in full; those that all results share are told once.
fn told(results: &[Saved]) -> String {
    let mut lines: Vec<(bool, &str, Vec<&str>)> = Vec::new();
    for saved in results {
        let run = &saved.run;
        let told =
            run.failures.iter().map(|line| (true, line)).chain(run.warnings.iter().map(|line| (false, line)));
        for (is_fault, line) in told {
            match lines.iter_mut().find(|(fault, known, _)| *fault == is_fault && known == line) {
                Some((.., names)) => names.push(&saved.name),
                None => lines.push((is_fault, line, vec![&saved.name])),
            }
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    let mut out = String::from("<ul class=\"told\">");
    for (is_fault, line, names) in lines {
        let class = if is_fault { " class=\"fault\"" } else { "" };
        let who = if names.len() < results.len() {
            format!("<b>{}:</b> ", escaped(&names.join(", ")))
        } else {
            String::new()
        };
        let _ = write!(out, "<li{class}>{who}{}</li>", escaped(line));
    }
    out.push_str("</ul>");
    out
}
