#!/usr/bin/env bash
# Prints docs/cli.md, made from the help of the program: scripts/cli_docs.sh [--check] [CUVAE]. With --check it compares
# the text with docs/cli.md instead, and fails when they differ. CUVAE is build/release/cuvae unless given.
set -euo pipefail
fail() { echo "cli_docs.sh: $*" >&2; exit 1; }

check=no
if [ "${1:-}" = --check ]; then check=yes; shift; fi
[ $# -le 1 ] || fail "usage: scripts/cli_docs.sh [--check] [CUVAE]"
root=$(cd "$(dirname "$0")/.." && pwd)
cuvae=${1:-$root/build/release/cuvae}
[ -x "$cuvae" ] || fail "$cuvae is not a program: build cuvae first, or give its path"

# The environment must not change the text.
help_of() { env -u CUVAE_DATA -u COLUMNS LC_ALL=C "$cuvae" "$@" --help; }

print_docs() {
  local commands command
  commands=$(help_of | awk '/^Commands:/ { inside = 1; next } /^[^ ]/ { inside = 0 } inside && NF { print $1 }')
  [ -n "$commands" ] || fail "the help of $cuvae lists no commands"
  echo "# Command line"
  echo
  echo "Made by \`scripts/cli_docs.sh\` from the help of the program. [guide.md](guide.md) explains how the commands work together."
  printf '\n```text\n%s\n```\n' "$(help_of)"
  for command in $commands; do
    printf '\n## cuvae %s\n\n```text\n%s\n```\n' "$command" "$(help_of "$command")"
  done
}

if [ "$check" = no ]; then
  print_docs
elif ! print_docs | diff "$root/docs/cli.md" - >&2; then
  fail "docs/cli.md differs from the help of the program: run scripts/cli_docs.sh $cuvae >docs/cli.md"
fi
