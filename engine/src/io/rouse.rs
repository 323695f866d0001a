//! Wakes an executor from any thread, whatever it waits for.
//!
//! An executor of glommio may sleep though a task could run: its preempt timer fired between two looks. A waker of a task
//! that waits reaches it then, but before its first task has run once nobody has such a waker. Its eventfd reaches it
//! always. glommio keeps that to itself; it is found among the descriptors that making the executor opened.
#![expect(unsafe_code, reason = "a descriptor of another's is duplicated by its number")]

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

/// One executor is made at a time, so that what appears meanwhile is its own.
static MAKING: Mutex<()> = Mutex::new(());

/// Wakes one executor. Stays valid, and without effect, when the executor has ended.
#[derive(Debug)]
pub struct Rouser(Vec<OwnedFd>);

impl Rouser {
    /// Makes an executor, with what wakes it.
    ///
    /// # Errors
    /// When the process's descriptors cannot be listed, or making it opened no eventfd.
    pub fn of<T>(make: impl FnOnce() -> T) -> io::Result<(T, Self)> {
        let making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        let before = eventfds()?;
        let made = make();
        let new: Vec<RawFd> = eventfds()?.difference(&before).copied().collect();
        let copies = new.into_iter().filter_map(duplicate).collect();
        drop(making);
        Ok((made, Self(copies)))
    }

    /// Whether it has found anything to wake.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Wakes the executor if it sleeps; else its next look for work ends at once.
    pub fn rouse(&self) {
        for eventfd in &self.0 {
            // The kernel's counter: it takes the machine's own order of bytes, and a 1 reads the same as any other number.
            let _ = rustix::io::write(eventfd, &[1; 8]);
        }
    }
}

fn eventfds() -> io::Result<BTreeSet<RawFd>> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let path = entry?.path();
        let is_eventfd =
            std::fs::read_link(&path).is_ok_and(|target| target.as_os_str() == "anon_inode:[eventfd]");
        let number: Option<RawFd> =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        found.extend(number.filter(|_| is_eventfd));
    }
    Ok(found)
}

fn duplicate(descriptor: RawFd) -> Option<OwnedFd> {
    // SAFETY: fcntl touches no memory of ours, and refuses a number that is no descriptor.
    let copy = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0) };
    // SAFETY: the kernel just gave us this descriptor, and nobody else knows it.
    (copy >= 0).then(|| unsafe { OwnedFd::from_raw_fd(copy) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    /// With a preempt timer this short, executors sleep on tasks that could run, most of them before the first one ran.
    /// Without the rouser this test does not end.
    #[test]
    fn an_executor_that_sleeps_on_tasks_that_could_run_goes_on() {
        let (told, heard) = mpsc::channel::<Rouser>();
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let beating = std::thread::spawn(move || {
            let mut rousers = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                rousers.extend(heard.try_iter());
                rousers.iter().for_each(Rouser::rouse); // also those of executors that are gone
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        for _ in 0..30 {
            let make =
                || glommio::LocalExecutorBuilder::default().preempt_timer(Duration::from_nanos(1)).make();
            let (executor, rouser) = Rouser::of(make).unwrap();
            assert!(!rouser.is_empty(), "an executor has an eventfd");
            told.send(rouser).unwrap();
            let sum = executor.unwrap().run(async {
                let task = glommio::spawn_local(async {
                    futures_lite::future::yield_now().await;
                    41
                });
                task.await + 1
            });
            assert_eq!(sum, 42);
        }
        over.store(true, Ordering::Relaxed);
        beating.join().unwrap();
    }
}
