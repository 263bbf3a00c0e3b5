/** The shell text that guards a MariaDB: see server-guard.ts. */

/** $1 the folder, $2 the server's program. */
export const MARIADB_GUARD_SCRIPT = `
folder=$1 program=$2 child=
trap '' INT TERM HUP
finish() {
  # Everything goes with it: a clean shutdown would only take time.
  if [ -n "$child" ]; then kill -KILL "$child" 2>/dev/null; wait "$child"; fi
  rm -rf "$folder"
  exit 0
}
trap finish USR1
while read -r command; do
  case $command in
    init)
      "$program" --defaults-file="$folder/server.cnf" --bootstrap <"$folder/system.sql" >>"$folder/log" 2>&1
      echo "init $?" ;;
    start)
      "$program" --defaults-file="$folder/server.cnf" </dev/null >>"$folder/log" 2>&1 &
      child=$!
      echo "started $child" ;;
    stop)
      kill -TERM "$child" 2>/dev/null
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
