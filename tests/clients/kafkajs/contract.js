// The command line, the commands and the events, whatever the client.
import { createInterface } from 'node:readline'
import kafkajs from 'kafkajs'
import snappy from 'kafkajs-snappy'
import lz4 from 'lz4-napi'
import zstd from '@mongodb-js/zstd'

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs

// KafkaJS brings gzip; its users bring the others.
CompressionCodecs[CompressionTypes.Snappy] = snappy
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: encoder => lz4.compressFrame(encoder.buffer),
  decompress: buffer => lz4.decompressFrame(buffer)
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: encoder => zstd.compress(encoder.buffer),
  decompress: buffer => zstd.decompress(buffer)
})

const defaults = {
  features: {},
  produce: {
    bootstrap: '', topic: '', first: '0', count: '0', codec: 'none', acks: 'all', idempotent: 'false', partition: '-1',
    value_bytes: '0', rate_per_s: '0'
  },
  consume: {
    bootstrap: '', topics: '', pattern: '', assign: '', group: '', instance: '', assignor: '', from: 'earliest', session_ms: '10000',
    heartbeat_ms: '1000', metadata_max_age_ms: '2000', commit: 'auto', max: '0', client_id: ''
  }
}

export function keysOf (verb, pairs) {
  const keys = { ...defaults[verb] }
  for (const pair of pairs) {
    const [key, ...value] = pair.split('=')
    if (!Object.hasOwn(keys, key)) refuse(`unknown key ${key}`)
    keys[key] = value.join('=')
  }
  return keys
}

export function client (keys, more = {}) {
  const logCreator = () => ({ namespace, label, log }) => console.error(label, namespace, JSON.stringify(log))
  const level = process.env.DRIVER_LOG ? logLevel.DEBUG : logLevel.WARN
  if (keys.client_id) more.clientId = keys.client_id
  return new Kafka({ brokers: keys.bootstrap.split(','), logCreator, logLevel: level, ...more })
}

export function refuse (why) {
  console.error(why)
  process.exit(2)
}

export function emit (event) {
  process.stdout.write(JSON.stringify(event) + '\n')
}

/** Ends when all that was said has left: a pipe that is full keeps the rest in this process. */
export function exit (code) {
  process.stdout.write('', () => process.exit(code))
}

export function failed (error, fatal) {
  emit({ event: 'error', message: String(error?.message ?? error), fatal })
}

export function place (at) {
  const colon = at.lastIndexOf(':')
  return { topic: at.slice(0, colon), partition: Number(at.slice(colon + 1)) }
}

const words = { pause: 1, resume: 1, seek: 3, seek_time: 2, commit: 1, stop: 1, abandon: 1 }

/** The commands of standard input, one after another; the client is abandoned right here, whatever it is doing. */
export async function * commands () {
  for await (const line of createInterface({ input: process.stdin })) {
    const command = line.trim().split(/ +/)
    if (words[command[0]] !== command.length) refuse(`unknown command: ${line}`)
    if (command[0] === 'abandon') process.exit(0)
    yield command
  }
  yield ['stop']
}
