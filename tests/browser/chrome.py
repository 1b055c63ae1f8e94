# SPDX-License-Identifier: MIT
"""A headless Chromium at the other end of a pipe (the DevTools protocol), with the Python of the system and nothing else."""
import json
import os
import select
import shutil
import subprocess
import tempfile
import time


class Chrome:
    def __init__(self, program):
        self.profile = tempfile.mkdtemp(prefix='vaultfs-chrome-')
        down_r, down_w = os.pipe()
        up_r, up_w = os.pipe()
        # The browser wants descriptors 3 and 4. The page is ours, and root may not use the browser's own sandbox.
        args = [program, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-extensions',
                '--disable-background-networking', '--disable-sync', '--disable-component-update', '--disable-default-apps', '--mute-audio',
                '--hide-scrollbars', '--remote-debugging-pipe', f'--user-data-dir={self.profile}', 'about:blank']
        env = {**os.environ, 'HOME': self.profile, 'XDG_RUNTIME_DIR': self.profile}
        for name in ('ASAN_OPTIONS', 'UBSAN_OPTIONS', 'TSAN_OPTIONS', 'LD_PRELOAD'):
            env.pop(name, None)
        self.errors = open(os.path.join(self.profile, 'stderr'), 'wb')

        def wire():
            r, w = os.dup(down_r), os.dup(up_w)
            os.dup2(r, 3)
            os.dup2(w, 4)

        self.process = subprocess.Popen(args, preexec_fn=wire, close_fds=False, stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors,
                                        env=env, start_new_session=True)
        os.close(down_r)
        os.close(up_w)
        self.to, self.of = down_w, up_r
        self.buffer = b''
        self.number = 0
        self.events = []
        self.session = None
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        self.session = self.call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Network', 'Audits', 'DOM'):
            self.call(f'{domain}.enable')

    def read(self, seconds):
        """The next message, or None."""
        end = time.monotonic() + seconds
        while b'\0' not in self.buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.of], [], [], left)[0]:
                return None
            piece = os.read(self.of, 1 << 20)
            if not piece:
                raise RuntimeError('the browser ended')
            self.buffer += piece
        line, self.buffer = self.buffer.split(b'\0', 1)
        return json.loads(line)

    def call(self, method, **params):
        self.number += 1
        message = {'id': self.number, 'method': method, 'params': params}
        if self.session:
            message['sessionId'] = self.session
        data = json.dumps(message).encode() + b'\0'
        while data:
            data = data[os.write(self.to, data):]
        end = time.monotonic() + 60
        while time.monotonic() < end:
            got = self.read(60)
            if got is None:
                break
            if got.get('id') == self.number:
                if 'error' in got:
                    raise RuntimeError(f'{method}: {got["error"]}')
                return got['result']
            if 'method' in got:
                self.events.append(got)
        raise RuntimeError(f'{method}: no answer')

    def open(self, url, scripts=True):
        """Loaded, and what is to happen at once has happened."""
        self.events.clear()
        self.call('Page.navigate', url=url)
        end = time.monotonic() + 60
        while not any(e['method'] == 'Page.loadEventFired' for e in self.events):
            if time.monotonic() > end:
                raise RuntimeError('the page does not load')
            got = self.read(1)
            if got and 'method' in got:
                self.events.append(got)
        if scripts:
            self.js('new Promise(function(r){requestAnimationFrame(function(){setTimeout(r,50)})})')

    def js(self, expression):
        got = self.call('Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True)
        if 'exceptionDetails' in got:
            raise RuntimeError(f'{expression[:80]}: {got["exceptionDetails"]}')
        return got['result'].get('value')

    def key(self, key, code=None, number=0, text=None, shift=False):
        common = {'key': key, 'code': code or key, 'windowsVirtualKeyCode': number, 'modifiers': 8 if shift else 0}
        self.call('Input.dispatchKeyEvent', type='keyDown' if text else 'rawKeyDown', **common, **({'text': text} if text else {}))
        self.call('Input.dispatchKeyEvent', type='keyUp', **common)

    def tab(self, back=False):
        self.key('Tab', number=9, shift=back)

    def enter(self):
        self.key('Enter', number=13, text='\r')

    def type(self, words):
        for c in words:
            self.key(c, number=ord(c.upper()), text=c)

    def close(self):
        try:
            self.session = None
            self.call('Browser.close')
            self.process.wait(10)
        except (RuntimeError, OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.to)
        os.close(self.of)
        self.errors.close()
        shutil.rmtree(self.profile, ignore_errors=True)
