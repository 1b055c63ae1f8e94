# SPDX-License-Identifier: MIT
"""The clock of a daemon that was made for tests (tests/support/fakeclock.h): a file says how far it is off."""
import os
import struct


class Clock:
    def __init__(self, path):
        self.path, self.wall, self.boot, self.boot_id = path, 0, 0, 0
        self.write()

    def write(self):
        # In place, in one write: the daemon keeps the file open.
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(fd, struct.pack('=qqq', int(self.wall * 1e6), int(self.boot * 1e6), self.boot_id), 0)
        os.close(fd)

    def passes(self, seconds):
        self.wall += seconds
        self.boot += seconds
        self.write()

    def steps(self, seconds):
        self.wall += seconds
        self.write()

    def reboot(self, seconds):
        self.wall += seconds
        self.boot = 0
        self.boot_id += 1
        self.write()
