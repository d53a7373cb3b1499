# What the recipes' `try` share. Source it after changing to the folder of the repository, and after scripts/lib.sh.

PATH=$PATH:/usr/sbin:/sbin

# The words of the duel.
words=("$@")
[ $# -gt 0 ] || words=(epoll mio tokio --workload stream --quick)

skip() { echo "skipped: $*"; exit 0; }

need() { # COMMAND, THE DEBIAN PACKAGE THAT HAS IT
    command -v "$1" >/dev/null || skip "it needs $1 (Debian: $2)"
}

# Has a program of PyPI in target/python/bin.
need_python() { # PACKAGE, VERSION
    [ -x "target/python/bin/$1" ] && return
    mkdir -p target
    { python3 -m venv target/python && target/python/bin/pip install --quiet "$1==$2"; } >target/python.log 2>&1 ||
        skip "$1 can't be installed: $(tail -1 target/python.log)"
}

# Fights the duel on the machines of a file.
# shellcheck disable=SC2154 # scripts/lib.sh has it
duel() { "$ioduel" duel --machines "$1" --out target/elsewhere "${words[@]}"; }

# Starts the script again in namespaces of its own: mounts, network, processes and host name, with an empty /run. What it makes
# there is gone when it ends, however it ends. The program is built before, for there is no network inside.
apart() {
    if [ "${IODUEL_APART:-}" = 1 ]; then
        # The first process of a namespace gets no signal that it does not ask for.
        trap 'exit 143' TERM
        mount -t tmpfs -o mode=755 tmpfs /run
        mkdir /run/ioduel
        ip link set lo up
        return
    fi
    need ip iproute2
    local alone=(setpriv --pdeathsig KILL unshare --mount --net --uts --ipc --pid --fork --mount-proc --kill-child)
    "${alone[@]}" true 2>/dev/null || skip 'it needs namespaces, as root'
    build
    IODUEL_APART=1 "${alone[@]}" "$(cd "$OLDPWD" && realpath "$0")" "${words[@]}" &
    trap 'kill -KILL $! 2>/dev/null || true' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    wait $!
    exit
}

# Makes a host for each NAME=ADDRESS in 10.83.0.0/24: a network namespace behind a bridge, known by its name.
hosts() {
    local host name
    ip link add hosts type bridge
    ip address add 10.83.0.254/24 dev hosts
    ip link set hosts up
    cp /etc/hosts /run/ioduel/hosts
    for host; do
        name=${host%=*}
        ip netns add "$name"
        ip link add "$name" type veth peer name net netns "$name"
        ip link set "$name" master hosts up
        connect "$name" net "${host#*=}/24"
        echo "${host#*=} $name" >>/run/ioduel/hosts
    done
    mount --bind /run/ioduel/hosts /etc/hosts
}

connect() { # NAMESPACE, ITS DEVICE, THE ADDRESS
    ip -n "$1" address add "$3" dev "$2"
    ip -n "$1" link set lo up
    ip -n "$1" link set "$2" up
    # Linux takes ports out of TIME_WAIT early on loopback alone. Over any other device a session would hold its port for a
    # minute, which allows 235 sessions/s.
    ip netns exec "$1" sysctl --quiet net.ipv4.tcp_tw_reuse=1
}
