# SPDX-License-Identifier: MIT
"""The report's page in a headless Chromium without a network: nothing runs but its own script, it can be searched and sorted by keyboard, read in light
and dark, on paper, narrow, and without JavaScript.

    test_report.py [--keep FOLDER]      KEYTOOL and REPORT_LOG name the programs; --keep leaves page and pictures there
"""
import base64
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import world  # noqa: E402
from chrome import Chrome  # noqa: E402

CHROMIUM = shutil.which('chromium')
failures = []


def check(good, what):
    if not good:
        failures.append(what)
        print(f'FAILED: {what}')


def run(*args, **more):
    return subprocess.run([str(a) for a in args], check=True, **more)


# Text whose contrast with what lies behind it is below 4.5 to 1 (WCAG 2.2, 1.4.3).
CONTRAST = r'''(function(){
function rgb(s){var m=s.match(/[\d.]+/g).map(Number);return m.length<4?[m[0],m[1],m[2],1]:m}
function lum(c){var l=c.slice(0,3).map(function(v){v/=255;return v<=.04045?v/12.92:Math.pow((v+.055)/1.055,2.4)});return .2126*l[0]+.7152*l[1]+.0722*l[2]}
function behind(e){for(;e;e=e.parentElement){var c=rgb(getComputedStyle(e).backgroundColor);if(c[3]===1)return c;if(c[3]!==0)return null}return null}
var bad=[],seen=0,walk=document.createTreeWalker(document.body,NodeFilter.SHOW_TEXT);
for(var n;n=walk.nextNode();){var e=n.parentElement;if(!n.data.trim()||/^(SCRIPT|STYLE)$/.test(e.tagName)||!e.getClientRects().length)continue;seen++;
var b=behind(e),f=rgb(getComputedStyle(e).color);if(!b||f[3]!==1){bad.push('not opaque: '+n.data.slice(0,30));continue}
var x=lum(b),y=lum(f),r=(Math.max(x,y)+.05)/(Math.min(x,y)+.05);if(r<4.5)bad.push(r.toFixed(2)+' '+e.tagName+'.'+e.className+': '+n.data.trim().slice(0,30))}
return{seen:seen,bad:bad.slice(0,10)}})()'''


def complaints(chrome):
    """What the browser has to say against the page: errors, violations, requests."""
    out = []
    for e in chrome.events:
        p = e.get('params', {})
        if e['method'] == 'Log.entryAdded':
            out.append(f"{p['entry']['level']}: {p['entry']['text']}")
        elif e['method'] == 'Runtime.exceptionThrown':
            out.append(f"exception: {p['exceptionDetails']['text']}")
        elif e['method'] == 'Runtime.consoleAPICalled':
            out.append(f"console: {p['args']}")
        elif e['method'] == 'Audits.issueAdded':
            out.append(f"issue: {p['issue']['code']}")
        elif e['method'] == 'Network.requestWillBeSent' and p['request']['url'] != chrome.url:
            out.append(f"request: {p['request']['url'][:80]}")
    return out


def load(chrome, page, scripts=True):
    chrome.url = page.as_uri()
    chrome.open(chrome.url, scripts)


def shown(chrome):
    return chrome.js("Array.from(document.querySelectorAll('#refs tbody tr'),function(r){return r.cells[0].textContent})")


def focus(chrome, what, most=60):
    """Tab until the focus is on what matches; False: it cannot be reached."""
    for _ in range(most):
        if chrome.js(f"document.activeElement.matches({what!r})"):
            return True
        chrome.tab()
    return False


def test_quiet(chrome, page):
    load(chrome, page)
    check(complaints(chrome) == [], f'the browser complains: {complaints(chrome)}')
    check(chrome.js('typeof window.bad') == 'undefined', 'a text of the log ran as a script')
    check(chrome.js("document.querySelectorAll('img,iframe,object,embed,link,form,base').length") == 0, 'there are elements that load or send')
    check(chrome.js("document.querySelectorAll('script').length") == 2, 'there are more scripts than the page has')
    check(chrome.js("document.body.textContent.includes('<script>window.bad=1</script>&amp;')"), 'a hostile name does not stand there as text')


def test_control(chrome, page, folder):
    """The same page with what an attacker would want in it: the policy stops it, and we see that it does."""
    bad = folder / 'control.html'
    bad.write_text(page.read_text().replace('</main>', '<script>window.bad=1</script><p id=x style="color:red">x</p><a onclick="window.bad=2" id=y>y</a>'
                                                       '<img src="http://192.0.2.1/x.png"></main>'))
    load(chrome, bad)
    said = ' '.join(complaints(chrome))
    chrome.js("document.getElementById('y').click()")
    check(chrome.js('typeof window.bad') == 'undefined', 'the policy lets a foreign script run')
    check(chrome.js("getComputedStyle(document.getElementById('x')).color") != 'rgb(255, 0, 0)', 'the policy lets a foreign style apply')
    check('issue: ContentSecurityPolicyIssue' in said, f'violations of the policy are not seen by this test: {said}')
    check(not any(e['method'] == 'Network.responseReceived' and '192.0.2.1' in e['params']['response']['url'] for e in chrome.events), 'a picture was fetched')


