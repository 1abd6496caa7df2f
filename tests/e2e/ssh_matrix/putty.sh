# PuTTY's tools. The session's file has them change keys after each MiB.
exec 2>&1
export HOME="$DIR"
mkdir -p "$HOME/.putty/sessions"
printf 'Protocol=ssh\nHostName=127.0.0.1\nPortNumber=%s\nUserName=%s\nRekeyBytes=1M\n' "$PORT" "$LOGIN" > "$HOME/.putty/sessions/rekey"
printf %s "$TOKEN" > "$DIR/putty.pw"
set -- -batch -hostkey "$FINGERPRINT" -pwfile "$DIR/putty.pw"
at="$LOGIN@127.0.0.1"
said=$(plink "$@" -P "$PORT" "$at" 'echo out; exit 5' 2>/dev/null); [ $? = 5 ] && [ "$said" = out ] && echo exec ok || echo "exec failed: $said"
said=$(plink "$@" -t -P "$PORT" "$at" 'stty size; tty' </dev/null); case $said in *[0-9]" "[0-9]*/dev/pts/*) echo pty ok;; *) echo "pty failed: $said";; esac
copy() { name=$1; shift
  printf 'put %s %s\nget %s %s\n' "$DIR/up" "$DIR/$name" "$DIR/$name" "$DIR/$name.back" > "$DIR/$name.batch"
  psftp "$@" -b "$DIR/$name.batch" >/dev/null && cmp "$DIR/up" "$DIR/$name" && cmp "$DIR/up" "$DIR/$name.back"; }
copy putty "$@" -P "$PORT" "$at" && echo sftp ok
copy putty-rekey "$@" -load rekey "$at" && echo rekey ok
said=$(echo ping | plink "$@" -P "$PORT" -nc "127.0.0.1:$ECHO" "$at"); [ "$said" = ping ] && echo forward ok || echo "forward failed: $said"
