# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the lab asks of the machine it runs on, and the one line that says what is
# missing. Sourced by enter.

# What a first run needs on the cache's file system.
readonly FIRST_RUN_GIB=12

say() {
	echo "lab: $*" >&2
}

refuse() {
	say "$*"
	exit 1
}

check_machine() {
	local checkout=$1
	[[ $(uname -s)/$(uname -m) == Linux/x86_64 ]] ||
		refuse "this machine is $(uname -s) on $(uname -m); the lab needs Linux on x86-64"
	command -v apt-get >/dev/null ||
		refuse "there is no apt-get; the lab runs on Debian and Ubuntu"
	[[ $checkout != *[[:space:]:,\"\'\\]* ]] ||
		refuse "the path '$checkout' has a character that kbuild or QEMU cannot take; move the checkout"
}

# Namespaces, mmdebstrap and the owners of the userland's files take root.
become_root() {
	local cache=$1
	shift
	if ((EUID == 0)); then
		return
	fi
	command -v sudo >/dev/null ||
		refuse "neither root nor sudo; the lab needs one of them"
	exec sudo -- env XDG_CACHE_HOME="$(dirname "$cache")" TERM="${TERM:-dumb}" "$@"
}

install_host_tools() {
	local missing=()
	command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
	command -v unshare >/dev/null || missing+=(util-linux)
	[[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || missing+=(debian-archive-keyring)
	if ((${#missing[@]} == 0)); then
		return
	fi
	say "installing ${missing[*]} with apt-get"
	local log
	log=$(mktemp)
	if ! { apt-get install -y --no-install-recommends "${missing[@]}" ||
		{ apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; }; } \
		>"$log" 2>&1 </dev/null; then
		refuse "apt-get cannot install ${missing[*]}: $(grep -m1 '^E:' "$log") (log: $log)"
	fi
	rm -f "$log"
}

check_space() {
	local cache=$1 free_kib
	free_kib=$(df --output=avail -k "$cache" | tail -n1)
	((free_kib >= FIRST_RUN_GIB * 1024 * 1024)) ||
		refuse "$cache has $((free_kib / 1024 / 1024)) GiB free; a first run needs $FIRST_RUN_GIB (XDG_CACHE_HOME moves it)"
}
