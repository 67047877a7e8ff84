// The page of the monitor. It asks the program every second, and shows what it says. Everything
// that the program says is text: nothing of it becomes markup.
"use strict";

const EVERY = 1000;
const SAMPLES = 120;
// Rows that are asked for at a time, and those of them before the first one that is seen.
const ROWS = 120;
const AHEAD = 40;

const COLUMNS = [
  ["id", "ID", "number"],
  ["name", "Name", ""],
  ["state", "State", ""],
  ["function", "Function, created at", ""],
  ["waited", "Waits for", ""],
  ["age", "Age", "number"],
  ["polls", "Polls", "number"],
];

const $ = (id) => document.getElementById(id);

// Makes an element of text and other elements.
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const state = {
  view: "tasks",
  sort: "id",
  isReversed: false,
  isPaused: false,
  token: sessionStorage.getItem("token"),
  // One for each second: the lag in seconds, or null if a loop did not answer.
  lags: [],
  last: null,
  // The first row that is asked for, and what is there: the first row, and their number.
  offset: 0,
  there: { offset: 0, count: 0, taken: 0 },
  // The numbers of the loops that are recorded, and the last recordings as text.
  recorded: [],
  recordings: new Map(),
  closed: new Set(),
  // What the tree shows.
  tree: null,
  // What the dialog is to show.
  explained: null,
};

// Asking ---------------------------------------------------------------------------------------

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (state.token) headers.Authorization = `Bearer ${state.token}`;
  const response = await fetch(path, { ...options, headers, cache: "no-store" });
  if (response.status === 401) {
    login();
    throw new Error("the token is missing or wrong");
  }
  return response;
}

async function command(line) {
  const headers = { "X-Asyncio-Monitor": "1" };
  const response = await ask("api/command", { method: "POST", headers, body: line });
  return { isOk: response.ok, text: await response.text() };
}

function login() {
  if ($("login").open) return;
  $("login-error").textContent = state.token ? "It is not this one." : "";
  $("login").showModal();
}

$("login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  state.token = $("token").value;
  sessionStorage.setItem("token", state.token);
  $("token").value = "";
  $("login").close();
  refresh();
});

// Showing --------------------------------------------------------------------------------------

function seconds(value) {
  if (value < 1) return `${(value * 1000).toFixed(value < 0.01 ? 2 : 0)} ms`;
  if (value < 60) return `${value.toFixed(1)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${Math.floor(value % 60)} s`;
  if (value < 86400) return `${Math.floor(value / 3600)} h ${Math.floor((value % 3600) / 60)} min`;
  return `${Math.floor(value / 86400)} d ${Math.floor((value % 86400) / 3600)} h`;
}

const number = (value) => value.toLocaleString("en").replaceAll(",", "\u202f");

function showOverview(overview) {
  document.title = `${overview.program} · asyncio monitor`;
  $("program").textContent = overview.program || "asyncio";
  $("process").textContent =
    `process ${overview.process} · watched for ${seconds(overview.uptime)}`;
  const silent = overview.loops.filter((one) => one.silence).map((one) => one.silence);
  const sum = (name) => overview.loops.reduce((all, one) => all + one.figures[name], 0);
  const lag = Math.max(...overview.loops.map((one) => one.lag ?? 0), 0);
  state.lags.push(silent.length ? null : lag);
  if (state.lags.length > SAMPLES) state.lags.shift();
  showLag();

  const isAnswered = silent.length === 0;
  $("alarm").hidden = isAnswered;
  $("alarm-text").textContent = silent.join("\n");
  $("alarm-stack").hidden = false;
  showRecorded(overview.loops.filter((one) => one.is_recorded).map((one) => one.number));
  setState(isAnswered ? "live" : "blocked", isAnswered ? "good" : "bad");
  $("tasks-count").textContent = number(sum("tasks"));
  const threads = overview.loops.map((one) => one.thread).join(", ");
  const loops = overview.loops.length === 1 ? "loop" : `${overview.loops.length} loops`;
  $("loops").textContent = `${loops} (${threads}), ${number(sum("timers"))} timers`;
  const longest = Math.max(...overview.loops.map((one) => one.figures.longest_step), 0);
  $("longest").textContent = `longest step ${seconds(longest)}`;
  const now = { steps: sum("steps"), busy: sum("busy"), at: performance.now() };
  if (state.last) {
    const elapsed = (now.at - state.last.at) / 1000;
    const steps = Math.max(now.steps - state.last.steps, 0) / elapsed;
    // A step that goes on counts when it ends.
    const busy = Math.min(Math.max(now.busy - state.last.busy, 0) / elapsed, 1);
    $("steps").textContent = number(Math.round(steps));
    $("busy").textContent = isAnswered ? `${(100 * busy).toFixed(busy < 0.1 ? 1 : 0)} %` : "100 %";
  }
  state.last = now;
}

