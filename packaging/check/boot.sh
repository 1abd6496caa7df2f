#!/bin/bash
# What `cargo xtask package --boot` runs in a Debian that has booted: the services under their own
# manager, as an admin sets them up. Writes /check.log, whose last line says how it ended.
exec > /check.log 2>&1
set -ex -o pipefail
# Nothing is written behind the last line.
trap 'ended=$?; set +x; echo "ended with $ended"; systemctl --no-block poweroff > /dev/null 2>&1' EXIT

is() { [ "$(systemctl show "$1" --property "$2" --value)" = "$3" ]; }
online() { for _ in 1 2 3 4 5 6 7 8 9 10; do adit admin connector ls | grep -q online && return; sleep 1; done; false; }
export ADIT_HOME=/root/home STATE=/var/lib/adit-connector

adit-relay init --data /var/lib/adit --domain localhost > /root/setup
systemctl start adit-relay.socket adit-relay.service
is adit-relay ActiveState active
adit login https://localhost --token-file /root/setup
adit admin site add hq
adit admin site join-token hq > /root/join
adit-connector join https://localhost --token-file /root/join --state $STATE --allow 127.0.0.1/32:22
systemctl start adit-connector
is adit-connector ActiveState active
online
adit-connector status --state $STATE
systemd-analyze security --no-pager --threshold=20 adit-relay | tail -n 1
systemd-analyze security --no-pager --threshold=20 adit-connector | tail -n 1

# The command line reaches the confined service, and what it says holds.
adit-connector drain --within 5s --state $STATE
adit-connector status --state $STATE | grep draining
adit-connector drain --resume --state $STATE
online
{ adit-connector update --state $STATE --check || true; } | grep update.no_key

# The key by the service manager instead of a file.
mkdir -p /etc/systemd/system/adit-connector.service.d
mv $STATE/key.pem /etc/connector-key
printf '[Service]\nLoadCredential=connector-key:/etc/connector-key\n' \
  > /etc/systemd/system/adit-connector.service.d/key.conf
systemctl daemon-reload
systemctl restart adit-connector
online

# Both come back, each by itself; nobody died of the watchdog or of what it may not do.
systemctl restart adit-relay
online
systemctl kill --signal=KILL adit-connector
sleep 2
online
systemctl stop adit-connector adit-relay.socket adit-relay
is adit-relay Result success
is adit-connector Result success
journalctl --no-pager -o cat -u adit-relay -u adit-connector | tail -n 60
