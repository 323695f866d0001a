// IBM's sarama under the contract of tests/clients/README.md. The protocol's version is set by hand, as its users do (`protocol=`).
package main

import (
	"log"
	"os"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"thalweg.test/driver"
)

func main() {
	if os.Getenv("DRIVER_LOG") != "" {
		sarama.Logger = log.Default()
	}
	driver.Main(driver.Client{
		Name: "sarama", Module: "github.com/IBM/sarama", Lacks: lacks, Produce: produce, Consume: consume, Protocols: true,
	})
}

func lacks(protocol string) map[string]string {
	lacks := map[string]string{
		"pattern": "A consumer group subscribes to names; sarama has no patterns.",
	}
	version, err := version(protocol)
	if err == nil && !version.IsAtLeast(sarama.V2_1_0_0) {
		lacks["zstd"] = "sarama takes zstd from protocol version 2.1.0 on."
	}
	if err == nil && !version.IsAtLeast(sarama.V2_3_0_0) {
		lacks["static"] = "sarama sends group.instance.id from protocol version 2.3.0 on."
	}
	if err == nil && !version.IsAtLeast(sarama.V2_4_0_0) {
		lacks["cooperative"] = "sarama rebalances cooperatively from protocol version 2.4.0 on."
	}
	return lacks
}

func version(protocol string) (sarama.KafkaVersion, error) {
	if protocol == "" {
		return sarama.DefaultVersion, nil
	}
	return sarama.ParseKafkaVersion(protocol)
}

func produce(wanted driver.Produce, tally *driver.Tally) error {
	codecs := map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	}
	acks := map[string]sarama.RequiredAcks{"all": sarama.WaitForAll, "1": sarama.WaitForLocal, "0": sarama.NoResponse}
	config := sarama.NewConfig()
	var err error
	if config.Version, err = version(wanted.Protocol); err != nil {
		return err
	}
	config.Producer.Return.Successes = true
	config.Producer.Compression = codecs[wanted.Codec]
	config.Producer.RequiredAcks = acks[wanted.Acks]
	// A broker may be away for a minute: its leaders are asked for as long as its batches are tried.
	config.Producer.Retry.Max, config.Producer.Retry.Backoff = 120, 500*time.Millisecond
	config.Metadata.Retry.Max = 240
	config.Producer.MaxMessageBytes = max(config.Producer.MaxMessageBytes, wanted.ValueBytes+10_000)
	if wanted.Idempotent {
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1
	}
	if wanted.Partition >= 0 {
		config.Producer.Partitioner = sarama.NewManualPartitioner
	}
	producer, err := sarama.NewAsyncProducer(wanted.Bootstrap, config)
	if err != nil {
		return err
	}
	// Closed only when each record's fate is known: one that comes back to be tried again after that is given up.
	var open sync.WaitGroup
	go func() {
		wanted.Each(func(key, value string) {
			open.Add(1)
			producer.Input() <- &sarama.ProducerMessage{
				Topic: wanted.Topic, Partition: wanted.Partition, Key: sarama.StringEncoder(key), Value: sarama.StringEncoder(value),
			}
		})
		open.Wait()
		producer.AsyncClose()
	}()
	failed := make(chan struct{})
	go func() {
		defer close(failed)
		for failure := range producer.Errors() {
			tally.Done(failure.Err)
			open.Done()
		}
	}()
	for range producer.Successes() {
		tally.Done(nil)
		open.Done()
	}
	<-failed
	return nil
}
