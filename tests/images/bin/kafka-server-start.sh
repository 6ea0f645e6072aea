#!/usr/bin/env bash
# Starts a broker or controller: kafka-server-start.sh [-daemon] PROPERTIES [--override NAME=VALUE]…
if [[ $# -eq 0 || $* == -daemon ]]; then
    echo "usage: $0 [-daemon] server.properties [--override property=value]*" >&2
    exit 1
fi

bin=${BASH_SOURCE[0]%/*}
daemon=()
if [[ $1 == -daemon ]]; then
    daemon=(-daemon)
    shift
fi

export KAFKA_HEAP_OPTS=${KAFKA_HEAP_OPTS:--Xmx1G -Xms1G}
exec "$bin/kafka-run-class.sh" "${daemon[@]}" -name kafkaServer -loggc kafka.Kafka "$@"
