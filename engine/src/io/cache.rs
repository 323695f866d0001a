//! Hot pages of segment files, bounded in bytes; one long scan passes through without emptying it.
//!
//! ```text
//! miss -> probation (first in, first out) --asked for again--> protected (least recently used leaves)
//! ```
//! A page read once leaves from probation; only a page asked for twice displaces what others use. Owned by one shard.

use bytes::Bytes;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// Part of the budget that pages seen once may fill, in percent.
const PROBATION_PERCENT: usize = 25;

/// Names a page: the segment's number in this process, and the page's number in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PageKey {
    pub(crate) segment: u64,
    pub(crate) page: u64,
}

struct Page {
    bytes: Bytes,
    protected: bool,
    order: u64,
}

/// Pages by key.
pub(crate) struct PageCache {
    bytes_max: usize,
    pages: FxHashMap<PageKey, Page>,
    probation: BTreeMap<u64, PageKey>,
    protected: BTreeMap<u64, PageKey>,
    probation_bytes: usize,
    protected_bytes: usize,
    clock: u64,
}

impl PageCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            pages: FxHashMap::default(),
            probation: BTreeMap::new(),
            protected: BTreeMap::new(),
            probation_bytes: 0,
            protected_bytes: 0,
            clock: 0,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.probation_bytes + self.protected_bytes
    }

    /// The page, if it holds at least `bytes_min`; a second look protects it.
    pub(crate) fn find(&mut self, key: PageKey, bytes_min: usize) -> Option<Bytes> {
        let page = self.pages.get_mut(&key).filter(|page| page.bytes.len() >= bytes_min)?;
        self.clock += 1;
        let list = if page.protected { &mut self.protected } else { &mut self.probation };
        list.remove(&page.order);
        if !page.protected {
            page.protected = true;
            self.probation_bytes -= page.bytes.len();
            self.protected_bytes += page.bytes.len();
        }
        page.order = self.clock;
        self.protected.insert(self.clock, key);
        let found = page.bytes.clone();
        self.shrink();
        Some(found)
    }

    /// Whether the page is here, without counting as a look.
    pub(crate) fn holds(&self, key: PageKey, bytes_min: usize) -> bool {
        self.pages.get(&key).is_some_and(|page| page.bytes.len() >= bytes_min)
    }

    /// Puts a page in, in place of an older, shorter reading of it.
    pub(crate) fn insert(&mut self, key: PageKey, bytes: Bytes) {
        self.forget(key);
        self.clock += 1;
        self.probation_bytes += bytes.len();
        self.probation.insert(self.clock, key);
        self.pages.insert(key, Page { bytes, protected: false, order: self.clock });
        self.shrink();
    }

    fn forget(&mut self, key: PageKey) {
        let Some(page) = self.pages.remove(&key) else { return };
        if page.protected {
            self.protected.remove(&page.order);
            self.protected_bytes -= page.bytes.len();
        } else {
            self.probation.remove(&page.order);
            self.probation_bytes -= page.bytes.len();
        }
    }

    fn shrink(&mut self) {
        let probation_max = self.bytes_max * PROBATION_PERCENT / 100;
        while self.bytes() > self.bytes_max {
            let scan_first = self.probation_bytes > probation_max || self.protected.is_empty();
            let list = if scan_first { &self.probation } else { &self.protected };
            let Some(key) = list.values().next().copied() else { return };
            self.forget(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 1000;

    fn key(page: u64) -> PageKey {
        PageKey { segment: 1, page }
    }

    #[test]
    fn a_long_scan_leaves_the_pages_that_are_asked_for_again() {
        let mut cache = PageCache::new(100 * PAGE);
        for page in 0..50 {
            cache.insert(key(page), Bytes::from(vec![1; PAGE]));
            assert!(cache.find(key(page), PAGE).is_some());
        }
        for page in 1000..100_000 {
            cache.insert(key(page), Bytes::from(vec![2; PAGE]));
            assert!(cache.bytes() <= 100 * PAGE);
        }
        assert!((0..50).all(|page| cache.holds(key(page), PAGE)));
    }

    #[test]
    fn a_longer_reading_takes_the_place_of_a_shorter_one() {
        let mut cache = PageCache::new(100 * PAGE);
        cache.insert(key(1), Bytes::from(vec![1; 10]));
        assert!(cache.find(key(1), 11).is_none());
        cache.insert(key(1), Bytes::from(vec![1; 20]));
        assert_eq!(cache.bytes(), 20);
        assert!(cache.find(key(1), 20).is_some());
    }
}
