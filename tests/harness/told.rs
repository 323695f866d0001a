//! A decoded answer as a few lines of text, without what is different in every run.
//!
//! Read from the `Debug` form of `kafka-protocol`'s structures, so that no field of any answer can be forgotten:
//! ```text
//! Answer { topics: [Topic { name: TopicName("a"), error_code: 0 }], unknown_tagged_fields: {} }
//!   ->  topics: [
//!         name: "a", error_code: 0
//!       ]
//! ```

use std::fmt::Write;

/// Ids that were met, so that one and the same is called the same.
#[derive(Debug, Default)]
pub struct Names {
    ids: Vec<String>,
}

impl Names {
    fn id(&mut self, id: &str) -> String {
        if id.chars().all(|c| matches!(c, '0' | '-')) {
            return "none".to_string();
        }
        let known = self.ids.iter().position(|known| known == id);
        let number = known.unwrap_or_else(|| {
            self.ids.push(id.to_string());
            self.ids.len() - 1
        });
        format!("id-{}", number + 1)
    }
}

/// One value of the `Debug` form.
#[derive(Debug)]
enum Value {
    /// A number, a name, a uuid.
    Atom(String),
    /// With its quotes.
    Text(String),
    Fields(Vec<(String, Value)>),
    Tuple(String, Vec<Value>),
    List(Vec<Value>),
}

/// Fields whose words are a broker's own.
const WORDS: [&str; 4] = ["error_message", "documentation", "batch_index_error_message", "message"];
/// Fields that say nothing here.
const SILENT: [&str; 2] = ["unknown_tagged_fields", "throttle_time_ms"];

/// The answer as text.
///
/// # Panics
/// If it is not in the `Debug` form.
pub fn told(debug: &str, names: &mut Names) -> String {
    let mut rest = debug;
    let value = read(&mut rest);
    assert!(rest.trim().is_empty(), "behind the value: {rest}");
    let mut text = String::new();
    print(&value, 0, names, &mut text);
    text.trim_end().to_string()
}

fn read(rest: &mut &str) -> Value {
    *rest = rest.trim_start();
    if rest.starts_with('"') {
        return Value::Text(read_text(rest));
    }
    if rest.starts_with("b\"") {
        *rest = &rest[1..];
        return Value::Text(format!("b{}", read_text(rest)));
    }
    if let Some(behind) = rest.strip_prefix('[') {
        *rest = behind;
        return Value::List(read_until(rest, ']'));
    }
    let end = rest.find([',', ' ', '(', ')', '[', ']', '{', '}']).unwrap_or(rest.len());
    let (name, behind) = rest.split_at(end);
    let name = name.to_string();
    *rest = behind;
    if let Some(behind) = rest.strip_prefix('(') {
        *rest = behind;
        return Value::Tuple(name, read_until(rest, ')'));
    }
    let Some(behind) = rest.trim_start().strip_prefix('{') else { return Value::Atom(name) };
    *rest = behind;
    let mut fields = Vec::new();
    loop {
        *rest = rest.trim_start().trim_start_matches(',').trim_start();
        if let Some(behind) = rest.strip_prefix('}') {
            *rest = behind;
            return Value::Fields(fields);
        }
        let (field, behind) = rest.split_once(':').expect("a field has a value");
        let field = field.trim().to_string();
        *rest = behind;
        fields.push((field, read(rest)));
    }
}

fn read_until(rest: &mut &str, end: char) -> Vec<Value> {
    let mut values = Vec::new();
    loop {
        *rest = rest.trim_start().trim_start_matches(',').trim_start();
        if let Some(behind) = rest.strip_prefix(end) {
            *rest = behind;
            return values;
        }
        values.push(read(rest));
    }
}

