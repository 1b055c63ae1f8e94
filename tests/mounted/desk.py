# SPDX-License-Identifier: MIT
"""A force with a key desk, for tests: world.py, and a desk that is served by a real process."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import world as w


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class DeskWorld(w.World):
    """`http`: on a port of the loopback; else on a unix socket. The desk is not served until serve(). `last_day`: of its one batch."""

    def __init__(self, http=False, prekeys=20, last_day=None, **kw):
        self.http, self.server, self.batch = http, None, ('--prekeys', prekeys) + (('--last-day', last_day) if last_day else ())
        super().__init__(**kw)

    def create_options(self):
        self.desk_key, self.store = self.dir / 'desk.key', self.dir / 'desk'
        self.listen = f'127.0.0.1:{free_port()}' if self.http else f'unix:{self.dir}/desk.sock'
        self.url = f'http://{self.listen}' if self.http else f'unix:{self.dir}/desk.sock'
        self.keytool('identity', 'new', '--role', 'desk', '--name', 'desk', '--no-passphrase', self.desk_key)
        return '--desk', f'{self.desk_key}.pub', '--desk-url', self.url

    def make_force(self, *args):
        super().make_force(*args)
        self.keytool('desk', 'create', '--key', self.desk_key, *self.batch, '-o', self.dir / 'desk.prekeys', self.store)
        self.keytool('vault', 'set', '--prekeys', self.dir / 'desk.prekeys', '--key', self.key('alice'), self.vault)
        self.keytool('desk', 'receive', '--key', self.desk_key, self.store, self.policy)

    def serve(self, *extra, env=None, stderr=None, exe='KEYTOOL', ready=True):
        """Start the server and wait until it answers; one that is not `ready` says 503."""
        self.server_log = open(self.dir / 'server.log', 'ab')
        self.server = subprocess.Popen([os.environ[exe], 'desk', 'serve', '--key', self.desk_key, '--policy', self.policy, '--listen',
                                        self.listen, *map(str, extra), self.store], stdin=subprocess.DEVNULL, stdout=self.server_log,
                                       stderr=stderr or self.server_log, env={**os.environ, **(env or {})})
        for _ in range(200):
            w.check(self.server.poll() is None, f'the server runs: {self.said()}')
            if self.answers() or (not ready and self.answers(b' 503 ')):
                return self.server
            time.sleep(0.05)
        w.check(False, f'the server answers: {self.said()}')

    def said(self):
        return (self.dir / 'server.log').read_text()

    def answers(self, status=b' 200 '):
        try:
            return status in self.http_get('/healthz')
        except OSError:
            return False

    def http_get(self, path, timeout=5):
        """The raw answer."""
        s = socket.socket(socket.AF_INET if self.http else socket.AF_UNIX)
        s.settimeout(timeout)
        with s:
            if self.http:
                host, port = self.listen.rsplit(':', 1)
                s.connect((host, int(port)))
            else:
                s.connect(self.listen[5:])
            s.sendall(f'GET {path} HTTP/1.1\r\nHost: desk\r\nConnection: close\r\n\r\n'.encode())
            out = b''
            while chunk := s.recv(65536):
                out += chunk
        return out

    def stop(self, sig=signal.SIGTERM):
        """Stop the server; its exit status."""
        if self.server is None:
            return None
        self.server.send_signal(sig)
        try:
            return self.server.wait(timeout=30)
        finally:
            self.server = None

    def desk(self, verb, *args, **kw):
        """keytool desk VERB with the desk's key, on its store (which comes last, or before the files)."""
        return self.keytool('desk', verb, '--key', self.desk_key, *args, **kw)

    def desk_entries(self, torn=False):
        return w.entries(self.store / 'log', torn)

    def clean(self):
        if self.server is not None:
            self.server.kill()
            self.server.wait()
        super().clean()


def copy_tree(source, target):
    """As a thief takes it: sockets are nothing."""
    shutil.copytree(source, target, symlinks=True, ignore=lambda d, names: [n for n in names if pathlib.Path(d, n).is_socket()])
    return target
