# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154 # here, work: of ./build, which sources this
# What comes from the network: the guest's packages and its kernels, from the machine's own package sources. Nothing of the machine's apt changes.

guest_suite=bookworm

# Of the machine's sources those that serve the guest's suite, into the folder $1; both forms that apt knows.
copy_sources() {
    mkdir -p "$1"
    for copy_from in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        [ -f "$copy_from" ] || continue
        case $copy_from in
        *.sources)
            awk -v suite="$guest_suite" 'BEGIN { RS = ""; ORS = "\n\n" }
                match($0, /(^|\n)Suites:[^\n]*/) && (substr($0, RSTART, RLENGTH) " ") ~ "[ \t]" suite "[-a-z]*[ \t]"' \
                "$copy_from" >"$1/${copy_from##*/}"
            ;;
        *.list)
            awk -v suite="$guest_suite" '/^[ \t]*deb[ \t]/ && ($0 " ") ~ "[ \t]" suite "[-a-z]*[ \t]"' \
                "$copy_from" >"$1/${copy_from##*/}"
            ;;
        esac
    done
    find "$1" -type f -empty -delete
    [ -n "$(ls "$1")" ] || {
        echo "the machine's package sources do not have Debian $guest_suite, which the guest is made of"
        return 1
    }
}

# The sources in the folder $1, from the suite to its suite of backports, into the folder $2: the archive that has the one has the other.
copy_sources_backports() {
    mkdir -p "$2"
    for copy_from in "$1"/*; do
        case $copy_from in
        *.sources)
            awk -v suite="$guest_suite" 'BEGIN { RS = ""; ORS = "\n\n" }
                match($0, /(^|\n)Suites:[^\n]*/) && (substr($0, RSTART, RLENGTH) " ") ~ "[ \t]" suite "[ \t]" {
                    print substr($0, 1, RSTART - 1) (RSTART > 1 ? "\n" : "") "Suites: " suite "-backports" substr($0, RSTART + RLENGTH)
                }' "$copy_from" >"$2/${copy_from##*/}"
            ;;
        *.list)
            awk -v suite="$guest_suite" '($0 " ") ~ "[ \t]" suite "[ \t]" { sub("[ \t]" suite, "&-backports"); print }' \
                "$copy_from" >"$2/${copy_from##*/}"
            ;;
        esac
    done
    find "$2" -type f -empty -delete
}

# The root file system's packages, unpacked and configured, as the folder $1.
make_base() {
    # shellcheck disable=SC2046 # a list of names
    base_packages=$(printf '%s,' $(sed 's/#.*//' "$here/packages"))
    set -- "$1" "$work/sources"/*
    base_root=$1
    shift
    mmdebstrap --mode=root --variant=minbase --format=directory \
        --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
        --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        --include="${base_packages%,}" "$guest_suite" "$base_root" "$@"
}

# kernel_apt PROGRAM SOURCES ARGUMENT…: with a state of its own.
kernel_apt() {
    kernel_program=$1 kernel_state=$work/apt-${2##*/} kernel_sources=$2
    shift 2
    mkdir -p "$kernel_state/lists/partial" "$kernel_state/archives/partial"
    "$kernel_program" -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$kernel_sources" -o Dir::State::Lists="$kernel_state/lists" \
        -o Dir::Cache::Archives="$kernel_state/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
        -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=2 "$@"
}

# make_kernel VERSION FOLDER: vmlinuz, config, version and modules/ of the newest kernel of the line 6.1 or 6.12.
make_kernel() {
    kernel_from=$work/sources
    if [ "$1" = 6.12 ]; then
        kernel_from=$work/sources-backports
        copy_sources_backports "$work/sources" "$kernel_from"
    fi
    kernel_apt apt-get "$kernel_from" update || return 1
    # The newest image package that the meta package stands for.
    kernel_package=$(kernel_apt apt-cache "$kernel_from" depends linux-image-cloud-amd64 |
        sed -n "s/^ *Depends: \(linux-image-$1\.[^ ]*-cloud-amd64\)\$/\1/p" | head -n 1)
    [ -n "$kernel_package" ] || {
        echo "no kernel $1 in the package sources"
        return 1
    }
    mkdir -p "$work/deb" "$work/kernel"
    (cd "$work/deb" && kernel_apt apt-get "$kernel_from" download "$kernel_package") || return 1
    dpkg-deb -x "$work/deb/$kernel_package"_*.deb "$work/kernel" || return 1
    kernel_version=${kernel_package#linux-image-}
    mkdir -p "$2"
    echo "$kernel_version" >"$2/version"
    cp "$work/kernel/boot/vmlinuz-$kernel_version" "$2/vmlinuz" &&
        cp "$work/kernel/boot/config-$kernel_version" "$2/config" &&
        find "$work/kernel" -type d -path "*/lib/modules/$kernel_version" -exec cp -a {} "$2/modules" \; &&
        rm -rf "$work/kernel" "$work/deb" && [ -d "$2/modules" ]
}
