// Writes numbered records.
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs from 'kafkajs'
import { client, emit, refuse } from './contract.js'

const codecs = {
  none: kafkajs.CompressionTypes.None,
  gzip: kafkajs.CompressionTypes.GZIP,
  snappy: kafkajs.CompressionTypes.Snappy,
  lz4: kafkajs.CompressionTypes.LZ4,
  zstd: kafkajs.CompressionTypes.ZSTD
}
const acks = { all: -1, 1: 1, 0: 0 }

const BATCH_RECORDS_MAX = 500
const BATCH_BYTES_MAX = 900_000

export async function produce (keys) {
  if (!(keys.codec in codecs) || !(keys.acks in acks)) refuse('no such codec or acks')
  const retry = { initialRetryTime: 300, maxRetryTime: 2_000, retries: 30 } // about a minute
  const producer = client(keys, { retry }).producer({ idempotent: keys.idempotent === 'true' })
  await producer.connect()
  const [first, count, rate, bytes, partition] =
    ['first', 'count', 'rate_per_s', 'value_bytes', 'partition'].map(key => Number(keys[key]))
  const batchMax = Math.max(1, Math.min(BATCH_RECORDS_MAX, Math.floor(BATCH_BYTES_MAX / Math.max(bytes, 1))))
  const [began, errors] = [Date.now(), new Set()]
  let [acked, lost, sent] = [0, 0, 0]
  const teller = rate > 0 ? setInterval(() => emit({ event: 'progress', acked }), 1000) : null
  while (sent < count) {
    const due = rate > 0 ? Math.min(count, Math.floor((Date.now() - began) * rate / 1000) + 1) : count
    const messages = []
    for (; sent < due && messages.length < batchMax; sent++) {
      const message = { key: `key-${first + sent}`, value: `value-${first + sent}`.padEnd(bytes, '.') }
      messages.push(partition >= 0 ? { ...message, partition } : message)
    }
    if (messages.length === 0) {
      await sleep(5)
      continue
    }
    try {
      await producer.send({ topic: keys.topic, acks: acks[keys.acks], compression: codecs[keys.codec], messages })
      acked += messages.length
    } catch (error) {
      lost += messages.length
      errors.add(error.message)
    }
  }
  clearInterval(teller)
  await producer.disconnect()
  emit({ event: 'produced', acked, failed: lost, errors: [...errors] })
}
