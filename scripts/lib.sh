# shellcheck shell=bash
# shellcheck disable=SC2034 # much here is for those who source it
# Shell functions that the scripts at the root and in this folder share. Source it; it runs nothing by itself.
#
# Rules they all keep:
#   - stdout belongs to whoever called the script: everything said here goes to stderr
#   - what is built is built under another name and renamed, so that a killed run leaves the old state or the new one
#   - asking "is it up to date?" starts no compiler and reads no large file

if [[ -n ${OSB_LIB_LOADED:-} ]]; then return 0; fi
OSB_LIB_LOADED=1

# Both folders are ignored by git: .cache survives a clean build (downloads, images, logs), artifacts does not have to.
OSB_ROOT=${OSB_ROOT:-$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)}
OSB_CACHE=$OSB_ROOT/.cache
OSB_STAMPS=$OSB_ROOT/artifacts/stamps
OSB_LOCK_FD=

# --- saying things -------------------------------------------------------------------------------------------------------

say() { printf 'opensandbox: %s\n' "$*" >&2; }
warn() { printf 'opensandbox: warning: %s\n' "$*" >&2; }
# die [-CODE] MESSAGE...: exit codes are 1 for a failed build and 3 for something that the machine lacks.
die() {
  local code=1
  if [[ ${1:-} =~ ^-([0-9]+)$ ]]; then code=${BASH_REMATCH[1]}; shift; fi
  printf 'opensandbox: error: %s\n' "$*" >&2
  exit "$code"
}

osb_is_terminal() { [[ -t 2 && ${TERM:-dumb} != dumb && -z ${CI:-} ]]; }

# Draws a line that moves until its parent is gone or it is killed. It only ever runs in the background of run_logged.
osb_spin() {
  local message=$1 log=$2 parent=$3 started=$SECONDS frames='|/-+' i=0 last
  while kill -0 "$parent" 2>/dev/null; do
    last=$(tail -c 400 -- "$log" 2>/dev/null | tr '\r' '\n' | tr -cd '\n[:print:]' | sed '/^[[:space:]]*$/d' | tail -n 1) || last=
    printf '\r\033[K%s %s (%d s) %s' "${frames:i++ % 4:1}" "$message" $((SECONDS - started)) "${last:0:60}" >&2
    # A pause that needs no process of its own: nothing ever arrives on this descriptor.
    read -r -t 0.2 -u "$OSB_NEVER" || true
  done
}

# run_logged MESSAGE NAME COMMAND [ARG...]: runs COMMAND with its output in .cache/logs/NAME.log, shows MESSAGE and the time it took,
# and on failure shows the end of the log and exits. COMMAND may be a function; `set -e` holds inside it. Do not call run_logged
# itself in a condition: bash would switch `set -e` off inside.
run_logged() {
  local message=$1 name=$2 log rc started=$SECONDS spinner=
  shift 2
  mkdir -p -- "$OSB_CACHE/logs"
  log=$OSB_CACHE/logs/$name.log
  : >"$log"
  if osb_is_terminal; then
    # An anonymous pipe, open at both ends, for osb_spin's pauses.
    exec {OSB_NEVER}<> <(:)
    osb_spin "$message" "$log" $$ &
    spinner=$!
  else
    say "$message ..."
  fi
  set +e
  (
    set -e
    # A compiler server that outlives the build must not keep the lock.
    if [[ -n $OSB_LOCK_FD ]]; then exec {OSB_LOCK_FD}>&-; fi
    "$@"
  ) >"$log" 2>&1 </dev/null
  rc=$?
  set -e
  if [[ -n $spinner ]]; then
    kill "$spinner" 2>/dev/null || true
    wait "$spinner" 2>/dev/null || true
    exec {OSB_NEVER}<&-
    printf '\r\033[K' >&2
  fi
  if ((rc != 0)); then
    tail -n 40 -- "$log" >&2
    die "$message: failed with code $rc (whole log: $log)"
  fi
  say "$message: done ($((SECONDS - started)) s)"
}

