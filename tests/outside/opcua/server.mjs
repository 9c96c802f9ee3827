// A node-opcua server, ordered about by JSON lines on standard input. Each line is answered by one on standard output.
// Arguments: the folder of node_modules, and settings as JSON: {port, pki, nodes, users?, insecure?}
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(`${process.argv[2]}/`);
const {
  OPCUAServer, OPCUACertificateManager, DataType, Variant, VariantArrayType, StatusCodes, DataValue,
  MessageSecurityMode, SecurityPolicy,
} = require('node-opcua');

const settings = JSON.parse(process.argv[3]);
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

const trust = new OPCUACertificateManager({ rootFolder: settings.pki, automaticallyAcceptUnknownCertificate: false });
const users = new OPCUACertificateManager({ rootFolder: `${settings.pki}-users`, automaticallyAcceptUnknownCertificate: false });
const server = new OPCUAServer({
  port: settings.port,
  host: '127.0.0.1',
  hostname: '127.0.0.1',
  alternateHostname: ['127.0.0.1'],
  serverInfo: { applicationUri: 'urn:twinmesh.test:server' },
  serverCertificateManager: trust,
  userCertificateManager: users,
  ...(settings.certificate && { certificateFile: settings.certificate, privateKeyFile: settings.key }),
  securityModes: settings.insecure ? [MessageSecurityMode.None] : [MessageSecurityMode.SignAndEncrypt],
  securityPolicies: settings.insecure ? [SecurityPolicy.None] : [SecurityPolicy.Basic256Sha256],
  disableDiscovery: false,
  allowAnonymous: !settings.users,
  userManager: { isValidUser: (name, password) => settings.users?.[name] === password },
  serverCapabilities: { maxMonitoredItems: 100000, maxMonitoredItemsPerSubscription: 100000, maxSessions: 20, ...settings.capabilities },
});

const variables = new Map();

const typed = (type, value) =>
  new Variant({
    dataType: DataType[type],
    arrayType: Array.isArray(value) && !['Int64', 'UInt64'].includes(type) ? VariantArrayType.Array : VariantArrayType.Scalar,
    value,
  });

function build() {
  const space = server.engine.addressSpace;
  const own = space.registerNamespace('urn:twinmesh.test:plant');
  const device = own.addObject({ organizedBy: space.rootFolder.objects, browseName: 'Line1', nodeId: 's=Line1' });
  for (const [name, type, value] of settings.nodes) {
    const parts = { componentOf: device, browseName: name, nodeId: `s=${name}`, dataType: type, minimumSamplingInterval: 0 };
    const isArray = Array.isArray(value) && !['Int64', 'UInt64'].includes(type);
    const node = own.addVariable({ ...parts, ...(isArray && { valueRank: 1 }), accessLevel: 'CurrentRead | CurrentWrite' });
    node.setValueFromSource(typed(type, value));
    variables.set(name, { node, type });
  }
}

const ticks = { timer: null, sent: 0, index: 0 };

function tick(names, perTick) {
  const now = new Date();
  for (let i = 0; i < perTick; i += 1) {
    const { node } = variables.get(names[ticks.index]);
    ticks.index = (ticks.index + 1) % names.length;
    ticks.sent += 1;
    node.setValueFromSource({ dataType: DataType.Double, value: ticks.sent }, StatusCodes.Good, now);
  }
}

const orders = {
  set({ name, value, status, time }) {
    const { node, type } = variables.get(name);
    const stamp = time ? new Date(time) : new Date();
    if (value === undefined) node.setValueFromSource(node.readValue().value, StatusCodes[status], stamp);
    else node.setValueFromSource(typed(type, value), StatusCodes[status ?? 'Good'], stamp);
    return {};
  },
  get({ name }) {
    const found = variables.get(name).node.readValue();
    return { value: found.value.value, status: found.statusCode.name };
  },
  // Changes evenly over all nodes: `total` of them, `perTick` every `tickMs`.
  stream({ total, perTick, tickMs }) {
    const names = [...variables.keys()];
    Object.assign(ticks, { sent: 0, index: 0 });
    ticks.timer = setInterval(() => {
      tick(names, Math.min(perTick, total - ticks.sent));
      if (ticks.sent >= total) clearInterval(ticks.timer);
    }, tickMs);
    return {};
  },
  sent: () => ({ sent: ticks.sent }),
  counts: () => ({ sessions: server.engine.currentSessionCount, subscriptions: server.engine.currentSubscriptionCount }),
};

await trust.initialize();
await users.initialize();
await server.initialize();
build();
await server.start();
say({ ready: server.endpoints[0].port });

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  try {
    say(orders[order.do](order));
  } catch (error) {
    say({ error: String(error) });
  }
}
process.exit(0);
