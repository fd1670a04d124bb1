// What mqtt.js is asked to do, in a browser and in Node.js: messages to itself of every QoS, text and bytes.

async function exchange(mqtt, url, options) {
  const client = await mqtt.connectAsync(url, { reconnectPeriod: 0, connectTimeout: 20000, ...options });
  const topic = `mqttjs/${options.clientId}`;
  const bytes = Uint8Array.from({ length: 200000 }, (_, i) => (i * 7) & 255);
  const sent = [];
  for (const qos of [0, 1, 2]) {
    sent.push([`${topic}/text/${qos}`, 'häßlich ' + qos, qos], [`${topic}/bytes/${qos}`, bytes, qos]);
  }
  const came = new Map();
  const all = new Promise((resolve) => client.on('message', (name, payload) => {
    came.set(name, payload);
    if (came.size === sent.length) resolve();
  }));
  const granted = await client.subscribeAsync(`${topic}/#`, { qos: 2 });
  for (const [name, payload, qos] of sent) await client.publishAsync(name, payload, { qos });
  await all;
  const same = sent.every(([name, payload]) => {
    const got = came.get(name);
    return typeof payload === 'string' ? new TextDecoder().decode(got) === payload
      : got.length === payload.length && got.every((byte, i) => byte === payload[i]);
  });
  await client.endAsync();
  return { granted: granted[0].qos, came: came.size, same };
}

if (typeof module !== 'undefined') module.exports = { exchange };
