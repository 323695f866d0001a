//! Kafka's keys that are not ours: which mean nothing here, which are not acted on yet, which must be refused.
//!
//! A `server.properties` that served Kafka shall serve Thalweg. What only speaks of Kafka's own insides is taken and
//! named; what would promise something that is not kept is refused.

/// What becomes of a key that the table does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    /// It speaks of something that is not here: ZooKeeper, the JVM, threads, KRaft, replication, TLS files.
    Meaningless,
    /// It has a meaning, which is not there yet.
    NotYet,
    /// It asks for something whose absence would surprise.
    Refused(&'static str),
}

/// Keys, and beginnings of keys where a dot ends them.
const MEANINGLESS: &[&str] = &[
    "add.partitions.to.txn.",
    "alter.log.dirs.replication.quota.",
    "auto.include.jmx.reporter",
    "auto.leader.rebalance.enable",
    "background.threads",
    "broker.heartbeat.interval.ms",
    "broker.id.generation.enable",
    "broker.session.timeout.ms",
    "connection.failed.authentication.delay.ms",
    "connections.max.reauth.ms",
    "control.plane.listener.name",
    "controlled.shutdown.",
    "controller.",
    "cordoned.log.dirs",
    "delegation.token.",
    "delete.records.purgatory.purge.interval.requests",
    "early.start.listeners",
    "eligible.leader.replicas.",
    "fetch.purgatory.purge.interval.requests",
    "follower.fetch.last.tiered.offset.enable",
    "group.coordinator.",
    "group.share.",
    "group.streams.",
    "initial.broker.registration.timeout.ms",
    "inter.broker.",
    "internal.",
    "kafka.metrics.",
    "leader.imbalance.",
    "listener.name.",
    "log.cleaner.backoff.ms",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.io.",
    "log.cleaner.threads",
    "log.dir.failure.timeout.ms",
    "log.flush.offset.checkpoint.interval.ms",
    "log.flush.scheduler.interval.ms",
    "log.flush.start.offset.checkpoint.interval.ms",
    "log.message.downconversion.enable",
    "log.message.format.version",
    "metadata.",
    "metric.reporters",
    "metrics.",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.",
    "offsets.commit.",
    "offsets.load.buffer.size",
    "offsets.topic.compression.codec",
    "password.encoder.",
    "principal.builder.class",
    "process.roles",
    "producer.id.expiration.check.interval.ms",
    "producer.purgatory.purge.interval.requests",
    "quota.window.",
    "remote.fetch.max.wait.ms",
    "remote.list.offsets.request.timeout.ms",
    "remote.log.",
    "replica.",
    "replication.quota.",
    "request.timeout.ms",
    "reserved.broker.max.id",
    "rlmm.config.",
    "rsm.config.",
    "sasl.",
    "security.inter.broker.protocol",
    "security.providers",
    "server.max.startup.time.ms",
    "share.",
    "socket.connection.setup.timeout.",
    "socket.listen.backlog.size",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "ssl.",
    "super.users",
    "unclean.leader.election.interval.ms",
    "unstable.",
    "zookeeper.",
];

/// The same form, for what has a meaning and no effect yet.
const NOT_YET: &[&str] = &[
    "broker.rack",
    "group.consumer.",
    "log.local.retention.",
    "max.connection.creation.rate",
    "max.connections.per.ip.overrides",
    "max.request.partition.size.limit",
    "telemetry.max.bytes",
    "transaction.",
    "transactional.id.expiration.ms",
];

/// Keys that are refused unless they have the harmless value.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "authorizer.class.name",
        "",
        "there is no authorizer, everyone who reaches a listener may do everything: leave the key out and guard the port",
    ),
    (
        "alter.config.policy.class.name",
        "",
        "policies are Java classes, which cannot run here: leave the key out",
    ),
    (
        "create.topic.policy.class.name",
        "",
        "policies are Java classes, which cannot run here: leave the key out",
    ),
    (
        "client.quota.callback.class",
        "",
        "callbacks are Java classes, which cannot run here: leave the key out",
    ),
    ("config.providers", "", "values are taken as they are written: write them out and leave the key out"),
    (
        "log.cleaner.enable",
        "true",
        "topics with cleanup.policy=compact are compacted, as Kafka will always do from release 5 on: leave the key out",
    ),
    ("remote.log.storage.system.enable", "false", "there is no remote storage: leave the key out"),
];

/// What a key is, with the value it was given; `None` if Kafka does not know it either.
pub(super) fn foreign(key: &str, value: &str) -> Option<Foreign> {
    let is_in = |list: &[&str]| {
        list.iter().any(|known| if known.ends_with('.') { key.starts_with(known) } else { key == *known })
    };
    if let Some((_, harmless, reason)) = REFUSED.iter().find(|(known, _, _)| *known == key) {
        let is_harmless = value.trim().is_empty() || value.trim().eq_ignore_ascii_case(harmless);
        return Some(if is_harmless { Foreign::Meaningless } else { Foreign::Refused(reason) });
    }
    if is_in(NOT_YET) {
        return Some(Foreign::NotYet);
    }
    is_in(MEANINGLESS).then_some(Foreign::Meaningless)
}

/// Names of Kafka's keys here, to find the nearest of a misspelt one.
pub(super) fn whole_names() -> impl Iterator<Item = &'static str> {
    let lists = MEANINGLESS.iter().chain(NOT_YET).copied().filter(|name| !name.ends_with('.'));
    lists.chain(REFUSED.iter().map(|(name, _, _)| *name))
}

/// For the reference: the keys of one list.
pub(super) fn names(kind: &Foreign) -> Vec<&'static str> {
    match kind {
        Foreign::Meaningless => MEANINGLESS.to_vec(),
        Foreign::NotYet => NOT_YET.to_vec(),
        Foreign::Refused(_) => REFUSED.iter().map(|(name, _, _)| *name).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::broker_keys;

    #[test]
    fn no_list_hides_a_key_of_ours() {
        for key in broker_keys() {
            assert_eq!(foreign(key.name, "x"), None, "{}", key.name);
        }
    }

    #[test]
    fn what_would_surprise_is_refused_and_what_is_harmless_is_not() {
        assert!(matches!(foreign("authorizer.class.name", "kafka.security.Acl"), Some(Foreign::Refused(_))));
        assert_eq!(foreign("authorizer.class.name", " "), Some(Foreign::Meaningless));
        assert_eq!(foreign("remote.log.storage.system.enable", "FALSE"), Some(Foreign::Meaningless));
        assert_eq!(foreign("zookeeper.connect", "a:2181"), Some(Foreign::Meaningless));
        assert_eq!(foreign("transaction.max.timeout.ms", "1"), Some(Foreign::NotYet));
        assert_eq!(foreign("no.such.key", "1"), None);
    }
}
