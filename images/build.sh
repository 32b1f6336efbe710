#!/usr/bin/env bash
# build.sh RECIPE_DIR OUT.raw: a root file system (raw ext4, 8 GiB, sparse) from a recipe:
#   RECIPE_DIR/packages.txt    Debian packages, one a line, on top of the minimal base
#   RECIPE_DIR/customize.sh    run with the unpacked root's path as its only argument (optional)
# Packages come from where this machine's own APT gets them: its sources, keys, proxies and other settings are used, and none of
# them ends up in the image except the names of the sources, without passwords.
# Needs root. Prints the size and the time it took on stderr; writes OUT.raw under another name first.
set -euo pipefail

OSB_ROOT=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=scripts/lib.sh
source "$OSB_ROOT/scripts/lib.sh"
# shellcheck source=images/ext4.sh
source "$OSB_ROOT/images/ext4.sh"

suite=bookworm
image_bytes=8589934592

(($# == 2)) || die "usage: build.sh RECIPE_DIR OUT.raw"
[[ -f $1/packages.txt ]] || die "$1 is not a recipe: it has no packages.txt"
recipe=$(cd -P -- "$1" && pwd -P)
out_dir=$(cd -P -- "$(dirname -- "$2")" && pwd -P)
out=$out_dir/$(basename -- "$2")
((EUID == 0)) || die -3 "building an image needs root: sudo images/build.sh $1 $2"
need_packages "build root file systems" "${OSB_PACKAGES_IMAGE[@]}"

work=$(mktemp -d "$out_dir/.image.XXXXXX")
chmod 755 "$work"
root=$work/root
# The tree holds a few mounts while packages are being configured; never delete through one.
trap 'rm -rf --one-file-system -- "$work"' EXIT

# --- this machine's APT, as mmdebstrap wants it -------------------------------------------------------------------------

# One line for each Debian repository of this machine that carries our suite: "deb URI SUITE COMPONENT". Asking APT itself covers
# both formats of its sources. Other people's repositories, and other suites, are left out.
host_sources() {
  # shellcheck disable=SC2016 # APT's own placeholders
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' 2>/dev/null |
    awk -v suite="$suite" '($2 == suite || $2 == suite "-updates" || $2 == suite "-security") && $3 == "main" && $4 == "Debian" { print "deb", $1, $2, $3 }' |
    sort -u
}

sources=$(host_sources)
if [[ -z $sources ]]; then
  run_logged "package lists" image-lists apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 update
  sources=$(host_sources)
fi
# A machine of another release: mmdebstrap knows Debian's own addresses.
mirror=()
if [[ -n $sources ]]; then
  printf '%s\n' "$sources" >"$work/sources.list"
  mirror=("$work/sources.list")
else
  warn "no repository of this machine carries Debian $suite; using mmdebstrap's default"
fi

# Proxies, time checks, retries and the like, but not what shapes the package lists.
apt-config dump | grep -E '^Acquire::' | grep -Ev '^Acquire::(IndexTargets|Languages|GzipIndexes|CompressionTypes|Changelogs|cdrom|PDiffs)' >"$work/apt.conf" || true

mkdir -p -- "$work/keys"
find /etc/apt/trusted.gpg.d /etc/apt/keyrings /usr/share/keyrings -maxdepth 1 -name '*.gpg' -exec cp -t "$work/keys" -- {} + 2>/dev/null || true

# --- the tree --------------------------------------------------------------------------------------------------------------

# shellcheck disable=SC2016 # "$1" in hooks is mmdebstrap's
make_tree() {
  local packages options=()
  packages=$(read_list "$recipe/packages.txt" | paste -sd,)
  if [[ -x $recipe/customize.sh ]]; then options+=(--customize-hook="'$recipe/customize.sh' \"\$1\""); fi
  # Passwords for repositories, for the time of the build only.
  if [[ -e /etc/apt/auth.conf ]]; then options+=(--setup-hook='cp /etc/apt/auth.conf "$1/etc/apt/auth.conf"'); fi
  if [[ -d /etc/apt/auth.conf.d ]]; then options+=(--setup-hook='mkdir -p "$1/etc/apt/auth.conf.d" && cp -a /etc/apt/auth.conf.d/. "$1/etc/apt/auth.conf.d/"'); fi
  if ((${#mirror[@]} == 0)); then mirror=(''); fi
  mmdebstrap --mode=root --format=directory --variant=minbase --architectures=amd64 --include="$packages" \
    --aptopt="$work/apt.conf" --aptopt='Acquire::Retries "5"' --aptopt='Acquire::Languages "none"' --aptopt='APT::Sandbox::User "root"' --keyring="$work/keys" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/lintian/*' \
    --setup-hook='mkdir -p "$1/usr/share/man/man1"' \
    --customize-hook='cat "$1"/var/lib/apt/lists/*Release 2>/dev/null | sed -n "s/^Date: //p" >"'"$work"'/dates"' \
    "${options[@]}" "$suite" "$root" "${mirror[@]}"
}

# What a build leaves behind of itself and of this machine.
clean_tree() {
  local date newest=0 seconds
  rm -rf -- "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/* "$root"/var/cache/debconf/*-old \
    "$root"/var/log/* "$root"/var/lib/dpkg/*-old "$root"/tmp/* "$root"/var/tmp/* "$root"/run/* "$root"/root/.cache "$root"/etc/*- \
    "$root"/var/cache/ldconfig/aux-cache "$root"/etc/apt/auth.conf "$root"/etc/apt/auth.conf.d/*
  # mmdebstrap keeps this machine's settings here; of ours only one is meant for the guest's APT.
  printf 'Acquire::Languages "none";\nAPT::Install-Recommends "false";\nAPT::Sandbox::User "root";\n' >"$root/etc/apt/apt.conf.d/99mmdebstrap"
  find "$root/etc/apt" -name '*.list' -exec sed -i -E 's#(//)[^/@ ]*@#\1#' {} +
  # Empty, so that the agent gives each sandbox its own.
  : >"$root/etc/machine-id"
  rm -f -- "$root/var/lib/dbus/machine-id" "$root/etc/resolv.conf" "$root/etc/hostname"
  echo sandbox >"$root/etc/hostname"
  printf '127.0.0.1\tlocalhost sandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
  # Every name goes to the agent's resolver, whichever address is asked.
  echo 'nameserver 10.0.0.1' >"$root/etc/resolv.conf"
  # Nothing in the tree is younger than the archive it was made from, whenever it was built.
  while read -r date; do
    seconds=$(date -d "$date" +%s)
    if ((seconds > newest)); then newest=$seconds; fi
  done <"$work/dates"
  ((newest > 0))
  echo "$newest" >"$work/epoch"
  find "$root" -newermt "@$newest" -exec touch --no-dereference --date="@$newest" -- {} +
}

started=$SECONDS
run_logged "root file system: packages of $(basename -- "$recipe")" image-tree make_tree
run_logged "root file system: cleaning" image-clean clean_tree
bytes=$(du -s --block-size=1 -- "$root" | cut -f1)
run_logged "root file system: ext4" image-ext4 make_ext4 "$work/image.raw" "$image_bytes" 0:0 "$(<"$work/epoch")" "$root"
mv -f -- "$work/image.raw" "$out"
say "$out: $((bytes >> 20)) MiB of files, $(($(du --block-size=1 -- "$out" | cut -f1) >> 20)) MiB allocated, built in $((SECONDS - started)) s"
