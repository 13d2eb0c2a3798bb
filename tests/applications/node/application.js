// The application with better-sqlite3; see README.md beside this directory.
"use strict";

const crypto = require("crypto");
const fs = require("fs");
const readline = require("readline");
const Database = require("better-sqlite3");

const ROWS = "SELECT quote(id) || ' ' || quote(a) || ' ' || quote(b) FROM t ORDER BY id";
const [path, ...pragmas] = process.argv.slice(2);
let writer, looker;
let readers = [];

const verbs = {
  run(sql) {
    writer.exec(sql);
    return "done";
  },
  commit(sql) {
    try {
      writer.exec(`BEGIN IMMEDIATE; ${sql}; UPDATE progress SET number = number + 1`);
      const told = `committed ${content(writer)}`;
      writer.exec("COMMIT");
      return told;
    } finally {
      if (writer.inTransaction) writer.exec("ROLLBACK");
    }
  },
  look() {
    looker.exec("BEGIN");
    try {
      return `state ${content(looker)} ${sha256(looker.serialize())}`;
    } finally {
      looker.exec("COMMIT");
    }
  },
  open() {
    const reader = connect();
    reader.exec("BEGIN");
    content(reader);
    readers.push(reader);
    return "done";
  },
  close() {
    if (readers.length > 0) readers.shift().close();
    return "done";
  },
  reopen() {
    for (const connection of [...readers, writer, looker]) connection?.close();
    readers = [];
    [writer, looker] = [connect(), connect()];
    return "done";
  },
  read(file) {
    const pages = sha256(fs.readFileSync(file));
    const database = new Database(file);
    try {
      const check = database.pragma("integrity_check", { simple: true });
      if (check !== "ok") throw new Error(`integrity_check: ${check}`);
      return `state ${content(database)} ${pages}`;
    } finally {
      database.close();
    }
  },
};

function connect() {
  const connection = new Database(path);
  for (const pragma of pragmas) connection.pragma(pragma);
  return connection;
}

// The number of the last transaction, and the hash of all rows.
function content(connection) {
  const rows = crypto.createHash("sha256");
  for (const row of connection.prepare(ROWS).pluck().iterate()) rows.update(`${row}\n`);
  const number = connection.prepare("SELECT number FROM progress").pluck().get();
  return `${number} ${rows.digest("hex")}`;
}

function sha256(bytes) {
  return crypto.createHash("sha256").update(bytes).digest("hex");
}

function answer(line) {
  const [verb] = line.split(" ", 1);
  try {
    return verbs[verb](line.slice(verb.length + 1));
  } catch (error) {
    return `failed ${error.message}`;
  }
}

verbs.reopen();
console.log("ready", looker.prepare("SELECT sqlite_version()").pluck().get());
readline.createInterface({ input: process.stdin }).on("line", (line) => console.log(answer(line)));
