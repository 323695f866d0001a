// segmentio/kafka-go under the contract of tests/clients/README.md.
package main

import (
	"context"
	"log"
	"os"

	"github.com/segmentio/kafka-go"
	"thalweg.test/driver"
)

func main() {
	driver.Main(driver.Client{
		Name: "kafka-go", Module: "github.com/segmentio/kafka-go", Lacks: lacks, Produce: produce, Consume: consume,
	})
}

func lacks(string) map[string]string {
	return map[string]string{
		"idempotent":  "kafka-go asks for no producer id.",
		"static":      "kafka-go joins without a group.instance.id.",
		"pattern":     "kafka-go subscribes to names; it has no patterns.",
		"cooperative": "kafka-go knows the eager assignors range and roundrobin.",
		"sticky":      "kafka-go knows the assignors range and roundrobin.",
	}
}

func produce(wanted driver.Produce, tally *driver.Tally) error {
	codecs := map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}
	acks := map[string]kafka.RequiredAcks{"all": kafka.RequireAll, "1": kafka.RequireOne, "0": kafka.RequireNone}
	if wanted.Idempotent {
		tally.Done(errorOf("idempotent"))
		return errorOf("idempotent")
	}
	writer := &kafka.Writer{
		Addr: kafka.TCP(wanted.Bootstrap...), Topic: wanted.Topic, RequiredAcks: acks[wanted.Acks], Compression: codecs[wanted.Codec],
		MaxAttempts: 60, // a second between them
		BatchBytes:  int64(max(1_048_576, wanted.ValueBytes+10_000)),
		Async:       true,
		Completion: func(messages []kafka.Message, err error) {
			for range messages {
				tally.Done(err)
			}
		},
		ErrorLogger: log.Default(),
	}
	if wanted.Partition >= 0 {
		writer.Balancer = kafka.BalancerFunc(func(kafka.Message, ...int) int { return int(wanted.Partition) })
	}
	wanted.Each(func(key, value string) {
		message := kafka.Message{Key: []byte(key), Value: []byte(value)}
		if err := writer.WriteMessages(context.Background(), message); err != nil {
			tally.Done(err)
		}
	})
	return writer.Close()
}

func logger() kafka.Logger {
	if os.Getenv("DRIVER_LOG") == "" {
		return nil
	}
	return log.Default()
}
