"""What every Python driver has in common: its command line, its events and the loop of its consumer.

See tests/clients/README.md for the contract. A driver gives `main` one class with the client's own calls; nothing here knows a client.
"""

import asyncio
import json
import logging
import os
import queue
import sys
import threading
import time

#: Keys of each verb with their defaults, whose type is the key's.
KEYS = {
    "features": {},
    "produce": {
        "bootstrap": "", "topic": "", "first": 0, "count": 0, "codec": "none", "acks": "all", "idempotent": False,
        "partition": -1, "value_bytes": 0, "rate_per_s": 0,
    },
    "consume": {
        "bootstrap": "", "topics": "", "pattern": "", "assign": "", "group": "", "instance": "", "assignor": "",
        "from": "earliest", "session_ms": 10000, "heartbeat_ms": 1000, "metadata_max_age_ms": 2000, "commit": "auto",
        "max": 0, "client_id": "", "protocol": "",
    },
}
#: A client has this long to bring its records to the broker before it gives up.
DELIVERY_MS = 60_000
#: Records that the consumer takes from its client at once.
BATCH_RECORDS = 500

_printing = threading.Lock()


def emit(event, **fields):
    """One event, one line, at once."""
    line = json.dumps({"event": event, **fields}, separators=(",", ":"))
    with _printing:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def trouble(error, fatal=False):
    """An error of the client, with its kind where its text does not tell it."""
    emit("error", message=f"{type(error).__name__}: {error}", fatal=fatal)


def refuse(why):
    """A command line that this driver does not understand."""
    print(why, file=sys.stderr)
    sys.exit(2)


def parse(arguments):
    """The verb and its keys."""
    if not arguments or arguments[0] not in KEYS:
        refuse(f"a verb: {', '.join(KEYS)}")
    verb, options = arguments[0], dict(KEYS[arguments[0]])
    for argument in arguments[1:]:
        key, equals, value = argument.partition("=")
        if not equals or key not in options:
            refuse(f"{verb} knows no {argument}")
        default = options[key]
        if isinstance(default, bool):
            if value not in ("true", "false"):
                refuse(f"{key} is true or false")
            options[key] = value == "true"
        else:
            options[key] = type(default)(value)
    return verb, options


def place(at):
    """`t:0` as topic and partition."""
    topic, _, partition = at.rpartition(":")
    return topic, int(partition)


def main(client):
    """Runs the verb of the command line with `client`: `name`, `version`, `lacks`, `Producer`, `Consumer`."""
    verb, options = parse(sys.argv[1:])
    logging.basicConfig(level=os.environ.get("DRIVER_LOG", "WARNING"), format="%(asctime)s %(name)s %(message)s")  # to standard error
    try:
        if verb == "features":
            emit("features", client=client.name, version=client.version, lacks=client.lacks)
        elif verb == "produce":
            asyncio.run(produce(client.Producer, options))
        else:
            asyncio.run(consume(client.Consumer, options))
    except Exception as error:  # whatever it is, it ended this driver
        trouble(error, fatal=True)
        sys.stdout.flush()
        os._exit(1)  # threads of a client must not keep a failed driver alive
    sys.stdout.flush()
    os._exit(0)


class Outcomes:
    """Counts what became of the records; clients tell it from threads of their own."""

    def __init__(self):
        self._lock = threading.Lock()
        self.acked, self.failed, self.errors = 0, 0, set()

    def done(self, error=None):
        with self._lock:
            if error is None:
                self.acked += 1
            else:
                self.failed += 1
                self.errors.add(f"{type(error).__name__}: {error}")


async def produce(producer_class, options):
    """Hands over all records, at their pace, and waits for what becomes of them."""
    producer, outcomes = producer_class(options), Outcomes()
    await producer.start()
    partition = options["partition"] if options["partition"] >= 0 else None
    begun, told = time.monotonic(), time.monotonic()
    for number in range(options["first"], options["first"] + options["count"]):
        if options["rate_per_s"]:
            due = begun + (number - options["first"]) / options["rate_per_s"]
            while time.monotonic() < due:
                await producer.wait(min(0.05, max(0.0, due - time.monotonic())))
            if time.monotonic() - told >= 1:
                told = time.monotonic()
                emit("progress", acked=outcomes.acked)
        value = f"value-{number}".ljust(options["value_bytes"], ".")
        try:
            await producer.send(f"key-{number}".encode(), value.encode(), partition, outcomes.done)
        except Exception as error:
            outcomes.done(error)
    await producer.close()
    emit("produced", acked=outcomes.acked, failed=outcomes.failed, errors=sorted(outcomes.errors))


def commands():
    """Lines of standard input as they come, `stop` at its end."""
    lines = queue.SimpleQueue()

    def follow():
        for line in sys.stdin:
            if line.strip() == "abandon":
                os._exit(0)
            lines.put(line.split())
        lines.put(["stop"])

    threading.Thread(target=follow, daemon=True).start()
    return lines


class Reading:
    """The consumer's loop: commands, records, commits."""

    def __init__(self, consumer, options):
        self.consumer, self.options = consumer, options
        self.read, self.positions, self.due = 0, {}, False

    async def run(self):
        lines = commands()
        await self.consumer.start(self.assigned, self.revoked)
        while True:
            try:
                command = lines.get_nowait()
            except queue.Empty:
                command = None
            if command == ["stop"]:
                break
            if command:
                await self.obey(*command)
            left = self.options["max"] - self.read if self.options["max"] else BATCH_RECORDS
            if left <= 0:
                break
            await self.take(min(left, BATCH_RECORDS))
        await self.consumer.close(self.options["commit"] != "none")
        emit("stopped", read=self.read)

    async def take(self, limit):
        records = await self.consumer.poll(limit)
        for at, offset, timestamp, key, value in records:
            text = value.decode()
            emit("record", at=at, offset=offset, timestamp=timestamp, key=key.decode() if key is not None else None,
                 value=text.rstrip("."), bytes=len(value))
            self.positions[at] = offset + 1
        self.read += len(records)
        self.due = self.due or (bool(records) and self.options["commit"] == "each")
        if self.due:  # a commit that a rebalance forbids is made up for after the next batch, or without one
            await self.commit()

    async def commit(self):
        self.due = False
        try:
            await self.consumer.commit()
        except Exception as error:  # a rebalance came first: the next owner reads these records again
            trouble(error)
            self.due = self.options["commit"] == "each" and bool(self.positions)
            return
        owned = set(self.consumer.assignment())
        emit("committed", offsets={at: offset for at, offset in self.positions.items() if at in owned})

    async def obey(self, verb, *operands):
        if verb == "pause":
            await self.consumer.pause()
            emit("paused")
        elif verb == "resume":
            await self.consumer.resume()
            emit("resumed")
        elif verb == "seek":
            await self.consumer.seek(operands[0], int(operands[1]))
            self.positions[operands[0]] = int(operands[1])
            emit("sought")
        elif verb == "seek_time":
            await self.consumer.seek_time(int(operands[0]))
            emit("sought")
        elif verb == "commit":
            await self.commit()
        else:
            emit("error", message=f"no command {verb}", fatal=False)

    def assigned(self, partitions):
        emit("assigned", partitions=sorted(partitions))

    def revoked(self, partitions):
        for at in partitions:
            self.positions.pop(at, None)
        emit("revoked", partitions=sorted(partitions))


async def consume(consumer_class, options):
    """Reads until it is told to stop or has read enough."""
    if options["protocol"]:
        refuse("this client finds the protocol version itself")
    await Reading(consumer_class(options), options).run()
