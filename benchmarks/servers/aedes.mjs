// aedes in memory: `node aedes.mjs PORT`. `concurrency`, the messages on their way at once, stays at its default of
// 100; a client that is slow to read is waited for instead of being disconnected after a minute.
import { createServer } from 'node:net'
import { Aedes } from 'aedes'

const broker = await Aedes.createBroker({ drainTimeout: 0 })
createServer(broker.handle).listen(Number(process.argv[2]), '127.0.0.1')
