// A node-opcua client. Arguments: the folder of node_modules, and JSON: a list of visits
// {url, pki, certificate, key, user?, password?, mode?, steps}.
// Prints one line of JSON: for each visit the answers to its steps, or {error}.
import { createRequire } from 'node:module';

const require = createRequire(`${process.argv[2]}/`);
const {
  OPCUAClient, OPCUACertificateManager, MessageSecurityMode, SecurityPolicy, UserTokenType, AttributeIds,
  DataType, TimestampsToReturn, ClientSubscription, ClientMonitoredItem,
} = require('node-opcua');


const shown = (found) => ({
  value: found.value?.value ?? null,
  status: found.statusCode.name,
  time: found.sourceTimestamp?.toISOString() ?? null,
});

async function monitored(session, { node, times }) {
  const subscription = ClientSubscription.create(session, {
    requestedPublishingInterval: 50, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 20, publishingEnabled: true,
  });
  const item = ClientMonitoredItem.create(
    subscription, { nodeId: node, attributeId: AttributeIds.Value },
    { samplingInterval: 0, queueSize: 100, discardOldest: true }, TimestampsToReturn.Both,
  );
  const values = [];
  await new Promise((done, fail) => {
    item.on('err', (message) => fail(new Error(message)));
    item.on('changed', (found) => {
      values.push(shown(found));
      process.stdout.write(`${JSON.stringify({ seen: values.length })}\n`);
      if (values.length >= times) done();
    });
  });
  await subscription.terminate();
  return values;
}

const steps = {
  browse: async (session, { node }) =>
    (await session.browse(node)).references.map((one) => [one.browseName.name, one.nodeId.toString()]).sort(),
  read: async (session, { node }) => shown(await session.read({ nodeId: node, attributeId: AttributeIds.Value })),
  write: async (session, { node, type, value }) =>
    (await session.write({
      nodeId: node, attributeId: AttributeIds.Value, value: { value: { dataType: DataType[type], value } },
    })).name,
  namespaces: async (session) => session.readNamespaceArray(),
  monitor: monitored,
};

async function run(given) {
  const trust = new OPCUACertificateManager({ rootFolder: given.pki, automaticallyAcceptUnknownCertificate: true });
  await trust.initialize();
  const secure = given.mode !== 'None';
  const client = OPCUAClient.create({
    applicationUri: 'urn:twinmesh.dev:opcua',
    securityMode: secure ? MessageSecurityMode.SignAndEncrypt : MessageSecurityMode.None,
    securityPolicy: secure ? SecurityPolicy.Basic256Sha256 : SecurityPolicy.None,
    certificateFile: given.certificate, privateKeyFile: given.key, clientCertificateManager: trust,
    endpointMustExist: false, connectionStrategy: { maxRetry: 0, initialDelay: 100, maxDelay: 200 },
  });
  try {
    await client.connect(given.url);
    const identity = given.password
      ? { type: UserTokenType.UserName, userName: given.user, password: given.password }
      : { type: UserTokenType.Anonymous };
    const session = await client.createSession(identity);
    const answers = [];
    for (const step of given.steps) answers.push(await steps[step.do](session, step));
    await session.close();
    return { answers };
  } catch (error) {
    return { error: error.message };
  } finally {
    await client.disconnect().catch(() => {});
  }
}

const found = [];
for (const visit of JSON.parse(process.argv[3])) found.push(await run(visit));
process.stdout.write(`${JSON.stringify(found)}\n`, () => process.exit(0));
