#!/bin/bash
# Runs the stand-in for a taken-over QEMU through the launcher and compares what it could do with expected.txt; then the
# launcher's life-cycle and its errors. Needs root and gcc. Exit code 1 on any difference.
#   run.sh [LAUNCHER]     default: built from src/launcher. ACTUAL=FILE keeps the probes' results there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[[ $EUID == 0 ]] || { echo "run.sh: needs root" >&2; exit 2; }

work=$(mktemp -d /var/tmp/hostile-vmm.XXXXXX)
chmod 755 "$work"
started=()
cleanup() {
    for pid in "${started[@]}"; do
        # Most have ended long ago, and a number may be someone else's by now.
        if [[ $(readlink "/proc/$pid/exe") == "$work"/* || $(tr '\0' ' ' 2> /dev/null < "/proc/$pid/cmdline") == *"$work"* ]]; then
            kill -KILL "$pid" || true
        fi
    done
    rm -rf "$work"
}
trap cleanup EXIT

# ---- build and fixtures
cc() { gcc -std=c11 -D_GNU_SOURCE -O1 -static -Wall -Wextra -Werror -o "$@"; }
cc "$work/hostile-vmm" "$here"/{main,files,mounts,processes,network,identity,kernel,memory,neighbours}.c
cc "$work/fixture" "$here/fixture.c"
launcher=${1:-}
if [[ -z $launcher ]]; then
    launcher=$work/launcher
    "$here/../../src/launcher/build.sh" "$launcher"
fi
fixture=$work/fixture
uid=200017
root=$work/root
mkdir -m 755 "$root"
mkdir -m 700 "$work/sibling"
echo "another tenant's" | tee "$work/sibling/disk" > "$work/sibling/disk.qcow2"
chmod 666 "$work/sibling/disk" "$work/sibling/disk.qcow2"
head -c 8192 /dev/zero > "$work/base"
chmod 600 "$work/base"
cp "$work/hostile-vmm" "$work/setuid"
chmod 6755 "$work/setuid"
mkfifo -m 600 "$work/status" "$work/hold"
base_digest=$(sha256sum < "$work/base")

failures=0
checks=0
check() { # check NAME COMMAND...
    local name=$1
    shift
    checks=$((checks + 1))
    if ! "$@"; then
        failures=$((failures + 1))
        echo "FAILED: $name" >&2
    fi
}
equals() { [[ $1 == "$2" ]] || { echo "  expected '$2', found '$1'" >&2; return 1; }; }
differs() { [[ -n $1 && -n $2 && $1 != "$2" ]] || { echo "  both are '$2'" >&2; return 1; }; }
field() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }

# ---- probes
"$fixture" probe "$launcher" "$root" "$work" "$uid" > "$work/output" &
running=$!
started+=("$running")
exec {hold}<> "$work/hold"   # for reading too: opening does not wait
mapfile -t status < "$work/status"   # up to its end of file: the program runs, and waits for the end of hold
check "status is the pid alone" equals "${#status[@]}" 1
pid=${status[0]#pid }
started+=("$pid")
supervisor=$(field "$pid" PPid)

check "uid" equals "$(field "$pid" Uid | tr -s '\t' ' ')" "$uid $uid $uid $uid"
check "gid" equals "$(field "$pid" Gid | tr -s '\t' ' ')" "$uid $uid $uid $uid"
check "groups" equals "$(field "$pid" Groups | tr -d ' ')" ""
check "supervisor uid" equals "$(field "$supervisor" Uid | tr -s '\t' ' ')" "$uid $uid $uid $uid"
for process in "$pid" "$supervisor"; do
    for set in CapInh CapPrm CapEff CapBnd CapAmb; do
        check "$set of $process" equals "$(field "$process" $set)" 0000000000000000
    done
    check "no_new_privs of $process" equals "$(field "$process" NoNewPrivs)" 1
    check "seccomp of $process" equals "$(field "$process" Seccomp)" 2
done
for namespace in mnt pid net ipc uts cgroup; do
    check "namespace $namespace" differs "$(readlink "/proc/$pid/ns/$namespace")" "$(readlink "/proc/self/ns/$namespace")"
done
check "descriptors" equals "$(find "/proc/$pid/fd" -mindepth 1 -printf '%f\n' | sort -n | tr '\n' ' ')" "0 1 2 4 5 6 7 8 "
check "supervisor holds a signalfd alone" equals "$(find "/proc/$supervisor/fd" -mindepth 1 -printf '%l\n')" "anon_inode:[signalfd]"
check "mounts" equals "$(awk '{print $2}' "/proc/$pid/mounts" | sort | tr '\n' ' ')" "/ /dev/null /dev/urandom /dev/zero /etc/ld.so.cache /proc /usr "
check "writable mounts" equals "$(awk '$4 !~ /^ro,/ {print $2}' "/proc/$pid/mounts")" "/proc"
check "core limit" equals "$(awk '/^Max core/ {print $5, $6}' "/proc/$pid/limits")" "0 0"
check "mount of the host" bash -c '! grep -q " $1 " /proc/self/mounts' - "$root"

exec {hold}>&-
check "fixture" wait "$running"
check "base image" equals "$(sha256sum < "$work/base")" "$base_digest"
sort "$work/output" > "$work/actual"
[[ -z ${ACTUAL:-} ]] || cp "$work/actual" "$ACTUAL"

# compare ACTUAL EXPECTED. A '*' in the table stands for an errno that depends on the kernel's configuration.
compare() {
    awk '
        FNR == NR { if ($0 !~ /^#/ && NF == 3) { result[$1] = $2; errno[$1] = $3; left[$1] = 1; n++ } next }
        {
            if (!($1 in left)) { print "  not in the table: " $0; bad++ }
            else if (result[$1] != $2 || (errno[$1] != "*" && errno[$1] != $3)) { print "  " $0 "   expected: " result[$1] " " errno[$1]; bad++ }
            else same++
            delete left[$1]
        }
        END {
            for (name in left) { print "  did not report: " name; bad++ }
            printf "probes: %d in the table, %d as expected, %d different\n", n, same, bad
            exit bad > 0 || n == 0
        }' "$2" "$1"
}
check "probes" compare "$work/actual" "$here/expected.txt"

# ---- probes as an ordinary user: images, layers and sockets belong to the uid that the program runs under, and are open to it alone
user=200054
probe_as_user() { # probe_as_user ISOLATION EXPECTED MISSING SAID
    local dir=$work/$1 running digest actual
    mkdir -m 700 "$dir" "$dir/root" "$dir/sibling"
    cp "$work/hostile-vmm" "$work/base" "$dir/"
    cp "$work/sibling/disk" "$work/sibling/disk.qcow2" "$dir/sibling/"
    mkfifo -m 600 "$dir/status" "$dir/hold"
    chmod 600 "$dir"/sibling/*
    chown -R "$user:$user" "$dir"
    cp -p "$work/setuid" "$dir/setuid"
    digest=$(cat "$dir/base" "$dir"/sibling/* | sha256sum)
    (cd / && exec setpriv --reuid "$user" --regid "$user" --clear-groups "$fixture" probe "$launcher" "$dir/root" "$dir" "$user" --isolation "$1") > "$dir/output" 2> "$dir/said" &
    running=$!
    started+=("$running")
    exec {hold}<> "$dir/hold"
    mapfile -t status < "$dir/status"
    exec {hold}>&-
    check "$1: what is missing" equals "$(printf '%s\n' "${status[@]}" | grep -o '^missing [a-z-]*' | tr '\n' ' ')" "$3"
    wait "$running" || true
    check "$1: fixture" equals "$(cat "$dir/said")" "$4"
    check "$1: shared image and layers" equals "$(cat "$dir/base" "$dir"/sibling/* | sha256sum)" "$digest"
    check "$1: mode of the shared image" equals "$(stat -c '%a %u' "$dir/base")" "600 $user"
    actual=$work/actual-$1
    sort "$dir/output" > "$actual"
    [[ -z ${ACTUAL:-} ]] || cp "$actual" "$ACTUAL-$1"
    check "$1: probes" compare "$actual" "$here/$2"
}
chmod 711 "$work"
chmod 755 "$launcher" "$fixture"
probe_as_user rootless expected-rootless.txt "missing uid-per-sandbox " ""
probe_as_user none expected-none.txt "missing bounding-set " "fixture: listener 1 has been reached"   # see expected-none.txt

# ---- life-cycle
# The program's descriptors: as for the probes, but with a hold that never ends.
descriptors() { "$@" 0< /dev/null 3> "$work/status" 4< "$work/hostile-vmm" 5< /dev/null 6< /dev/null 7< /dev/null 8<> "$work/hold"; }
jail=("$launcher" --root "$root" --uid "$uid" --gid "$uid" --keep 8 --status-fd 3)
# start [LAUNCHER OPTIONS] -- ARGUMENTS of the program: sets $supervisor, $pid and $status
start() {
    local options=()
    while [[ $1 != -- ]]; do options+=("$1"); shift; done
    shift
    descriptors exec "${jail[@]}" "${options[@]}" -- /proc/self/fd/4 "$@" &
    supervisor=$!
    started+=("$supervisor")
    read_status
}
read_status() {
    mapfile -t status < "$work/status"
    pid=${status[0]#pid }
    started+=("$pid")
}
# A spawner of its own, which outlives nothing by itself: sets $spawner, $supervisor and $pid
start_from_spawner() {
    descriptors exec bash -c '"$@" & exec 3>&-; wait' - "${jail[@]}" "$@" -- /proc/self/fd/4 hold &
    spawner=$!
    started+=("$spawner")
    read_status
    supervisor=$(field "$pid" PPid)
    started+=("$supervisor")
}
# Tied and with a lock: sets $tie, $supervisor and $pid. Only the launcher has the lock afterwards.
start_tied() {
    local isolation=${2:?} lock saved=("${jail[@]}")
    exec {tie}<> "$work/tie.$isolation" {lock}<> "$work/lock.$isolation"
    flock -n "$lock"
    jail=("$launcher" --root "$root" --uid "$uid" --gid "$uid" --keep 10 --status-fd 3 --detach-fd 9 --hold 10)
    descriptors exec "${jail[@]}" "$@" -- /proc/self/fd/4 hold 9< "$work/tie.$isolation" 10<&"$lock" &
    supervisor=$!
    started+=("$supervisor")
    read_status
    exec {lock}>&-
    jail=("${saved[@]}")
}
locked() { ! flock -n "$1" true; }
unlocked() { timeout 5 flock "$1" true; }
ended() { "$fixture" await-end "$1" 5000; }
alive() { ! "$fixture" await-end "$1" 300; }
exits_with() { local code=0; wait "$1" 2> /dev/null || code=$?; equals "$code" "$2"; }

for isolation in full none; do
    start --isolation $isolation -- hold
    kill -TERM "$supervisor"
    check "$isolation: exit code after SIGTERM" exits_with "$supervisor" 137
    check "$isolation: SIGTERM to the launcher ends the program" equals "$(ls -d "/proc/$pid" 2> /dev/null)" ""

    start --isolation $isolation -- hold
    kill -KILL "$supervisor"
    check "$isolation: SIGKILL to the launcher ends the program" ended "$pid"

    start --isolation $isolation -- hold
    kill -KILL "$pid"
    check "$isolation: the program's signal is passed on" exits_with "$supervisor" 137

    start --isolation $isolation -- exit 7
    check "$isolation: exit code is passed on" exits_with "$supervisor" 7
    start --isolation $isolation -- exit 0
    check "$isolation: success is passed on" exits_with "$supervisor" 0
    start --isolation $isolation -- crash
    check "$isolation: a crash is passed on" exits_with "$supervisor" 139

    start_from_spawner --isolation $isolation --attached
    kill -KILL "$spawner"
    check "$isolation: attached: the launcher ends with its spawner" ended "$supervisor"
    check "$isolation: attached: the program ends with the spawner" ended "$pid"

    start_from_spawner --isolation $isolation
    kill -KILL "$spawner"
    check "$isolation: detached: the program outlives the spawner" alive "$pid"
    check "$isolation: detached: the launcher outlives the spawner" alive "$supervisor"
    kill -TERM "$supervisor"
    check "$isolation: detached: and can be ended" ended "$pid"

    # Tied to whoever holds the other end of --detach-fd, until a byte comes from there; and the lock that --hold keeps.
    mkfifo -m 600 "$work/tie.$isolation"
    : > "$work/lock.$isolation"
    start_tied --isolation $isolation
    check "$isolation: held: by the launcher alone" locked "$work/lock.$isolation"
    exec {tie}>&-
    check "$isolation: tied: ends when the other end is closed" ended "$supervisor"
    check "$isolation: tied: with the program" ended "$pid"
    check "$isolation: held: no longer than the program runs" unlocked "$work/lock.$isolation"

    start_tied --isolation $isolation
    check "$isolation: tied: the program has none of the two" equals \
        "$(find "/proc/$pid/fd" -mindepth 1 -printf '%f\n' | sort -n | tr '\n' ' ')" "0 1 2 4 5 6 7 8 "
    check "$isolation: tied: the launcher has both" equals \
        "$(find "/proc/$supervisor/fd" -mindepth 1 -printf '%f %l\n' | grep -c -e "^9 $work/tie" -e "^10 $work/lock")" 2
    printf . >&"$tie"
    exec {tie}>&-
    check "$isolation: detached by a byte: the program goes on" alive "$pid"
    check "$isolation: detached by a byte: so does the launcher" alive "$supervisor"
    check "$isolation: detached by a byte: holds the lock, and nothing else" equals \
        "$(find "/proc/$supervisor/fd" -mindepth 1 -printf '%l\n' | grep -v signalfd)" "$work/lock.$isolation"
    check "$isolation: detached by a byte: still locked" locked "$work/lock.$isolation"
    kill -KILL "$supervisor"
    check "$isolation: detached by a byte: the program ends with the launcher" ended "$pid"
    check "$isolation: detached by a byte: unlocked at the end" unlocked "$work/lock.$isolation"
done

# Several at once over one mount point.
pids=()
supervisors=()
for _ in 1 2 3 4 5 6 7 8; do
    start -- hold
    pids+=("$pid")
    supervisors+=("$supervisor")
done
check "eight share a root" equals "$(for p in "${pids[@]}"; do readlink "/proc/$p/ns/mnt"; done | sort -u | wc -l)" 8
for supervisor in "${supervisors[@]}"; do kill -TERM "$supervisor"; done
for supervisor in "${supervisors[@]}"; do check "one of eight ends" exits_with "$supervisor" 137; done

# ---- errors: exit code 125 and the option's or step's name
refuses() { # refuses TEXT LAUNCHER OPTIONS...
    local text=$1 code=0
    shift
    descriptors "${jail[@]}" "$@" 2> /dev/null &
    local running=$!
    mapfile -t status < "$work/status"
    wait "$running" || code=$?
    equals "$code" 125 && [[ ${status[-1]} == "error $text"* ]] || { echo "  expected '$text', found '${status[*]}'" >&2; return 1; }
}
true=(-- /usr/bin/true)
check "root" refuses "option --uid 0" --uid 0 "${true[@]}"
check "root's group" refuses "option --gid 0" --gid 0 "${true[@]}"
check "no uid" refuses "option --uid -1" --uid -1 "${true[@]}"
check "unknown option" refuses "option --bogus" --bogus "${true[@]}"
check "missing value" refuses "option --nofile" --nofile "${true[@]}"
check "no command" refuses "command" --
check "relative command" refuses "command true" -- true
check "missing command" refuses "execute /usr/bin/missing: No such file or directory (2)" -- /usr/bin/missing
check "command outside of /usr" refuses "execute $launcher: No such file or directory (2)" -- "$launcher"
check "missing descriptor" refuses "descriptor 9" --keep 9 "${true[@]}"
check "missing root" refuses "filesystem: mount tmpfs on /missing" --root /missing "${true[@]}"
check "relative root" refuses "option --root" --root missing "${true[@]}"
check "not a cgroup" refuses "cgroup /tmp: not on a cgroup file system" --cgroup /tmp "${true[@]}"
check "missing cgroup" refuses "open cgroup /missing" --cgroup /missing "${true[@]}"
check "rootless for root" refuses "option --isolation rootless" --isolation rootless "${true[@]}"
check "unknown isolation" refuses "option --isolation half" --isolation half "${true[@]}"
check "another's parent" refuses "parent 1" --attached --parent 1 "${true[@]}"
check "parent without attached" refuses "option --parent" --parent $$ "${true[@]}"
check "tied and attached" refuses "option --detach-fd" --detach-fd 4 --attached "${true[@]}"
check "tied by what is not kept" refuses "option --detach-fd 9: above" --detach-fd 9 "${true[@]}"
check "hold what is not kept" refuses "option --hold 9: above" --hold 9 "${true[@]}"
check "hold the command's input" refuses "option --hold" --hold 0 "${true[@]}"
check "hold too much" refuses "option --hold: at most" --hold 4 --hold 4 --hold 4 --hold 4 --hold 4 --hold 4 --hold 4 --hold 4 --hold 4 "${true[@]}"
check "host name" refuses "option --hostname" --hostname 'a b' "${true[@]}"
check "nofile" refuses "option --nofile" --nofile 9 --keep 8 "${true[@]}"
directory_as_descriptor() {
    jail=("$launcher" --root "$root" --uid "$uid" --gid "$uid" --keep 9 --status-fd 3)
    refuses "descriptor 9: a directory" "${true[@]}" 9< /
}
check "directory as descriptor" directory_as_descriptor

echo "checks: $checks made, $failures failed"
exit $((failures > 0))
