// franz-go under the contract of tests/clients/README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"thalweg.test/driver"
)

func main() {
	lacks := func(string) map[string]string { return map[string]string{} }
	driver.Main(driver.Client{Name: "franz-go", Module: "github.com/twmb/franz-go", Lacks: lacks, Produce: produce, Consume: consume})
}

func produce(wanted driver.Produce, tally *driver.Tally) error {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	acks := map[string]kgo.Acks{"all": kgo.AllISRAcks(), "1": kgo.LeaderAck(), "0": kgo.NoAck()}
	options := []kgo.Opt{
		kgo.SeedBrokers(wanted.Bootstrap...), kgo.DefaultProduceTopic(wanted.Topic), kgo.RequiredAcks(acks[wanted.Acks]),
		kgo.ProducerBatchCompression(codecs[wanted.Codec]), kgo.RecordDeliveryTimeout(time.Minute), kgo.WithLogger(logger()),
	}
	if !wanted.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	if wanted.Partition >= 0 {
		options = append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	if wanted.ValueBytes >= 1_000_000 {
		options = append(options, kgo.ProducerBatchMaxBytes(int32(wanted.ValueBytes+10_000)))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	wanted.Each(func(key, value string) {
		record := &kgo.Record{Key: []byte(key), Value: []byte(value), Partition: max(0, wanted.Partition)}
		client.Produce(context.Background(), record, func(_ *kgo.Record, err error) { tally.Done(err) })
	})
	return client.Flush(context.Background())
}

func consume(wanted driver.Consume, reader *driver.Reader) error {
	options, err := settings(wanted, reader)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	if len(wanted.Assign) > 0 {
		reader.Assigned(wanted.Assign)
	}
	for !reader.Full() {
		select {
		case command := <-reader.Commands:
			if command.Verb == "stop" {
				return stop(client, wanted, reader)
			}
			obey(client, command, reader)
		default:
			if err := poll(client, wanted, reader); err != nil {
				return err
			}
		}
		client.AllowRebalance()
	}
	return stop(client, wanted, reader)
}

func settings(wanted driver.Consume, reader *driver.Reader) ([]kgo.Opt, error) {
	start := kgo.NewOffset().AtStart()
	if wanted.Latest {
		start = kgo.NewOffset().AtEnd()
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(wanted.Bootstrap...), kgo.ConsumeStartOffset(start), kgo.ConsumeResetOffset(start), kgo.WithLogger(logger()),
		kgo.MetadataMaxAge(wanted.MetadataAge), kgo.MetadataMinAge(min(wanted.MetadataAge, 2500*time.Millisecond)),
	}
	if wanted.ClientID != "" {
		options = append(options, kgo.ClientID(wanted.ClientID))
	}
	switch {
	case wanted.Pattern != "":
		options = append(options, kgo.ConsumeRegex(), kgo.ConsumeTopics(wanted.Pattern))
	case len(wanted.Assign) > 0:
		partitions := map[string]map[int32]kgo.Offset{}
		for topic, numbers := range wanted.Assign {
			partitions[topic] = map[int32]kgo.Offset{}
			for _, partition := range numbers {
				partitions[topic][partition] = start
			}
		}
		return append(options, kgo.ConsumePartitions(partitions)), nil
	default:
		options = append(options, kgo.ConsumeTopics(wanted.Topics...))
	}
	if wanted.Group == "" {
		return options, nil
	}
	// One of polling and rebalancing at a time: the events come in the order in which things happened.
	options = append(options, kgo.ConsumerGroup(wanted.Group), kgo.SessionTimeout(wanted.Session), kgo.HeartbeatInterval(wanted.Heartbeat),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, more map[string][]int32) { reader.Assigned(more) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, client *kgo.Client, gone map[string][]int32) {
			if wanted.Commit == "auto" { // what the client does by itself where nobody wants to be told
				if err := client.CommitUncommittedOffsets(context.Background()); err != nil {
					driver.Failed(err, false)
				}
			}
			reader.Revoked(gone)
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) { reader.Revoked(gone) }))
	if wanted.Instance != "" {
		options = append(options, kgo.InstanceID(wanted.Instance))
	}
	if wanted.Commit == "auto" {
		options = append(options, kgo.AutoCommitInterval(time.Second))
	} else {
		options = append(options, kgo.DisableAutoCommit())
	}
	balancers := map[string]kgo.GroupBalancer{
		"range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(), "sticky": kgo.StickyBalancer(), "cooperative-sticky": kgo.CooperativeStickyBalancer(),
	}
	if balancer, known := balancers[wanted.Assignor]; known {
		options = append(options, kgo.Balancers(balancer))
	} else if wanted.Assignor != "" {
		return nil, fmt.Errorf("no assignor %s", wanted.Assignor)
	}
	return options, nil
}

