# PORT TOKEN CA OTHER-CA
export MYSQL_PWD="$2"
port="$1" ca="$3"
sql() { "$@" -ux+orders-db --host=localhost --protocol=tcp --port="$port" --ssl-ca="$ca" --ssl-verify-server-cert --connect-timeout=20 -N -B orders -e "$asked" 2>&1; }
tell() { if [ "$2" = "$3" ]; then echo "$1 ok"; else echo "$1 failed: $2"; fi; }
asked='select 1'; tell login "$(sql mariadb --no-defaults)" 1
asked="prepare p from 'select ? + 1'; set @n = 1; execute p using @n; set @n = 2; execute p using @n"
tell prepared "$(sql mariadb --no-defaults | tr '\n' ' ')" "2 3 "
asked="select repeat('z', 8388608)"; tell large "$(sql mariadb --no-defaults | wc -c)" 8388609
# As Ctrl-C does.
asked='select sleep(60)'; said="$(sql timeout -s INT 2 mariadb --no-defaults)"
case "$said" in *killed*) echo "cancel ok";; *) echo "cancel failed: $said";; esac
asked='select 1'; ca="$4"; said="$(sql mariadb --no-defaults)"
case "$said" in *certificate*) echo "verify-full ok";; *) echo "verify-full failed: $said";; esac