def test_structure(chrome, page):
    load(chrome, page)
    check(chrome.js('document.documentElement.lang') == 'en-GB', 'the language is not told')
    check(chrome.js("document.querySelectorAll('h1').length") == 1, 'there is not one h1')
    check(chrome.js("Array.from(document.querySelectorAll('[id]'),function(e){return e.id}).every(function(id,i,a){return a.indexOf(id)===i})"), 'ids are double')
    lost = chrome.js("Array.from(document.querySelectorAll('nav a')).filter(function(a){return!document.querySelector(a.getAttribute('href'))}).length")
    check(lost == 0, f'{lost} links of the page lead nowhere')
    check(chrome.js("Array.from(document.querySelectorAll('thead th')).every(function(t){return t.scope||t.ariaHidden})"), 'headings of tables have no scope')
    check(chrome.js("Array.from(document.querySelectorAll('.wide')).every(function(d){return d.tabIndex===0&&d.getAttribute('aria-label')})"),
          'a wide table cannot be scrolled by keyboard')
    levels = chrome.js("Array.from(document.querySelectorAll('h1,h2,h3'),function(h){return+h.tagName[1]})")
    check(all(b <= a + 1 for a, b in zip(levels, levels[1:])), 'a level of headings is left out')
    text = chrome.js('document.body.innerText')
    times = re.findall(r'\d\d:\d\d(?::\d\d)?(?! UTC)(?! to \d)(?!:)', re.sub(r'07:00 to (07:59|19:00)|12:00 to 12:10|12:10 to 12:20|at \d\d:\d\d UTC', '', text))
    check(times == [], f'times without a zone: {times[:5]}')
    check(not re.search(r'\b[0-9a-f]{32,}\b', text), 'a hash stands on the page')


def test_search(chrome, page, names):
    load(chrome, page)
    total = chrome.js("document.querySelectorAll('#refs tbody tr').length")
    check(total == 200, f'{total} rows at first instead of 200')
    check(focus(chrome, '#q'), 'the search cannot be reached by keyboard')
    chrome.type(names[3].lower())
    check(shown(chrome) == [names[3]], f'searching {names[3]} shows {shown(chrome)[:5]}')
    check(chrome.js("document.getElementById('says').textContent").startswith('1 of '), 'the number of matches is not told')
    chrome.js("document.getElementById('q').select()")
    chrome.call('Input.insertText', text=f'{names[7]}, {names[5]}')
    check(shown(chrome) == [names[5], names[7]], f'a list of refs shows {shown(chrome)[:5]}')
    chrome.js("document.getElementById('q').select()")
    chrome.call('Input.insertText', text='rsync photo')
    check(len(shown(chrome)) == 200 and chrome.js("document.getElementById('says').textContent").startswith('300 of '), 'words are not found together')
    chrome.js("document.getElementById('q').select()")
    chrome.call('Input.insertText', text='<img')
    check(shown(chrome) == [names[5]], 'a hostile name is not found as text')
    chrome.js("document.getElementById('q').select()")
    chrome.call('Input.insertText', text='no such thing')
    check(shown(chrome) == [], 'what is not there is found')
    for _ in range(20):
        chrome.key('Backspace', number=8)
    check(len(shown(chrome)) == 200, 'an empty search does not show the table')
    check(focus(chrome, '#more', 20), 'the button for more cannot be reached')
    chrome.enter()
    check(len(shown(chrome)) == 400, 'the button for more does not work')
    check(focus(chrome, '#every', 3), 'the button for all cannot be reached')
    chrome.enter()
    check(len(shown(chrome)) == len(names) + 1, 'the button for all does not work')


def test_sort(chrome, page):
    load(chrome, page)
    check(focus(chrome, '#refs th:nth-child(4) button'), 'a heading cannot be reached by keyboard')
    for want in ('ascending', 'descending'):
        chrome.enter()
        numbers = chrome.js("Array.from(document.querySelectorAll('#refs tbody tr'),function(r){return+r.cells[3].textContent.replace(/,/g,'')})")
        check(numbers == sorted(numbers, reverse=want == 'descending') and numbers[0] != numbers[-1], f'numbers are not sorted: {numbers[:5]}')
        check(chrome.js("document.querySelector('#refs th:nth-child(4)').ariaSort") == want, 'the order is not told')
    check(focus(chrome, '#refs th:nth-child(6) button', 5), 'the next heading cannot be reached')
    chrome.enter()
    times = chrome.js("Array.from(document.querySelectorAll('#refs tbody tr'),function(r){return r.cells[5].textContent})")
    check(times == sorted(times) and times[0] != times[-1], 'times are not sorted')


