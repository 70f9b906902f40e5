# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The userland: a Debian trixie tree with the toolchain, the virtual machine and
# the readers of cores, built once for each list of packages. Sourced by enter.

readonly SUITE=trixie

# The mirror that this machine's own apt uses for Debian, or nothing: then
# mmdebstrap knows one.
host_mirror() {
	# shellcheck disable=SC2016 # The format is apt's, not the shell's.
	apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(CODENAME)' 2>/dev/null |
		awk '$2 == "Debian" && $1 ~ /^https?:/ && $3 !~ /security|backports/ { print $1; exit }'
}

# The proxies of this machine's apt, as options of mmdebstrap, one a line.
host_proxies() {
	apt-config dump 2>/dev/null |
		awk '/^Acquire::https?::Proxy/ { sub(/;$/, ""); print "--aptopt=" $0 }'
}

# Prints the userland's folder. A folder under its final name is complete.
userland() {
	local here=$1 cache=$2 key root
	key=$(cat "$here/packages" "$here/userland.sh" | sha256sum | cut -c1-12)
	root=$cache/userland-$key
	if [[ ! -d $root ]]; then
		check_space "$cache"
		(
			flock 9
			[[ -d $root ]] || build_userland "$here" "$cache" "$root"
		) 9>"$cache/userland.lock"
	fi
	touch "$root"
	echo "$root"
}

build_userland() {
	local here=$1 cache=$2 root=$3 mirror proxies started=$SECONDS
	local log=$cache/userland.log
	mirror=$(host_mirror)
	mapfile -t proxies < <(host_proxies)
	say "building the $SUITE userland from ${mirror:-"the default mirror"} (about 3 GB, a few minutes)"
	rm -rf --one-file-system "$cache"/userland-*.partial
	# In namespaces of its own, so that its mounts and programs end with it, however it
	# ends. The hook offers what the kernels come from: the same mirror's backports.
	if ! unshare --mount --pid --fork --kill-child -- mmdebstrap --variant=apt --include="$(grep -v '^#' "$here/packages" | xargs | tr ' ' ',')" \
		"${proxies[@]}" \
		--customize-hook="sed -n 's/ $SUITE main\$/ $SUITE-backports main/p' \"\$1/etc/apt/sources.list\" >\"\$1/etc/apt/sources.list.d/backports.list\"" \
		"$SUITE" "$root.partial" ${mirror:+"$mirror"} >"$log" 2>&1 </dev/null; then
		refuse "the userland cannot be built: $(grep -m1 -E 'Failed to fetch|^E: |error: ' "$log") (log: $log)"
	fi
	mv "$root.partial" "$root"
	# What an older list of packages made and nobody has used for a week.
	find "$cache" -maxdepth 1 -name 'userland-????????????' -mtime +7 -exec rm -rf {} +
	say "userland ready after $((SECONDS - started)) s"
}
