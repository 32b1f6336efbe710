#!/bin/sh
# customize.sh ROOT: what the default image has beyond its packages. Run by images/build.sh on the unpacked root, before it is cleaned.
set -eu
root=$1

# The user that commands run as by default. Root inside a sandbox is only a matter of asking: the virtual machine is the boundary.
chroot "$root" groupadd --gid 1000 sandbox
chroot "$root" useradd --uid 1000 --gid 1000 --home-dir /home/sandbox --create-home --shell /bin/bash --comment Sandbox sandbox
echo 'sandbox ALL=(ALL:ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/sandbox"
chmod 440 "$root/etc/sudoers.d/sandbox"
# sudo looks its own host name up otherwise, which a sandbox without network answers slowly.
echo 'Defaults !fqdn' >>"$root/etc/sudoers.d/sandbox"

install -d -o 1000 -g 1000 -m 755 "$root/workspace"

ln -sf /usr/share/zoneinfo/Etc/UTC "$root/etc/localtime"
echo Etc/UTC >"$root/etc/timezone"
echo 'LANG=C.UTF-8' >"$root/etc/default/locale"

# A sandbox is thrown away: pip may put packages next to Debian's.
printf '[global]\nbreak-system-packages = true\ndisable-pip-version-check = true\nno-input = true\n' >"$root/etc/pip.conf"

# Every folder under one's own account may be someone else's upload; git need not refuse to read it.
printf '[init]\n\tdefaultBranch = main\n[safe]\n\tdirectory = *\n' >"$root/etc/gitconfig"

# The first use of a module in the guest should not have to compile it: the guest may be emulated.
# (Debian's packages compile their own; this covers the standard library's rarely imported parts. lib2to3 carries files that are
# meant not to compile.)
chroot "$root" sh -c 'exec python3 -m compileall -q -x /lib2to3/tests/ /usr/lib/python3*'
chroot "$root" ldconfig
