"""The application with Python's own sqlite3; see README.md beside this directory."""

import hashlib
import sqlite3
import sys

ROWS = "SELECT quote(id) || ' ' || quote(a) || ' ' || quote(b) FROM t ORDER BY id"


class Application:
    def __init__(self, path, pragmas):
        self.path, self.pragmas = path, pragmas
        self.reopen()

    def connect(self):
        connection = sqlite3.connect(self.path, isolation_level=None)
        for pragma in self.pragmas:
            connection.execute("PRAGMA " + pragma).fetchall()
        return connection

    def run(self, sql):
        self.writer.executescript(sql)
        return "done"

    def commit(self, sql):
        try:
            # Not a script: that would begin by committing what is open.
            for statement in ["BEGIN IMMEDIATE", *sql.split(";"), "UPDATE progress SET number = number + 1"]:
                self.writer.execute(statement).fetchall()
            told = "committed %d %s" % content(self.writer)
            self.writer.execute("COMMIT")
        finally:
            if self.writer.in_transaction:
                self.writer.execute("ROLLBACK")
        return told

    def look(self):
        self.looker.execute("BEGIN")
        try:
            number, rows = content(self.looker)
            return f"state {number} {rows} {hashlib.sha256(self.looker.serialize()).hexdigest()}"
        finally:
            self.looker.execute("COMMIT")

    def open(self):
        reader = self.connect()
        reader.execute("BEGIN")
        content(reader)
        self.readers.append(reader)
        return "done"

    def close(self):
        if self.readers:
            self.readers.pop(0).close()
        return "done"

    def reopen(self):
        for connection in self.__dict__.get("readers", []):
            connection.close()
        if "writer" in self.__dict__:
            self.writer.close()
            self.looker.close()
        self.readers = []
        self.writer, self.looker = self.connect(), self.connect()
        return "done"

    def read(self, path):
        with open(path, "rb") as file:
            pages = hashlib.sha256(file.read()).hexdigest()
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            check = connection.execute("PRAGMA integrity_check").fetchall()
            if check != [("ok",)]:
                raise ValueError(f"integrity_check: {check}")
            return "state %d %s %s" % (*content(connection), pages)
        finally:
            connection.close()


def content(connection):
    """The number of the last transaction, and the hash of all rows."""
    rows = hashlib.sha256()
    for (row,) in connection.execute(ROWS):
        rows.update(row.encode() + b"\n")
    (number,) = connection.execute("SELECT number FROM progress").fetchone()
    return number, rows.hexdigest()


def answer(application, line):
    verb, _, rest = line.partition(" ")
    try:
        return getattr(application, verb)(*([rest] if rest else []))
    except (sqlite3.Error, ValueError) as error:
        return f"failed {error}"


def main():
    application = Application(sys.argv[1], sys.argv[2:])
    print("ready", sqlite3.sqlite_version, flush=True)
    for line in sys.stdin:
        print(answer(application, line.rstrip("\n")), flush=True)


main()
