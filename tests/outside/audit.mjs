// Runs the server audits of graphql-http against one endpoint and prints their results as JSON.
// usage: node audit.mjs MODULE URL TOKEN
const [, , module, url, token] = process.argv;
const { serverAudits } = await import(module);

const fetchFn = (target, options = {}) => {
  const headers = new Headers(options.headers);
  headers.set('authorization', `Bearer ${token}`);
  return fetch(target, { ...options, headers });
};

const found = [];
for (const audit of serverAudits({ url, fetchFn })) {
  const result = await audit.fn();
  found.push({ id: audit.id, name: audit.name, status: result.status, reason: result.reason ?? null });
}
console.log(JSON.stringify(found));
