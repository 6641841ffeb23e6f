/** The style sheet and the script of the console. Both are files of their own: the page allows neither inline. */

export const STYLE = `:root{color-scheme:light dark;--back:#fff;--fore:#1a1d21;--soft:#5b6470;--line:#d5dae1;--panel:#f5f7f9;--link:#0b5cad;--ok:#14713a;--warning:#8a5a00;--error:#b3261e;--issued:#2f7d4f;--r0:#b3261e;--r1:#c7761b;--r2:#7a4fb5;--r3:#1f6fb2;--r4:#a03b74;--r5:#7b848f}
@media(prefers-color-scheme:dark){:root{--back:#14171a;--fore:#e6e9ec;--soft:#a0a9b4;--line:#353c44;--panel:#1d2227;--link:#7db7f5;--ok:#6fd08c;--warning:#e6b450;--error:#ff8a80;--issued:#5fbf85;--r0:#ff8a80;--r1:#f0a850;--r2:#b99af0;--r3:#74b4ee;--r4:#e58fc0;--r5:#9aa4af}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--fore);font:15px/1.45 system-ui,sans-serif;overflow-wrap:anywhere}
main,header,footer{max-width:78rem;margin:auto;padding:0 1rem}
header{padding-top:1rem}
h1{font-size:1.35rem;margin:.2rem 0}h2{font-size:1.1rem;margin:1.8rem 0 .5rem;border-bottom:1px solid var(--line)}h3{font-size:1rem}
a{color:var(--link)}a:focus-visible,input:focus-visible,select:focus-visible,textarea:focus-visible,button:focus-visible,[tabindex]:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem}
nav a{margin-right:1rem}
.soft{color:var(--soft)}.ok{color:var(--ok)}.warning{color:var(--warning)}.error,.refused,.failed{color:var(--error)}.issued{color:var(--ok)}
b.ok,b.warning,b.error{white-space:nowrap}#parts td:nth-child(2){overflow-wrap:normal}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--line)}th{font-weight:600;color:var(--soft)}
code,pre,textarea{font-family:ui-monospace,monospace;font-size:.9em}
pre{background:var(--panel);border:1px solid var(--line);padding:.6rem;white-space:pre-wrap;margin:.5rem 0}
form{display:flex;flex-wrap:wrap;gap:.5rem .8rem;align-items:end;margin:.5rem 0}
label{display:flex;flex-direction:column;font-size:.9em;color:var(--soft);flex:1 1 9rem}label.wide{flex-basis:100%}label.row{flex-direction:row;gap:.4rem}
input,select,textarea,button{font:inherit;color:var(--fore);background:var(--back);border:1px solid var(--soft);border-radius:3px;padding:.3rem;min-width:0;width:100%}
label.row input{width:auto}button{width:auto;background:var(--panel);cursor:pointer}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:.5rem 0}dt{color:var(--soft)}dd{margin:0;white-space:pre-wrap}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));gap:1rem}
svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font-size:11px}.axis{stroke:var(--line)}path.issued{fill:var(--issued)}
.r0{fill:var(--r0)}.r1{fill:var(--r1)}.r2{fill:var(--r2)}.r3{fill:var(--r3)}.r4{fill:var(--r4)}.r5{fill:var(--r5)}
svg.swatch{display:inline-block;width:.8em;height:.8em}
.why{background:var(--panel);border:1px solid var(--line);padding:.2rem 1rem}
footer{padding-bottom:2rem;margin-top:2rem}
@media(max-width:46rem){.stack thead{display:none}.stack tr{display:block;border-bottom:2px solid var(--line);padding:.3rem 0}.stack td{display:flex;gap:.6rem;border:0;padding:.1rem 0}.stack td[data-label]::before{content:attr(data-label);color:var(--soft);flex:0 0 6rem}.decisions tr{display:flex;flex-wrap:wrap;gap:0 .8rem}.decisions td[data-label]::before{content:none}dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}}
`;

export const SCRIPT = `'use strict';
(() => {
  const box = document.getElementById('refresh');
  const told = document.getElementById('refreshed');
  if (!box || !told) return;
  box.closest('p').hidden = false;
  let since = null;
  const refresh = async () => {
    if (!box.checked || document.visibilityState !== 'visible') return;
    try {
      const answer = await fetch(location.href, { cache: 'no-store', credentials: 'omit', redirect: 'error' });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      for (const part of document.querySelectorAll('[data-live]')) {
        const next = page.getElementById(part.id);
        if (next && !part.contains(document.activeElement)) part.replaceWith(document.importNode(next, true));
      }
      since = null;
      told.textContent = '';
    } catch {
      since = since || new Date().toLocaleTimeString();
      told.textContent = 'No answer since ' + since + '.';
    }
  };
  setInterval(refresh, 5000);
})();
`;