func poll(client *kgo.Client, wanted driver.Consume, reader *driver.Reader) error {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	count := 10_000
	if wanted.Max > 0 {
		count = reader.Left()
	}
	fetches := client.PollRecords(ctx, count)
	if fetches.IsClientClosed() {
		return errors.New("the client closed itself")
	}
	fetches.EachError(func(topic string, partition int32, err error) {
		if !errors.Is(err, context.DeadlineExceeded) {
			driver.Failed(fmt.Errorf("%s:%d: %w", topic, partition, err), false)
		}
	})
	fetches.EachRecord(func(record *kgo.Record) {
		reader.Record(record.Topic, record.Partition, record.Offset, record.Timestamp.UnixMilli(), record.Key, record.Value)
	})
	if wanted.Commit == "each" && fetches.NumRecords() > 0 {
		commit(client, reader)
	}
	return nil
}

// commit commits what was read, and asks for the word of every partition.
func commit(client *kgo.Client, reader *driver.Reader) {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for topic, partitions := range reader.Positions() {
		offsets[topic] = map[int32]kgo.EpochOffset{}
		for partition, offset := range partitions {
			offsets[topic][partition] = kgo.EpochOffset{Epoch: -1, Offset: offset}
		}
	}
	var failed error
	client.CommitOffsetsSync(context.Background(), offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
		failed = err
		if err != nil {
			return
		}
		for _, topic := range answer.Topics {
			for _, partition := range topic.Partitions {
				failed = errors.Join(failed, kerr.ErrorForCode(partition.ErrorCode))
			}
		}
	})
	reader.Committed(reader.Positions(), failed)
}

func obey(client *kgo.Client, command driver.Command, reader *driver.Reader) {
	switch command.Verb {
	case "pause":
		client.PauseFetchPartitions(reader.Assignment())
		reader.Told("paused")
	case "resume":
		client.ResumeFetchPartitions(reader.Assignment())
		reader.Told("resumed")
	case "commit":
		commit(client, reader)
	case "seek":
		seek(client, reader, command.Topic, command.Partition, command.Number)
		reader.Told("sought")
	case "seek_time":
		assigned := reader.Assignment()
		topics := make([]string, 0, len(assigned))
		for topic := range assigned {
			topics = append(topics, topic)
		}
		found, err := kadm.NewClient(client).ListOffsetsAfterMilli(context.Background(), command.Number, topics...)
		if err == nil {
			err = found.Error()
		}
		if err != nil {
			driver.Failed(err, false)
			return
		}
		for topic, partitions := range assigned {
			for _, partition := range partitions {
				offset, _ := found.Lookup(topic, partition)
				seek(client, reader, topic, partition, offset.Offset)
			}
		}
		reader.Told("sought")
	}
}

func seek(client *kgo.Client, reader *driver.Reader, topic string, partition int32, offset int64) {
	client.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: {partition: {Epoch: -1, Offset: offset}}})
	reader.Moved(topic, partition, offset)
}

func stop(client *kgo.Client, wanted driver.Consume, reader *driver.Reader) error {
	client.AllowRebalance()
	if wanted.Commit != "none" && wanted.Group != "" {
		if err := client.CommitUncommittedOffsets(context.Background()); err != nil {
			driver.Failed(err, false)
		}
	}
	client.Close()
	return nil
}

func logger() kgo.Logger {
	level := kgo.LogLevelWarn
	if strings.EqualFold(os.Getenv("DRIVER_LOG"), "debug") {
		level = kgo.LogLevelDebug
	}
	return kgo.BasicLogger(os.Stderr, level, nil)
}
