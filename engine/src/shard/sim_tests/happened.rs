//! How often each thing happened in the lives of a test: one that never comes shows nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static HAPPENED: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// It happened once more.
pub(super) fn mark(what: &'static str) {
    add(what, 1);
}

pub(super) fn add(what: &'static str, count: u64) {
    HAPPENED.with_borrow_mut(|happened| *happened.entry(what).or_default() += count);
}

/// Forgets what happened before on this thread.
pub(super) fn forget() {
    HAPPENED.with_borrow_mut(BTreeMap::clear);
}

/// How often it happened.
pub(super) fn count(what: &str) -> u64 {
    HAPPENED.with_borrow(|happened| happened.get(what).copied().unwrap_or_default())
}

/// All of it, a line each.
pub(super) fn table() -> String {
    let line = |(what, count): (&&str, &u64)| format!("{count:>9}  {what}");
    HAPPENED.with_borrow(|happened| happened.iter().map(line).collect::<Vec<_>>().join("\n"))
}