function setState(text, kind) {
  $("state").textContent = text;
  $("state").className = `badge ${kind}`;
}

// The chart of the lag. A second without an answer is a bar.
function showLag() {
  const known = state.lags.filter((lag) => lag !== null);
  const most = Math.max(...known, 0.001);
  const x = (at) => (600 * (SAMPLES - state.lags.length + at)) / (SAMPLES - 1);
  const y = (lag) => 70 - (66 * lag) / most;
  const svg = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
    return element;
  };
  const parts = [];
  let run = [];
  const end = () => {
    if (run.length > 1) {
      const points = run.map(([at, lag]) => `${x(at).toFixed(1)},${y(lag).toFixed(1)}`);
      const [first, last] = [x(run[0][0]), x(run[run.length - 1][0])];
      const area = `${first.toFixed(1)},72 ${points.join(" ")} ${last.toFixed(1)},72`;
      parts.push(svg("polygon", { class: "area", points: area }));
      parts.push(svg("polyline", { class: "curve", points: points.join(" ") }));
    }
    run = [];
  };
  state.lags.forEach((lag, at) => {
    if (lag === null) {
      end();
      parts.push(svg("rect", { class: "gap", x: x(at) - 3, y: 0, width: 6, height: 72 }));
    } else {
      run.push([at, lag]);
    }
  });
  end();
  $("lag").replaceChildren(...parts);
  const last = state.lags[state.lags.length - 1];
  $("lag-now").textContent = last === null ? "no answer" : seconds(last ?? 0);
  $("lag-scale").textContent =
    `how long a callback stands in line · at most ${seconds(most)} in ${state.lags.length} s`;
}

function showColumns() {
  const shown = `${state.sort} ${state.isReversed}`;
  if ($("columns").dataset.shown === shown) return;
  $("columns").dataset.shown = shown;
  const heads = COLUMNS.map(([key, text, kind]) => {
    const isSorted = state.sort === key;
    const arrow = isSorted ? (state.isReversed ? " ↑" : " ↓") : "";
    const sort = isSorted ? (state.isReversed ? "descending" : "ascending") : null;
    const choose = () => {
      state.isReversed = isSorted && !state.isReversed;
      state.sort = key;
      toTop();
    };
    const button = make("button", { type: "button", id: `sort-${key}`, onclick: choose });
    button.textContent = text + arrow;
    return make("th", { class: `${kind} c-${key}`, "aria-sort": sort }, button);
  });
  $("columns").replaceChildren(...heads, make("th", { class: "c-end" }));
}

function showTasks(listing) {
  showColumns();
  if (listing.tasks.length === 0 && listing.silent.length > 0) return;
  $("shown").textContent = listing.taken === listing.count
    ? `${number(listing.count)} tasks`
    : `${number(listing.taken)} of ${number(listing.count)} tasks`;
  if (listing.count > 0) {
    $("tasks-states").textContent = Object.entries(listing.states)
      .map(([name, count]) => `${number(count)} ${name}`).join(" · ");
  }
  keepRows($("rows"), listing.tasks, showTask, COLUMNS.length + 1, "No task is like that");
  state.there = { offset: listing.offset, count: listing.tasks.length, taken: listing.taken };
  const height = rowHeight();
  const after = listing.taken - listing.offset - listing.tasks.length;
  $("before").style.height = `${listing.offset * height}px`;
  $("after").style.height = `${Math.max(after, 0) * height}px`;
}

// All rows are equally high.
function rowHeight() {
  const row = $("rows").querySelector("tr[data-id]");
  return row ? row.getBoundingClientRect().height : 54;
}

