# Shared by the scripts in tools/; sourced, not run. Needs bash.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
CACHE="$ROOT/.cache"
JOBS="${BRAID_JOBS:-$(nproc)}"

# What is compiled once is found again from another checkout: paths are seen relative to this one.
export CCACHE_BASEDIR="$ROOT" CCACHE_NOHASHDIR=1

if [ -t 1 ]; then BOLD=$'\e[1m' DIM=$'\e[2m' PLAIN=$'\e[0m'; else BOLD='' DIM='' PLAIN=''; fi

say() { printf '%s==> %s%s\n' "$BOLD" "$*" "$PLAIN"; }
note() { printf '    %s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# configure PRESET: once; CMake itself re-runs later whenever a list file changes.
configure() {
  local preset="$1"
  if [ ! -f "$ROOT/build/$preset/build.ninja" ]; then
    say "Configuring build/$preset"
    (cd "$ROOT" && cmake --preset "$preset" --log-level=WARNING)
  fi
}

# build PRESET TARGET...: with ninja's own progress line.
build() {
  local preset="$1"
  shift
  configure "$preset" || return 1
  say "Building $* in build/$preset ($JOBS jobs)"
  # On a terminal ninja rewrites one line. In a log one line per step would hide everything else.
  if [ -t 1 ]; then
    ninja -C "$ROOT/build/$preset" -j "$JOBS" "$@"
  else
    NINJA_STATUS='[%f/%t %es] ' ninja -C "$ROOT/build/$preset" -j "$JOBS" "$@" | thin_progress
    return "${PIPESTATUS[0]}"
  fi
}

# Passes everything through, except that of the progress lines only one in every 20 is kept.
thin_progress() {
  awk '/^\[[0-9]+\/[0-9]+ / { split(substr($1, 2), part, "/"); if (part[1] % 20 != 0 && part[1] != part[2]) next }
       { print; fflush() }'
}
