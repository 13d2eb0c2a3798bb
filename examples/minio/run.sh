#!/usr/bin/env bash
# A database is replicated to a MinIO on this machine, lost, and brought back as it was a moment ago.
#
#   examples/minio/run.sh
#
# It needs minio, sqlite3, curl 7.75 or newer, and ebbtide on the PATH, or in $EBBTIDE. Everything that it makes lies in
# one temporary directory and is gone at the end, and so is the server.
set -euo pipefail

ebbtide=${EBBTIDE:-ebbtide}
port=${PORT:-9700}
endpoint=http://127.0.0.1:$port
replica="s3://backups/app?endpoint=$endpoint"
export AWS_ACCESS_KEY_ID=example AWS_SECRET_ACCESS_KEY=example-$RANDOM$RANDOM
unset AWS_PROFILE AWS_SESSION_TOKEN AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3

for tool in minio sqlite3 curl "$ebbtide"; do
    command -v "$tool" >/dev/null || { echo "$tool is not to be found" >&2; exit 1; }
done
# What follows runs in another directory.
ebbtide=$(realpath "$(command -v "$ebbtide")")

directory=$(mktemp -d)
pids=()
clean_up() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$directory"
}
trap clean_up EXIT
cd "$directory"

say() { printf '\n== %s\n' "$*"; }

say "a MinIO on $endpoint, for this machine alone"
MINIO_ROOT_USER=$AWS_ACCESS_KEY_ID MINIO_ROOT_PASSWORD=$AWS_SECRET_ACCESS_KEY MINIO_BROWSER=off MINIO_UPDATE=off \
    HOME=$directory minio server --quiet --address "127.0.0.1:$port" "$directory/minio" >minio.log 2>&1 &
pids+=($!)
for _ in {1..100}; do
    kill -0 "${pids[0]}" 2>/dev/null || { cat minio.log >&2; exit 1; }
    curl -sf "$endpoint/minio/health/live" >/dev/null && break
    sleep 0.1
done
curl -sfS --aws-sigv4 aws:amz:us-east-1:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
    -X PUT "$endpoint/backups"

say "an application's database, followed"
sqlite3 app.db 'PRAGMA journal_mode = wal; CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)'
"$ebbtide" replicate app.db "$replica" 2>replicate.log &
pids+=($!)
for number in 1 2 3 4 5; do
    sqlite3 app.db "INSERT INTO notes (text) VALUES ('note $number')"
    sleep 0.3
done
before=$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)
sleep 0.3
sqlite3 app.db 'DELETE FROM notes'
# A last sync, confirmed: the exit code says so.
kill -TERM "${pids[1]}"
wait "${pids[1]}" || { cat replicate.log >&2; exit 1; }
unset 'pids[1]'

say "what can be restored"
"$ebbtide" log "$replica"

say "the database is lost, and brought back as it was at $before, before the mistake"
rm app.db*
"$ebbtide" restore -o app.db --timestamp "$before" "$replica"
sqlite3 app.db 'SELECT * FROM notes'
[ "$(sqlite3 app.db 'SELECT count(*) FROM notes')" = 5 ]
say "all five notes are there"