fn read_text(rest: &mut &str) -> String {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == '"' && !is_escaped {
            let (text, behind) = rest.split_at(at + 1);
            *rest = behind;
            return text.to_string();
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    panic!("a text without end: {rest}");
}

fn print(value: &Value, depth: usize, names: &mut Names, text: &mut String) {
    match value {
        Value::Atom(atom) if atom.len() == 36 && atom.matches('-').count() == 4 => {
            text.push_str(&names.id(atom));
        }
        Value::Atom(plain) | Value::Text(plain) => text.push_str(plain),
        Value::Tuple(name, values) => match (name.as_str(), values.as_slice()) {
            // `TopicName("a")` is "a", `Some(5)` is 5.
            (_, [one]) => print(one, depth, names, text),
            _ => panic!("a tuple {name}"),
        },
        Value::List(values) if values.iter().any(is_large) => {
            text.push('[');
            for value in values {
                let _ = write!(text, "\n{}", "  ".repeat(depth + 1));
                print(value, depth + 1, names, text);
            }
            let _ = write!(text, "\n{}]", "  ".repeat(depth));
        }
        Value::List(values) => {
            text.push('[');
            for (number, value) in values.iter().enumerate() {
                text.push_str(if number > 0 { ", " } else { "" });
                print(value, depth, names, text);
            }
            text.push(']');
        }
        Value::Fields(fields) => {
            let mut is_first = true;
            for (name, value) in fields.iter().filter(|(name, _)| !SILENT.contains(&name.as_str())) {
                let _ = write!(text, "{}{name}: ", if is_first { "" } else { ", " });
                is_first = false;
                print_field(name, value, depth, names, text);
            }
        }
    }
}

fn is_large(value: &Value) -> bool {
    match value {
        Value::Fields(_) => true,
        Value::Tuple(_, values) => values.iter().any(is_large),
        _ => false,
    }
}

/// A field's value, or a name for it where every run has another.
fn print_field(name: &str, value: &Value, depth: usize, names: &mut Names, text: &mut String) {
    if is_unset(value) {
        return text.push_str("unset");
    }
    let plain = plain(value);
    let called = match name {
        _ if WORDS.contains(&name)
            && plain.as_deref().is_some_and(|plain| plain.len() > 2 && plain.starts_with('"')) =>
        {
            "said"
        }
        "cluster_id" if plain.as_deref() != Some("None") => "the cluster's",
        "port" if plain.as_deref() != Some("-1") => "its port",
        "producer_id" if plain.as_deref() != Some("-1") => "a producer's",
        "session_id" if plain.as_deref() != Some("0") => "a session's",
        "log_append_time_ms" if plain.as_deref() != Some("-1") => "now",
        _ => return print(value, depth, names, text),
    };
    text.push_str(called);
}

/// A structure of numbers that are all -1.
fn is_unset(value: &Value) -> bool {
    let Value::Fields(fields) = value else { return false };
    let mut told = fields.iter().filter(|(name, _)| !SILENT.contains(&name.as_str())).peekable();
    told.peek().is_some() && told.all(|(_, value)| plain(value).as_deref() == Some("-1"))
}

/// What stands in a value without structure.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Atom(plain) | Value::Text(plain) => Some(plain.clone()),
        Value::Tuple(_, values) => values.first().and_then(plain),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_become_lines_and_what_changes_gets_a_name() {
        let debug = r#"A { throttle_time_ms: 0, topics: [T { name: TopicName("a, \"b"), topic_id: 5e0c3bd6-0000-4000-8000-000000000000, error_message: Some("so it is"), ids: [BrokerId(1), BrokerId(2)] }, T { name: TopicName("c"), topic_id: 00000000-0000-0000-0000-000000000000, error_message: None, ids: [] }], cluster_id: Some("x"), leader: L { id: BrokerId(-1), epoch: -1, unknown_tagged_fields: {} }, unknown_tagged_fields: {} }"#;
        let lines = [
            "topics: [",
            r#"  name: "a, \"b", topic_id: id-1, error_message: said, ids: [1, 2]"#,
            r#"  name: "c", topic_id: none, error_message: None, ids: []"#,
            "], cluster_id: the cluster's, leader: unset",
        ];
        assert_eq!(told(debug, &mut Names::default()), lines.join("\n"));
    }
}
