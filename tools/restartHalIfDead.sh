#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Starts the daemon of a replica when it is dead.
#
#   restartHalIfDead.sh ID
#
# It works in the folder that it is called in by its own name, where config.json is: copy or link it
# there. The daemon's log is halID.out there. Exit 0: it runs already; 2: it has been started; else
# it has not, for the reason that is said. ZEROD names the daemon's program, if that is not in PATH.
#
# Nobody looks for a process by its name here. The daemon itself holds a lock on its folder, which
# ends with it, and refuses to be the second one.
already=4

fail() {
    echo "restartHalIfDead.sh: $*" >&2
    exit 1
}

case "${1-}" in
--help) sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
'' | -*) fail 'give it the id of a replica, as in restartHalIfDead.sh 0' ;;
esac
[ $# -eq 1 ] || fail "it takes one id, not $#"
CDPATH='' cd -- "$(dirname -- "$0")" || fail 'its folder cannot be entered'
# What a login over ssh lacks.
PATH=$PATH:/usr/local/sbin:/usr/sbin
zerod=${ZEROD:-zerod}
command -v "$zerod" >/dev/null || fail "$zerod: there is no such program; ZEROD=PATH says where it is"
said=$("$zerod" -c config.json -i "$1" 2>&1 </dev/null)
code=$?
[ "$code" -ne "$already" ] || exit 0
[ -z "$said" ] || printf '%s\n' "$said" >&2
[ "$code" -eq 0 ] || fail "$PWD: the daemon of $1 has not been started"
exit 2
