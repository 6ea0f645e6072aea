// Runs scenarios with kafkajs: arguments are bootstrap servers and names; prints name to outcome as JSON.
'use strict'

const { randomUUID } = require('node:crypto')
const { Kafka, CompressionTypes, ConfigResourceTypes, logLevel } = require('kafkajs')

const [bootstrap, ...names] = process.argv.slice(2)
const retry = { initialRetryTime: 20, maxRetryTime: 200, retries: 20 }
const kafka = new Kafka({ clientId: 'kafkajs', brokers: bootstrap.split(','), logLevel: logLevel.NOTHING, retry })
const admin = kafka.admin()
const patience = 20_000
const open = []

async function record () {
  const topic = await makeTopic()
  const producer = await connected(kafka.producer())
  await producer.send({
    topic,
    messages: [
      { key: 'k', value: 'v', headers: { h: ['1', '2'] }, timestamp: '1700000000123' },
      { key: 'k', value: null, timestamp: '1700000000124' }
    ]
  })
  return (await read(topic, 2)).map(({ key, value, headers, timestamp, offset }) => [
    String(key),
    value === null ? null : String(value),
    Object.entries(headers).flatMap(([name, values]) => [values].flat().map(each => [name, String(each)])),
    Number(timestamp),
    Number(offset)
  ])
}

async function codecs () {
  return {
    none: await roundTrip({ compression: CompressionTypes.None }),
    gzip: await roundTrip({ compression: CompressionTypes.GZIP })
  }
}

async function acks () {
  return { 0: await roundTrip({ acks: 0 }), 1: await roundTrip({ acks: 1 }), all: await roundTrip({ acks: -1 }) }
}

async function offsets () {
  const topic = await makeTopic()
  const producer = await connected(kafka.producer())
  await producer.send({ topic, messages: ['1000', '2000', '3000'].map(timestamp => ({ value: '', timestamp })) })
  const [latest] = await admin.fetchTopicOffsets(topic)
  const [found] = await admin.fetchTopicOffsetsByTimestamp(topic, 1500)
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '1' }] })
  const [earliest] = await admin.fetchTopicOffsets(topic)
  return { latest: Number(latest.high), at_1500: Number(found.offset), earliest: Number(earliest.low) }
}

async function commit () {
  const topic = await makeTopic()
  const groupId = unique()
  await send(topic, 4)
  await read(topic, 4, { groupId, commit: '2' })
  const [{ partitions: [{ offset, metadata }] }] = await admin.fetchOffsets({ groupId, topics: [topic] })
  const resumed = (await read(topic, 2, { groupId })).map(({ value }) => String(value))
  return { committed: Number(offset), metadata, resumed }
}

async function group () {
  const topic = await makeTopic(4)
  const groupId = unique()
  const assigned = new Map()
  const member = async name => {
    const consumer = await connected(kafka.consumer({ groupId, heartbeatInterval: 100, maxWaitTimeInMs: 100 }))
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => assigned.set(name, payload.memberAssignment[topic] ?? []))
    await consumer.subscribe({ topic })
    await consumer.run({ eachMessage: async () => {} })
    return consumer
  }
  const count = name => (assigned.get(name) ?? []).length
  await member('first')
  await until(() => count('first') === 4)
  const second = await member('second')
  await until(() => count('first') === 2 && count('second') === 2)
  const shared = new Set([...assigned.get('first'), ...assigned.get('second')]).size
  const { groups: [described] } = await admin.describeGroups([groupId])
  await second.disconnect()
  await until(() => count('first') === 4)
  return { shared, members: described.members.length, alone: count('first') }
}

async function transactions () {
  const topic = await makeTopic()
  const producer = await transactional()
  for (const value of ['0', '1', '2']) {
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: [{ value }] })
    await (value === '1' ? transaction.abort() : transaction.commit())
  }
  const text = ({ value }) => String(value)
  return {
    committed: (await read(topic, 2)).map(text),
    all: (await read(topic, 3, { readUncommitted: true })).map(text)
  }
}

