// node node.js '[{"url": ..., "options": {...}}, ...]': one line of JSON with the outcome of each.

const fs = require('fs');
const mqtt = require('mqtt');
const { exchange } = require('./exchange.js');

async function main() {
  const outcomes = [];
  for (const { url, ca, options } of JSON.parse(process.argv[2])) {
    outcomes.push(await exchange(mqtt, url, { ...options, ca: fs.readFileSync(ca) }));
  }
  console.log(JSON.stringify(outcomes));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
