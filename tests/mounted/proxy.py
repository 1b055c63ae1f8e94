# SPDX-License-Identifier: MIT
"""A way to the desk that can be slow, cut, or gone: between a mount and the desk's unix socket."""
import os
import socket
import threading
import time


class Proxy:
    """`mode`: 'pass'; 'slow' (each answer `delay` seconds late), 'cut' (half of each answer), 'refuse' (closes at once)."""

    def __init__(self, path, target):
        self.path, self.target = str(path), str(target)
        self.mode, self.delay, self.seen = 'pass', 10, 0
        self.listener, self.clients = None, []
        self.start()

    def start(self):
        self.listener = socket.socket(socket.AF_UNIX)
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o666)
        self.listener.listen(64)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def gone(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)
        self.hang_up()

    def hang_up(self):
        """Connections that are kept open too."""
        for c in self.clients:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.clients = []

    def refuse(self):
        self.mode = 'refuse'
        self.hang_up()

    def accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.clients.append(client)
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, socket.socket(socket.AF_UNIX) as desk:
            if self.mode == 'refuse':
                return
            try:
                desk.connect(self.target)
                back = threading.Thread(target=self.back, args=(desk, client), daemon=True)
                back.start()
                while data := client.recv(65536):
                    desk.sendall(data)
                desk.shutdown(socket.SHUT_WR)
                back.join()
            except OSError:
                pass

    def back(self, desk, client):
        try:
            while data := desk.recv(1 << 20):
                self.seen += 1
                if self.mode == 'slow':
                    time.sleep(self.delay)
                if self.mode == 'cut':
                    client.sendall(data[:len(data) // 2])
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)
        except OSError:
            pass
