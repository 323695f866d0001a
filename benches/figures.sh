#!/usr/bin/env bash
# The figures of PERF.md: builds, runs raw loops and broker in turn on this machine, writes target/figures/figures.{md,json}.
#
#   benches/figures.sh                          the quick profile: 3 rounds, 5 s a run, about 6 minutes
#   benches/figures.sh --full                   5 rounds, 30 s a run after 10 s of warm-up, about an hour
#   benches/figures.sh --only stream            one kind only: stream, batches, lonely, starts; may be given several times
#   benches/figures.sh --only groups --rounds 1 --kafka fetch
#                                               groups beside Kafka's, six minutes a round; runs only if it is named
#   benches/figures.sh --rounds N --time-s S --warm-up-s S --set KEY=VALUE --port P
#   benches/figures.sh --kafka DIR              starts and memory beside the Kafka whose jars are in DIR or DIR/libs
#   benches/figures.sh --kafka fetch            the same with Kafka 4.3.1, its published jars fetched by Maven
#
# FIGURES_DIR (target/figures) says where data and table go: the file system under it is the one that is measured.
# FIGURES_PROFILE (dist) is cargo's profile. The broker and the raw loops have CPU 0 (the threads of the broker for blocking
# calls are not pinned), senders CPU 1; a machine of two cores must do nothing else meanwhile. Needs cargo, taskset, and for
# Kafka java and mvn. Ports 19640 and 19641, unless --port says otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${FIGURES_PROFILE:-dist}
output=${FIGURES_DIR:-target/figures}

arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,17p' "$0"; exit ;;
    --kafka)
      jars=$2
      if [ "$jars" = fetch ]; then
        jars=$output/kafka-4.3.1
        [ -d "$jars" ] || mvn -q -B -f tests/clients/java/pom.xml -Dkafka.version=4.3.1 \
          dependency:copy-dependencies -DoutputDirectory="$(realpath -m "$jars")"
      elif [ -d "$jars/libs" ]; then
        jars=$jars/libs
      fi
      arguments+=(--kafka "$jars"); shift 2 ;;
    *) arguments+=("$1"); shift ;;
  esac
done

start=$SECONDS
cargo build --quiet --profile "$profile" -p thalweg-server -p thalweg-loadgen -p thalweg-benches --bins
binaries=${CARGO_TARGET_DIR:-target}/$profile
exec "$binaries/figures" --binaries "$binaries" --directory "$output/data" --output "$output" \
  --build "profile $profile, $(rustc --version | cut -d' ' -f1-2), built in $((SECONDS - start)) s" "${arguments[@]}"
