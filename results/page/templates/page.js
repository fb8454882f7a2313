"use strict";

const figures = JSON.parse(document.getElementById("data-figures").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const phone = matchMedia("(max-width: 720px)");
const config = { responsive: true, displayModeBar: false, displaylogo: false };

function shade(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/* Ground, text and grid follow the theme; colours that mean something are the figure's own. */
function themed(figure) {
  const axis = {
    gridcolor: shade("grid"), linecolor: shade("line"), zerolinecolor: shade("line"),
    exponentformat: "power", // 10⁻⁵, where Plotly would say 10µ
  };
  const template = { layout: {
    paper_bgcolor: shade("raised"), plot_bgcolor: shade("raised"),
    font: { color: shade("text"), size: 12, family: "system-ui, sans-serif" },
    xaxis: axis, yaxis: axis,
    hoverlabel: { bgcolor: shade("ground"), bordercolor: shade("line"), font: { color: shade("text") } },
  } };
  // On a phone a finger that moves over a figure scrolls the page.
  const dragmode = phone.matches ? false : figure.layout.dragmode;
  // With the same revision, a figure that is drawn with new data keeps its zoom and its legend.
  const layout = { ...figure.layout, template, dragmode, autosize: true, uirevision: "kept" };
  return { data: figure.data, layout };
}

async function unpackPlotly() {
  if (window.Plotly) return; // a server's page has loaded it
  const bytes = Uint8Array.from(atob(document.getElementById("data-plotly").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

const nextFrame = () => new Promise((resolve) => setTimeout(resolve));

async function drawAll() {
  document.body.dataset.drawn = "";
  for (const place of document.querySelectorAll(".plot")) {
    const { data, layout } = themed(figures[place.dataset.figure]);
    await Plotly.newPlot(place, data, layout, config);
    await nextFrame(); // the page stays responsive between figures
  }
  document.body.dataset.drawn = "all";
}

function compare(a, b, sign) {
  if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
  const [x, y] = [Number(a), Number(b)];
  if (Number.isNaN(x) || Number.isNaN(y)) return sign * a.localeCompare(b);
  return sign * (x - y);
}

function sortBy(table, column) {
  const heads = [...table.tHead.rows[0].cells];
  // Numbers begin with the largest, as the best is; the first click on text begins with A.
  const first = column === 0 || [...table.tBodies[0].rows].some((row) => Number.isNaN(Number(row.cells[column].dataset.key ?? 0)));
  const before = heads[column].getAttribute("aria-sort");
  const ascending = before === "none" ? first : before === "descending";
  heads.forEach((head) => head.setAttribute("aria-sort", "none"));
  heads[column].setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows];
  const key = (row) => row.cells[column].dataset.key;
  rows.sort((a, b) => compare(key(a), key(b), ascending ? 1 : -1));
  table.tBodies[0].append(...rows);
}

function filter(table) {
  const words = document.getElementById("words").value.toLowerCase().split(/\s+/).filter(Boolean);
  const outcome = document.getElementById("outcome")?.value;
  const rows = [...table.tBodies[0].rows];
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !(words.every((word) => text.includes(word)) && (!outcome || row.dataset.outcome === outcome));
  }
  const shown = rows.filter((row) => !row.hidden).length;
  document.getElementById("shown").textContent = `${shown} of ${rows.length}`;
}

function prepareTable() {
  const table = document.getElementById("table");
  if (!table) return;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.firstElementChild.addEventListener("click", () => sortBy(table, column));
  });
  document.getElementById("words").addEventListener("input", () => filter(table));
  document.getElementById("outcome")?.addEventListener("change", () => filter(table));
  filter(table);
}
prepareTable();

// Drawn anew for another theme: some of Plotly's texts keep the shadow of the ground they had.
unpackPlotly().then(drawAll).then(() => dark.addEventListener("change", drawAll)).catch((error) => {
  const place = document.getElementById("trouble");
  place.textContent = `The figures need a browser of 2023 or newer (${error.message}); all numbers are in the tables.`;
  place.hidden = false;
  throw error;
});

// Paper shows what is folded on the screen, and figures as wide as it is.
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((each) => { each.open = true; });
  if (window.Plotly) document.querySelectorAll(".plot").forEach((each) => Plotly.Plots.resize(each));
});