# --- locking -------------------------------------------------------------------------------------------------------------

# Takes the lock of this checkout, which is held until release_lock or the end of the script. Two first runs at once build once.
take_lock() {
  if [[ -n $OSB_LOCK_FD ]]; then return 0; fi
  # A script started by a script that holds the lock must not wait for it for ever.
  if [[ ${OSB_LOCK_HOLDER:-} == "$OSB_ROOT" ]]; then return 0; fi
  mkdir -p -- "$OSB_CACHE"
  exec {OSB_LOCK_FD}>"$OSB_CACHE/build.lock"
  if ! flock --nonblock "$OSB_LOCK_FD"; then
    say "another build of this checkout is running; waiting for it"
    flock --timeout 3600 "$OSB_LOCK_FD" || die "another build of this checkout has been running for an hour; giving up"
  fi
  export OSB_LOCK_HOLDER=$OSB_ROOT
}

release_lock() {
  if [[ -z $OSB_LOCK_FD ]]; then return 0; fi
  exec {OSB_LOCK_FD}>&-
  OSB_LOCK_FD=
  unset OSB_LOCK_HOLDER
}

# --- what is up to date --------------------------------------------------------------------------------------------------

# A stamp is a file artifacts/stamps/NAME that holds a hash of the contents of a step's inputs and whose time is that of the start of
# the step. Inputs are files and folders relative to the root (a folder counts with all that is in it); build output is never one.

# is_current NAME INPUT...: true if nothing among the inputs is newer than the stamp. Costs one `find`.
# Names that do not exist make the step stale, as they must be created or the recipe is wrong.
is_current() {
  local stamp=$OSB_STAMPS/$1 newer
  shift
  if [[ ! -f $stamp ]]; then return 1; fi
  newer=$(cd -- "$OSB_ROOT" && find "$@" \( -name bin -o -name obj -o -name .git \) -prune -o -newer "$stamp" -print -quit 2>&1) || return 1
  [[ -z $newer ]]
}

# hash_inputs INPUT...: a hash of names and contents of all files among the inputs.
hash_inputs() {
  (
    cd -- "$OSB_ROOT"
    find "$@" \( -name bin -o -name obj -o -name .git \) -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum -- | sha256sum | cut -c1-64
  )
}

# step NAME OUTPUT MESSAGE FUNCTION INPUT...: runs FUNCTION (under run_logged) unless OUTPUT is there and the inputs are what they were.
# Times only decide whether to look: a touched file with the same contents rebuilds nothing.
step() {
  local name=$1 output=$2 message=$3 function=$4 hash stamp
  shift 4
  stamp=$OSB_STAMPS/$name
  if [[ -e $output ]] && is_current "$name" "$@"; then return 0; fi
  take_lock
  mkdir -p -- "$OSB_STAMPS"
  : >"$stamp.new"
  hash=$(hash_inputs "$@")
  if [[ -e $output && -f $stamp && $(<"$stamp") == "$hash" ]]; then
    set_stamp "$stamp" "$hash"
    return 0
  fi
  run_logged "$message" "$name" "$function"
  set_stamp "$stamp" "$hash"
}

# set_stamp STAMP HASH: STAMP gets the time of STAMP.new, which was made before the inputs were read.
set_stamp() {
  printf '%s\n' "$2" >"$1.tmp"
  touch -r "$1.new" -- "$1.tmp"
  rm -f -- "$1.new"
  mv -f -- "$1.tmp" "$1"
}

# read_list FILE: its lines without comments and blank lines.
read_list() { sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' -- "$1"; }

# --- Debian packages -----------------------------------------------------------------------------------------------------

# What each part of the project needs from Debian. The .NET SDK is not among it: see need_dotnet.
OSB_PACKAGES_RUN=(qemu-system-x86 e2fsprogs liblz4-1)
OSB_PACKAGES_BUILD=(gcc libc6-dev cpio kmod nftables)
OSB_PACKAGES_IMAGE=(mmdebstrap e2fsprogs)
OSB_PACKAGES_TEST=(qemu-utils lz4 tmux strace curl)
OSB_PACKAGES_CLIENTS=(nodejs npm)

# missing_packages PACKAGE...: those that are not installed, one a line.
missing_packages() {
  local package installed
  installed=$'\n'$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)$'\n'
  for package in "$@"; do
    if [[ $installed != *$'\n'"installed $package"$'\n'* ]]; then printf '%s\n' "$package"; fi
  done
}