// Only the rows around those that are seen are there. Scrolling asks for others.
function lookForRows() {
  const paper = $("window");
  const height = rowHeight();
  const first = Math.floor(paper.scrollTop / height);
  const seen = Math.ceil(paper.clientHeight / height);
  const { offset, count, taken } = state.there;
  const isThere = first >= offset && Math.min(first + seen, taken) <= offset + count;
  state.offset = Math.max(0, first - AHEAD);
  if (!isThere) refresh();
}

function toTop() {
  state.offset = 0;
  $("window").scrollTop = 0;
  refresh();
}

$("window").addEventListener("scroll", lookForRows, { passive: true });

// Shows a row for each task. A row whose task is shown already stays, with what has changed in it:
// it does not go away under the mouse.
function keepRows(body, tasks, show, columns, nothing) {
  const known = new Map([...body.children].map((row) => [row.dataset.id, row]));
  const rows = tasks.map((task) => {
    const row = show(task);
    const old = known.get(row.dataset.id);
    if (!old) return row;
    const cells = [...old.cells];
    [...row.cells].forEach((cell, at) => {
      // What a cell shows is its text; what it does belongs to the task, and stays.
      if (cells[at].textContent !== cell.textContent) cells[at].replaceWith(cell);
    });
    return old;
  });
  if (rows.length === 0) {
    rows.push(make("tr", {}, make("td", { colspan: columns, class: "empty" }, nothing)));
  }
  const isSame = rows.length === body.children.length
    && rows.every((row, at) => row === body.children[at]);
  if (!isSame) body.replaceChildren(...rows);
}

function badge(task) {
  const text = task.is_cancelling ? "cancelling" : task.state;
  return make("span", { class: `badge ${text}` }, text);
}

function showTask(task) {
  // The whole place is in the title of the cell.
  const at = task.waits_at?.split("/").pop() ?? "a line that is not known";
  const whole = task.waits_for && `${task.waits_for}\n${task.waits_at ?? ""}`;
  const wait = task.waits_for === null ? [make("span", { class: "quiet" }, "–")] : [
    make("div", {}, task.waits_for),
    make("div", { class: "code quiet" }, `${seconds(task.waited)} · ${at}`),
  ];
  const cancel = make("button", {
    type: "button", class: "small cancel", "data-id": task.id,
    onclick: () => cancelTask(task),
  }, "Cancel");
  return make("tr", { "data-id": task.id },
    make("td", { class: "number c-id" }, String(task.id)),
    make("td", { class: "c-name", title: task.name },
      make("button", { type: "button", class: "link", onclick: () => detail(task) }, task.name)),
    make("td", { class: "c-state" }, badge(task)),
    make("td", { class: "function c-function", title: `${task.function}\n${task.created_at}` },
      make("div", { class: "code" }, task.function),
      make("div", { class: "code quiet" }, task.created_at)),
    make("td", { class: "c-waited", title: whole }, ...wait),
    make("td", { class: "number c-age" }, seconds(task.age)),
    make("td", { class: "number c-polls" }, number(task.polls)),
    make("td", { class: "end c-end" }, cancel));
}

async function cancelTask(task) {
  if (!confirm(`Cancel task ${task.id}, ${task.name}?`)) return;
  const { text } = await command(`cancel ${task.id}`);
  setState(text.trim(), "warm");
  refresh();
}

// What is known at once, and then with the full stack, for which the task is polled.
function detail(task) {
  const known = async () => {
    const text = await (await ask(`api/task?id=${task.id}`)).text();
    return { text: `${text.trimEnd()}\nThe full stack is looked for…\n` };
  };
  return explain(task, known, () => command(`where ${task.id}`));
}

// Shows what each of these finds, one after the other, until something else is shown.
async function explain(task, ...looks) {
  state.explained = looks;
  for (const look of looks) {
    const { text } = await look();
    const isFirst = look === looks[0];
    if (state.explained !== looks || (!isFirst && !$("detail").open)) return;
    $("detail-title").textContent = `${task.name} (${task.id})`;
    $("detail-text").textContent = text;
    if (!$("detail").open) $("detail").showModal();
  }
}

