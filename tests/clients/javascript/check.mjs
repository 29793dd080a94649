// Checks a server with the JavaScript client of InfluxDB 3: every type, nulls, names and values in Unicode, and many
// rows, written over HTTP and read back over Flight. `node check.mjs http://host:port rows`; the token is in OCHRE_TOKEN.
import assert from 'node:assert/strict'

import {InfluxDBClient, Point, setLogger} from '@influxdata/influxdb3-client'

const [host, asked] = process.argv.slice(2)
const rows = Number(asked)
const needed = process.env.OCHRE_TOKEN
const START_MS = 1_700_000_000_000
const BATCH = 10_000
const TEXT = 'a,b c=d "quoted" back\\slash ß é 漢字 🎉'
const PLACE = 'Zürich, Süd=1 🏔'
const [TABLE, TAG, FIELD] = ['mérés, 測定 1', 'hely =, ég', 'hő, °C = 🌡']

// Runs something with a client, which is closed whatever happens.
async function using(database, run, token = needed ?? 'no-token-is-needed') {
  const client = new InfluxDBClient({host, token, database, authScheme: 'Bearer', timeout: 600_000})
  try {
    return await run(client)
  } finally {
    await client.close()
  }
}

// All rows of an answer, without what is null.
async function read(client, sql, options) {
  const found = []
  for await (const row of client.query(sql, undefined, options)) {
    found.push(Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null && value !== undefined)))
  }
  return found
}

function typed() {
  // Integers are read as numbers, so those above 2^53 are compared as text, below; unsigned ones as BigInt.
  const values = [
    {place: PLACE, f: 1.5, i: 0, u: 0n, b: true, s: TEXT},
    {place: PLACE, f: Number.MAX_VALUE, i: Number.MAX_SAFE_INTEGER, u: BigInt(Number.MAX_SAFE_INTEGER), b: false, s: ''},
    {place: PLACE, f: Number.MIN_VALUE, i: Number.MIN_SAFE_INTEGER, u: 1n, b: true, s: '漢'},
    {place: 'alone', f: -0.1},
    {i: -1},
    {place: 'alone', u: 7n},
    {b: false},
    {s: 'x'.repeat(10_000)},
  ]
  return values.map((row, at) => ({...row, time: START_MS + at}))
}

function point({place, f, i, u, b, s, time}) {
  const made = Point.measurement('typed').setTimestamp(new Date(time))
  if (place !== undefined) made.setTag('place', place)
  if (f !== undefined) made.setFloatField('f', f)
  if (i !== undefined) made.setIntegerField('i', i)
  if (u !== undefined) made.setUintegerField('u', Number(u))
  if (b !== undefined) made.setBooleanField('b', b)
  if (s !== undefined) made.setStringField('s', s)
  return made
}

const cases = {
  'every type and null': () =>
    using('js_types', async (client) => {
      const want = typed()
      await client.write(want.map(point))
      assert.deepEqual(await read(client, 'SELECT * FROM typed ORDER BY time'), want)
      return `${want.length} rows`
    }),

  'tags and fields': () =>
    using('js_types', async (client) => {
      for await (const values of client.queryPoints('SELECT * FROM typed ORDER BY time LIMIT 1')) {
        assert.deepEqual(values.getTagNames(), ['place'])
        assert.equal(values.getTag('place'), PLACE)
        const types = ['f', 'i', 'u', 'b', 's'].map((name) => values.getFieldType(name))
        assert.deepEqual(types, ['float', 'integer', 'uinteger', 'boolean', 'string'])
        return 'by metadata'
      }
      throw new Error('there was no row')
    }),

  'extreme integers': () =>
    using('js_integers', async (client) => {
      const [low, high, unsigned] = ['-9223372036854775808', '9223372036854775807', '18446744073709551615']
      await client.write(`t low=${low}i,high=${high}i,unsigned=${unsigned}u 1`)
      const text = (name) => `CAST(${name} AS VARCHAR) AS ${name}`
      const got = await read(client, `SELECT ${['low', 'high', 'unsigned'].map(text)} FROM t`)
      assert.deepEqual(got, [{low, high, unsigned}])
      return 'as text'
    }),

  'unicode names': () =>
    using('js_names', async (client) => {
      const made = Point.measurement(TABLE).setTag(TAG, PLACE).setStringField(FIELD, TEXT)
      await client.write(made.setTimestamp(new Date(START_MS)))
      const got = await read(client, `SELECT * FROM "${TABLE}"`)
      assert.deepEqual(got, [{[TAG]: PLACE, [FIELD]: TEXT, time: START_MS}])
      return 'a table, a tag and a field'
    }),

  'parameters and errors': () =>
    using('js_types', async (client) => {
      const asked = {type: 'sql', params: {place: 'alone'}}
      const found = await read(client, 'SELECT count(*) AS n FROM typed WHERE place = $place', asked)
      assert.equal(Number(found[0].n), 2)
      await assert.rejects(client.write('cpu v=x 1'), /cpu v=x 1|partial/)
      await assert.rejects(read(client, 'SELECT nothing FROM typed'), /nothing/)
      if (needed === undefined) return 'a bad line, a bad query'
      const wrong = using('js_types', (stranger) => read(stranger, 'SELECT 1'), 'wrong'.repeat(8))
      await assert.rejects(wrong, /UNAUTHENTICATED|nauth/)
      return 'a bad line, a bad query, a wrong token'
    }),

  'many rows': () =>
    using('js_large', async (client) => {
      for (let from = 0; from < rows; from += BATCH) {
        const lines = []
        for (let at = from; at < Math.min(from + BATCH, rows); at++) {
          lines.push(`large,host=höst-${at % 100} n=${at}i,x=${at * 0.5},s="row ${at}" ${START_MS + at}000000`)
        }
        await client.write(lines)
      }
      let at = 0
      for await (const row of client.query('SELECT * FROM large ORDER BY time')) {
        const right =
          row.host === `höst-${at % 100}` && row.n === at && row.x === at * 0.5 && row.s === `row ${at}` && row.time === START_MS + at
        assert.ok(right, `row ${at}: ${JSON.stringify(row)}`)
        at++
      }
      assert.equal(at, rows)
      return `${rows} rows`
    }),
}

if (!host || !Number.isInteger(rows)) {
  console.error('node check.mjs http://host:port rows')
  process.exit(2)
}
// The client warns of each unsigned integer that it reads, and of each write that is refused.
console.warn = () => {}
setLogger({error() {}, warn() {}})
let failed = false
for (const [name, run] of Object.entries(cases)) {
  const begun = Date.now()
  try {
    const said = await run()
    console.log(`ok     javascript ${name}: ${said} (${((Date.now() - begun) / 1000).toFixed(1)} s)`)
  } catch (error) {
    failed = true
    console.log(`FAILED javascript ${name}: ${error.stack}`)
  }
}
process.exit(failed ? 1 : 0)
