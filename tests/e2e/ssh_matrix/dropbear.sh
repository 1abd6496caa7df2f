# Dropbear, whose client has no sftp of its own: OpenSSH's runs over it. It can not ask for new keys.
exec 2>&1
export DROPBEAR_PASSWORD="$TOKEN" HOME="$DIR"
at="$LOGIN@127.0.0.1"
said=$(dbclient -y -y -p "$PORT" "$at" 'echo out; exit 5' 2>/dev/null); [ $? = 5 ] && [ "$said" = out ] && echo exec ok || echo "exec failed: $said"
# For a terminal it wants one of its own.
said=$(script -qec "dbclient -y -y -t -p $PORT $at 'stty size; tty'" /dev/null </dev/null); case $said in *[0-9]" "[0-9]*/dev/pts/*) echo pty ok;; *) echo "pty failed: $said";; esac
cat > "$DIR/by-dropbear" <<SH
#!/bin/sh
exec dbclient -y -y -p "$PORT" -s "$at" sftp
SH
chmod 755 "$DIR/by-dropbear"
printf 'put %s %s\nget %s %s\n' "$DIR/up" "$DIR/dropbear" "$DIR/dropbear" "$DIR/dropbear.back" > "$DIR/dropbear.batch"
sftp -q -b "$DIR/dropbear.batch" -S "$DIR/by-dropbear" host >/dev/null && cmp "$DIR/up" "$DIR/dropbear" && cmp "$DIR/up" "$DIR/dropbear.back" && echo sftp ok
said=$(echo ping | dbclient -y -y -p "$PORT" -B "127.0.0.1:$ECHO" "$at"); [ "$said" = ping ] && echo forward ok || echo "forward failed: $said"
