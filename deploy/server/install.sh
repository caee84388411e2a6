#!/bin/bash
# Installs finetuned on a Debian or Ubuntu server with systemd, from the bundle in this folder and
# without a network; upgrades it, and takes it back. Each command can be repeated.
#
#   install.sh [install] [OPTIONS]     install, or upgrade to the version of this bundle
#       --key FILE                     public key that must have signed the bundle
#       --unsigned                     do not check the signature
#       --host ADDRESS --port PORT     where the API listens (127.0.0.1 and 8000 at first)
#       --tls-cert FILE --tls-key FILE certificate of the API, with intermediate ones, as PEM
#       --firewall                     let in SSH and the API only (nftables)
#       --no-start                     do not start the service
#       --force                        upgrade although a check fails or no backup can be made
#   install.sh verify [--key FILE]     check the bundle only
#   install.sh rollback                run the version before the last upgrade
#   install.sh restore BACKUPS [TIME]  restore the newest backup of a folder or s3:// URL, until TIME
#   install.sh uninstall [--purge]     remove the program; with --purge also data and settings
#
# After the installation, the last three are also in /opt/finetuned/install.sh.
set -euo pipefail
umask 022

here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
home=/opt/finetuned
data=/var/lib/finetuned
settings=/etc/finetuned/finetuned.env
backups=/var/backups/finetuned
cache=/var/cache/finetuned
units=/etc/systemd/system
service=finetuned.service
timers="finetuned-backup.timer finetuned-check.timer"
healthy_within_s=${FINETUNED_HEALTHY_WITHIN_S:-900}  # a large model loads for minutes
python='' MACHINE='' PYTHON='' SUITE='' SYSTEM='' VERSION=''  # of the bundle

say() { echo "==> $*"; }

fail() { # what is wrong, and what to do
    echo "install.sh: $1" >&2
    shift
    for line in "$@"; do echo "    $line" >&2; done
    exit 1
}

# --- Checks ------------------------------------------------------------------------------------

need_server() {
    [ "$(id -u)" = 0 ] || fail "it changes the system" "run it as root: sudo $0"
    [ -d /run/systemd/system ] || fail "systemd does not run on this machine" \
        "use compose.yaml for containers, or 'finetuned-server up' for a single user"
}

verify() {
    [ -f "$here/SHA256SUMS" ] || fail "$here is not a complete bundle" \
        "copy the whole folder that 'make bundle' wrote"
    cd "$here"
    if [ -n "$key" ]; then
        command -v openssl >/dev/null || fail "openssl is missing, which checks the signature" \
            "install it, or check the bundle on another machine and run this with --unsigned"
        [ -f SHA256SUMS.sig ] || fail "the bundle is not signed" \
            "write it with 'make bundle … --sign KEY.pem', or run this with --unsigned"
        openssl pkeyutl -verify -rawin -pubin -inkey "$key" -in SHA256SUMS \
            -sigfile SHA256SUMS.sig >/dev/null 2>&1 ||
            fail "the signature is not of the key $key" "do not install this bundle"
        say "signature: valid"
    elif [ -f SHA256SUMS.sig ] && [ -z "$unsigned" ]; then
        fail "the bundle is signed, and no key was given to check it with" \
            "add --key FILE with the public key of who made it, or --unsigned"
    fi
    local wrong
    wrong=$(sha256sum --check --quiet SHA256SUMS 2>&1) || fail "files of the bundle differ:" \
        "$wrong" "copy the bundle again"
    [ "$(find wheels debs models server python ! -type d 2>/dev/null | wc -l)" = "$(grep -c / SHA256SUMS)" ] ||
        fail "the bundle has files that its checksums do not name" "copy the bundle again"
    # shellcheck source=/dev/null
    . ./bundle.env
    say "bundle: finetuned $VERSION for $SYSTEM, all checksums match"
}

