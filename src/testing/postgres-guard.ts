/** The shell text that guards a PostgreSQL: see server-guard.ts. */

/** $1 the folder, $2 the binaries' folder. */
export const GUARD_SCRIPT = `
folder=$1 bin=$2/bin child=
trap '' INT TERM HUP
finish() {
  if [ -n "$child" ]; then kill -QUIT "$child" 2>/dev/null; wait "$child"; fi
  # Left behind only by a killed server: its lock file names the System V segment that nobody else will remove.
  if [ -f "$folder/data/postmaster.pid" ]; then
    segment=$(sed -n '7s/.* //p' "$folder/data/postmaster.pid")
    [ -n "$segment" ] && ipcrm -m "$segment" 2>/dev/null
  fi
  rm -rf "$folder"
  exit 0
}
trap finish USR1
while read -r command; do
  case $command in
    init)
      "$bin/initdb" -D "$folder/data" -U postgres -A scram-sha-256 --pwfile="$folder/password" \\
        -E UTF8 --locale=C --no-sync --no-instructions >"$folder/log" 2>&1
      status=$?
      echo "include '$folder/server.conf'" >>"$folder/data/postgresql.conf"
      echo "init $status" ;;
    start)
      "$bin/postgres" -D "$folder/data" </dev/null >>"$folder/log" 2>&1 &
      child=$!
      echo "started $child" ;;
    stop)
      kill -INT "$child" 2>/dev/null
      wait "$child"
      child=
      echo "stopped" ;;
    reap)
      wait "$child"
      child=
      echo "reaped" ;;
  esac
done
finish
`;