# need_packages WHY PACKAGE...: installs those that are missing, after saying so. Nothing is asked of dpkg while its database is
# older than the last time that everything was found.
need_packages() {
  local why=$1 stamp missing
  shift
  stamp="$*"
  stamp=$OSB_CACHE/packages/${stamp// /,}
  if [[ -f $stamp && ! /var/lib/dpkg/status -nt $stamp ]]; then return 0; fi
  if ! command -v dpkg-query >/dev/null; then
    die -3 "this needs a Debian 12 machine (dpkg-query is missing). Packages needed to $why: $*"
  fi
  mkdir -p -- "$OSB_CACHE/packages"
  mapfile -t missing < <(missing_packages "$@")
  if ((${#missing[@]} > 0 && EUID == 0)); then
    # Whoever held the lock may have installed them meanwhile.
    take_lock
    mapfile -t missing < <(missing_packages "$@")
  fi
  if ((${#missing[@]} > 0)); then
    local command="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
    if ((EUID != 0)); then die -3 "packages are missing to $why; run as root: $command"; fi
    if ! command -v apt-get >/dev/null; then die -3 "packages are missing to $why and there is no apt-get: ${missing[*]}"; fi
    say "installing Debian packages to $why: ${missing[*]}"
    run_logged "Debian packages" packages install_packages "${missing[@]}"
    mapfile -t missing < <(missing_packages "$@")
    if ((${#missing[@]} > 0)); then die "apt-get reported success but these are still missing: ${missing[*]}"; fi
  fi
  : >"$stamp"
}

# install_packages PACKAGE...: the package lists are fetched only if they cannot satisfy the request as they are.
install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  local apt=(apt-get -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 -o Acquire::Retries=5)
  if "${apt[@]}" install -y --no-install-recommends "$@"; then return 0; fi
  echo "the package lists may be absent or old: updating them"
  "${apt[@]}" update
  "${apt[@]}" install -y --no-install-recommends "$@"
}

# --- the .NET SDK --------------------------------------------------------------------------------------------------------

# The SDK that global.json selects; fails where there is none.
sdk_version() { dotnet_build --version 2>/dev/null; }

# need_dotnet: a machine without an SDK that global.json accepts ends here, with a sentence about how to get one.
need_dotnet() {
  if ! command -v dotnet >/dev/null; then
    die -3 "the .NET 10 SDK is missing: no 'dotnet' on the PATH. Install the package dotnet-sdk-10.0 from Microsoft's Debian repository," \
      "or run the dotnet-install script with '--channel 10.0', and put the folder on the PATH (https://dot.net/download)"
  fi
  if ! sdk_version >/dev/null; then
    die -3 "no installed .NET SDK suits $OSB_ROOT/global.json (10.0.400 or newer is needed; https://dot.net/download)." \
      "Installed: $(dotnet --list-sdks 2>/dev/null | cut -d' ' -f1 | paste -sd' ')"
  fi
}

# In front of `dotnet`, or of what starts it: quiet, and leaving no build server behind that could hold a terminal, a lock or a folder.
# A machine without libicu is fine.
OSB_DOTNET_ENV=(env DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 DOTNET_CLI_UI_LANGUAGE=en
  DOTNET_CLI_USE_MSBUILD_SERVER=0 MSBUILDDISABLENODEREUSE=1 UseSharedCompilation=false)

# dotnet_build ARG...: `dotnet ARG...` in the root of the checkout.
dotnet_build() { (cd -- "$OSB_ROOT" && exec "${OSB_DOTNET_ENV[@]}" dotnet "$@"); }
