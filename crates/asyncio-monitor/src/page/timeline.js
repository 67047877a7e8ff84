// A recording as a picture: what the loop's thread did, and the polls of the tasks that took most of
// its time. The wheel zooms, and dragging moves. Perfetto shows the saved file in all detail.
"use strict";

const LINE = 24;
const LABELS = 190;
const LANES = 24;

// What is shown: lanes of slices, and from when to when, in microseconds.
let picture = null;

// Makes lanes of the events in Chrome's format.
function lanesOf(events) {
  const open = [];
  const slices = [];
  const lives = new Map();
  let end = 0;
  for (const event of events) {
    end = Math.max(end, event.ts ?? 0);
    if (event.ph === "B") {
      open.push({ name: event.name, kind: event.cat, from: event.ts, args: event.args ?? {} });
    } else if (event.ph === "E") {
      const slice = open.pop();
      if (slice) slices.push({ ...slice, to: event.ts, depth: open.length, end: event.args ?? {} });
    } else if (event.ph === "i") {
      slices.push({ name: event.name, kind: "report", from: event.ts, to: event.ts, depth: 0,
        args: {}, end: {} });
    } else if (event.ph === "b" || event.ph === "e") {
      const life = lives.get(Number(event.id)) ?? { name: event.name, from: 0, to: null };
      if (event.ph === "b") life.from = event.ts; else life.to = event.ts;
      lives.set(Number(event.id), life);
    }
  }
  const tasks = new Map();
  for (const slice of slices) {
    const id = slice.args.task;
    if (id === undefined) continue;
    const life = lives.get(id) ?? { from: 0, to: null };
    const lane = tasks.get(id)
      ?? { name: slice.name, life: [life.from, life.to ?? end], slices: [], time: 0 };
    lane.slices.push(slice);
    lane.time += slice.to - slice.from;
    tasks.set(id, lane);
  }
  const busiest = [...tasks.values()].sort((a, b) => b.time - a.time).slice(0, LANES);
  busiest.sort((a, b) => a.life[0] - b.life[0]);
  return { lanes: [{ name: "the loop", slices }, ...busiest], end, tasks: tasks.size };
}

function micros(value) {
  if (value < 1000) return `${value.toFixed(value < 10 ? 2 : 0)} µs`;
  if (value < 1e6) return `${(value / 1e3).toFixed(value < 1e4 ? 2 : 1)} ms`;
  return `${(value / 1e6).toFixed(2)} s`;
}

async function showTimeline() {
  await readRecordings();
  const [loop, text] = [...state.recordings][0] ?? [];
  $("timeline-paper").hidden = text === undefined;
  if (text === undefined) {
    $("about-recording").textContent =
      "Nothing is recorded. Record begins, and costs each step of the loop some tens of nanoseconds.";
    return;
  }
  const { traceEvents } = JSON.parse(text);
  picture = { ...lanesOf(traceEvents), from: 0 };
  picture.to = Math.max(picture.end, 1);
  const more = picture.tasks > LANES ? `, the ${LANES} busiest of ${number(picture.tasks)}` : "";
  $("about-recording").textContent =
    `Loop ${loop}: ${number(traceEvents.length)} events in ${micros(picture.end)}; its polls, and `
    + `those of its tasks${more}. The wheel zooms; drag to move.`;
  draw();
}

