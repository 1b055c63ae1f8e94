# SPDX-License-Identifier: MIT
"""
What somebody can do who holds a station's files and its secrets: open its identity, its grants' keys, make ciphertext with a field key, and
write into its database. With the second reader only; none of our programs' code.
"""
import os
import pathlib
import struct
import sys

import lmdb

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'reader'))
import reader  # noqa: E402

TABLES = ('meta', 'policy', 'grant', 'value', 'batch', 'revocation')


class Station:
    def __init__(self, path, passphrase=None):
        self.path = pathlib.Path(path)
        payload = reader.slots((self.path / 'identity').read_bytes(), 'VFDEVID1')[0][1]
        self.identity = reader.Identity(payload, passphrase)
        self.enrolment = reader.Enrolment((self.path / 'station.enrol').read_bytes())

    def open(self):
        return Database(self.path / 'db')

    def grants(self):
        with self.open() as db:
            return {key.decode(): reader.Grant(value[9:]) for key, value in db.rows('grant')}


class Database:
    """The station's LMDB, behind its back."""

    def __init__(self, path):
        self.env = lmdb.open(str(path), max_dbs=16, map_size=1 << 30, sync=True, readahead=False)
        self.dbs = {name: self.env.open_db(name.encode(), create=False) for name in TABLES}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.env.close()

    def rows(self, table):
        with self.env.begin(db=self.dbs[table]) as txn:
            return [(bytes(k), bytes(v)) for k, v in txn.cursor()]

    def put(self, table, key, value):
        with self.env.begin(write=True, db=self.dbs[table]) as txn:
            txn.put(key, value)

    def delete(self, table, key):
        with self.env.begin(write=True, db=self.dbs[table]) as txn:
            return txn.delete(key)


def value_key(ref, field, generation, digest):
    return ref.encode() + bytes([field]) + struct.pack('>I', generation) + digest[:8]


def forged(identity, grant, ref, field, value):
    """A value of the attacker's own under the record's real field key, as long as the real one when padded."""
    keys = grant.keys(grant.share(identity), ref, reader.part_of(field))
    return reader.value_seal(keys[field], grant.vault, ref, field, grant.rows[ref][field][0], os.urandom(24), value)
