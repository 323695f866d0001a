//! Pieces of HTML: what comes from a file is escaped here, always.
use std::fmt::Write as _;

/// Text that can stand between tags and in quoted attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // No control character is legal in a page but these.
            '\n' | '\t' => out.push(character),
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// A table of rows under a head; the first column is words, the others are numbers.
#[derive(Default)]
pub(super) struct Table {
    head: Vec<String>,
    rows: Vec<(String, Vec<Cell>)>,
}

/// One cell, already HTML.
pub(super) struct Cell {
    html: String,
    is_number: bool,
}

/// Words or a number, escaped.
pub(super) fn words(text: &str) -> Cell {
    Cell { html: escaped(text), is_number: false }
}

/// A number, set right.
pub(super) fn figure(text: &str) -> Cell {
    Cell { html: escaped(text), is_number: true }
}

/// HTML that was made here.
pub(super) fn made(html: String) -> Cell {
    Cell { html, is_number: false }
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|word| escaped(word)).collect(), rows: Vec::new() }
    }

    /// Names that are HTML already, after an empty first column.
    pub(super) fn with_head(names: &[String]) -> Self {
        Self { head: std::iter::once(String::new()).chain(names.iter().cloned()).collect(), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push((String::new(), cells));
    }

    /// A row with a class of its own.
    pub(super) fn marked_row(&mut self, class: &str, cells: Vec<Cell>) {
        self.rows.push((class.to_owned(), cells));
    }

    /// Without the column of the results' names, where there is one result.
    pub(super) fn of_results(mut self, count: usize) -> Self {
        if count < 2 {
            self.head.remove(0);
            for (_, cells) in &mut self.rows {
                cells.remove(0);
            }
        }
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table, in a frame that scrolls sideways where the page is narrow.
    pub(super) fn html(&self) -> String {
        let mut out = String::from("<div class=\"scroll\" tabindex=\"0\"><table>");
        if !self.head.is_empty() {
            out.push_str("<thead><tr>");
            for (place, head) in self.head.iter().enumerate() {
                let is_number = self
                    .rows
                    .first()
                    .and_then(|(_, cells)| cells.get(place))
                    .is_some_and(|cell| cell.is_number);
                let _ = write!(
                    out,
                    "<th scope=\"col\"{}>{head}</th>",
                    if is_number { " class=\"n\"" } else { "" }
                );
            }
            out.push_str("</tr></thead>");
        }
        out.push_str("<tbody>");
        for (class, cells) in &self.rows {
            let _ =
                if class.is_empty() { write!(out, "<tr>") } else { write!(out, "<tr class=\"{class}\">") };
            for (place, cell) in cells.iter().enumerate() {
                let _ = match (place, cell.is_number) {
                    (0, false) => write!(out, "<th scope=\"row\">{}</th>", cell.html),
                    (0, true) => write!(out, "<th scope=\"row\" class=\"n\">{}</th>", cell.html),
                    (_, true) => write!(out, "<td class=\"n\">{}</td>", cell.html),
                    (_, false) => write!(out, "<td>{}</td>", cell.html),
                };
            }
            out.push_str("</tr>");
        }
        out.push_str("</tbody></table></div>");
        out
    }
}

/// Milliseconds since 1970 as a date and time of day, UTC.
pub(super) fn utc(unix_ms: i64) -> String {
    let (days, second) = (unix_ms.div_euclid(86_400_000), unix_ms.div_euclid(1000).rem_euclid(86_400));
    // Days since 1 March of the year 0: leap days then come last in a year, and 400 years are alike.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
    format!("{}-{month:02}-{date:02} {:02}:{:02} UTC", era * 400 + year, second / 3600, second / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_file_ends_a_tag_or_an_attribute() {
        assert_eq!(
            escaped("<b class=\"x\">a & 'b'</b>\u{0}"),
            "&lt;b class=&quot;x&quot;&gt;a &amp; &#39;b&#39;&lt;/b&gt;\u{fffd}"
        );
    }

    #[test]
    fn days_of_the_calendar_are_right() {
        // `date -u -d @SECONDS`
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00 UTC");
        assert_eq!(utc(1_764_121_139_000), "2025-11-26 01:38 UTC");
        assert_eq!(utc(-1), "1969-12-31 23:59 UTC");
    }
}
