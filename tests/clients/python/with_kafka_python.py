"""Driver on kafka-python, both 2.0.2 and today's."""

import sys
import time

try:
    import kafka
except ModuleNotFoundError:  # the six inside 2.0.2 cannot be loaded by Python 3.12 and later; its users put the real one in its place
    import six

    sys.modules["kafka.vendor.six.moves"] = six.moves
    import kafka
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

import driver

ASSIGNORS = {
    "range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor, "sticky": StickyPartitionAssignor,
}
OLD = kafka.__version__.startswith("2.0.")
#: 2.0.2 gives the broker two seconds to name its versions: not enough where a dozen programs start at once.
PROBE = {"api_version_auto_timeout_ms": 30_000} if OLD else {}
#: How long a poll waits where nothing comes. 3.0.12 loses its assignment when a poll ends in the middle of a rejoin that new metadata has
#: caused: the join goes on in the background and nobody takes what it brought, on Kafka 4.3.1 as well. So its polls are long.
POLL_MS = 100 if OLD else 2700
if not OLD:
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

    ASSIGNORS["cooperative-sticky"] = CooperativeStickyAssignor


def name_of(partition):
    return f"{partition.topic}:{partition.partition}"


class Producer:
    def __init__(self, options):
        self.topic = options["topic"]
        settings = {
            "bootstrap_servers": options["bootstrap"],
            "acks": "all" if options["acks"] == "all" else int(options["acks"]),
            "compression_type": None if options["codec"] == "none" else options["codec"],
        }
        if OLD:  # its batches live for the time of one request, and it tries once unless it is told otherwise
            settings.update(retries=1000, request_timeout_ms=driver.DELIVERY_MS, **PROBE)
        else:
            settings.update(enable_idempotence=options["idempotent"], delivery_timeout_ms=driver.DELIVERY_MS)
        self.client = KafkaProducer(**settings)

    async def start(self):
        pass

    async def wait(self, seconds):
        time.sleep(seconds)

    async def send(self, key, value, partition, done):
        future = self.client.send(self.topic, key=key, value=value, partition=partition)
        future.add_callback(lambda _: done())
        future.add_errback(done)

    async def close(self):
        self.client.flush()
        self.client.close()


class Consumer(ConsumerRebalanceListener):
    def __init__(self, options):
        self.options = options
        settings = {
            "bootstrap_servers": options["bootstrap"],
            "group_id": options["group"] or None,
            "auto_offset_reset": options["from"],
            "session_timeout_ms": options["session_ms"],
            "heartbeat_interval_ms": options["heartbeat_ms"],
            "metadata_max_age_ms": options["metadata_max_age_ms"],
            "enable_auto_commit": options["commit"] == "auto",
            "auto_commit_interval_ms": 1000,
        }
        if options["client_id"]:
            settings["client_id"] = options["client_id"]
        if options["instance"]:
            settings["group_instance_id"] = options["instance"]
        if options["assignor"]:
            settings["partition_assignment_strategy"] = [ASSIGNORS[options["assignor"]]]
        self.client = KafkaConsumer(**settings, **PROBE)

    async def start(self, assigned, revoked):
        self.assigned, self.revoked = assigned, revoked
        if self.options["assign"]:
            self.client.assign([TopicPartition(*driver.place(at)) for at in self.options["assign"].split(",")])
            assigned(self.assignment())
        elif self.options["pattern"]:
            self.client.subscribe(pattern=self.options["pattern"], listener=self)
        else:
            self.client.subscribe(self.options["topics"].split(","), listener=self)

    def on_partitions_assigned(self, assigned):
        self.assigned(self.assignment())

    def on_partitions_revoked(self, revoked):
        self.revoked([name_of(partition) for partition in revoked])

    def assignment(self):
        return [name_of(partition) for partition in self.client.assignment()]

    async def poll(self, limit):
        try:
            batches = self.client.poll(timeout_ms=POLL_MS, max_records=limit)
        except kafka.errors.KafkaConnectionError as error:  # 3.0.12 tells it to whoever polls while the broker is away
            driver.trouble(error)
            return []
        return [
            (name_of(partition), record.offset, record.timestamp, record.key, record.value)
            for partition, records in batches.items()
            for record in records
        ]

    async def pause(self):
        self.client.pause(*self.client.assignment())

    async def resume(self):
        self.client.resume(*self.client.assignment())

    async def seek(self, at, offset):
        self.client.seek(TopicPartition(*driver.place(at)), offset)

    async def seek_time(self, timestamp):
        found = self.client.offsets_for_times({partition: timestamp for partition in self.client.assignment()})
        for partition, offset in found.items():
            if offset is None:
                self.client.seek_to_end(partition)
            else:
                self.client.seek(partition, offset.offset)

    async def commit(self):
        self.client.commit()

    async def close(self, commit):
        self.client.close(autocommit=commit)


class Client:
    name, version = "kafka-python", kafka.__version__
    lacks = {
        "static": "kafka-python 2.0.2 has no group.instance.id",
        "cooperative": "kafka-python 2.0.2 has no cooperative assignor",
        "idempotent": "kafka-python 2.0.2 has no idempotent producer",
    } if OLD else {}
    Producer, Consumer = Producer, Consumer


driver.main(Client)