def test_looks(chrome, page, keep):
    for scheme in ('light', 'dark'):
        chrome.call('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': scheme}])
        for width in (1280, 380):
            chrome.call('Emulation.setDeviceMetricsOverride', width=width, height=900, deviceScaleFactor=1, mobile=False)
            load(chrome, page)
            found = chrome.js(CONTRAST)
            check(found['seen'] > 1000 and found['bad'] == [], f'{scheme}, {width} wide: contrast: {found}')
            wide = chrome.js('document.documentElement.scrollWidth')
            check(wide <= width, f'{scheme}: the page is {wide} wide on a screen of {width}')
            if keep:
                shot = chrome.call('Page.captureScreenshot', captureBeyondViewport=True, clip={
                    'x': 0, 'y': 0, 'width': width, 'height': min(6000, chrome.js('document.documentElement.scrollHeight')), 'scale': 1})
                (keep / f'{scheme}-{width}.png').write_bytes(base64.b64decode(shot['data']))
        back = chrome.js('getComputedStyle(document.body).backgroundColor')
        check((back == 'rgb(255, 255, 255)') == (scheme == 'light'), f'{scheme}: the background is {back}')
    chrome.call('Emulation.clearDeviceMetricsOverride')
    chrome.call('Emulation.setEmulatedMedia', features=[])


def test_paper(chrome, page, folder, keep):
    load(chrome, page)
    pdf = folder / 'report.pdf'
    pdf.write_bytes(base64.b64decode(chrome.call('Page.printToPDF', preferCSSPageSize=True)['data']))
    pages = run('pdftotext', '-layout', pdf, '-', stdout=subprocess.PIPE, text=True).stdout.split('\f')
    text = '\n'.join(pages)
    for heading in ('Who read what', 'To be noticed', 'Day by day', 'By grant', 'By program', 'By user', 'Granted and never read', 'By record', 'The logs', 'How to read this'):
        check(heading in text, f'on paper, "{heading}" is missing')
    for gone in ('On this page', 'Show all', 'Find'):
        check(gone not in text, f'on paper stands "{gone}"')
    heads = sum(bool(re.search(r'ref +what was read', p)) for p in pages)
    check(3 < len(pages) < 40 and heads >= 2, f'{len(pages)} pages, {heads} of them with the head of the table')
    if keep:
        shutil.copy(pdf, keep)


def test_no_script(chrome, page, names):
    chrome.call('Emulation.setScriptExecutionDisabled', value=True)
    load(chrome, page, scripts=False)
    check(complaints(chrome) == [], f'without scripts the browser complains: {complaints(chrome)}')
    root = chrome.call('DOM.getDocument')['root']['nodeId']
    rows = chrome.call('DOM.querySelectorAll', nodeId=root, selector='#refs tbody tr')['nodeIds']
    check(len(rows) == len(names) + 1, f'without scripts there are {len(rows)} rows')
    hidden = chrome.call('DOM.querySelectorAll', nodeId=root, selector='#tools[hidden], #buttons[hidden]')['nodeIds']
    check(len(hidden) == 2, 'without scripts there are tools that do nothing')
    chrome.call('Emulation.setScriptExecutionDisabled', value=False)


def main():
    keep = pathlib.Path(sys.argv[2]) if sys.argv[1:2] == ['--keep'] else None
    if not CHROMIUM:
        print('there is no chromium on this machine')
        return 77
    with tempfile.TemporaryDirectory(prefix='vaultfs-report-') as name:
        folder = pathlib.Path(name)
        names = world.refs(700)
        run(os.environ['REPORT_LOG'], folder / 'log', folder / 'seal', input=world.lines(names), text=True)
        page = folder / 'report.html'
        run(os.environ['KEYTOOL'], 'audit', 'report', '-q', '--log', folder / 'log', '-o', page)
        used = sorted(n for n in names if n in page.read_text())
        if keep:
            keep.mkdir(exist_ok=True)
            shutil.copy(page, keep)
        chrome = Chrome(CHROMIUM)
        try:
            chrome.call('Network.emulateNetworkConditions', offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
            test_quiet(chrome, page)
            test_control(chrome, page, folder)
            test_structure(chrome, page)
            test_search(chrome, page, used)
            test_sort(chrome, page)
            test_looks(chrome, page, keep)
            test_paper(chrome, page, folder, keep)
            test_no_script(chrome, page, used)
        finally:
            chrome.close()
    print(f'{len(failures)} failed')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
