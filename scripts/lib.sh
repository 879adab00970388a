# Shared by the scripts of this folder: messages, the cache, root, packages. Source it, do not run it.
# shellcheck shell=bash

BASALT_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Everything that is downloaded or built outside the tree lives here; delete it and it comes back.
BASALT_CACHE=${BASALT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/basalt}

say()  { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
note() { printf '    %s\n' "$*" >&2; }
# die WHAT [REMEDY...]: what went wrong, then one line per thing to type.
die() {
  printf '\033[31merror:\033[0m %s\n' "$1" >&2; shift
  for line in "$@"; do printf '    %s\n' "$line" >&2; done
  exit 1
}

# as_root CMD...: runs CMD as root, through sudo where we are not root.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "'$*' needs root, and there is no sudo." "Run this script as root, or install sudo."; fi
}

# need_disk DIR GIB WHAT_FOR
need_disk() {
  mkdir -p "$1"
  local free; free=$(df --output=avail -k "$1" | tail -n 1)
  [ "$free" -ge $(( $2 * 1024 * 1024 )) ] ||
    die "$1 has $(( free / 1024 )) MiB free; $3 needs $2 GiB." "Free some space, or set BASALT_CACHE to a folder on a larger disk."
}

# need_memory GIB WHAT_FOR
need_memory() {
  local have; have=$(awk '/^MemAvailable/{print $2}' /proc/meminfo)
  [ "$have" -ge $(( $1 * 1024 * 1024 )) ] ||
    die "$(( have / 1024 )) MiB of memory are available; $2 needs $1 GiB." "Stop something, or use a larger machine."
}

# packages NAME...: installs the Debian packages that are missing, and says which.
packages() {
  command -v dpkg-query >/dev/null || die "This is not a Debian system (no dpkg)." "Install by hand: $*"
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  say "Installing ${#missing[@]} Debian packages: ${missing[*]}"
  local log=$BASALT_CACHE/apt.log
  mkdir -p "$BASALT_CACHE"
  { as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
  } >"$log" 2>&1 || { tail -n 15 "$log" >&2; die "apt-get could not install: ${missing[*]}" "See $log; then run: apt-get install ${missing[*]}"; }
}

# with_progress LABEL LOG PROGRAM...: runs PROGRAM with its output in LOG, and shows the seconds and the last line meanwhile.
with_progress() {
  local label=$1 log=$2; shift 2
  local started=$SECONDS pid
  setsid "$@" >"$log" 2>&1 &
  pid=$!
  # An interrupted script takes its build with it: the whole process group.
  trap 'kill -- -'"$pid"' 2>/dev/null; exit 130' INT TERM HUP
  local shown=0
  while kill -0 "$pid" 2>/dev/null; do
    if [ -t 2 ]; then
      printf '\r\033[K    %s: %ds  %.80s' "$label" $((SECONDS - started)) "$(tail -n 1 "$log" | tr -d '\r')" >&2
    elif [ $((SECONDS - started)) -ge $((shown + 30)) ]; then
      shown=$((SECONDS - started)); note "$label: ${shown}s"
    fi
    sleep 0.5
  done
  [ -t 2 ] && printf '\r\033[K' >&2
  trap - INT TERM HUP
  if ! wait "$pid"; then
    tail -n 25 "$log" >&2
    die "$label failed after $((SECONDS - started))s." "The whole log: $log" "Run the same command again to resume."
  fi
  note "$label: done in $((SECONDS - started))s"
}

# need_cargo: a Rust toolchain, or what to type.
need_cargo() {
  command -v cargo >/dev/null && return 0
  [ -x "$HOME/.cargo/bin/cargo" ] && { export PATH="$HOME/.cargo/bin:$PATH"; return 0; }
  die "There is no Rust toolchain (cargo)." "Install one with rustup, or: apt-get install rustup && rustup default stable"
}

# huge_pages WANTED: tries to have that many free 2 MiB pages. Prints "huge" or "small"; small pages work too, for files,
# memory and NVMe/TCP.
huge_pages() {
  local wanted=$1 free have
  free=$(awk '/^HugePages_Free/{print $2}' /proc/meminfo)
  if [ "${free:-0}" -lt "$wanted" ] && [ "$(id -u)" -eq 0 ] && [ -w /proc/sys/vm/nr_hugepages ]; then
    have=$(cat /proc/sys/vm/nr_hugepages)
    echo $((have + wanted - free)) >/proc/sys/vm/nr_hugepages 2>/dev/null || true
    mountpoint -q /dev/hugepages || { mkdir -p /dev/hugepages && mount -t hugetlbfs nodev /dev/hugepages; } 2>/dev/null || true
    free=$(awk '/^HugePages_Free/{print $2}' /proc/meminfo)
  fi
  if [ "${free:-0}" -ge "$wanted" ] && [ -w /dev/hugepages ]; then echo huge; return; fi
  note "no huge pages ($free free, $wanted wanted): using ordinary memory. For more speed: echo $wanted | sudo tee /proc/sys/vm/nr_hugepages"
  echo small
}
