/* SPDX-License-Identifier: MIT */
/* The page's style: light and dark, screen and paper; no font, script or image from anywhere. */
#ifndef VAULTFS_GRANT_REVIEW_STYLE_H
#define VAULTFS_GRANT_REVIEW_STYLE_H

#define VF_REVIEW_STYLE                                                                                                     \
    ":root{color-scheme:light dark;--bg:#fff;--fg:#1a1c20;--soft:#5b6069;--line:#d5d8de;--box:#f5f6f8;--warn:#8a4b00;"      \
    "--warnbg:#fff4e0;--good:#1b6b3a;--bad:#a3141e;--badbg:#fdeaea}\n"                                                      \
    "@media(prefers-color-scheme:dark){:root{--bg:#16181c;--fg:#e6e8ec;--soft:#9aa1ad;--line:#363b44;--box:#1f2228;"        \
    "--warn:#ffc46b;--warnbg:#33280f;--good:#7fd6a0;--bad:#ff9a9a;--badbg:#3a1a1c}}\n"                                      \
    "*{box-sizing:border-box}body{margin:0 auto;padding:2rem 1.5rem 4rem;max-width:72rem;background:var(--bg);"             \
    "color:var(--fg);font:16px/1.5 system-ui,sans-serif}\n"                                                                 \
    "h1{font-size:1.6rem;margin:0 0 .25rem}h2{font-size:1.2rem;margin:2.5rem 0 .75rem;padding-bottom:.25rem;"               \
    "border-bottom:1px solid var(--line)}p{margin:.5rem 0;max-width:48rem}.soft{color:var(--soft)}\n"                       \
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.35rem 1.5rem;margin:1rem "                                  \
    "0}dt{color:var(--soft)}dd{margin:0}"                                                                                   \
    "code{font:.92em ui-monospace,monospace;overflow-wrap:anywhere}\n"                                                      \
    "ul.notes{list-style:none;padding:0;margin:1rem 0}ul.notes li{padding:.5rem .9rem;margin:.4rem 0;border-radius:.4rem;"  \
    "background:var(--box)}ul.notes li.warn{background:var(--warnbg);color:var(--warn)}ul.notes li.bad{background:"         \
    "var(--badbg);color:var(--bad)}\n"                                                                                      \
    ".cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:1rem}figure{margin:0;padding:."     \
    "6rem;"                                                                                                                 \
    "border:1px solid var(--line);border-radius:.5rem;background:var(--box);break-inside:avoid;content-visibility:auto;"    \
    "contain-intrinsic-size:9.5rem 17rem}figure img{display:block;width:100%;height:auto;border-radius:.25rem;"             \
    "background:#fff;margin-bottom:.4rem}figure .none{display:grid;place-items:center;aspect-ratio:3/4;border:1px dashed "  \
    "var(--line);color:var(--soft);font-size:.85rem;margin-bottom:.4rem}figcaption{font-size:.85rem;line-height:1.35}"      \
    "figcaption strong{display:block;font-size:.95rem}\n"                                                                   \
    ".tag{display:inline-block;padding:0 .45em;margin:.1rem .25rem .1rem 0;border-radius:.3em;border:1px solid "            \
    "currentColor;"                                                                                                         \
    "font-size:.78rem;white-space:nowrap}.tag.new,.tag.changed{color:var(--good)}.tag.protected{color:var(--bad)}"          \
    ".tag.leaver,.tag.incomplete{color:var(--warn)}\n"                                                                      \
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.88rem}th,td{text-align:left;padding:.3rem " \
    ".6rem;border-bottom:1px solid var(--line);vertical-align:top}thead th{position:sticky;top:0;background:var(--bg);"     \
    "color:var(--soft);font-weight:600}td code{white-space:nowrap}\n"                                                       \
    "@media print{:root{color-scheme:light}body{max-width:none;padding:0;font-size:10pt}thead{display:table-header-group}"  \
    "tr{break-inside:avoid}thead th{position:static}figure{content-visibility:visible}.cards{grid-template-columns:"        \
    "repeat(6,1fr);gap:.5rem}}\n"

#endif
