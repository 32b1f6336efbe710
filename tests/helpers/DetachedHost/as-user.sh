#!/bin/bash
# as-user.sh USER DIRECTORY MODE COMMAND...
# Runs a command as a user (a number) with state, runtime and home in DIRECTORY, which is made that user's; the images and assets are
# copies of those of OPENSANDBOX_STATE and OPENSANDBOX_ASSETS. MODE no-namespaces: where no user namespace can be made. Needs root.
set -euo pipefail
user=$1 directory=$2 mode=$3
shift 3

chmod 755 "$directory"
mkdir -p "$directory"/{state,run,home}
# The images are root's, and for root alone.
cp -a --sparse=always "$OPENSANDBOX_STATE/images" "$directory/state/images"
cp -a "$OPENSANDBOX_ASSETS" "$directory/assets"
chown -R "$user:$user" "$directory"

command=(setpriv --reuid "$user" --regid "$user" --clear-groups env -i PATH=/usr/bin:/bin:/usr/sbin LANG=C HOME="$directory/home"
    DOTNET_ROOT="$(dirname "$(readlink -f "$(command -v dotnet)")")" DOTNET_CLI_HOME="$directory/home"
    OPENSANDBOX_STATE="$directory/state" OPENSANDBOX_RUNTIME="$directory/run" OPENSANDBOX_ASSETS="$directory/assets" "$@")
cd /
if [[ $mode != no-namespaces ]]; then
    exec "${command[@]}"
fi

# The limit belongs to the user namespace in which it is set: one with everybody's ids mapped, so that nothing else is different.
unshare --user sleep infinity &
holder=$!
trap 'kill "$holder"' EXIT
while [[ $(readlink "/proc/$holder/ns/user") == "$(readlink /proc/self/ns/user)" ]]; do
    kill -0 "$holder"   # ends with the wait, if that does
done
echo "0 0 4294967295" > "/proc/$holder/uid_map"
echo "0 0 4294967295" > "/proc/$holder/gid_map"
nsenter --user="/proc/$holder/ns/user" --setuid 0 --setgid 0 \
    bash -c 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"' - "${command[@]}"
