//! Planted faults: small changes of the engine that the lives on simulated disks must find, kept outside its code.
//!
//! `tests/planted/faults.txt` lists them; each names a text that stands exactly once in a source file, and what would stand
//! there instead. `tests/campaign planted` has this module write a copy of the engine in which both stand, and the name of
//! a fault in `THALWEG_PLANTED` chooses:
//! ```text
//! file.sync().await?;  ->  if crate::planted("a name") { <other> } else { file.sync().await?; }
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One fault as the list has it.
struct Fault {
    name: String,
    file: String,
    text: String,
    other: String,
}

/// What every copy's crate root ends with.
const SWITCH: &str = r#"
/// Whether this fault is planted.
pub(crate) fn planted(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("THALWEG_PLANTED").ok()).as_deref() == Some(name)
}
"#;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn faults() -> Vec<Fault> {
    let list = std::fs::read_to_string(repository().join("tests/planted/faults.txt")).unwrap();
    list.split("\n== ").skip(1).map(fault).collect()
}

/// `name`, what it does, the file, then the two texts.
fn fault(entry: &str) -> Fault {
    let (head, texts) = entry.split_once("\n-- text\n").unwrap_or_else(|| panic!("no text: {entry}"));
    let (text, other) =
        texts.split_once("\n-- instead\n").unwrap_or_else(|| panic!("no other text: {entry}"));
    let mut lines = head.lines();
    let name = lines.next().unwrap().trim().to_owned();
    let file = lines.next_back().unwrap().trim().to_owned();
    Fault { name, file, text: text.trim().to_owned(), other: other.trim().to_owned() }
}

/// Both texts, and what chooses: as a statement where the first one is one, else as an expression.
fn both(faults: &[&Fault]) -> String {
    let text = &faults[0].text;
    let arm = |fault: &&Fault| format!("if crate::planted({:?}) {{ {} }} else ", fault.name, fault.other);
    let arms = faults.iter().map(arm).collect::<Vec<_>>().concat();
    let choice = format!("{arms}{{ {text} }}");
    if text.ends_with([';', '}']) { choice } else { format!("({choice})") }
}

/// The source file with all of its faults in it.
fn plant(source: &str, faults: &[Fault]) -> Result<String, String> {
    let mut by_place: BTreeMap<usize, Vec<&Fault>> = BTreeMap::new();
    for fault in faults {
        let places: Vec<usize> = source.match_indices(&fault.text).map(|(at, _)| at).collect();
        let [place] = places[..] else {
            return Err(format!("{}: its text stands {} times in {}", fault.name, places.len(), fault.file));
        };
        by_place.entry(place).or_default().push(fault);
    }
    let (mut planted, mut at) = (String::new(), 0);
    for (place, faults) in by_place {
        let end = place + faults[0].text.len();
        if place < at || faults.iter().any(|fault| fault.text != faults[0].text) {
            return Err(format!("{}: its text overlaps another one's", faults[0].name));
        }
        planted += &source[at..place];
        planted += &both(&faults);
        at = end;
    }
    Ok(planted + &source[at..])
}

/// Every source file that has faults, with them in it.
fn planted_files() -> Vec<(String, String)> {
    let mut by_file: BTreeMap<String, Vec<Fault>> = BTreeMap::new();
    for fault in faults() {
        by_file.entry(fault.file.clone()).or_default().push(fault);
    }
    let plant_into = |(file, faults): (String, Vec<Fault>)| {
        let source = std::fs::read_to_string(repository().join(&file)).unwrap();
        (file, plant(&source, &faults).unwrap())
    };
    by_file.into_iter().map(plant_into).collect()
}

#[test]
fn every_planted_fault_still_has_its_place_and_a_name_of_its_own() {
    let faults = faults();
    let names: std::collections::BTreeSet<&str> = faults.iter().map(|fault| fault.name.as_str()).collect();
    assert!(names.len() >= 25 && names.len() == faults.len());
    assert!(!planted_files().is_empty());
}

#[test]
fn a_fault_whose_text_stands_nowhere_or_twice_is_named() {
    let fault = || Fault {
        name: "a name".to_owned(),
        file: "a.rs".to_owned(),
        text: "sync();".to_owned(),
        other: "();".to_owned(),
    };
    let planted = plant("fn f() { sync(); }", &[fault()]).unwrap();
    assert_eq!(planted, r#"fn f() { if crate::planted("a name") { (); } else { sync(); } }"#);
    assert!(plant("fn f() {}", &[fault()]).unwrap_err().contains("stands 0 times"));
    assert!(plant("sync(); sync();", &[fault()]).unwrap_err().contains("stands 2 times"));
}

/// For `tests/campaign planted`: writes the changed files over the copy at `THALWEG_PLANT_INTO`.
#[test]
fn plant_all_of_them_into_a_copy() {
    let Some(copy) = std::env::var_os("THALWEG_PLANT_INTO").map(PathBuf::from) else { return };
    for (file, planted) in planted_files() {
        std::fs::write(copy.join(file), planted).unwrap();
    }
    let root = copy.join("engine/src/lib.rs");
    let text = std::fs::read_to_string(&root).unwrap();
    std::fs::write(root, text + SWITCH).unwrap();
    let names: Vec<String> = faults().into_iter().map(|fault| fault.name).collect();
    std::fs::write(copy.join("names"), names.join("\n") + "\n").unwrap();
}
