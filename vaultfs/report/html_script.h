/* SPDX-License-Identifier: MIT */
/*
 * The page's script, in pieces: searching and sorting the table of records, a piece at a time. It reads nothing but the table itself and writes no
 * markup, so that no text of a log can become more than text. Without it the whole table stands there.
 */
#ifndef VAULTFS_REPORT_HTML_SCRIPT_H
#define VAULTFS_REPORT_HTML_SCRIPT_H

/* First of all: as long as the page is being read, a table of 47,000 rows need not be laid out again and again. */
static const char *const vf_report_early[] = {"document.documentElement.className='reading'"};
/* clang-format off */
static const char *const vf_report_script[] = {
    "(function(){'use strict';document.documentElement.className='';\n",
    "var table=document.getElementById('refs');if(!table)return;\n",
    "var by=function(id){return document.getElementById(id)},body=table.tBodies[0],rows=Array.from(body.rows),step=200,shown=step;\n",
    "var words=rows.map(function(r){return Array.from(r.cells,function(c){return c.textContent}).join(' ').toLowerCase()});\n",
    "var order=rows.map(function(r,i){return i}),found=order;\n",
    "function number(n){return n.toLocaleString('en-GB')}\n",
    "function draw(){var part=document.createDocumentFragment(),n=Math.min(shown,found.length);\n",
    "for(var i=0;i<n;i++)part.appendChild(rows[found[i]]);body.replaceChildren(part);\n",
    "by('says').textContent=found.length===rows.length?'Showing '+number(n)+' of '+number(rows.length)+' rows.':",
    "number(found.length)+' of '+number(rows.length)+' rows match'+(n<found.length?'; showing '+number(n)+'.':'.');\n",
    "by('more').hidden=by('every').hidden=n===found.length;by('every').textContent='Show all '+number(found.length)}\n",
    /* Several refs, as pasted from a list: any of them. Otherwise every word must be there. */
    "function search(){var q=by('q').value.toLowerCase().split(/[\\s,;]+/).filter(Boolean);\n",
    "var refs=q.length>1&&q.every(function(w){return/^[a-z2-7]{8}$/.test(w)});\n",
    "found=q.length?order.filter(function(i){var has=function(w){return words[i].includes(w)};return refs?q.some(has):q.every(has)}):order;\n",
    "shown=step;draw()}\n",
    "var heads=Array.from(table.tHead.rows[0].cells);\n",
    "heads.forEach(function(th,k){var b=document.createElement('button');b.type='button';b.append.apply(b,Array.from(th.childNodes));",
    "th.append(b);\n",
    "b.addEventListener('click',function(){var up=th.getAttribute('aria-sort')!=='ascending',isNumber=th.classList.contains('n');\n",
    "var key=rows.map(function(r){var t=r.cells[k].textContent;return isNumber?+t.replace(/,/g,''):t});\n",
    "heads.forEach(function(h){h.removeAttribute('aria-sort')});th.setAttribute('aria-sort',up?'ascending':'descending');\n",
    "order=order.slice().sort(function(a,c){var x=key[a],y=key[c],d=x<y?-1:x>y?1:a-c;return up?d:-d});search()})});\n",
    "by('q').addEventListener('input',search);\n",
    "by('more').addEventListener('click',function(){shown+=step;draw()});\n",
    "by('every').addEventListener('click',function(){shown=found.length;draw()});\n",
    "by('tools').hidden=by('buttons').hidden=false;draw()})();\n",
};
/* clang-format on */

#endif