install_packages() {
    local codename missing=()
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [ "$(uname -m)" = "$MACHINE" ] || fail "the bundle is for $MACHINE, this server is $(uname -m)" \
        "make the bundle on a machine of this kind"
    if [ "$codename" = "$SUITE" ]; then
        for deb in "$here"/debs/*.deb; do
            dpkg-query --show --showformat '${db:Status-Status}' "$(dpkg-deb --field "$deb" Package)" \
                2>/dev/null | grep -qx installed || missing+=("$deb")
        done
    fi
    if ((${#missing[@]})); then
        say "packages: $(basename --multiple "${missing[@]}" | sed 's/_.*//' | paste -sd ' ')"
        # Without the server's own sources, which may not be reachable.
        DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dir::Etc::sourcelist=/dev/null \
            -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root install --yes \
            --no-install-recommends "${missing[@]}" >/dev/null ||
            fail "apt could not install packages of the bundle" \
                "make the bundle again, with the mirror that this server was installed from"
    fi
    if [ -d "$here/python" ]; then
        python="$home/python-$PYTHON/bin/python3"
        if ! [ -d "$home/python-$PYTHON" ]; then
            say "Python: $PYTHON of the bundle"
            install -d "$home"
            rm -rf "$home/python.part"
            cp -r "$here/python" "$home/python.part"
            mv "$home/python.part" "$home/python-$PYTHON"
        fi
        return
    fi
    python=$(command -v "python$PYTHON") || fail "the bundle needs Python $PYTHON" \
        "this is ${codename:-an unknown release}, with $(python3 -V 2>&1 || echo no Python)" \
        "make the bundle with the --suite of this release, or with --interpreter"
}

need_space() {
    local wheels_kb free_kb
    wheels_kb=$(du -sk "$here/wheels" | cut -f1)
    free_kb=$(df -k --output=avail "$home" | tail -1)
    ((free_kb > wheels_kb * 5)) || fail "too little space in $home" \
        "the program needs $((wheels_kb * 5 / 1048576 + 1)) GiB, $((free_kb / 1048576)) GiB are free"
}

# --- Parts of an installation --------------------------------------------------------------------

make_user_and_folders() {
    if ! getent passwd finetuned >/dev/null; then
        useradd --system --user-group --home-dir "$data" --no-create-home \
            --shell /usr/sbin/nologin finetuned
        say "user: finetuned"
    fi
    install -d "$home" "$home/releases"
    install -d -o finetuned -g finetuned -m 0700 "$data" "$backups" "$cache" "$cache/tmp"
    install -d -g finetuned -m 0750 "$(dirname "$settings")"
}

install_release() {
    release="$home/releases/$VERSION-$(sha256sum "$here/SHA256SUMS" | cut -c1-8)"
    if [ -f "$release/server/environment" ]; then
        say "release: $release is already installed"
        return
    fi
    say "release: installing into $release"
    need_space
    local part="$release.part" tools="$home/tools"
    rm -rf "$part" "$tools"
    # Files that did not change are shared with the current release.
    if [ -d "$home/current/" ]; then cp -al "$(readlink -f "$home/current")" "$part"; fi
    "$python" -m zipfile -e "$here"/wheels/uv-*.whl "$tools"
    chmod +x "$tools"/uv-*.data/scripts/uv
    uv() {
        env -u VIRTUAL_ENV UV_CACHE_DIR="$tools/cache" UV_NO_CONFIG=1 UV_OFFLINE=1 \
            UV_PYTHON_DOWNLOADS=never "$tools"/uv-*.data/scripts/uv --quiet "$@"
    }
    uv venv --allow-existing --relocatable --python "$python" "$part"
    uv pip sync --python "$part/bin/python" --no-index --find-links "$here/wheels" \
        --reinstall-package finetuned-server --reinstall-package finetuned-client \
        --reinstall-package finetuned-cli "$here/server/wheels.txt"
    rm -rf "$tools" "$part/server" "$part/.lock"
    cp -r "$here/server" "$part/server"
    cp "$here/install.sh" "$part/server/"
    chown -R root:root "$part/server"
    mv "$part" "$release"
}

set_setting() { # name, value
    ! grep -qxF "$1='$2'" "$settings" || return 0
    changed=yes
    sed -i "/^$1=/d" "$settings"
    echo "$1='$2'" >>"$settings"
}

setting() { # name
    # shellcheck source=/dev/null
    (. "$settings" && eval "echo \"\${$1:-}\"")
}

