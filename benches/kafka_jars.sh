#!/usr/bin/env bash
# Prints the folder of Kafka's jars.
#
#   benches/kafka_jars.sh DIR OUTPUT       DIR, or DIR/libs of a release
#   benches/kafka_jars.sh fetch OUTPUT     OUTPUT/kafka-4.3.1, its published jars, fetched by Maven unless they are there
set -euo pipefail
cd "$(dirname "$0")/.."
jars=$1 output=$2
if [ "$jars" = fetch ]; then
  jars=$output/kafka-4.3.1
  if [ ! -d "$jars" ]; then
    # Under another name until all of them are there.
    rm -rf "$jars.part"
    mvn -q -B -f tests/clients/java/pom.xml -Dkafka.version=4.3.1 \
      dependency:copy-dependencies -DoutputDirectory="$(realpath -m "$jars.part")" >&2
    mv "$jars.part" "$jars"
  fi
elif [ -d "$jars/libs" ]; then
  jars=$jars/libs
fi
ls "$jars"/*.jar > /dev/null
echo "$jars"
