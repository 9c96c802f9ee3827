// A small console for GraphQL: queries and mutations by POST, subscriptions by server-sent events.
const at = (id) => document.getElementById(id);
const [query, variables, answer, state, token] = ["query", "variables", "answer", "state", "token"].map(at);
const ANSWERS_SHOWN = 50;
const TYPES = `{ __schema { types { name kind fields { name type { ...t } args { name type { ...t } } } inputFields { name type { ...t } }
  enumValues { name } } } } fragment t on __Type { name kind ofType { name kind ofType { name kind ofType { name kind } } } }`;
let running = null;

function headers(accept) {
  const given = { "Content-Type": "application/json", Accept: accept };
  if (token.value) given.Authorization = `Bearer ${token.value}`;
  return given;
}

function ask(body, accept, signal) {
  return fetch("/graphql", { method: "POST", headers: headers(accept), body: JSON.stringify(body), signal });
}

async function run() {
  running?.abort();
  running = new AbortController();
  const started = performance.now();
  try {
    const body = { query: query.value, variables: JSON.parse(variables.value || "{}") };
    // One way for all: a query streams one answer, a subscription many.
    const response = await ask(body, "text/event-stream", running.signal);
    if (!response.ok) return show([await response.json()], started);
    at("stop").hidden = false;
    await read(response.body, started);
  } catch (error) {
    if (error.name !== "AbortError") show([{ error: String(error) }], started);
  } finally {
    at("stop").hidden = true;
  }
}

async function read(stream, started) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  const answers = [];
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.split("\n").find((line) => line.startsWith("data: "));
      if (event.startsWith("event: next") && data) answers.unshift(JSON.parse(data.slice(6)));
    }
    answers.length = Math.min(answers.length, ANSWERS_SHOWN);
    if (answers.length) show(answers, started);
  }
}

function show(answers, started) {
  answer.textContent = answers.map((each) => JSON.stringify(each, null, 2)).join("\n\n");
  state.textContent = `${(performance.now() - started).toFixed(0)} ms`;
}

const typeName = (type) =>
  type.kind === "NON_NULL" ? `${typeName(type.ofType)}!` : type.kind === "LIST" ? `[${typeName(type.ofType)}]` : type.name;
const list = (items) => (items?.length ? `(${items.map((item) => `${item.name}: ${typeName(item.type)}`).join(", ")})` : "");

function lines(type) {
  const fields = [...(type.fields ?? []), ...(type.inputFields ?? [])];
  const inner = fields.map((field) => `  ${field.name}${list(field.args)}: ${typeName(field.type)}`);
  return [`${type.kind.toLowerCase()} ${type.name}`, ...inner, ...(type.enumValues ?? []).map((value) => `  ${value.name}`)];
}

async function loadSchema() {
  const response = await ask({ query: TYPES }, "application/json");
  const types = (await response.json()).data.__schema.types.filter((type) => !type.name.startsWith("__"));
  const draw = () => {
    const wanted = at("find").value.toLowerCase();
    const found = types.filter((type) => lines(type).some((line) => line.toLowerCase().includes(wanted)));
    at("types").textContent = found.map((type) => lines(type).join("\n")).join("\n\n");
  };
  at("find").addEventListener("input", draw);
  draw();
}

at("run").addEventListener("click", run);
at("stop").addEventListener("click", () => running?.abort());
at("schema").addEventListener("toggle", loadSchema, { once: true });
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
});
