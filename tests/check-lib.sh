# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2034,SC2154 # names shared with the script that sources this
# Sourced by ./run and ./check: packages by name, building, and steps that show that they live. POSIX sh, so that it works on a
# system that has nothing but its base and git. The caller sets `tree` to the root of the source tree.

packages_build='gcc libc6-dev meson ninja-build pkg-config clang llvm bpftool libbpf-dev libelf-dev liburing-dev libjansson-dev
    libcurl4-openssl-dev libyaml-dev zlib1g-dev libseccomp-dev libssl-dev libzstd-dev'
packages_test='libcriterion-dev libclang-rt-dev clang-format clang-tidy shellcheck openssl curl
    libnghttp2-dev runc zstd'
packages_package='dpkg-dev lintian mandoc'
packages_vm='mmdebstrap qemu-system-x86 e2fsprogs cpio xz-utils'
packages_nginx='libcrypt1 libpcre2-8-0 libssl3 zlib1g'

if [ -t 1 ]; then on_terminal=1; else on_terminal=0; fi
ticker=
steps_log=

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

need_root() {
    [ "$(id -u)" = 0 ] || fail "must be root: it loads BPF programs and makes cgroups"
}

seconds_since() {
    echo $(($(date +%s) - $1))
}

ticker_stop() {
    [ -z "$ticker" ] || kill "$ticker" 2>/dev/null || true
    [ -z "$ticker" ] || wait "$ticker" 2>/dev/null || true
    ticker=
}

# step TEXT COMMAND…: runs it with its output in $steps_log; one line with the seconds it took, counting up on a terminal. The command stays in
# the foreground, so that Ctrl-C reaches it as it reaches us. Returns the command's status; on failure shows the end of its output.
step() {
    step_text=$1
    shift
    [ -n "$steps_log" ] || steps_log=$(mktemp "${TMPDIR:-/tmp}/podkin-steps.XXXXXX")
    : >"$steps_log"
    step_begin=$(date +%s)
    if [ "$on_terminal" = 1 ]; then
        (
            trap 'exit 0' TERM
            while :; do
                printf '\r  %-64s %4d s' "$step_text" "$(seconds_since "$step_begin")"
                sleep 1
            done
        ) &
        ticker=$!
    else
        printf '  %s ...\n' "$step_text"
    fi
    step_status=0
    "$@" >"$steps_log" 2>&1 </dev/null || step_status=$?
    ticker_stop
    step_word=
    [ "$step_status" = 0 ] || step_word='  FAILED'
    [ "$on_terminal" = 0 ] || printf '\r'
    printf '  %-64s %4d s%s\n' "$step_text" "$(seconds_since "$step_begin")" "$step_word"
    if [ "$step_status" != 0 ]; then
        tail -n "${step_tail:-40}" "$steps_log" | sed 's/^/    | /'
    fi
    return "$step_status"
}

steps_end() {
    ticker_stop
    [ -z "$steps_log" ] || rm -f "$steps_log"
    steps_log=
}

package_missing() {
    case $(dpkg-query -W -f '${Status}' "$1" 2>/dev/null) in
    *' installed') return 1 ;;
    esac
    return 0
}

# install_packages NAME…: only what is missing.
install_packages() {
    missing=
    for package in "$@"; do
        if package_missing "$package"; then
            missing="$missing $package"
        fi
    done
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || fail "apt-get not found; on this system install what corresponds to:$missing"
    export DEBIAN_FRONTEND=noninteractive
    step 'package lists' apt-get -q update ||
        printf '  the package lists could not be refreshed; going on with those that are here\n'
    # shellcheck disable=SC2086 # a list of names
    set -- $missing
    step "installing $# packages" apt-get -q -y --no-install-recommends install "$@" ||
        fail "apt-get could not install:$missing"
}

# configure DIR OPTION…: meson setup, or new options for a folder that was set up before.
configure() {
    configure_dir=$1
    shift
    if [ -f "$tree/$configure_dir/build.ninja" ]; then
        meson setup --reconfigure "$@" "$tree/$configure_dir" "$tree"
    else
        rm -rf "${tree:?}/$configure_dir"
        meson setup "$@" "$tree/$configure_dir" "$tree"
    fi
}

# build DIR [TARGET…]
build() {
    build_dir=$1
    shift
    ninja -C "$tree/$build_dir" "$@"
}

# An nginx to run, in $nginx: the system's own, else one that is unpacked into build/ and not installed, because the package would start a web
# server on port 80 of this machine, now and at each boot.
find_nginx() {
    for nginx in /usr/sbin/nginx "$tree/build/nginx/usr/sbin/nginx"; do
        [ ! -x "$nginx" ] || return 0
    done
    # shellcheck disable=SC2086 # a list of names
    install_packages $packages_nginx
    mkdir -p "$tree/build/nginx"
    step 'fetching nginx (unpacked into build/, not installed)' fetch_nginx || return 1
    [ -x "$nginx" ]
}

fetch_nginx() {
    cd "$tree/build/nginx" || return 1
    apt-get -q -o APT::Sandbox::User=root download nginx || {
        apt-get -q update
        apt-get -q -o APT::Sandbox::User=root download nginx || return 1
    }
    dpkg-deb -x nginx_*.deb . && rm -f nginx_*.deb
    fetch_status=$?
    cd "$tree" || return 1
    return "$fetch_status"
}

# The mount point of the unified hierarchy, in $cgroup2.
find_cgroup2() {
    cgroup2=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
    [ -n "$cgroup2" ]
}