async function exactlyOnce () {
  const [source, sink, groupId] = [await makeTopic(), await makeTopic(), unique()]
  await send(source, 4)
  const producer = await transactional()
  for (const first of [0, 2]) {
    for (const { value, offset } of await read(source, 4 - first, { groupId })) {
      const transaction = await producer.transaction()
      await transaction.send({ topic: sink, messages: [{ value: String(value).repeat(2) }] })
      const partitions = [{ partition: 0, offset: String(Number(offset) + 1) }]
      await transaction.sendOffsets({ consumerGroupId: groupId, topics: [{ topic: source, partitions }] })
      if (first === 0 && offset === '2') {
        await transaction.abort()
        break
      }
      await transaction.commit()
    }
  }
  const [{ partitions: [{ offset }] }] = await admin.fetchOffsets({ groupId, topics: [source] })
  return { sink: (await read(sink, 4)).map(({ value }) => String(value)), committed: Number(offset) }
}

async function administration () {
  const topic = await makeTopic()
  const groupId = unique()
  const brokers = (await admin.describeCluster()).brokers.map(({ nodeId }) => nodeId).sort()
  await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
  const partitions = async () => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length
  await until(async () => await partitions() === 3)
  const resource = { type: ConfigResourceTypes.TOPIC, name: topic }
  await admin.alterConfigs({ resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '70000' }] }] })
  const { resources: [{ configEntries }] } = await admin.describeConfigs({ resources: [resource] })
  const retention = configEntries.find(({ configName }) => configName === 'retention.ms').configValue
  await read(topic, 0, { groupId, commit: '0' })
  const { groups: [{ state }] } = await admin.describeGroups([groupId])
  const listed = (await admin.listGroups()).groups.some(each => each.groupId === groupId)
  await admin.deleteGroups([groupId])
  await admin.deleteTopics({ topics: [topic] })
  await until(async () => !(await admin.listTopics()).includes(topic))
  return { brokers, partitions: 3, retention, group: state, listed, deleted: true }
}

const scenarios = { record, codecs, acks, offsets, commit, group, transactions, exactly_once: exactlyOnce, admin: administration }

function unique () {
  return `js-${randomUUID()}`
}

async function connected (client) {
  await client.connect()
  open.push(client)
  return client
}

function transactional () {
  return connected(kafka.producer({ transactionalId: unique(), maxInFlightRequests: 1, idempotent: true }))
}

async function makeTopic (numPartitions = 1) {
  const topic = unique()
  await admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: true })
  return topic
}

async function send (topic, count, options = {}) {
  const producer = await connected(kafka.producer())
  const messages = Array.from({ length: count }, (_, number) => ({ value: String(number) }))
  await producer.send({ topic, messages, ...options })
}

async function roundTrip (options) {
  const topic = await makeTopic()
  await send(topic, 20, options)
  return (await read(topic, 20)).length
}

async function read (topic, count, { groupId = unique(), readUncommitted = false, commit = null } = {}) {
  const consumer = kafka.consumer({ groupId, readUncommitted, maxWaitTimeInMs: 100 })
  const found = []
  await consumer.connect()
  try {
    let joined = false
    consumer.on(consumer.events.GROUP_JOIN, () => { joined = true })
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({ autoCommit: false, eachMessage: async ({ message }) => { found.push(message) } })
    await until(() => joined && found.length >= count)
    if (commit !== null) {
      await consumer.commitOffsets([{ topic, partition: 0, offset: commit, metadata: 'seen two' }])
    }
  } finally {
    await consumer.disconnect()
  }
  return found
}

async function until (condition) {
  const end = Date.now() + patience
  while (!await condition()) {
    if (Date.now() > end) throw new Error(`not so after ${patience} ms`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

async function main () {
  await admin.connect()
  const outcomes = {}
  for (const name of names) {
    try {
      outcomes[name] = await scenarios[name]()
    } catch (error) {
      outcomes[name] = { error: error.stack }
    }
  }
  await Promise.all([admin, ...open].map(client => client.disconnect()))
  console.log(JSON.stringify(outcomes))
}

main().catch(error => {
  console.error(error)
  process.exitCode = 1
})