// Draws with a canvas: there may be a hundred thousand slices.
function draw() {
  if (!picture || $("view-timeline").hidden) return;
  const canvas = $("timeline");
  const width = $("timeline-paper").clientWidth;
  const height = LINE * (picture.lanes.length + 1) + 8;
  const scale = window.devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const paint = canvas.getContext("2d");
  paint.scale(scale, scale);
  paint.font = "12px system-ui, sans-serif";
  paint.textBaseline = "middle";
  const x = (at) => LABELS + ((width - LABELS - 12) * (at - picture.from))
    / (picture.to - picture.from);
  axis(paint, x, height, colour);
  const kinds = { task: "accent", callback: "good", loop: "line", report: "bad" };
  picture.lanes.forEach((lane, at) => {
    const top = LINE * (at + 1);
    paint.fillStyle = colour(at === 0 ? "ink" : "quiet");
    paint.fillText(cut(paint, lane.name, LABELS - 24), 14, top + LINE / 2);
    paint.save();
    paint.beginPath();
    paint.rect(LABELS, top, width - LABELS, LINE);
    paint.clip();
    if (lane.life) {
      paint.fillStyle = colour("soft");
      paint.fillRect(x(lane.life[0]), top + 9, Math.max(x(lane.life[1]) - x(lane.life[0]), 1), 6);
    }
    // Slices of less than half a pixel beside each other are one.
    let covered = -1;
    for (const slice of lane.slices) {
      if (slice.to < picture.from || slice.from > picture.to) continue;
      const [left, right] = [x(slice.from), x(slice.to)];
      const size = Math.max(right - left, 1);
      if (size <= 1 && left < covered) continue;
      covered = left + 0.5;
      const inset = 4 + 2 * Math.min(at === 0 ? slice.depth : 0, 3);
      paint.fillStyle = colour(kinds[slice.kind] ?? "accent");
      paint.fillRect(left, top + inset, size, LINE - 2 * inset);
      if (size > 46) {
        paint.fillStyle = colour(slice.kind === "loop" ? "quiet" : "paper");
        const label = at === 0 ? slice.name : micros(slice.to - slice.from);
        paint.fillText(cut(paint, label, size - 10), Math.max(left, LABELS) + 5, top + LINE / 2);
      }
    }
    paint.restore();
  });
}

function axis(paint, x, height, colour) {
  const span = picture.to - picture.from;
  const power = 10 ** Math.floor(Math.log10(span / 6));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => span / one <= 9);
  for (let at = Math.ceil(picture.from / step) * step; at <= picture.to; at += step) {
    paint.fillStyle = colour("line");
    paint.fillRect(x(at), LINE - 4, 1, height - LINE);
    paint.fillStyle = colour("quiet");
    paint.fillText(micros(at), x(at) + 3, LINE / 2);
  }
}

// A text in so many pixels.
function cut(paint, text, width) {
  if (paint.measureText(text).width <= width) return text;
  let length = text.length;
  while (length > 0 && paint.measureText(`${text.slice(0, length)}…`).width > width) length -= 1;
  return length > 0 ? `${text.slice(0, length)}…` : "";
}

function timeAt(event) {
  const width = $("timeline-paper").clientWidth - LABELS - 12;
  const share = (event.offsetX - LABELS) / width;
  return picture.from + share * (picture.to - picture.from);
}

function showPart(from, to) {
  const span = Math.min(Math.max(to - from, 1), picture.end || 1);
  picture.from = Math.min(Math.max(from, 0), Math.max(picture.end - span, 0));
  picture.to = picture.from + span;
  draw();
}

$("timeline").addEventListener("wheel", (event) => {
  event.preventDefault();
  const at = timeAt(event);
  const factor = event.deltaY > 0 ? 1.25 : 0.8;
  showPart(at - (at - picture.from) * factor, at + (picture.to - at) * factor);
}, { passive: false });

$("timeline").addEventListener("mousemove", (event) => {
  const at = timeAt(event);
  if (event.buttons === 1) {
    const width = $("timeline-paper").clientWidth - LABELS - 12;
    const moved = (event.movementX / width) * (picture.to - picture.from);
    showPart(picture.from - moved, picture.to - moved);
    return;
  }
  const lane = picture.lanes[Math.floor(event.offsetY / LINE) - 1];
  const near = (picture.to - picture.from) / 400;
  const hits = (lane?.slices ?? []).filter((one) => one.from - near <= at && at <= one.to + near);
  const slice = hits.sort((a, b) => (a.to - a.from) - (b.to - b.from))[0];
  $("slice").textContent = slice ? about(slice) : "\u00a0";
});

function about(slice) {
  const words = { ...slice.args, ...slice.end };
  const more = Object.entries(words).filter(([, value]) => value !== "")
    .map(([name, value]) => ` · ${name} ${value}`).join("");
  return `${slice.name} · ${micros(slice.to - slice.from)} from ${micros(slice.from)}${more}`;
}

window.addEventListener("resize", draw);
new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
