//! Hot pages of segment files, bounded in bytes; one long scan passes through without emptying it.
//!
//! ```text
//! miss -> probation --read again--> protected          in both the one leaves that was looked at longest ago
//! ```
//! A reader that goes through a log looks at each page several times, each time further on: that is one reading. A page that
//! nobody reads again leaves from probation, which fills no more than its part even where there is room: memory that is
//! touched for the first time costs more than the copy of a page that its reader has gone through is worth. Only what is read
//! again displaces what others use. Owned by one shard.
//! A page remembers which of its bytes were checked since the device gave them, so that each is checked once.

use bytes::Bytes;
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// Part of the budget that pages read once may fill, in percent; ahead of their reader they may fill all of it.
const PROBATION_PERCENT: usize = 25;

/// Names a page: the segment's number in this process, and the page's number in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PageKey {
    pub(crate) segment: u64,
    pub(crate) page: u64,
}

/// Stretches of checked bytes that a page remembers: readers in order make one of them.
const STRETCHES_MAX: usize = 8;

/// What one reading of the device brought. Clones share what is known of it.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) bytes: Bytes,
    pub(crate) checked: Rc<Checked>,
}

impl Page {
    /// Bytes that nobody has looked at.
    pub(crate) fn unchecked(bytes: Bytes) -> Self {
        Self { bytes, checked: Rc::default() }
    }
}

/// Which bytes of a page were part of a batch whose checksum was right.
#[derive(Default)]
pub(crate) struct Checked(RefCell<Vec<Range<usize>>>);

impl Checked {
    /// Whether all of `range` was checked.
    pub(crate) fn covers(&self, range: &Range<usize>) -> bool {
        self.0.borrow().iter().any(|known| known.start <= range.start && range.end <= known.end)
    }

    /// `range` was checked. When there are too many stretches the shortest is forgotten: it is checked again.
    pub(crate) fn add(&self, range: Range<usize>) {
        let mut known = self.0.borrow_mut();
        let mut whole = range;
        known.retain(|other| {
            let touches = other.start <= whole.end && whole.start <= other.end;
            if touches {
                whole = whole.start.min(other.start)..whole.end.max(other.end);
            }
            !touches
        });
        known.push(whole);
        if known.len() > STRETCHES_MAX
            && let Some(shortest) = (0..known.len()).min_by_key(|at| known.get(*at).map_or(0, Range::len))
        {
            known.swap_remove(shortest);
        }
    }
}

struct Slot {
    page: Page,
    protected: bool,
    order: u64,
    /// Where in the page somebody began to read, at most; `None`: nobody has yet.
    read_from: Option<usize>,
}

