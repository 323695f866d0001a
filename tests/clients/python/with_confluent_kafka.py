"""Driver on confluent-kafka, which is librdkafka."""

import confluent_kafka
from confluent_kafka import OFFSET_END, KafkaError, KafkaException, TopicPartition

import driver

ASSIGNORS = {"range": "range", "roundrobin": "roundrobin", "cooperative-sticky": "cooperative-sticky"}


def name_of(partition):
    return f"{partition.topic}:{partition.partition}"


def told(error):
    """Errors that librdkafka mentions and deals with itself, and those that end it."""
    driver.emit("error", message=f"{error.name()}: {error.str()}", fatal=error.fatal())


class Producer:
    def __init__(self, options):
        self.topic = options["topic"]
        self.client = confluent_kafka.Producer({
            "bootstrap.servers": options["bootstrap"],
            "acks": options["acks"],
            "compression.type": options["codec"],
            "enable.idempotence": options["idempotent"],
            "message.timeout.ms": driver.DELIVERY_MS,
        })

    async def start(self):
        pass

    async def wait(self, seconds):
        self.client.poll(seconds)

    async def send(self, key, value, partition, done):
        where = {} if partition is None else {"partition": partition}

        def delivered(error, _):
            done(None if error is None else KafkaException(error))

        while True:
            try:
                self.client.produce(self.topic, key=key, value=value, on_delivery=delivered, **where)
                break
            except BufferError:  # its queue is full: room comes with the acknowledgements
                self.client.poll(0.1)
        self.client.poll(0)

    async def close(self):
        self.client.flush()


class Consumer:
    def __init__(self, options):
        self.options = options
        settings = {
            "bootstrap.servers": options["bootstrap"],
            "group.id": options["group"] or "unused",  # obligatory even where partitions are assigned by hand
            "auto.offset.reset": options["from"],
            "session.timeout.ms": options["session_ms"],
            "heartbeat.interval.ms": options["heartbeat_ms"],
            "topic.metadata.refresh.interval.ms": options["metadata_max_age_ms"],
            "enable.auto.commit": options["commit"] == "auto",
            "auto.commit.interval.ms": 1000,
            "error_cb": told,
        }
        if options["client_id"]:
            settings["client.id"] = options["client_id"]
        if options["instance"]:
            settings["group.instance.id"] = options["instance"]
        if options["assignor"]:
            settings["partition.assignment.strategy"] = ASSIGNORS[options["assignor"]]
        self.cooperative = options["assignor"] == "cooperative-sticky"
        self.client = confluent_kafka.Consumer(settings)

    async def start(self, assigned, revoked):
        self.assigned, self.revoked = assigned, revoked
        if self.options["assign"]:
            self.client.assign([TopicPartition(*driver.place(at)) for at in self.options["assign"].split(",")])
            assigned(self.assignment())
            return
        topics = [self.options["pattern"]] if self.options["pattern"] else self.options["topics"].split(",")
        self.client.subscribe(topics, on_assign=self.on_assign, on_revoke=self.on_revoke, on_lost=self.on_revoke)

    def on_assign(self, _, partitions):
        if self.cooperative:
            self.client.incremental_assign(partitions)
        else:
            self.client.assign(partitions)
        self.assigned(self.assignment())

    def on_revoke(self, _, partitions):
        self.revoked([name_of(partition) for partition in partitions])
        if self.cooperative:
            self.client.incremental_unassign(partitions)
        else:
            self.client.unassign()

    def assignment(self):
        return [name_of(partition) for partition in self.client.assignment()]

    async def poll(self, limit):
        records, wait = [], 0.1
        while len(records) < limit:
            message = self.client.poll(wait)
            if message is None:
                break
            wait = 0
            error = message.error()
            if error is None:
                at = f"{message.topic()}:{message.partition()}"
                records.append((at, message.offset(), message.timestamp()[1], message.key(), message.value()))
            elif error.code() != KafkaError._PARTITION_EOF:
                told(error)
        return records

    async def pause(self):
        self.client.pause(self.client.assignment())

    async def resume(self):
        self.client.resume(self.client.assignment())

    async def seek(self, at, offset):
        self.client.seek(TopicPartition(*driver.place(at), offset))

    async def seek_time(self, timestamp):
        asked = [TopicPartition(one.topic, one.partition, timestamp) for one in self.client.assignment()]
        for found in self.client.offsets_for_times(asked, timeout=30):
            if found.error:
                raise KafkaException(found.error)
            offset = found.offset if found.offset >= 0 else OFFSET_END
            self.client.seek(TopicPartition(found.topic, found.partition, offset))

    async def commit(self):
        for partition in self.client.commit(asynchronous=False):
            if partition.error:
                raise KafkaException(partition.error)

    async def close(self, commit):
        self.client.close()  # commits first if it commits by itself


class Client:
    name, version = "confluent-kafka", f"{confluent_kafka.version()} (librdkafka {confluent_kafka.libversion()[0]})"
    lacks = {"sticky": "librdkafka has no eager sticky assignor"}
    Producer, Consumer = Producer, Consumer


driver.main(Client)
