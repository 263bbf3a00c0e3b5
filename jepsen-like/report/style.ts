/**
 * The look of the report: light or dark as the reader's system is, readable on paper.
 */
export const STYLE = `:root { color-scheme: light dark; --ink: #1c2530; --dim: #5c6875; --paper: #fff; --rule: #d9dee4; --soft: #f4f6f8;
  --good: #1a7f4b; --bad: #c02a2a; --unsure: #a86800; --commit: #3b78c3; --abort: #b9c4d0; --p50: #1a7f4b; --p99: #c06a14; --fault: #e0525222; --faultline: #c02a2a; --lead: #3b78c3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e8ee; --dim: #98a4b1; --paper: #14191f; --rule: #333d48; --soft: #1d242c;
  --good: #4ec88a; --bad: #ff7a7a; --unsure: #e8ae4a; --commit: #5d9be6; --abort: #55616e; --p50: #4ec88a; --p99: #f0a04b; --fault: #ff6b6b2a; --faultline: #ff7a7a; --lead: #5d9be6; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px; max-width: 1180px; font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; color: var(--ink); background: var(--paper); }
h1 { margin: 0 0 4px; font-size: 28px; } h1 small { color: var(--dim); font-size: 18px; font-weight: 400; } h2 { margin: 34px 0 10px; font-size: 19px; } p { margin: 6px 0; max-width: 80ch; }
code { padding: 1px 5px; border-radius: 4px; background: var(--soft); font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.verdict { float: right; margin: 4px 0 0 16px; padding: 6px 18px; border-radius: 6px; color: var(--paper); font-weight: 700; font-size: 20px; }
.verdict.valid { background: var(--good); } .verdict.invalid { background: var(--bad); } .verdict.unknown { background: var(--unsure); }
.why { color: var(--unsure); font-weight: 600; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 10px; margin: 20px 0 0; }
.figures div { padding: 8px 12px; border-radius: 6px; background: var(--soft); } .figures b { display: block; font-size: 18px; } .figures span { color: var(--dim); font-size: 13px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; } th { color: var(--dim); font-weight: 600; }
td:first-child { white-space: nowrap; font-weight: 600; } tr.good td:last-child { color: var(--good); } tr.bad td { color: var(--bad); } tr.not td { color: var(--dim); }
.violations li { margin: 4px 0; white-space: pre-wrap; overflow-wrap: anywhere; } .violations b { color: var(--bad); }
figure { margin: 0; overflow-x: auto; } svg { display: block; width: 100%; min-width: 760px; height: auto; font: 11.5px system-ui, "Segoe UI", Roboto, Arial, sans-serif; }
svg text { fill: var(--ink); } svg .tick { fill: var(--dim); } svg .end { text-anchor: end; } svg .middle { text-anchor: middle; } svg .title { font-weight: 600; }
svg .axis { stroke: var(--dim); fill: none; } svg .grid { stroke: var(--rule); fill: none; }
svg .fault { fill: var(--fault); stroke: var(--faultline); stroke-opacity: .35; stroke-width: .7; } svg .unfelt { fill: none; stroke-dasharray: 3 3; stroke-opacity: .7; } svg .faultname { fill: var(--faultline); font-weight: 600; }
svg .commits { fill: var(--commit); fill-opacity: .8; } svg .aborts { fill: var(--abort); }
svg .p50, svg .p99, svg .p999, svg .open, svg .doubt { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
svg .p50 { stroke: var(--p50); } svg .p99 { stroke: var(--p99); } svg .p999 { stroke: var(--p99); stroke-opacity: .45; stroke-width: 1.1; } svg .open { stroke: var(--dim); } svg .doubt { stroke: var(--bad); }
svg .key { fill: none; stroke-width: 3; } svg .key.commits { stroke: var(--commit); } svg .key.aborts { stroke: var(--abort); }
svg .leads { fill: var(--lead); } svg .epoch { fill: var(--paper); font-size: 10.5px; } svg .lost { fill: var(--bad); }
summary { cursor: pointer; margin: 10px 0; color: var(--dim); }
@media print { body { padding: 0; max-width: none; } }`;
