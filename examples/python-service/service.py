#!/usr/bin/env python3
"""Accounts that take part in Quorate transactions, with nothing but Python's standard library.

Written from docs/participants.md, "Services". The service keeps accounts in SQLite. A branch's payload is
{"account": "alice", "delta": -5}: try (or prepare) reserves a debit, confirm (or commit) books it, cancel (or rollback) gives it back.

    python3 service.py --port 8081 --db accounts.db --open alice=100
"""
import argparse
import json
import os
import re
import sqlite3
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY_BYTES_MAX = 64 * 1024
FORGET_STEP_MS = 60_000
TRY, CONFIRM, CANCEL = "try", "confirm", "cancel"
PHASES = {"prepare": TRY, "commit": CONFIRM, "rollback": CANCEL, TRY: TRY, CONFIRM: CONFIRM, CANCEL: CANCEL}

SCHEMA = """
create table if not exists account (name text primary key, balance integer not null, reserved integer not null default 0);
-- The barrier: one row for each branch, and the insert of it decides between a try and a cancel that came first.
create table if not exists branch (
  gid text not null, branch text not null, state text not null, account text not null default '', delta integer not null default 0,
  primary key (gid, branch));
-- What was booked. No key on purpose: an effect that happened twice would be here twice.
create table if not exists booked (gid text not null, branch text not null, account text not null, delta integer not null);
create table if not exists seen (one integer primary key check (one = 1), epoch integer not null, floor_ms integer not null);
insert or ignore into seen values (1, 0, 0);
"""


class Refused(Exception):
    """No, and never for this branch: 409."""


class BadCall(Exception):
    """The caller is wrong, not the work: 400."""


class Accounts:
    """Every step is one SQLite transaction: the barrier's row and the change of the account are durable together, or not at all."""

    def __init__(self, path):
        self.path = path
        self.local = threading.local()
        db = self.connection()
        db.execute("pragma journal_mode = wal")
        db.executescript(SCHEMA)

    def connection(self):
        db = getattr(self.local, "db", None)
        if db is None:
            db = self.local.db = sqlite3.connect(self.path, timeout=4, isolation_level=None)
            db.execute("pragma synchronous = full")  # an answer must outlive a power cut
        return db

    def open(self, name, balance):
        self.connection().execute("insert or ignore into account (name, balance) values (?, ?)", (name, balance))

    def forget(self, floor_ms):
        """The cluster has forgotten everything older. The floor first, in a commit of its own; then the rows that nobody needs."""
        db = self.connection()
        if floor_ms < db.execute("select floor_ms from seen").fetchone()[0] + FORGET_STEP_MS:
            return
        db.execute("update seen set floor_ms = max(floor_ms, ?)", (floor_ms,))
        db.execute("delete from branch where gid < ? and state <> 'tried'", (f"q-{floor_ms:012x}",))

    def run(self, phase, gid, branch, epoch, work):
        db = self.connection()
        db.execute("begin immediate")
        try:
            if phase == TRY:
                self.attempt(db, gid, branch, epoch, work)
            elif phase == CONFIRM:
                self.confirm(db, gid, branch)
            else:
                self.cancel(db, gid, branch)
            db.execute("update seen set epoch = max(epoch, ?)", (epoch,))
            db.execute("commit")
        except BaseException:
            if db.in_transaction:
                db.execute("rollback")
            raise

    def attempt(self, db, gid, branch, epoch, work):
        account, delta = work
        if self.insert(db, gid, branch, "tried", account, delta) == 0:
            if self.state(db, gid, branch)[0] == "cancelled":
                raise Refused("the branch was cancelled before")  # a late try
            return  # a duplicate, also one that comes after confirm
        seen_epoch, floor_ms = db.execute("select epoch, floor_ms from seen").fetchone()
        if epoch < seen_epoch:
            raise Refused("a newer leader has called")  # fences new work only
        if time_of(gid) < floor_ms:
            raise Refused("the cluster has forgotten this transaction")  # and so has this service
        row = db.execute("select balance - reserved from account where name = ?", (account,)).fetchone()
        if row is None:
            raise Refused(f"there is no account {account}")
        if delta < 0:
            if row[0] + delta < 0:
                raise Refused(f"account {account} has {row[0]}, and {-delta} are needed")
            db.execute("update account set reserved = reserved + ? where name = ?", (-delta, account))

    def confirm(self, db, gid, branch):
        state, account, delta = self.state(db, gid, branch)
        if state == "confirmed":
            return
        if state != "tried":
            raise RuntimeError(f"confirm of {gid}/{branch}, which is {state}: what was promised is not here")
        reserved = -delta if delta < 0 else 0
        db.execute("update account set balance = balance + ?, reserved = reserved - ? where name = ?", (delta, reserved, account))
        db.execute("insert into booked values (?, ?, ?, ?)", (gid, branch, account, delta))
        db.execute("update branch set state = 'confirmed' where gid = ? and branch = ?", (gid, branch))

    def cancel(self, db, gid, branch):
        if self.insert(db, gid, branch, "cancelled", "", 0) == 1:
            return  # nothing was tried: the row refuses a try that comes later
        state, account, delta = self.state(db, gid, branch)
        if state == "cancelled":
            return
        if state == "confirmed":
            raise RuntimeError(f"cancel of {gid}/{branch}, which is confirmed")
        if delta < 0:
            db.execute("update account set reserved = reserved - ? where name = ?", (-delta, account))
        db.execute("update branch set state = 'cancelled' where gid = ? and branch = ?", (gid, branch))

    @staticmethod
    def insert(db, gid, branch, state, account, delta):
        row = (gid, branch, state, account, delta)
        return db.execute("insert or ignore into branch values (?, ?, ?, ?, ?)", row).rowcount

    @staticmethod
    def state(db, gid, branch):
        row = db.execute("select state, account, delta from branch where gid = ? and branch = ?", (gid, branch)).fetchone()
        return ("missing", "", 0) if row is None else row


