# The first process of a broker's container. It outlives Kafka, so that a broker that is stopped and started keeps the
# container's published port and its data. Signals: USR1 stops Kafka, HUP does so without much patience, QUIT without any
# warning, USR2 starts it again, TERM ends everything.
home=/tmp/pytest-msk
data=/var/lib/kafka/data
kafka=/opt/kafka
wanted=running
pid=      # Kafka's, while it runs
deadline= # what ends Kafka when asking did not

# One stream, so that what is said here about Kafka's end comes after Kafka's own last words.
exec 2>&1
trap 'wanted=running' USR2
trap 'wanted=stopped; end_kafka 8' USR1
trap 'wanted=stopped; end_kafka 1' HUP
trap 'wanted=stopped; [[ -z $pid ]] || kill -KILL "$pid" 2>/dev/null' QUIT
trap 'wanted=removed; end_kafka 1' TERM INT

# Keys are copied in here: nobody else is to read them. Settings are not copied in before this folder is there.
mkdir -p -m 700 $home

say() { echo "[pytest-msk] $*"; }

# The published port is known only now that the container runs: the settings that advertise it are copied in next.
await_settings() {
    until [[ -e $home/complete ]]; do
        [[ $wanted != removed ]] || exit 0
        sleep 0.02
    done
}

# Java flags for a short life, with the archive of loaded classes that the image ships. Java goes without an archive it
# cannot use. Neither remote management nor a log of garbage collections: both cost time at every start.
use_fast_java() { # ARCHIVE
    export KAFKA_JVM_PERFORMANCE_OPTS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError -XX:-UsePerfData"
    [[ ! -e $kafka/$1.jsa ]] || KAFKA_JVM_PERFORMANCE_OPTS+=" -XX:SharedArchiveFile=$kafka/$1.jsa"
    # A broker in a new container has another address: nobody may go by the old one for Java's half a minute.
    KAFKA_JVM_PERFORMANCE_OPTS+=" -Djava.security.properties=$home/java.security"
    export KAFKA_HEAP_OPTS=-Xmx256m KAFKA_JMX_OPTS=-Djava.awt.headless=true KAFKA_GC_LOG_OPTS=-Xlog:disable
}

# What formatting writes is known beforehand for the releases of Kafka; for another image its own tool is asked. A
# container that replaces another has its data.
format_storage() {
    mkdir -p $data
    [[ ! -e $data/meta.properties ]] || return 0
    if [[ -e $home/bootstrap.checkpoint ]]; then
        cp $home/meta.properties $home/bootstrap.checkpoint $data
    else
        (use_fast_java storage && $kafka/bin/kafka-storage.sh format -t "$(<$home/cluster-id)" -c $home/server.properties)
    fi
}

run_kafka() {
    local status
    say "Kafka starts"
    $kafka/bin/kafka-server-start.sh $home/server.properties &
    pid=$!
    while kill -0 $pid 2>/dev/null; do
        wait $pid # returns early when a signal arrives
    done
    wait $pid
    status=$?
    pid=
    [[ -z $deadline ]] || kill "$deadline" 2>/dev/null
    deadline=
    if [[ $wanted == running ]]; then
        say "Kafka ended with status $status"
        wanted=stopped
    else
        say "Kafka stopped"
    fi
}

# A broker that finds no quorum of controllers to take its leave from would wait for minutes. It is not missed.
end_kafka() { # SECONDS
    [[ -n $pid ]] || return 0
    kill -TERM "$pid" 2>/dev/null
    (sleep "$1" && kill -KILL "$pid" 2>/dev/null) &
    deadline=$!
}

await_settings
format_storage || { say "Kafka's storage could not be formatted" && exit 1; }
use_fast_java kafka
while [[ $wanted != removed ]]; do
    if [[ $wanted == running ]]; then run_kafka; else sleep 0.05; fi
done
