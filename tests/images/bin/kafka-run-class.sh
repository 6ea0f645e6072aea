#!/usr/bin/env bash
# Runs a class of Kafka's: kafka-run-class.sh [-daemon] [-name NAME] [-loggc] CLASS [ARGUMENT…]
# The KAFKA_*_OPTS variables are split at blanks.

# The same absolute paths in the same order at every start: an archive of classes is refused with others.
base=$(cd -P "${BASH_SOURCE[0]%/*}/.." && pwd)
jars=("$base"/libs/*.jar)
classpath=${CLASSPATH:+$CLASSPATH:}$(IFS=: && echo "${jars[*]}")

export LOG_DIR=${LOG_DIR:-$base/logs}
mkdir -p "$LOG_DIR"

name=''
daemon=no
gc_log=${KAFKA_GC_LOG_OPTS-}
while [[ ${1-} == -* ]]; do
    case $1 in
    -daemon) daemon=yes ;;
    -name) name=$2 && shift ;;
    -loggc) gc_log=${KAFKA_GC_LOG_OPTS:--Xlog:gc*:file=$LOG_DIR/${name:-kafka}-gc.log:time,tags:filecount=10,filesize=100M} ;;
    *) break ;;
    esac
    shift
done

# What has a name is a server, and logs to stdout; a tool's own output must stay apart from its log.
log4j=${name:+$base/config/log4j}
log4j=${log4j:-$base/config/tools-log4j}
if [[ -e ${log4j}2.yaml ]]; then
    logging=${KAFKA_LOG4J_OPTS:--Dlog4j2.configurationFile=${log4j}2.yaml}
else
    logging=${KAFKA_LOG4J_OPTS:--Dlog4j.configuration=file:$log4j.properties}
fi

jmx=${KAFKA_JMX_OPTS:--Dcom.sun.management.jmxremote -Dcom.sun.management.jmxremote.authenticate=false -Dcom.sun.management.jmxremote.ssl=false}
if [[ -n ${JMX_PORT-} && $jmx != *jmxremote.port=* ]]; then
    jmx+=" -Dcom.sun.management.jmxremote.port=$JMX_PORT"
fi

set -f # what is split below is not to be expanded as well
# shellcheck disable=SC2206
command=(
    "${JAVA_HOME:+$JAVA_HOME/bin/}java"
    ${KAFKA_HEAP_OPTS:--Xmx256M}
    ${KAFKA_JVM_PERFORMANCE_OPTS:--server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true}
    $gc_log $jmx "-Dkafka.logs.dir=$LOG_DIR" $logging
    -cp "$classpath" ${KAFKA_OPTS-} "$@"
)

if [[ $daemon == yes ]]; then
    nohup "${command[@]}" >"$LOG_DIR/${name:-kafka}.out" 2>&1 </dev/null &
else
    exec "${command[@]}"
fi
