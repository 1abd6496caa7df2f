# OpenSSH. Rekeys after each MiB, so that the files are copied through many of them.
exec 2>&1
set -- -F none -o UserKnownHostsFile="$KNOWN" -o PreferredAuthentications=keyboard-interactive -o LogLevel=ERROR
export SSH_ASKPASS="$ASKPASS" SSH_ASKPASS_REQUIRE=force

at="$LOGIN@127.0.0.1"
said=$(ssh -p "$PORT" "$@" "$at" 'echo out; exit 5'); [ $? = 5 ] && [ "$said" = out ] && echo exec ok || echo "exec failed: $said"
said=$(ssh -p "$PORT" "$@" -tt "$at" 'stty size; tty' </dev/null); case $said in *[0-9]" "[0-9]*/dev/pts/*) echo pty ok;; *) echo "pty failed: $said";; esac
copy() { name=$1; shift
  printf 'put %s %s\nget %s %s\n' "$DIR/up" "$DIR/$name" "$DIR/$name" "$DIR/$name.back" | sftp -q -P "$PORT" "$@" "$at" >/dev/null
  cmp "$DIR/up" "$DIR/$name" && cmp "$DIR/up" "$DIR/$name.back"; }
copy openssh "$@" && echo sftp ok
copy openssh-rekey "$@" -o RekeyLimit=1M && echo rekey ok
said=$(echo ping | ssh -p "$PORT" "$@" -W "127.0.0.1:$ECHO" "$at"); [ "$said" = ping ] && echo forward ok || echo "forward failed: $said"