write_settings() {
    [ -f "$settings" ] || install -g finetuned -m 0640 "$here/server/finetuned.env" "$settings"
    [ -z "$host" ] || set_setting HOST "$host"
    [ -z "$port" ] || set_setting PORT "$port"
    if [ -n "$tls_cert$tls_key" ]; then
        [ -f "$tls_cert" ] && [ -f "$tls_key" ] || fail "certificate and key belong together" \
            "give --tls-cert FILE and --tls-key FILE"
        cmp -s "$tls_cert" /etc/finetuned/tls-cert.pem || changed=yes
        install -g finetuned -m 0640 "$tls_cert" /etc/finetuned/tls-cert.pem
        install -g finetuned -m 0640 "$tls_key" /etc/finetuned/tls-key.pem
        set_setting FINETUNED_API_TLS_CERT /etc/finetuned/tls-cert.pem
        set_setting FINETUNED_API_TLS_KEY /etc/finetuned/tls-key.pem
    fi
    say "settings: $settings"
}

run_as_service() { # release, arguments of finetuned-server
    FINETUNED_RELEASE=$1 sh "$1/server/finetuned-server" "${@:2}"
}

add_models() {
    local model id failed=''
    for model in "$here"/models/*/; do
        [ -d "$model" ] || return 0
        id=$(basename "$model")
        if ! grep -qs "id: *['\"]\?${id}['\"]\?\$" "$data/models.yaml"; then
            say "model: adding $id"
            # As root, because the service's user may not read the bundle.
            # shellcheck source=/dev/null
            (
                umask 077
                set -a && . "$settings"
                mkdir -p "$data/models" &&
                    cp -rT --preserve=timestamps "$model" "$data/models/$id" &&
                    PYTHONDONTWRITEBYTECODE=1 "$release/bin/finetuned-server" models add \
                        "$data/models/$id" --id "$id" --data-dir "$data"
            ) || failed=yes
            chown -R finetuned:finetuned "$data/models" "$data/models.yaml" 2>/dev/null || true
            [ -z "$failed" ] || fail "the model $id was not added, see above" "correct the bundle"
        fi
    done
}

stop_limit() { # release; how long systemd waits for a stop. Also checks the settings.
    # shellcheck source=/dev/null
    (set -a && . "$settings" && "$1/bin/python" -I -B -c \
        'from service.config import Settings; print(2 * int(Settings().stop_grace_s) + 60)') ||
        fail "a setting is not valid, see above" "correct $settings"
}

activate() { # release, its stop_limit
    [ "$(readlink -f "$home/current")" = "$1" ] || rm -rf "$cache/bytecode" # of the other release
    ln -sfn "$1" "$home/current.part"
    mv -T "$home/current.part" "$home/current"
    for unit in "$1"/server/*.service "$1"/server/*.timer; do
        sed "s/@STOP_S@/$2/" "$unit" >"$units/$(basename "$unit")"
    done
    ln -sfn "$home/current/server/install.sh" "$home/install.sh"
    ln -sfn "$home/current/server/finetuned-server" /usr/local/bin/finetuned-server
    ln -sfn "$home/current/bin/finetuned" /usr/local/bin/finetuned
    chmod +x "$1/server/finetuned-server" "$1/server/install.sh"
    systemctl daemon-reload
}

start() {
    # shellcheck disable=SC2086  # a list
    systemctl enable --quiet "$service" $timers
    systemctl reset-failed "$service" 2>/dev/null || true
    systemctl start "$service"
    # shellcheck disable=SC2086
    systemctl start $timers
}

is_healthy() { # whether the API, the worker and the engines answer
    "$home/current/bin/python" -I - "$(setting HOST)" "$(setting PORT)" \
        "$(setting FINETUNED_API_TLS_CERT)" 2>/dev/null <<'END'
import http.client, ssl, sys
host, port, certificate = sys.argv[1:]
host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
if certificate:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = http.client.HTTPSConnection(host, int(port), timeout=5, context=context)
else:
    client = http.client.HTTPConnection(host, int(port), timeout=5)
client.request("GET", "/readyz")
sys.exit(client.getresponse().status != 200)
END
}

wait_until_healthy() {
    say "waiting until the service is ready, at most $healthy_within_s s"
    local before deadline=$((SECONDS + healthy_within_s))
    before=$(systemctl show --property NRestarts --value "$service")
    until is_healthy; do
        if ((SECONDS > deadline)) || ! systemctl is-active --quiet "$service" &&
            [ "$(systemctl show --property ActiveState --value "$service")" != activating ] ||
            (($(systemctl show --property NRestarts --value "$service") > before + 2)); then
            journalctl --unit "$service" --lines 20 --no-pager >&2 || true
            return 1
        fi
        sleep 2
    done
    say "ready"
}

back_up() { # with the running release
    run_as_service "$(readlink -f "$home/current")" backup "$(setting BACKUPS)" \
        --keep "$(setting BACKUPS_KEPT)" --data-dir "$data"
}

remove_old_releases() {
    local one
    for one in "$home"/releases/*; do
        case "$one" in
        "$(readlink -f "$home/current")" | "$(readlink -f "$home/previous")") ;;
        *) rm -rf "$one" ;;
        esac
    done
}

# --- Commands ------------------------------------------------------------------------------------

install_command() {
    need_server
    verify
    install_packages
    make_user_and_folders
    install_release
    write_settings
    add_models
    local old='' limit
    limit=$(stop_limit "$release")
    if [ -d "$home/current/" ]; then old=$(readlink -f "$home/current"); fi
    if [ -n "$old" ] && [ "$old" != "$release" ]; then
        upgrade_from "$old" "$limit"
    else
        activate "$release" "$limit"
        run_as_service "$release" doctor --data-dir "$data" --port "$(setting PORT)" ||
            say "doctor names what is missing; continuing"
        if [ -z "$no_start" ]; then
            [ -z "$changed" ] || systemctl stop "$service" # it reads its settings when it starts
            start
            wait_until_healthy || fail "the service does not become ready" \
                "see above, and $data/logs; then run this again"
        fi
    fi
    if [ -n "$firewall" ]; then
        [ -f /etc/finetuned/firewall.nft ] || cp "$release/server/firewall.nft" /etc/finetuned/
        sed -i "s/^define api = .*/define api = $(setting PORT)/" /etc/finetuned/firewall.nft
        systemctl enable --quiet finetuned-firewall.service
        systemctl restart finetuned-firewall.service || fail "the rules of the firewall are not accepted" \
            "see 'journalctl -u finetuned-firewall' and /etc/finetuned/firewall.nft"
        say "firewall: /etc/finetuned/firewall.nft"
    fi
    remove_old_releases
    say "finetuned $VERSION: http$([ -z "$(setting FINETUNED_API_TLS_CERT)" ] || echo s)://$(setting HOST):$(setting PORT)/v1, first admin key in $data/api-key"
}

