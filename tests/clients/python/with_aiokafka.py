"""Driver on aiokafka."""

import asyncio

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

import driver

ASSIGNORS = {
    "range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor, "sticky": StickyPartitionAssignor,
}


def name_of(partition):
    return f"{partition.topic}:{partition.partition}"


class Producer:
    def __init__(self, options):
        self.topic = options["topic"]
        self.client = AIOKafkaProducer(
            bootstrap_servers=options["bootstrap"],
            acks="all" if options["acks"] == "all" else int(options["acks"]),
            compression_type=None if options["codec"] == "none" else options["codec"],
            enable_idempotence=options["idempotent"],
            request_timeout_ms=driver.DELIVERY_MS,  # a batch lives as long as a request may
        )

    async def start(self):
        await self.client.start()

    async def wait(self, seconds):
        await asyncio.sleep(seconds)

    async def send(self, key, value, partition, done):
        future = await self.client.send(self.topic, key=key, value=value, partition=partition)
        future.add_done_callback(lambda delivered: done(delivered.exception()))

    async def close(self):
        await self.client.flush()
        await asyncio.sleep(0)  # the callbacks of the last records run in the next turn of the loop
        await self.client.stop()


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
        self.settings = settings

    async def start(self, assigned, revoked):
        self.assigned, self.revoked = assigned, revoked
        self.client = AIOKafkaConsumer(**self.settings)
        if self.options["assign"]:
            self.client.assign([TopicPartition(*driver.place(at)) for at in self.options["assign"].split(",")])
            assigned(self.assignment())
        elif self.options["pattern"]:
            self.client.subscribe(pattern=self.options["pattern"], listener=self)
        else:
            self.client.subscribe(self.options["topics"].split(","), listener=self)
        await self.client.start()

    async def on_partitions_assigned(self, assigned):
        self.assigned(self.assignment())

    async def on_partitions_revoked(self, revoked):
        self.revoked([name_of(partition) for partition in revoked])

    def assignment(self):
        return [name_of(partition) for partition in self.client.assignment()]

    async def poll(self, limit):
        batches = await self.client.getmany(timeout_ms=100, max_records=limit)
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
        found = await self.client.offsets_for_times({partition: timestamp for partition in self.client.assignment()})
        for partition, offset in found.items():
            if offset is None:
                await self.client.seek_to_end(partition)
            else:
                self.client.seek(partition, offset.offset)

    async def commit(self):
        await self.client.commit()

    async def close(self, commit):
        await self.client.stop()  # commits first if it commits by itself


class Client:
    name, version = "aiokafka", aiokafka.__version__
    lacks = {"cooperative": "aiokafka has no cooperative assignor"}
    Producer, Consumer = Producer, Consumer


driver.main(Client)
