// Reads as a member of a group, batch by batch.
import { client, commands, emit, exit, failed, place } from './contract.js'

export async function consume (keys, lacks) {
  if (keys.assign || !keys.group) throw new Error(lacks.assign)
  if (keys.instance) throw new Error(lacks.static)
  if (!['', 'roundrobin'].includes(keys.assignor)) throw new Error(lacks.range)
  const kafka = client(keys)
  const consumer = kafka.consumer({
    groupId: keys.group,
    sessionTimeout: Number(keys.session_ms),
    heartbeatInterval: Number(keys.heartbeat_ms),
    metadataMaxAge: Number(keys.metadata_max_age_ms)
  })
  const reader = new Reader(keys, consumer, kafka)
  await consumer.connect()
  await consumer.subscribe({
    topics: keys.pattern ? [new RegExp(keys.pattern)] : keys.topics.split(','),
    fromBeginning: keys.from === 'earliest'
  })
  await consumer.run({
    autoCommit: keys.commit === 'auto',
    autoCommitInterval: 1000,
    eachBatchAutoResolve: false,
    eachBatch: context => reader.take(context)
  })
  await Promise.race([reader.obey(), reader.full])
  await consumer.disconnect() // commits what its own commits have left, leaves the group
  emit({ event: 'stopped', read: reader.read })
}

class Reader {
  read = 0
  next = new Map() // position after the last record that was told, by `topic:partition`
  assigned = []

  constructor (keys, consumer, kafka) {
    Object.assign(this, { keys, consumer, kafka, max: Number(keys.max) || Infinity })
    this.full = new Promise(resolve => { this.fill = resolve })
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      const names = ([topic, partitions]) => partitions.map(partition => `${topic}:${partition}`)
      this.assigned = Object.entries(payload.memberAssignment).flatMap(names).sort()
      emit({ event: 'assigned', partitions: this.assigned })
    })
    consumer.on(consumer.events.REBALANCING, () => this.revoked())
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      failed(payload.error, !payload.restart)
      if (!payload.restart) exit(1)
      this.revoked()
    })
  }

  revoked () {
    if (this.assigned.length > 0) emit({ event: 'revoked', partitions: this.assigned })
    this.assigned = []
    this.next.clear()
  }

  async take ({ batch, resolveOffset, heartbeat, commitOffsetsIfNecessary, isRunning, isStale }) {
    if (!isRunning() || isStale()) return
    for (const message of batch.messages) {
      if (this.read === this.max) break
      this.tell(batch, message)
      resolveOffset(message.offset)
    }
    await heartbeat()
    if (this.keys.commit === 'each') await this.commit()
    else if (this.keys.commit === 'auto') await commitOffsetsIfNecessary() // it would commit without autoCommit too
    if (this.read === this.max) this.fill()
  }

  tell ({ topic, partition }, message) {
    this.read++
    this.next.set(`${topic}:${partition}`, Number(message.offset) + 1)
    emit({
      event: 'record',
      at: `${topic}:${partition}`,
      offset: Number(message.offset),
      timestamp: Number(message.timestamp),
      key: String(message.key ?? ''),
      value: String(message.value ?? '').replace(/\.+$/, ''),
      bytes: message.value?.length ?? 0
    })
  }

  async commit () {
    const offsets = [...this.next].map(([at, offset]) => ({ ...place(at), offset: String(offset) }))
    const told = Object.fromEntries(this.next)
    try {
      await this.consumer.commitOffsets(offsets)
      emit({ event: 'committed', offsets: told })
    } catch (error) {
      failed(error, false)
      throw error // KafkaJS rejoins where that is the way out
    }
  }

  /** The whole assignment as KafkaJS takes it. */
  partitions () {
    const topics = new Map()
    for (const { topic, partition } of this.assigned.map(place)) topics.set(topic, [...(topics.get(topic) ?? []), partition])
    return [...topics].map(([topic, partitions]) => ({ topic, partitions }))
  }

  /** Carries out commands until the end. */
  async obey () {
    for await (const [verb, first, second] of commands()) {
      if (verb === 'stop') return
      try {
        await this.does(verb, first, second)
      } catch (error) {
        if (verb !== 'commit') failed(error, false)
      }
    }
  }

  async does (verb, first, second) {
    switch (verb) {
      case 'pause':
        this.consumer.pause(this.partitions())
        return emit({ event: 'paused' })
      case 'resume':
        this.consumer.resume(this.partitions())
        return emit({ event: 'resumed' })
      case 'commit':
        return this.commit()
      case 'seek':
        this.seek(first, Number(second))
        return emit({ event: 'sought' })
      case 'seek_time':
        await this.seekTime(Number(first))
        return emit({ event: 'sought' })
    }
  }

  seek (at, offset) {
    this.consumer.seek({ ...place(at), offset: String(offset) })
    this.next.set(at, offset)
  }

  async seekTime (timestamp) {
    const admin = this.kafka.admin()
    await admin.connect()
    try {
      for (const { topic, partitions } of this.partitions()) {
        const found = await admin.fetchTopicOffsetsByTimestamp(topic, timestamp)
        for (const { partition, offset } of found) {
          if (partitions.includes(partition)) this.seek(`${topic}:${partition}`, Number(offset))
        }
      }
    } finally {
      await admin.disconnect()
    }
  }
}
