//! What the kernel has written down of a thread: how long it worked, how long it waited for a CPU, how often it had one.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// One thread's account (`/proc/PID/task/TID/schedstat`).
#[derive(Debug)]
pub struct Account(File);

/// Of a thread since it began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry {
    /// It had a CPU.
    pub ran: Duration,
    /// It could have gone on, and others had the CPU.
    pub waited: Duration,
    /// How often it was given one.
    pub turns: u64,
}

impl Account {
    /// The calling thread's; `None` where the kernel keeps none.
    pub fn of_this_thread() -> Option<Self> {
        let thread = rustix::thread::gettid().as_raw_nonzero();
        let account = Self(File::open(format!("/proc/self/task/{thread}/schedstat")).ok()?);
        account.read().map(|_| account)
    }

    /// As it stands now.
    pub fn read(&self) -> Option<Entry> {
        let mut text = [0; 96];
        let count = self.0.read_at(&mut text, 0).ok()?;
        let mut numbers = std::str::from_utf8(text.get(..count)?).ok()?.split_ascii_whitespace();
        let mut number = || numbers.next()?.parse::<u64>().ok();
        let (ran, waited, turns) = (number()?, number()?, number()?);
        Some(Entry { ran: Duration::from_nanos(ran), waited: Duration::from_nanos(waited), turns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_kernel_counts_the_turns_and_the_time_of_a_thread() {
        let account = Account::of_this_thread().unwrap();
        let before = account.read().unwrap();
        std::thread::sleep(Duration::from_millis(2));
        let slept = account.read().unwrap();
        assert!(slept.turns > before.turns);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        let worked = account.read().unwrap();
        let busy = (worked.ran + worked.waited).saturating_sub(slept.ran + slept.waited);
        assert!(busy >= Duration::from_millis(15), "{busy:?}"); // the kernel writes it down at its own clock's beat
    }
}