upgrade_from() { # release, stop_limit of the new one
    local old=$1 old_limit previous
    previous=$(readlink "$home/previous") || true
    old_limit=$(stop_limit "$old" 2>/dev/null) || old_limit=$2 # a setting may be new
    say "upgrade: from $(basename "$old") to $(basename "$release")"
    if ! run_as_service "$release" doctor --data-dir "$data" --port "$(setting PORT)"; then
        [ -n "$force" ] || fail "the new version would lack something, see above; nothing was changed" \
            "mend it, or run this with --force"
    fi
    if ! { systemctl is-active --quiet "$service" && back_up; }; then
        [ -n "$force" ] || fail "no backup could be made; the old version is unchanged" \
            "start the service, or run this with --force"
    fi
    systemctl stop "$service"
    activate "$release" "$2"
    ln -sfn "$old" "$home/previous"
    [ -z "$no_start" ] || return 0
    start
    wait_until_healthy && return
    say "the new version does not become ready: going back to $(basename "$old")"
    systemctl stop "$service"
    activate "$old" "$old_limit"
    rm -f "$home/previous"
    [ -z "$previous" ] || ln -s "$previous" "$home/previous"
    start
    wait_until_healthy || fail "neither version becomes ready" \
        "restore the backup of before the upgrade: $home/install.sh restore $(setting BACKUPS)"
    fail "the upgrade was undone: $(basename "$old") runs again, with all data" \
        "the output above shows why $(basename "$release") did not start"
}

