//! The walls between the rooms of this repository, held by reading its own source.

use harness::source::{Source, rust_sources};

/// Where glommio may be named: the shells that move bytes, and nothing that decides.
const GLOMMIO_ROOMS: [&str; 6] = [
    "engine/src/io/",
    "engine/src/shard/",
    "server/src/net/",
    "server/src/route/",
    "server/src/main.rs",
    "benches/",
];

const LINES_MAX: usize = 800;

/// Every source for which `wrong` finds a fault, with it.
fn faults(wrong: impl Fn(&Source) -> Option<String>) -> Vec<String> {
    let fault = |source: &Source| wrong(source).map(|fault| format!("{}: {fault}", source.path));
    rust_sources().iter().filter_map(fault).collect()
}

/// The code of a line: without a comment at its end or a string's content being looked at too closely.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

fn first_code(source: &Source, word: &str) -> Option<String> {
    let found = source.text.lines().enumerate().find(|(_, line)| names(code(line), word));
    found.map(|(number, line)| format!("line {}: {}", number + 1, line.trim()))
}

/// Whether `code` holds `word` as a word of its own.
fn names(code: &str, word: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(is_word) && !code[at + word.len()..].starts_with(is_word))
}

#[test]
fn every_file_begins_with_its_door_sign() {
    let missing = faults(|source| (!source.text.starts_with("//! ")).then(|| "no //! header".to_string()));
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn no_file_is_longer_than_800_lines() {
    let long = faults(|source| {
        let lines = source.text.lines().count();
        (lines > LINES_MAX).then(|| format!("{lines} lines"))
    });
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn glommio_is_named_only_where_bytes_move() {
    let elsewhere = faults(|source| {
        let allowed =
            GLOMMIO_ROOMS.iter().any(|room| source.path.starts_with(room)) || source.path == "tests/rooms.rs";
        if allowed { None } else { first_code(source, "glommio") }
    });
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
}

#[test]
fn the_engine_knows_no_server() {
    let faults =
        faults(
            |source| {
                if source.path.starts_with("engine/") { first_code(source, "thalweg_server") } else { None }
            },
        );
    assert!(faults.is_empty(), "{faults:#?}");
    let manifest = std::fs::read_to_string(harness::scratch::repository().join("engine/Cargo.toml")).unwrap();
    let ours = manifest.lines().find(|line| line.starts_with("thalweg-"));
    assert_eq!(ours, None, "the engine depends on nothing else of ours");
}

#[test]
fn the_wire_decides_nothing_and_moves_nothing() {
    let faults = faults(|source| {
        let pure = [
            "server/src/wire/",
            "engine/src/batch/",
            "engine/src/log/",
            "engine/src/segment/",
            "engine/src/journal/",
        ];
        if pure.iter().any(|room| source.path.starts_with(room)) {
            first_code(source, "TcpStream").or_else(|| first_code(source, "SystemTime"))
        } else {
            None
        }
    });
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn nothing_is_left_undone() {
    // Put together here, so that this file does not find itself.
    let words = [["to", "do!"], ["unimple", "mented!"], ["FIX", "ME"], ["TO", "DO"], ["XX", "X"]]
        .map(|word| word.concat());
    let left = faults(|source| {
        let line = |word: &String| {
            let bare = word.trim_end_matches('!');
            let found = source.text.lines().enumerate().find(|(_, line)| {
                if word.ends_with('!') { line.contains(word.as_str()) } else { names(line, bare) }
            });
            found.map(|(number, line)| format!("line {}: {}", number + 1, line.trim()))
        };
        words.iter().find_map(line)
    });
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn unsafe_code_is_only_in_the_engines_io_and_where_rings_are_made() {
    let elsewhere = faults(|source| {
        // The fuzzer counts what its targets allocate, and gives the library counters of its own: neither an allocator nor
        // the name of a section can be written without the word.
        let counting = ["fuzz/src/memory.rs", "fuzz/src/lib.rs"].contains(&source.path.as_str());
        let named = ["tests/rooms.rs", "server/src/rings.rs"].contains(&source.path.as_str());
        let allowed = source.path.starts_with("engine/src/io/") || named || counting;
        if allowed { None } else { first_code(source, "unsafe") }
    });
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
}
