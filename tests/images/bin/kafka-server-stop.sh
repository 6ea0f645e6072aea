#!/usr/bin/env bash
# Ends every broker and controller in sight: kafka-server-stop.sh
signal=${SIGNAL:-TERM}
found=no
for process in /proc/[0-9]*; do
    if tr '\0' '\n' <"$process/cmdline" 2>/dev/null | grep -qx kafka.Kafka; then
        kill -s "$signal" "${process#/proc/}"
        found=yes
    fi
done
if [[ $found == no ]]; then
    echo "No kafka server to stop"
    exit 1
fi
