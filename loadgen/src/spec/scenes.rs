//! Settings of the runs that are made of several: ladder, backlog, tail, crash.
use clap::Args;
use serde::{Deserialize, Serialize};

use super::check::{invalid, seconds, within};
use super::flags::overlay_keys;
use super::{Common, Produce, SpecError};

/// More steps than this take longer than anybody waits.
const STEPS_MAX: usize = 1_000;
const BYTES_MAX: u64 = 1 << 50;
const ROUNDS_MAX: u32 = 1_000;

/// Keys of `ladder`.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LadderFlags {
    /// Rates to try, rising, comma between
    #[arg(long = "rates", value_name = "RECORDS_PER_S", value_delimiter = ',')]
    pub rates_records_per_s: Option<Vec<u64>>,
    /// Without --rates: the first rate
    #[arg(long = "rate-start", value_name = "RECORDS_PER_S")]
    pub rate_start_records_per_s: Option<u64>,
    /// Without --rates: no rate above this one
    #[arg(long = "rate-end", value_name = "RECORDS_PER_S")]
    pub rate_end_records_per_s: Option<u64>,
    /// Without --rates: each rate is so much above the one before, percent [default: 50]
    #[arg(long, value_name = "PERCENT")]
    pub rate_step_percent: Option<u32>,
    /// Seconds measured at each rate, after the warm-up [default: 10]
    #[arg(long = "steady", value_name = "S")]
    pub steady_s: Option<f64>,
    /// Seconds between two rates, for what is left of one [default: 1]
    #[arg(long = "rest", value_name = "S")]
    pub rest_s: Option<f64>,
    /// p99 from the intended time that is still kept, milliseconds [default: 10]
    #[arg(long)]
    pub p99_max_ms: Option<f64>,
    /// Share of a rate that must be acknowledged in its window, percent [default: 99]
    #[arg(long)]
    pub kept_percent: Option<f64>,
    /// Halvings between the highest rate kept and the lowest not kept [default: 4]
    #[arg(long = "halvings", value_name = "COUNT")]
    pub halving_count: Option<u32>,
    /// Bound the round trip to a reader, not the acknowledgement
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub end_to_end: Option<bool>,
}
overlay_keys!(LadderFlags {
    rates_records_per_s,
    rate_start_records_per_s,
    rate_end_records_per_s,
    rate_step_percent,
    steady_s,
    rest_s,
    p99_max_ms,
    kept_percent,
    halving_count,
    end_to_end,
});

/// Keys of `backlog`, and of the backlog of `tail`.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BacklogFlags {
    /// Bytes of keys and values to fill the topic with first; 0: what is there is the backlog [default: 1000000000]
    #[arg(long)]
    pub fill_bytes: Option<u64>,
    /// Connections that read the backlog [default: 1]
    #[arg(id = "backlog_connection_count", long = "backlog-connections", value_name = "COUNT")]
    pub connection_count: Option<u32>,
    /// Most bytes of an answer to them [default: 52428800]
    #[arg(long = "backlog-fetch-bytes", value_name = "BYTES")]
    pub fetch_bytes: Option<u32>,
    /// Most bytes of one partition in it [default: 1048576]
    #[arg(long = "backlog-partition-bytes", value_name = "BYTES")]
    pub partition_bytes: Option<u32>,
}
overlay_keys!(BacklogFlags { fill_bytes, connection_count, fetch_bytes, partition_bytes });

/// Keys of `tail`.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TailFlags {
    /// How often both windows come, one after the other [default: 1]
    #[arg(long = "rounds", value_name = "COUNT")]
    pub round_count: Option<u32>,
}
overlay_keys!(TailFlags { round_count });

/// Keys of `crash`.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrashFlags {
    /// Kills the broker and starts it again; run by `sh -c`, which need not wait until it serves
    #[arg(long = "crash-command", value_name = "COMMAND")]
    pub command: Option<String>,
    /// When to run it, seconds from the start, comma between
    #[arg(long = "crash-at", value_name = "S", value_delimiter = ',')]
    pub at_s: Option<Vec<f64>>,
}
overlay_keys!(CrashFlags { command, at_s });

/// Settings of `ladder`; the flags say what each means.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the flags of the same names say what each means")]
pub struct Ladder {
    pub rates_records_per_s: Vec<u64>,
    pub steady_s: f64,
    pub rest_s: f64,
    pub p99_max_ms: f64,
    pub kept_percent: f64,
    pub halving_count: u32,
    pub end_to_end: bool,
}

/// Settings of `backlog` and of the backlog of `tail`; the flags say what each means.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the flags of the same names say what each means")]
pub struct Backlog {
    pub fill_bytes: u64,
    pub connection_count: u32,
    pub fetch_bytes: u32,
    pub partition_bytes: u32,
}

/// Settings of `tail`; the flags say what each means.
#[derive(Clone, Copy, Debug, Serialize)]
#[expect(missing_docs, reason = "the flags of the same names say what each means")]
pub struct Tail {
    pub round_count: u32,
}

/// Settings of `crash`; the flags say what each means.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the flags of the same names say what each means")]
pub struct Crash {
    pub command: String,
    pub at_s: Vec<f64>,
}

