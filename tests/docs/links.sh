#!/usr/bin/env bash
# links.sh [ROOT]: every relative link in the documentation must name a file that exists. So must every path in backticks
# that begins with the name of a folder, seen from ROOT or from the document. README.md has at most 120 lines.
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"
shopt -s nullglob
documents=(README.md CHANGELOG.md CONTRIBUTING.md docs/*.md {bench,kernels}/README.md {data,tests}/*/README.md)
most_lines=120 links=0 wrong=0
report() { echo "links.sh: $*" >&2; wrong=1; }

# Lines "link TARGET" and "path PATH" of a document, without its blocks of code.
targets_of() {
  awk '/^```/ { code = !code; next }
    code || /^    / { next }
    { for (line = $0; match(line, /\]\([^) ]+\)/); line = substr(line, RSTART + RLENGTH))
        print "link", substr(line, RSTART + 2, RLENGTH - 3)
      for (line = $0; match(line, /`(bench|cmake|data|docs|include|kernels|scripts|src|tests)\/[A-Za-z0-9_.\/-]*`/);
           line = substr(line, RSTART + RLENGTH))
        print "path", substr(line, RSTART + 1, RLENGTH - 2) }' "$1"
}

for document in "${documents[@]}"; do
  while read -r kind target; do
    case "$kind $target" in
      "link "*://* | "link #"*) continue ;;
      link*) place=$(dirname "$document") ;;
      *) place=. ;;
    esac
    links=$((links + 1))
    [ -e "$place/${target%%#*}" ] || { [ "$kind" = path ] && [ -e "$(dirname "$document")/$target" ]; } || report "$document: the $kind '$target' names no file"
  done < <(targets_of "$document")
done
[ "$links" -ge 50 ] || report "only $links links and paths found in ${#documents[@]} documents"
lines=$(wc -l <README.md)
[ "$lines" -le "$most_lines" ] || report "README.md has $lines lines, more than $most_lines: move details to docs/"
[ "$wrong" = 0 ] && echo "$links links and paths in ${#documents[@]} documents name files"