rollback_command() {
    need_server
    [ -d "$home/previous/" ] || fail "there is no earlier version" "nothing was changed"
    local old new limit
    new=$(readlink -f "$home/current") old=$(readlink -f "$home/previous")
    say "rollback: from $(basename "$new") to $(basename "$old")"
    limit=$(stop_limit "$old")
    back_up || say "no backup could be made; continuing"
    systemctl stop "$service"
    activate "$old" "$limit"
    ln -sfn "$new" "$home/previous"
    start
    wait_until_healthy || fail "$(basename "$old") does not become ready" \
        "if it cannot read newer data, restore the backup of before the upgrade:" \
        "$home/install.sh restore $(setting BACKUPS) TIME"
}

restore_command() { # backups, time
    need_server
    [ -n "${1:-}" ] || fail "name the folder or s3:// URL of the backups" "$0 restore $backups"
    local current aside
    current=$(readlink -f "$home/current")
    aside="$data/replaced-$(date -u +%Y%m%dT%H%M%SZ)"
    systemctl stop "$service"
    say "restore: what is there now goes to $aside"
    install -d -o finetuned -g finetuned -m 0700 "$aside"
    for folder in valkey storage; do
        if [ -e "$data/$folder" ]; then mv "$data/$folder" "$aside/"; fi
    done
    if ! run_as_service "$current" restore "$1" ${2:+--at "$2"} --data-dir "$data"; then
        rm -rf "$data/valkey" "$data/storage"
        mv "$aside"/* "$data/"
        rmdir "$aside"
        start
        fail "the backup could not be restored; the data is as it was" "see above"
    fi
    start
    wait_until_healthy || fail "the service does not become ready" "see above, and $data/logs"
    say "restored; remove $aside when you no longer need it"
}

uninstall_command() {
    need_server
    # shellcheck disable=SC2086
    systemctl disable --now --quiet $timers "$service" finetuned-firewall.service 2>/dev/null || true
    rm -f "$units"/finetuned.service "$units"/finetuned-{backup,check,firewall}.{service,timer}
    rm -f /usr/local/bin/finetuned-server /usr/local/bin/finetuned
    rm -rf "$home" "$cache"
    systemctl daemon-reload
    if [ -n "$purge" ]; then
        rm -rf "$data" /etc/finetuned
        userdel finetuned 2>/dev/null || true
        say "removed finetuned with its data and settings; $backups is unchanged"
    else
        say "removed the program; $data, /etc/finetuned and $backups are unchanged"
    fi
}

# --- Arguments -----------------------------------------------------------------------------------

key='' unsigned='' host='' port='' tls_cert='' tls_key='' firewall='' no_start='' force='' purge='' changed=''
words=()
while (($#)); do
    case $1 in
    --key | --host | --port | --tls-cert | --tls-key)
        (($# > 1)) || fail "$1 needs a value" "see the first lines of $0"
        name=${1#--}
        printf -v "${name//-/_}" %s "$2"
        shift
        ;;
    --unsigned | --firewall | --no-start | --force | --purge)
        name=${1#--}
        printf -v "${name//-/_}" yes
        ;;
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
        exit
        ;;
    -*) fail "there is no option $1" "see '$0 --help'" ;;
    *) words+=("$1") ;;
    esac
    shift
done
for file in key tls_cert tls_key; do
    if [ -n "${!file}" ]; then
        [ -f "${!file}" ] || fail "${!file} is not a file" "see '$0 --help'"
        printf -v "$file" %s "$(readlink -f "${!file}")"
    fi
done
if [[ -n $port && ! $port =~ ^[0-9]+$ ]]; then fail "the port is not a number" "such as --port 8000"; fi

case ${words[0]:-install} in
install) install_command ;;
verify) verify ;;
rollback) rollback_command ;;
restore) restore_command "${words[@]:1}" ;;
uninstall) uninstall_command ;;
*) fail "there is no command ${words[0]}" "see '$0 --help'" ;;
esac
