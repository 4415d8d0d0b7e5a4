#!/usr/bin/env bash
# Installs Specola as services of this machine: deploy/systemd/install.sh [OPTIONS]
#
#   --binary FILE    the program (target/release/specola)
#   --local-labs     labs are processes of this machine, not containers: the hub runs as root
#   --root DIR       install below DIR and start nothing, such as into an image
#   --uninstall      take program and units away; configuration and data stay
#
# Run again, it brings program and units up to date. What stands in /etc/specola is never overwritten.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
binary=$here/../../target/release/specola root='' local_labs='' uninstall=''
while [ $# -gt 0 ]; do
    case $1 in
    --binary) binary=$2; shift ;;
    --root) root=$2; shift ;;
    --local-labs) local_labs=1 ;;
    --uninstall) uninstall=1 ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | grep -v '^set' >&2; exit 2 ;;
    esac
    shift
done
units=$root/etc/systemd/system
run() { [ -n "$root" ] || "$@"; }

if [ -n "$uninstall" ]; then
    run systemctl disable --now specola specola-proxy
    rm -rf "$units/specola.service" "$units/specola-proxy.service" "$units/specola.service.d" "$units/specola-proxy.service.d" \
        "$root/usr/lib/sysusers.d/specola.conf" "$root/usr/lib/tmpfiles.d/specola.conf" "$root/usr/local/bin/specola"
    run systemctl daemon-reload
    echo "Specola is uninstalled. /etc/specola and /var/lib/specola are left; labs go on."
    exit
fi

[ -x "$binary" ] || { echo "install.sh: there is no program $binary: cargo build --release, or --binary FILE" >&2; exit 1; }
[ -n "$root" ] || [ "$(id -u)" = 0 ] || { echo "install.sh: run it as root" >&2; exit 1; }

install -D -m 755 "$binary" "$root/usr/local/bin/specola.new"
# Replaced in one step: a running hub keeps the program it was started with.
mv -f "$root/usr/local/bin/specola.new" "$root/usr/local/bin/specola"
install -D -m 644 -t "$units" "$here/specola.service" "$here/specola-proxy.service"
install -D -m 644 "$here/sysusers.conf" "$root/usr/lib/sysusers.d/specola.conf"
install -D -m 644 "$here/tmpfiles.conf" "$root/usr/lib/tmpfiles.d/specola.conf"

rm -f "$units"/specola.service.d/{docker,local-labs}.conf "$units/specola-proxy.service.d/local-labs-proxy.conf"
if [ -n "$local_labs" ]; then
    install -D -m 644 -t "$units/specola.service.d" "$here/local-labs.conf"
    install -D -m 644 -t "$units/specola-proxy.service.d" "$here/local-labs-proxy.conf"
elif [ -n "$root" ] || getent group docker >/dev/null; then
    install -D -m 644 -t "$units/specola.service.d" "$here/docker.conf"
else
    echo "install.sh: there is no group docker: install docker.io and run this again, or use --local-labs" >&2
fi

run systemd-sysusers
mkdir -p "$root/etc/specola"
[ -e "$root/etc/specola/specola.toml" ] || install -m 644 "$here/specola.toml" "$root/etc/specola/specola.toml"
if [ ! -e "$root/etc/specola/environment" ]; then
    # Who loses this key loses what is kept of people's logins: keep a copy elsewhere.
    (umask 077 && echo "JUPYTERHUB_CRYPT_KEY=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >"$root/etc/specola/environment")
fi
run systemd-tmpfiles --create specola.conf
run systemctl daemon-reload
if [ -z "$root" ]; then
    if SPECOLA_CONFIG=/etc/specola/specola.toml specola check-config; then
        systemctl enable specola specola-proxy
        systemctl restart specola
        systemctl start specola-proxy
    else
        echo "install.sh: nothing was started. Mend /etc/specola/specola.toml and run this again" >&2
        exit 1
    fi
fi
