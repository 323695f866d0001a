//! Who has which processor: the load generator the last one, the broker all others.

use rustix::thread::{CpuSet, sched_getaffinity};
use std::io;
use std::process::Command;

/// The CPUs that this process may use, shared out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus {
    /// Of the broker, all its threads.
    pub broker: Vec<usize>,
    /// Of the load generator. Of a single CPU both have it.
    pub generator: usize,
}

impl Cpus {
    /// # Errors
    /// If the kernel does not tell.
    pub fn shared_out() -> io::Result<Self> {
        let set = sched_getaffinity(None)?;
        let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect();
        Self::of(&allowed).ok_or_else(|| io::Error::other("this process may use no CPU"))
    }

    fn of(allowed: &[usize]) -> Option<Self> {
        let (generator, others) = allowed.split_last()?;
        let broker = if others.is_empty() { vec![*generator] } else { others.to_vec() };
        Some(Self { broker, generator: *generator })
    }

    /// For a table.
    pub fn condition(&self) -> String {
        format!("broker on CPU {}, generator on CPU {}", listed(&self.broker), self.generator)
    }
}

/// What runs its arguments on these CPUs, and not longer than this process: whoever ends a bench leaves no broker behind.
pub fn pinned(cpus: &[usize]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "-c", &listed(cpus)]);
    command
}

/// As `taskset` and Thalweg take them.
pub fn listed(cpus: &[usize]) -> String {
    cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_has_the_last_cpu_and_the_broker_all_others() {
        let shared = |allowed: &[usize]| Cpus::of(allowed).map(|cpus| (listed(&cpus.broker), cpus.generator));
        assert_eq!(shared(&[0, 1]), Some(("0".to_owned(), 1)));
        assert_eq!(shared(&[2, 3, 5, 7]), Some(("2,3,5".to_owned(), 7)));
        assert_eq!(shared(&[4]), Some(("4".to_owned(), 4)), "a single one is shared");
        assert_eq!(shared(&[]), None);
    }
}