function showTree(all) {
  $("shown").textContent = all.tasks.length === all.count
    ? `${number(all.count)} tasks`
    : `the first ${number(all.tasks.length)} of ${number(all.count)} tasks`;
  if (all.tasks.length === 0 && all.silent.length > 0) return;
  $("cycles").replaceChildren(...all.cycles.map((cycle) =>
    make("div", { class: "cycle" }, `These tasks wait for each other: ${cycle.text}`,
      make("ul", {}, ...cycle.waits.map((wait) => make("li", { class: "code" }, wait))))));
  // Ages change all the time, and are not shown here.
  const shown = JSON.stringify(all.tasks.map((task) => ({ ...task, age: 0, waited: 0, polls: 0 })));
  if (shown === state.tree) return;
  state.tree = shown;
  const tasks = new Map(all.tasks.map((task) => [task.id, task]));
  const awaits = new Map();
  const roots = [];
  for (const task of all.tasks) {
    const awaiters = task.awaited_by.filter((id) => tasks.has(id));
    awaiters.forEach((id) => awaits.set(id, [...(awaits.get(id) ?? []), task.id]));
    if (awaiters.length === 0) roots.push(task.id);
  }
  // A task in a cycle of awaits has no root above it.
  const reached = new Set();
  // A task that several await is below each of them: such a tree may be larger than its tasks.
  let left = 3000;
  const node = (id, path) => {
    reached.add(id);
    left -= 1;
    const task = tasks.get(id);
    const inner = path.includes(id) || path.length > 60 || left < 0 ? [] : awaits.get(id) ?? [];
    const line = [badge(task), " ",
      make("button", { type: "button", class: "link", onclick: () => detail(task) }, task.name),
      make("span", { class: "quiet" }, ` ${task.id} · `),
      make("span", { class: "code quiet" }, `${task.function}  ${task.created_at}`)];
    const frame = task.waits_for === null ? null : make("div", { class: "frame" },
      `waits for ${task.waits_for} `, make("span", { class: "code" }, task.waits_at ?? ""));
    if (inner.length === 0) {
      return make("li", { "data-id": id }, make("div", { class: "leaf" }, ...line), frame);
    }
    const toggle = (event) => {
      if (event.target.open) state.closed.delete(id); else state.closed.add(id);
    };
    const details = make("details", { ontoggle: toggle }, make("summary", {}, ...line), frame,
      make("ul", {}, ...inner.map((child) => node(child, [...path, id]))));
    details.open = !state.closed.has(id);
    return make("li", { "data-id": id }, details);
  };
  const items = roots.map((id) => node(id, []));
  for (const task of all.tasks) {
    if (!reached.has(task.id)) items.push(node(task.id, []));
  }
  $("tree").replaceChildren(...items);
}

function showEnded(all) {
  $("shown").textContent = `the last ${number(all.length)}`;
  keepRows($("ended"), all, (task) => make("tr", { "data-id": task.id },
    make("td", { class: "number" }, String(task.id)),
    make("td", {}, make("button", {
      type: "button", class: "link",
      onclick: () => explain(task, () => command(`where-terminated ${task.id}`)),
    }, task.name)),
    make("td", {},
      make("span", { class: `badge ${ENDINGS[task.state] ?? ""}` }, task.state),
      task.reason === null ? null : make("div", { class: "code quiet" }, task.reason)),
    make("td", { class: "function" }, make("div", { class: "code" }, task.function),
      make("div", { class: "code quiet" }, task.created_at)),
    make("td", { class: "number" }, seconds(task.lasted)),
    make("td", { class: "number" }, `${seconds(task.ago)} ago`),
    make("td", { class: "number" }, number(task.polls))), 7, "No task has ended yet");
}

const ENDINGS = { finished: "good", cancelled: "warm", panicked: "bad" };

// Stacks and recordings ------------------------------------------------------------------------

$("alarm-stack").addEventListener("click", async () => {
  state.explained = null;
  const { text } = await command("stacktrace");
  $("detail-title").textContent = "The stacks of the loops' threads";
  $("detail-text").textContent = text;
  if (!$("detail").open) $("detail").showModal();
});

