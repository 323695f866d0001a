//! What groups may hold together.

use std::cell::Cell;
use std::rc::Rc;

/// What the groups of one shard hold together; every partition of the shard has the same.
#[derive(Clone, Debug, Default)]
pub struct Budget(Rc<BudgetCells>);

#[derive(Debug, Default)]
struct BudgetCells {
    groups: Cell<usize>,
    bytes: Cell<usize>,
}

impl Budget {
    /// Groups in memory.
    pub fn groups(&self) -> usize {
        self.0.groups.get()
    }

    /// Bytes of members and offsets in memory.
    pub fn bytes(&self) -> usize {
        self.0.bytes.get()
    }

    pub(super) fn count(&self, groups_before: usize, groups: usize) {
        self.0.groups.set(self.0.groups.get() + groups - groups_before);
    }

    pub(super) fn weigh(&self, bytes_before: usize, bytes: usize) {
        self.0.bytes.set(self.0.bytes.get() + bytes - bytes_before);
    }
}
