#!/bin/sh
# format.sh OPTION... FILE... - clang-format of the one version that the tree is formatted with: others differ.
WANTED=14
if command -v "clang-format-$WANTED" >/dev/null; then
    exec "clang-format-$WANTED" "$@"
fi
version=$(clang-format --version 2>/dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p')
if [ "$version" != "$WANTED" ]; then
    echo "format: skipped, the tree is formatted with clang-format $WANTED and this is ${version:-missing}"
    exit 0
fi
exec clang-format "$@"
