#!/bin/sh
# Builds the floor program: build.sh [OUT]   (default: ./floor; CC and CFLAGS are honoured)
set -eu
out=${1:-floor}
case $out in /*) ;; *) out=$PWD/$out ;; esac
cd "$(dirname "$0")"
# The launcher's flags, so that neither side has a better compiler.
exec ${CC:-gcc} -std=c11 -D_GNU_SOURCE ${CFLAGS:--O2} -static -pthread -Wall -Wextra -Werror -Wshadow -Wconversion -Wno-sign-conversion \
    -fstack-protector-strong -Wl,-z,relro,-z,now -o "$out" cut.c floor.c machine.c monitor.c port.c report.c