impl Ladder {
    pub(super) fn check(flags: LadderFlags, produce: &Produce) -> Result<Self, SpecError> {
        if produce.rate_records_per_s > 0 || produce.time_s.is_some() || produce.record_count.is_some() {
            return Err(invalid("--rate, --time, --count", "", "a ladder has --rates and --steady"));
        }
        Ok(Self {
            rates_records_per_s: rates(&flags)?,
            steady_s: seconds("--steady", flags.steady_s.unwrap_or(10.0))?,
            rest_s: seconds("--rest", flags.rest_s.unwrap_or(1.0))?,
            p99_max_ms: within("--p99-max-ms", flags.p99_max_ms.unwrap_or(10.0), 0.0..=3_600_000.0)?,
            kept_percent: within("--kept-percent", flags.kept_percent.unwrap_or(99.0), 0.0..=100.0)?,
            halving_count: within("--halvings", flags.halving_count.unwrap_or(4), 0..=64)?,
            end_to_end: flags.end_to_end.unwrap_or(false),
        })
    }
}

/// The rates of a list, or from a start to an end in steps.
fn rates(flags: &LadderFlags) -> Result<Vec<u64>, SpecError> {
    if let Some(listed) = &flags.rates_records_per_s {
        let rising = listed.windows(2).all(|pair| pair[0] < pair[1]);
        if listed.is_empty() || listed[0] == 0 || !rising || listed.len() > STEPS_MAX {
            return Err(invalid("--rates", format!("{listed:?}"), "rates above 0, rising"));
        }
        return Ok(listed.clone());
    }
    let missing = SpecError::Missing { key: "rates (or --rate-start and --rate-end)" };
    let Some((start, end)) = flags.rate_start_records_per_s.zip(flags.rate_end_records_per_s) else {
        return Err(missing);
    };
    within("--rate-start", start, 1..=end.max(1))?;
    let percent = within("--rate-step-percent", flags.rate_step_percent.unwrap_or(50), 1..=10_000)?;
    let step = |rate: &u64| Some((rate + (rate * u64::from(percent) / 100).max(1)).min(end));
    let mut rates: Vec<u64> =
        std::iter::successors(Some(start), step).take_while(|rate| *rate < end).take(STEPS_MAX).collect();
    rates.push(end);
    Ok(rates)
}

impl Backlog {
    pub(super) fn check(flags: &BacklogFlags, produce: &Produce) -> Result<Self, SpecError> {
        if produce.record_count.is_some() {
            return Err(invalid("--count", "", "a backlog is filled by --fill-bytes"));
        }
        let connections = flags.connection_count.unwrap_or(1);
        Ok(Self {
            fill_bytes: within("--fill-bytes", flags.fill_bytes.unwrap_or(1_000_000_000), 0..=BYTES_MAX)?,
            connection_count: within("--backlog-connections", connections, 1..=20_000)?,
            fetch_bytes: within("--backlog-fetch-bytes", flags.fetch_bytes.unwrap_or(50 << 20), 1..=1 << 30)?,
            partition_bytes: within(
                "--backlog-partition-bytes",
                flags.partition_bytes.unwrap_or(1 << 20),
                1..=1 << 30,
            )?,
        })
    }
}

impl Tail {
    pub(super) fn check(flags: &TailFlags, produce: &Produce) -> Result<Self, SpecError> {
        if produce.time_s.is_none() {
            return Err(SpecError::Missing { key: "time" });
        }
        Ok(Self { round_count: within("--rounds", flags.round_count.unwrap_or(1), 1..=ROUNDS_MAX)? })
    }
}

impl Crash {
    pub(super) fn check(
        flags: CrashFlags,
        produce: &mut Produce,
        common: &Common,
    ) -> Result<Self, SpecError> {
        if produce.acks != super::Acks::All {
            return Err(invalid("--acks", produce.acks.wire(), "a crash run is idempotent and needs all"));
        }
        if produce.time_s.is_none() && produce.record_count.is_none() {
            return Err(SpecError::Missing { key: "time (or --count)" });
        }
        (produce.idempotent, produce.verifiable) = (true, true);
        let mut at_s = flags.at_s.ok_or(SpecError::Missing { key: "crash-at" })?;
        for at in &at_s {
            seconds("--crash-at", *at)?;
            if produce.time_s.is_some_and(|end| *at >= end) {
                return Err(invalid("--crash-at", at, "before --time is over, or nothing is sent meanwhile"));
            }
        }
        if common.retry_time_s < 1.0 {
            return Err(invalid("--retry-time", common.retry_time_s, "a restart takes longer"));
        }
        at_s.sort_by(f64::total_cmp);
        Ok(Self { command: flags.command.ok_or(SpecError::Missing { key: "crash-command" })?, at_s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(start: u64, end: u64, percent: u32) -> Vec<u64> {
        let flags = LadderFlags {
            rate_start_records_per_s: Some(start),
            rate_end_records_per_s: Some(end),
            rate_step_percent: Some(percent),
            ..LadderFlags::default()
        };
        rates(&flags).unwrap()
    }

    #[test]
    fn a_range_of_rates_rises_by_its_step_and_ends_at_its_end() {
        assert_eq!(of(1_000, 4_000, 100), [1_000, 2_000, 4_000]);
        assert_eq!(of(1_000, 3_000, 50), [1_000, 1_500, 2_250, 3_000]);
        assert_eq!(of(1, 4, 1), [1, 2, 3, 4], "by one at least");
        assert_eq!(of(500, 500, 50), [500]);
    }

    #[test]
    fn a_list_of_rates_must_rise() {
        for wrong in [vec![], vec![0, 1], vec![2, 1], vec![1, 1]] {
            let flags = LadderFlags { rates_records_per_s: Some(wrong), ..LadderFlags::default() };
            assert!(rates(&flags).is_err());
        }
        assert!(matches!(rates(&LadderFlags::default()), Err(SpecError::Missing { .. })));
    }
}
