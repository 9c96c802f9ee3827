#!/usr/bin/env bash
# Installs the services that the tests start themselves, and says what it installed.
# Without Debian, root or sudo it installs nothing: their tests are then skipped by name.
set -euo pipefail

wanted=()
command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || wanted+=(mosquitto)
command -v mosquitto_pub >/dev/null || wanted+=(mosquitto-clients)
command -v rabbitmq-server >/dev/null || [ -x /usr/sbin/rabbitmq-server ] || wanted+=(rabbitmq-server)
# Disk errors on purpose, and file systems of the tests' own.
command -v fiu-run >/dev/null || wanted+=(fiu-utils)
command -v fusermount3 >/dev/null || wanted+=(fuse3)
# Hosts of the tests' own, and cuts between them.
command -v ip >/dev/null || [ -x /usr/sbin/ip ] || wanted+=(iproute2)
command -v nft >/dev/null || [ -x /usr/sbin/nft ] || wanted+=(nftables)
# Neo4j and Kafka of the tests come from Maven Central (scripts/fetch_neo4j.py, fetch_kafka.py), on Java 17.
command -v java >/dev/null || wanted+=(openjdk-17-jre-headless)
command -v mvn >/dev/null || wanted+=(maven)

if [ ${#wanted[@]} -eq 0 ]; then
    echo "services: nothing to install; all the tests want is here"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "services: not Debian; tests that need ${wanted[*]} will be skipped by name"
    exit 0
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
        echo "services: neither root nor password-less sudo; tests that need ${wanted[*]} will be skipped by name"
        exit 0
    fi
    as_root=(sudo -n)
fi
"${as_root[@]}" apt-get update -qq
# policy-rc.d keeps the package from starting a broker of its own on the standard port.
if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf "#!/bin/sh\nexit 101\n" | "${as_root[@]}" tee /usr/sbin/policy-rc.d >/dev/null
    "${as_root[@]}" chmod +x /usr/sbin/policy-rc.d
    trap '"${as_root[@]}" rm -f /usr/sbin/policy-rc.d' EXIT
fi
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
echo "services: installed ${wanted[*]}"