/// Pages by key.
pub(crate) struct PageCache {
    bytes_max: usize,
    pages: FxHashMap<PageKey, Slot>,
    probation: BTreeMap<u64, PageKey>,
    protected: BTreeMap<u64, PageKey>,
    probation_bytes: usize,
    protected_bytes: usize,
    /// Of pages that nobody has read yet.
    unread_bytes: usize,
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
            unread_bytes: 0,
            clock: 0,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.probation_bytes + self.protected_bytes
    }

    /// Bytes that may still be put in ahead of readers, so that all that waits for them stays until they come.
    pub(crate) fn unread_room(&self) -> usize {
        self.probation_max().saturating_sub(self.unread_bytes)
    }

    fn probation_max(&self) -> usize {
        self.bytes_max * PROBATION_PERCENT / 100
    }

    /// The page, if it holds at least `bytes_min`, for a reader that begins at `from` in it. Who begins where somebody
    /// has begun, or further in front, reads it again: that protects it.
    pub(crate) fn find(&mut self, key: PageKey, bytes_min: usize, from: usize) -> Option<Page> {
        let slot = self.pages.get_mut(&key).filter(|slot| slot.page.bytes.len() >= bytes_min)?;
        self.clock += 1;
        let list = if slot.protected { &mut self.protected } else { &mut self.probation };
        list.remove(&slot.order);
        if slot.read_from.is_none() {
            self.unread_bytes -= slot.page.bytes.len();
        }
        let is_again = slot.read_from.is_some_and(|before| from <= before);
        slot.read_from = slot.read_from.max(Some(from));
        if is_again && !slot.protected {
            slot.protected = true;
            self.probation_bytes -= slot.page.bytes.len();
            self.protected_bytes += slot.page.bytes.len();
        }
        slot.order = self.clock;
        let list = if slot.protected { &mut self.protected } else { &mut self.probation };
        list.insert(self.clock, key);
        let found = slot.page.clone();
        self.shrink();
        Some(found)
    }

    /// Whether the page is here, without counting as a look.
    pub(crate) fn holds(&self, key: PageKey, bytes_min: usize) -> bool {
        self.pages.get(&key).is_some_and(|slot| slot.page.bytes.len() >= bytes_min)
    }

    /// Puts a page in, in place of an older, shorter reading of it.
    pub(crate) fn insert(&mut self, key: PageKey, page: Page) {
        self.forget(key);
        self.clock += 1;
        self.probation_bytes += page.bytes.len();
        self.unread_bytes += page.bytes.len();
        self.probation.insert(self.clock, key);
        self.pages.insert(key, Slot { page, protected: false, order: self.clock, read_from: None });
        self.shrink();
    }

    /// The next reader of the page asks the device again.
    pub(crate) fn forget(&mut self, key: PageKey) {
        let Some(slot) = self.pages.remove(&key) else { return };
        if slot.read_from.is_none() {
            self.unread_bytes -= slot.page.bytes.len();
        }
        if slot.protected {
            self.protected.remove(&slot.order);
            self.protected_bytes -= slot.page.bytes.len();
        } else {
            self.probation.remove(&slot.order);
            self.probation_bytes -= slot.page.bytes.len();
        }
    }

    fn shrink(&mut self) {
        let probation_max = self.probation_max();
        let read_once = |cache: &Self| {
            let key = *cache.probation.values().next()?;
            let is_read = cache.pages.get(&key).is_some_and(|slot| slot.read_from.is_some());
            (cache.probation_bytes > probation_max && is_read).then_some(key)
        };
        while let Some(key) = read_once(self) {
            self.forget(key);
        }
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

    fn page(byte: u8, bytes: usize) -> Page {
        Page::unchecked(Bytes::from(vec![byte; bytes]))
    }

    #[test]
    fn a_long_scan_leaves_the_pages_that_are_asked_for_again() {
        let mut cache = PageCache::new(100 * PAGE);
        for number in 0..50 {
            cache.insert(key(number), page(1, PAGE));
            assert!((0..2).all(|_| cache.find(key(number), PAGE, 0).is_some()));
        }
        for number in 1000..100_000 {
            cache.insert(key(number), page(2, PAGE));
            assert!(cache.bytes() <= 100 * PAGE);
        }
        assert!((0..50).all(|page| cache.holds(key(page), PAGE)));
    }

    /// Each page comes ahead of its reader, who looks at it in four steps: none of them is a second reading.
    #[test]
    fn who_goes_through_a_log_once_leaves_no_more_than_the_part_of_such_pages() {
        let mut cache = PageCache::new(100 * PAGE);
        for number in 0..1000 {
            (number..number + 4).for_each(|ahead| {
                if !cache.holds(key(ahead), PAGE) {
                    cache.insert(key(ahead), page(1, PAGE));
                }
            });
            for from in [0, 250, 500, 750] {
                assert!(cache.find(key(number), PAGE, from).is_some());
            }
            assert!(cache.bytes() <= 30 * PAGE, "{} B", cache.bytes());
        }
        assert_eq!(cache.protected_bytes, 0);
        // Somebody who follows close behind reads them again.
        assert!(cache.find(key(990), PAGE, 0).is_some() && cache.protected_bytes == PAGE);
    }

    #[test]
    fn what_nobody_has_read_yet_may_fill_the_budget() {
        let mut cache = PageCache::new(100 * PAGE);
        (0..100).for_each(|number| cache.insert(key(number), page(1, PAGE)));
        assert!((0..100).all(|number| cache.holds(key(number), PAGE)));
    }

    #[test]
    fn room_for_what_nobody_has_read_is_what_such_pages_leave_of_the_part_for_a_scan() {
        let mut cache = PageCache::new(100 * PAGE);
        (0..20).for_each(|number| cache.insert(key(number), page(1, PAGE)));
        assert_eq!(cache.unread_room(), 5 * PAGE);
        assert!((0..8).all(|number| cache.find(key(number), PAGE, 0).is_some()));
        assert!((0..8).all(|number| cache.find(key(number), PAGE, 0).is_some()), "a second reading");
        assert_eq!(cache.unread_room(), 13 * PAGE);
        (4..12).for_each(|number| cache.forget(key(number)));
        assert_eq!(cache.unread_room(), 17 * PAGE);
        cache.insert(key(0), page(1, PAGE));
        assert_eq!(cache.unread_room(), 16 * PAGE, "the device was asked anew");
        (100..200).for_each(|number| cache.insert(key(number), page(1, PAGE)));
        assert_eq!(cache.unread_room(), 0);
    }

    #[test]
    fn a_longer_reading_takes_the_place_of_a_shorter_one() {
        let mut cache = PageCache::new(100 * PAGE);
        cache.insert(key(1), page(1, 10));
        assert!(cache.find(key(1), 11, 0).is_none());
        cache.insert(key(1), page(1, 20));
        assert_eq!(cache.bytes(), 20);
        assert!(cache.find(key(1), 20, 0).is_some());
    }

    #[test]
    fn what_was_checked_of_a_page_is_known_as_long_as_its_bytes_are_the_same() {
        let mut cache = PageCache::new(100 * PAGE);
        cache.insert(key(1), page(1, 100));
        let found = cache.find(key(1), 100, 0).unwrap();
        assert!(!found.checked.covers(&(0..1)));
        for range in [0..10, 30..40, 10..20] {
            found.checked.add(range);
        }
        let again = cache.find(key(1), 100, 0).unwrap();
        assert!(again.checked.covers(&(0..20)) && again.checked.covers(&(30..40)));
        assert!(!again.checked.covers(&(0..21)) && !again.checked.covers(&(19..31)));
        found.checked.add(20..30);
        assert!(again.checked.covers(&(0..40)), "what touches is one stretch");
        cache.insert(key(1), page(1, 200));
        assert!(!cache.find(key(1), 200, 0).unwrap().checked.covers(&(0..1)), "the device was asked anew");
    }

    #[test]
    fn a_page_forgets_the_shortest_of_too_many_stretches() {
        let checked = Checked::default();
        (0..=STRETCHES_MAX).for_each(|at| checked.add(at * 100..at * 100 + 50 - at));
        let covered = (0..=STRETCHES_MAX).filter(|at| checked.covers(&(at * 100..at * 100 + 1)));
        assert_eq!(covered.collect::<Vec<_>>(), (0..STRETCHES_MAX).collect::<Vec<_>>());
    }
}
