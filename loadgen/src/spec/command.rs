//! One run, checked: the settings that its command needs, whole.
use serde::Serialize;

use super::{
    Backlog, Command, Common, Consume, Crash, Group, Ladder, Produce, Roundtrip, SpecError, Tail, Workload,
};

/// One run, checked.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase", tag = "command")]
pub enum Spec {
    /// Send.
    Produce {
        /// Settings of every command.
        common: Common,
        /// Its own.
        produce: Produce,
    },
    /// Read.
    Consume {
        /// Settings of every command.
        common: Common,
        /// Its own.
        consume: Consume,
    },
    /// Both at once.
    Roundtrip {
        /// Settings of every command.
        common: Common,
        /// Of the sending half.
        produce: Produce,
        /// Of the reading half.
        roundtrip: Roundtrip,
    },
    /// Groups of consumers.
    Group {
        /// Settings of every command.
        common: Common,
        /// Of what is sent meanwhile, and of the topic.
        produce: Produce,
        /// Of the members.
        group: Group,
    },
    /// One rate after the other.
    Ladder {
        /// Settings of every command.
        common: Common,
        /// Of the sending half.
        produce: Produce,
        /// Of the reading half, if round trips are measured.
        roundtrip: Roundtrip,
        /// Of the rates.
        ladder: Ladder,
    },
    /// Fill, then catch up.
    Backlog {
        /// Settings of every command.
        common: Common,
        /// Of the filling.
        produce: Produce,
        /// Of the catching up.
        backlog: Backlog,
    },
    /// Round trips without and with a reader of the backlog.
    Tail {
        /// Settings of every command.
        common: Common,
        /// Of the sending half.
        produce: Produce,
        /// Of the reading half.
        roundtrip: Roundtrip,
        /// Of the backlog and its reader.
        backlog: Backlog,
        /// Of the windows.
        tail: Tail,
    },
    /// Restarts under load, and the proof.
    Crash {
        /// Settings of every command.
        common: Common,
        /// Of the sending.
        produce: Produce,
        /// Of the restarts.
        crash: Crash,
    },
}

impl Spec {
    /// The run that a command line asks for, with the workload file it names.
    ///
    /// # Errors
    /// [`SpecError`] names the key and what would be right.
    pub fn from_command(command: Command) -> Result<Self, SpecError> {
        match command {
            Command::Produce { common, produce } => {
                let file = Workload::load(common.workload.as_deref(), "produce")?;
                Ok(Self::Produce {
                    common: Common::check(common.over(file.common))?,
                    produce: Produce::check(produce.over(file.produce))?.paced()?,
                })
            }
            Command::Consume { common, consume } => {
                let file = Workload::load(common.workload.as_deref(), "consume")?;
                Ok(Self::Consume {
                    common: Common::check(common.over(file.common))?,
                    consume: Consume::check(consume.over(file.consume))?,
                })
            }
            Command::Roundtrip { common, produce, roundtrip } => {
                let file = Workload::load(common.workload.as_deref(), "roundtrip")?;
                Ok(Self::Roundtrip {
                    common: Common::check(common.over(file.common))?,
                    produce: Produce::check(produce.over(file.produce))?.paced()?.tagged()?,
                    roundtrip: Roundtrip::check(&roundtrip.over(file.roundtrip))?,
                })
            }
            Command::Group { common, produce, group } => {
                let file = Workload::load(common.workload.as_deref(), "group")?;
                let produce = Produce::check(produce.over(file.produce))?.paced()?;
                Ok(Self::Group {
                    common: Common::check(common.over(file.common))?,
                    group: Group::check(group.over(file.group), &produce)?,
                    produce,
                })
            }
            command => Self::composed(command),
        }
    }

    /// Those that are made of several runs.
    fn composed(command: Command) -> Result<Self, SpecError> {
        match command {
            Command::Ladder { common, produce, roundtrip, ladder } => {
                let file = Workload::load(common.workload.as_deref(), "ladder")?;
                let produce = Produce::check(produce.over(file.produce))?;
                let ladder = Ladder::check(ladder.over(file.ladder), &produce)?;
                Ok(Self::Ladder {
                    common: Common::check(common.over(file.common))?,
                    produce: if ladder.end_to_end { produce.tagged()? } else { produce },
                    roundtrip: Roundtrip::check(&roundtrip.over(file.roundtrip))?,
                    ladder,
                })
            }
            Command::Backlog { common, produce, backlog } => {
                let file = Workload::load(common.workload.as_deref(), "backlog")?;
                let produce = Produce::check(produce.over(file.produce))?.paced()?;
                Ok(Self::Backlog {
                    common: Common::check(common.over(file.common))?,
                    backlog: Backlog::check(&backlog.over(file.backlog), &produce)?,
                    produce,
                })
            }
            Command::Tail { common, produce, roundtrip, backlog, tail } => {
                let file = Workload::load(common.workload.as_deref(), "tail")?;
                let produce = Produce::check(produce.over(file.produce))?.paced()?.tagged()?;
                Ok(Self::Tail {
                    common: Common::check(common.over(file.common))?,
                    roundtrip: Roundtrip::check(&roundtrip.over(file.roundtrip))?,
                    backlog: Backlog::check(&backlog.over(file.backlog), &produce)?,
                    tail: Tail::check(&tail.over(file.tail), &produce)?,
                    produce,
                })
            }
            Command::Crash { common, produce, crash } => {
                let file = Workload::load(common.workload.as_deref(), "crash")?;
                let common = Common::check(common.over(file.common))?;
                let mut produce = Produce::check(produce.over(file.produce))?.paced()?;
                let crash = Crash::check(crash.over(file.crash), &mut produce, &common)?;
                Ok(Self::Crash { common, produce, crash })
            }
            simple => Self::from_command(simple),
        }
    }

    /// Settings of every command.
    pub fn common(&self) -> &Common {
        match self {
            Self::Produce { common, .. }
            | Self::Consume { common, .. }
            | Self::Roundtrip { common, .. }
            | Self::Group { common, .. }
            | Self::Ladder { common, .. }
            | Self::Backlog { common, .. }
            | Self::Tail { common, .. }
            | Self::Crash { common, .. } => common,
        }
    }
}
