#!/usr/bin/env bash
# The figures of PERF.md: builds, runs raw loops and broker in turn on this machine, writes target/figures/figures.{md,json}.
#
#   benches/figures.sh                          the quick profile: 3 rounds, 5 s a run, about 10 minutes
#   benches/figures.sh --full                   5 rounds, 30 s a run after 10 s of warm-up, about an hour
#   benches/figures.sh --only stream            one kind only: stream, batches, lonely, fetch, shards, starts; may be
#                                               given several times
#   benches/figures.sh --only groups --rounds 1 --kafka fetch
#                                               groups beside Kafka's, six minutes a round; runs only if it is named
#   benches/figures.sh --only recovery [--partitions N] [--data-gb GB]... [--rest-s S] [--idle-s S]
#                                               kill -9 to the first answers: with many partitions, with little and much data;
#                                               then idle memory and CPU. 200 partitions, 0.1 and 0.4 GB, killed after 2 s of
#                                               light load; --full: 10 000, 1 and 20 GB, 65 s, 20 minutes a round beside Kafka
#                                               (half of them removing files). Runs only if it is named
#   benches/figures.sh --only upkeep [--backlog-gb GB] [--with retention|scrub|backfill]...
#                                               p99 of produce at half of the broker's own peak, with and without upkeep; 0.3 GB
#                                               of backlog, which the broker may hold in memory; --full: 5, six minutes a round
#                                               beside Kafka. Runs only if it is named
#   benches/figures.sh --rounds N --time-s S --warm-up-s S --set KEY=VALUE --port P
#   benches/figures.sh --kafka DIR              what Kafka can do beside the Kafka whose jars are in DIR or DIR/libs
#   benches/figures.sh --kafka fetch            the same with Kafka 4.3.1, its published jars fetched by Maven
#
# FIGURES_DIR (target/figures) says where data and table go: the file system under it is the one that is measured.
# FIGURES_PROFILE (dist) is cargo's profile. The broker and the raw loops have CPU 0 (the threads of the broker for blocking
# calls are not pinned, but in groups, recovery and upkeep), senders CPU 1; a machine of two cores must do nothing else
# meanwhile. recovery and fetch drop the machine's page cache, if they may. They and upkeep refuse to start without room
# for their data. Needs cargo, taskset, setpriv, chrt, and for Kafka java and mvn. Ports 19640 and 19641, unless --port
# says otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${FIGURES_PROFILE:-dist}
output=${FIGURES_DIR:-target/figures}

arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,26p' "$0"; exit ;;
    --kafka)
      jars=$(benches/kafka_jars.sh "$2" "$output")
      arguments+=(--kafka "$jars"); shift 2 ;;
    *) arguments+=("$1"); shift ;;
  esac
done

start=$SECONDS
cargo build --quiet --profile "$profile" -p thalweg-server -p thalweg-loadgen -p thalweg-benches --bins
binaries=${CARGO_TARGET_DIR:-target}/$profile
exec "$binaries/figures" --binaries "$binaries" --directory "$output/data" --output "$output" \
  --build "profile $profile, $(rustc --version | cut -d' ' -f1-2), built in $((SECONDS - start)) s" "${arguments[@]}"