function showRecorded(loops) {
  const isChanged = loops.join() !== state.recorded.join();
  state.recorded = loops;
  const isOn = loops.length > 0;
  $("record").textContent = isOn ? "■ Stop" : "● Record";
  $("record").classList.toggle("on", isOn);
  $("save").hidden = !isOn && state.recordings.size === 0;
  if (isChanged && state.view === "timeline") showTimeline();
}

// Reads what the loops have recorded. What is not recorded any more stays as it was read last.
async function readRecordings() {
  if (state.recorded.length > 0) state.recordings = new Map();
  for (const loop of state.recorded) {
    const response = await ask(`api/record?loop=${loop}`);
    if (response.ok) state.recordings.set(loop, await response.text());
  }
}

$("record").addEventListener("click", async () => {
  if (state.recorded.length === 0) {
    state.recordings = new Map();
    await command("record on");
  } else {
    await readRecordings();
    await command("record off");
  }
  await refresh();
});

$("save").addEventListener("click", async () => {
  await readRecordings();
  for (const [loop, text] of state.recordings) {
    const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    make("a", { href: url, download: `${$("program").textContent}-loop-${loop}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }
});

// The console ----------------------------------------------------------------------------------

$("prompt").addEventListener("submit", async (event) => {
  event.preventDefault();
  const line = $("line").value.trim();
  $("line").value = "";
  if (!line) return;
  const output = $("output");
  try {
    const { text } = await command(line);
    output.append(`monitor> ${line}\n${text}${text.endsWith("\n") ? "" : "\n"}`);
  } catch (error) {
    output.append(`monitor> ${line}\n${error.message}\n`);
  }
  output.scrollTop = output.scrollHeight;
});

// Going on -------------------------------------------------------------------------------------

let asking = null;
let isStale = false;

// Asks for what is shown. Only one question at a time is on its way; a newer one follows it.
async function refresh() {
  if (asking) {
    isStale = true;
    return asking;
  }
  asking = look().catch(lost);
  await asking;
  asking = null;
  if (isStale) {
    isStale = false;
    refresh();
  }
}

function lost(error) {
  setState("not connected", "bad");
  $("alarm").hidden = false;
  $("alarm-text").textContent = `The program does not answer: ${error.message}`;
  $("alarm-stack").hidden = true;
}

async function look() {
  const overview = ask("api/overview").then((response) => response.json());
  let view = null;
  if (state.view === "tasks") {
    const query = new URLSearchParams({
      filter: $("filter").value, state: $("only").value,
      sort: state.sort, reverse: state.isReversed ? "1" : "0",
      offset: String(state.offset), limit: String(ROWS),
    });
    view = ask(`api/tasks?${query}`).then((response) => response.json()).then(showTasks);
  } else if (state.view === "tree") {
    view = ask("api/tree").then((response) => response.json()).then(showTree);
  } else if (state.view === "ended") {
    view = ask("api/terminated").then((response) => response.json()).then(showEnded);
  }
  showOverview(await overview);
  await view;
}

function show(view) {
  state.view = view;
  for (const name of ["tasks", "tree", "ended", "timeline", "console"]) {
    $(`view-${name}`).hidden = name !== view;
    $(`tab-${name}`).setAttribute("aria-selected", String(name === view));
  }
  $("shown").textContent = "";
  if (view === "console") $("line").focus();
  if (view === "timeline") showTimeline();
  refresh();
}

for (const name of ["tasks", "tree", "ended", "timeline", "console"]) {
  $(`tab-${name}`).addEventListener("click", () => show(name));
}
$("filter").addEventListener("input", toTop);
$("only").addEventListener("change", toTop);
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("pause").addEventListener("click", () => {
  state.isPaused = !state.isPaused;
  $("pause").textContent = state.isPaused ? "Go on" : "Pause";
  if (!state.isPaused) refresh();
});

const THEMES = ["auto", "light", "dark"];
function setTheme(theme) {
  localStorage.setItem("theme", theme);
  $("theme").textContent = `Theme: ${theme}`;
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
$("theme").addEventListener("click", () => {
  const now = localStorage.getItem("theme") ?? "auto";
  setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
});
setTheme(localStorage.getItem("theme") ?? "auto");

setInterval(() => {
  if (!state.isPaused && !document.hidden) refresh();
}, EVERY);
showColumns();
refresh();
