"""The look of every page that unetctl writes: light and dark, on a phone and on paper, with nothing fetched."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fdfdfc; --raised: #ffffff; --ink: #1f2328; --soft: #5b636d; --line: #e2e4e7; --faint: #f3f4f5;
  --accent: #0067a3; --second: #b85000; --notice: #fff6e0; --notice-line: #d9a300; --shadow: 0 1px 2px #0000000f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181c; --raised: #1c2025; --ink: #e4e7ea; --soft: #9aa4af; --line: #31373e; --faint: #22272d;
    --accent: #6cb8ea; --second: #f0a063; --notice: #2b2718; --notice-line: #b08a1e; --shadow: none;
  }
  figure img { filter: brightness(.86); }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1 { margin: 0; font-size: 1.75rem; line-height: 1.25; font-weight: 650; letter-spacing: -0.01em; }
h2 { margin: 2.75rem 0 .75rem; font-size: 1.2rem; line-height: 1.3; font-weight: 650; }
h3 { margin: 1.5rem 0 .5rem; font-size: 1rem; font-weight: 650; }
h1, h2, h3, p, li, dd, figcaption, summary { overflow-wrap: anywhere; }
th, td { overflow-wrap: break-word; }
p { margin: .5rem 0; max-width: 46rem; }
a { color: var(--accent); }
.lead { margin-top: .4rem; color: var(--soft); font-size: 1.05rem; }
.soft, figcaption, caption, footer { color: var(--soft); font-size: .9rem; }
code { font: .9em ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre {
  margin: .75rem 0; padding: .75rem 1rem; overflow-x: auto; background: var(--faint); border: 1px solid var(--line);
  border-radius: .5rem; line-height: 1.5;
}
.scroll { overflow-x: auto; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; min-width: min(100%, 24rem); font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { padding: .4rem 1.25rem .4rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--soft); font-weight: 500; font-size: .9rem; white-space: nowrap; }
tbody th { min-width: 9rem; font-weight: 500; }
td.number, th.number { text-align: right; white-space: nowrap; }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: .35rem 1.5rem; margin: .5rem 0; }
dt { color: var(--soft); }
dd { margin: 0; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0 1.5rem; }
figure img, figure svg { display: block; width: 100%; height: auto; }
figure img { max-width: 100%; border: 1px solid var(--line); border-radius: .5rem; background: #fff; }
figcaption { margin-top: .5rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1.5rem 0; }
.tile {
  padding: .8rem 1rem; background: var(--raised); border: 1px solid var(--line); border-radius: .6rem;
  box-shadow: var(--shadow);
}
.tile b { display: block; font-size: 1.4rem; line-height: 1.3; font-weight: 650; font-variant-numeric: tabular-nums; }
.tile span { display: block; color: var(--soft); font-size: .85rem; line-height: 1.4; }
.notices { margin: 1rem 0; padding: 0; list-style: none; }
.notices li {
  margin: .5rem 0; padding: .65rem 1rem; background: var(--notice); border-left: 3px solid var(--notice-line);
  border-radius: .25rem;
}
.swatch {
  display: inline-block; width: .8em; height: .8em; margin-right: .5em; border-radius: .2em; vertical-align: -.05em;
  border: 1px solid color-mix(in srgb, var(--ink) 35%, transparent);
}
.axis { margin-top: 1.25rem; font-weight: 500; }
.chart { position: relative; height: 15rem; margin: 1.1rem 1rem 2rem 2.75rem; font-size: .8rem; line-height: 1.2; }
.chart svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.chart path {
  fill: none; stroke: var(--ink); stroke-width: 1.75; stroke-linejoin: round; vector-effect: non-scaling-stroke;
}
.chart .grid { stroke: var(--line); stroke-width: 1; }
.chart path.mark { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 3; }
.chart .band { stroke: none; opacity: .16; }
.chart .dots { stroke-width: 6; stroke-linecap: round; }
.chart span { position: absolute; color: var(--soft); white-space: nowrap; font-variant-numeric: tabular-nums; }
.chart .y { right: calc(100% + .5rem); transform: translateY(-50%); }
.chart .x { top: calc(100% + .4rem); transform: translateX(-50%); }
.chart span.mark { bottom: calc(100% + .1rem); transform: translateX(-50%); }
.chart span.left { transform: translateX(-75%); }
.keys { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 0; padding: 0; list-style: none; }
.keys { font-size: .9rem; }
.key { display: inline-block; width: 1.1em; height: 3px; margin-right: .5em; vertical-align: .25em; }
.panels { display: grid; grid-template-columns: repeat(2, 1fr); gap: .6rem .75rem; margin: .6rem 0 2.5rem; }
.panels figure { margin: 0; }
.panels figcaption { margin-top: .25rem; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; max-width: none; }
details { margin: .75rem 0; }
summary { cursor: pointer; color: var(--accent); }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); }
@media (min-width: 75rem) {
  .scored { width: min(94vw, 110rem); margin-left: 50%; translate: -50%; }
  .panels { grid-template-columns: repeat(4, 1fr); }
}
@media (max-width: 40rem) {
  body { padding: 1.5rem 1rem 3rem; }
  dl { grid-template-columns: minmax(5.5rem, max-content) 1fr; gap: .35rem 1rem; }
  figure.wide img { width: 44rem; max-width: none; }
}
@media print {
  :root {
    color-scheme: light;
    --paper: #fff; --raised: #fff; --ink: #000; --soft: #444; --line: #bbb; --faint: #f4f4f4;
    --accent: #00507f; --second: #9a4300; --notice: #fff; --notice-line: #888; --shadow: none;
  }
  figure img { filter: none; }
  body { padding: 0; max-width: none; font-size: 10pt; }
  h2, h3 { break-after: avoid; }
  figure, .plot, .tile, .notices li, .scored, tr { break-inside: avoid; }
  .scored { width: auto; margin-left: 0; translate: none; }
  .panels { grid-template-columns: repeat(4, 1fr); margin-bottom: 1rem; }
  details:not([open]) { display: none; }
  .scroll { overflow: visible; }
}
"""