def time_of(gid):
    return int(gid[2:14], 16)


def header(headers, name, pattern):
    values = headers.get_all(name) or []
    if len(values) != 1 or re.fullmatch(pattern, values[0]) is None:
        raise BadCall(f"header {name} must be there once and match {pattern}")
    return values[0]


def work_of(body):
    """The payload comes from the transaction's client: what makes no sense now never will, so it is refused."""
    try:
        work = json.loads(body.decode("utf-8"))
        account, delta = work["account"], work["delta"]
    except (ValueError, KeyError, TypeError) as error:
        raise Refused('the payload must be {"account": "alice", "delta": -5}') from error
    if not isinstance(account, str) or not isinstance(delta, int) or isinstance(delta, bool) or abs(delta) > 10**12:
        raise Refused("account must be a text and delta a whole number")
    return account, delta


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept
    timeout = 60
    accounts = None

    def do_POST(self):
        try:
            body = self.body()
            phase = PHASES[header(self.headers, "quorate-phase", "|".join(PHASES))]
            gid = header(self.headers, "quorate-gid", r"q-[0-9a-f]{32}")
            branch = header(self.headers, "quorate-branch", r"[a-z][a-z0-9_-]{0,47}")
            epoch = int(header(self.headers, "quorate-epoch", r"\d{1,10}"))
            self.accounts.forget(int(header(self.headers, "quorate-forgotten-below", r"\d{1,15}")))
            self.accounts.run(phase, gid, branch, epoch, work_of(body) if phase == TRY else None)
            self.answer(200)
        except Refused as error:
            self.answer(409, str(error))
        except BadCall as error:
            self.answer(400, str(error))
        except Exception as error:  # could not tell: the call comes again
            self.log_error("%s", repr(error))
            self.answer(500, str(error))

    def body(self):
        length = self.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            self.close_connection = True  # what is not read must not be taken for the next call
            raise BadCall(f"content-length must be a number up to {BODY_BYTES_MAX}")
        return self.rfile.read(int(length))

    def answer(self, status, detail=None):
        text = b"" if detail is None else json.dumps({"detail": detail}).encode("utf-8")
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        if text:
            self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(text)

    def log_request(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--port", type=int, default=0, help="of 127.0.0.1; 0 takes a free one")
    options.add_argument("--db", required=True, help="the SQLite file")
    options.add_argument("--open", action="append", default=[], metavar="NAME=BALANCE", help="an account, made when it is not there")
    options.add_argument("--exit-with-parent", action="store_true", help="stop when standard input closes")
    args = options.parse_args()
    accounts = Accounts(args.db)
    for each in args.open:
        name, _, balance = each.partition("=")
        accounts.open(name, int(balance))
    Handler.accounts = accounts
    server = Server(("127.0.0.1", args.port), Handler)
    if args.exit_with_parent:
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
