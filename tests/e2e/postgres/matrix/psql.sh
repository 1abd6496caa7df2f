# PORT TOKEN CA OTHER-CA
export PGHOST=localhost PGPORT="$1" PGPASSWORD="$2" PGSSLROOTCERT="$3" PGSSLMODE=verify-full
export PGUSER=x+orders-db PGDATABASE=orders PSQLRC=/dev/null
other="$4"
sql() { psql -X -A -t -v ON_ERROR_STOP=1 "$@"; }
tell() { if [ "$2" = "$3" ]; then echo "$1 ok"; else echo "$1 failed: $2"; fi; }
tell login "$(sql -c 'select 1' 2>&1)" 1
tell prepared "$(printf 'prepare p(int) as select $1 + 1;\nexecute p(1);\nexecute p(2);\n' | sql -q 2>&1 | tr '\n' ' ')" "2 3 "
tell large "$(sql -c "select repeat('z', 8388608)" 2>&1 | wc -c)" 8388609
# As Ctrl-C does.
said="$(timeout -s INT 2 psql -X -c 'select pg_sleep(60)' 2>&1)"
case "$said" in *"canceling statement"*) echo "cancel ok";; *) echo "cancel failed: $said";; esac
case "$(PGSSLROOTCERT="$other" sql -c 'select 1' 2>&1)" in *"certificate verify failed"*) echo "verify-full ok";; *) echo "verify-full failed";; esac
