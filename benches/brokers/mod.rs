//! Brokers that are measured: started on fresh directories and on CPUs of their own, asked, read from outside, ended.
//!
//! `process` starts and ends them and is all that knows how they differ, `probe` asks them what any client can ask,
//! `disk` is what a case needs of the machine's disk and page cache, `cpus` shares out the processors.

#![expect(
    clippy::missing_errors_doc,
    reason = "an error is the system's or the broker's own word, and ends what is measured"
)]

pub mod cpus;
pub mod disk;
pub mod probe;
pub mod process;
