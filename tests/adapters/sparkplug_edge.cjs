// An edge node by the sparkplug-client of npm. Reads commands as JSON lines, tells what happens as JSON lines.
const [, , modules, url, group, node] = process.argv;
const { newClient } = require(`${modules}/sparkplug-client`);
const readline = require("readline");

const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const client = newClient({
  serverUrl: url, username: process.env.EDGE_USER || "", password: process.env.EDGE_PASSWORD || "", groupId: group, edgeNode: node,
  clientId: `edge-${node}`, version: "spBv1.0", keepalive: 30, publishDeath: true,
});
let born = null;   // what births tell: always the current values
const devices = {};
let deaf = false;

const birth = () => {
  if (born === null) return;
  client.publishNodeBirth({ timestamp: Date.now(), metrics: born });
  for (const [device, metrics] of Object.entries(devices)) {
    client.publishDeviceBirth(device, { timestamp: Date.now(), metrics });
  }
  say({ event: "born" });
};
const update = (known, metrics) => {
  for (const metric of metrics) {
    const found = known.find((each) => each.name === metric.name || (metric.alias && each.alias === metric.alias));
    if (found) found.value = metric.value;
  }
};
// Does what a command says, tells it, and reports the new value as data; "deaf" ones do nothing.
const obey = (metric, known, report) => {
  const found = known.find((each) => each.name === metric.name || (metric.alias && each.alias === Number(metric.alias)));
  if (!found) return say({ event: "unknown", name: metric.name });
  say({ event: "command", name: found.name, value: metric.value, type: metric.type });
  if (deaf) return;
  found.value = metric.value;
  report([{ name: found.name, value: metric.value, type: found.type }]);
};
client.on("connect", () => say({ event: "connect" }));
client.on("birth", birth);
client.on("error", (error) => say({ event: "error", text: String(error) }));
client.on("ncmd", (payload) => {
  for (const metric of payload.metrics) {
    if (metric.name === "Node Control/Rebirth" && metric.value) {
      say({ event: "rebirth" });
      birth();
    } else obey(metric, born, (metrics) => client.publishNodeData({ timestamp: Date.now(), metrics }));
  }
});
client.on("dcmd", (device, payload) => {
  for (const metric of payload.metrics) {
    obey(metric, devices[device], (metrics) => client.publishDeviceData(device, { timestamp: Date.now(), metrics }));
  }
});
const commands = {
  born: ({ metrics, of }) => { born = metrics; Object.assign(devices, of || {}); birth(); },
  data: ({ metrics, silent }) => { update(born, metrics); if (!silent) client.publishNodeData({ timestamp: Date.now(), metrics }); },
  device: ({ device, metrics }) => { update(devices[device], metrics); client.publishDeviceData(device, { timestamp: Date.now(), metrics }); },
  dead: ({ device }) => { delete devices[device]; client.publishDeviceDeath(device, { timestamp: Date.now() }); },
  deaf: ({ is }) => { deaf = is; },
  stop: () => client.stop(),
};
const lines = readline.createInterface({ input: process.stdin });
lines.on("line", (line) => { const command = JSON.parse(line); commands[command.do](command); say({ event: "did", what: command.do }); });
lines.on("close", () => process.exit(0));
