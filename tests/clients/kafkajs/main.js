// KafkaJS under the contract of tests/clients/README.md.
import { createRequire } from 'node:module'
import { consume } from './consume.js'
import { emit, exit, failed, keysOf, refuse } from './contract.js'
import { produce } from './produce.js'

const version = createRequire(import.meta.url)('kafkajs/package.json').version

const lacks = {
  static: 'KafkaJS joins without a group.instance.id.',
  cooperative: 'The one assigner that KafkaJS has is an eager round robin.',
  sticky: 'The one assigner that KafkaJS has is an eager round robin.',
  range: 'The one assigner that KafkaJS has is an eager round robin.',
  pattern: 'KafkaJS looks once, on subscribing, which topics a pattern means.',
  assign: 'KafkaJS reads as a member of a group only.'
}

const verbs = {
  features: async () => emit({ event: 'features', client: 'kafkajs', version, lacks }),
  produce,
  consume: keys => consume(keys, lacks)
}

const [verb, ...pairs] = process.argv.slice(2)
if (!Object.hasOwn(verbs, verb ?? '')) refuse('a verb: features, produce or consume')
try {
  await verbs[verb](keysOf(verb, pairs))
  exit(0)
} catch (error) {
  failed(error, true)
  exit(1)
}
