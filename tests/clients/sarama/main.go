// The Kafka client inside Filebeat 8.9 (Elastic's fork of sarama), set as Filebeat's Kafka output sets it. Verbs:
//
//	produce  -brokers HOST:PORT -topic T -first N -count N [-protocol 1.0.0] [-codec none|gzip|snappy|lz4] [-acks 1]
//	consume  -brokers HOST:PORT -topic T -count N [-protocol 1.0.0]      every partition from its oldest offset
//	group    -brokers HOST:PORT -topic T -count N -group G [-protocol 1.0.0]
//
// One line of JSON on standard output; anything that goes wrong ends with 1. This sarama does not negotiate: the protocol version
// alone decides which request versions it sends.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/Shopify/sarama"
)

type options struct {
	brokers, topic, protocol, codec, group string
	first, count, acks                     int
}

type outcome struct {
	Acked  int      `json:"acked,omitempty"`
	Read   int      `json:"read,omitempty"`
	Values []string `json:"values,omitempty"`
}

const patience = 60 * time.Second

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("a verb: produce, consume or group")
	}
	var o options
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&o.brokers, "brokers", "", "")
	flags.StringVar(&o.topic, "topic", "", "")
	flags.StringVar(&o.protocol, "protocol", "1.0.0", "")
	flags.StringVar(&o.codec, "codec", "none", "")
	flags.StringVar(&o.group, "group", "", "")
	flags.IntVar(&o.first, "first", 0, "")
	flags.IntVar(&o.count, "count", 0, "")
	flags.IntVar(&o.acks, "acks", 1, "")
	_ = flags.Parse(os.Args[2:])
	if os.Getenv("SARAMA_LOG") != "" {
		sarama.Logger = log.New(os.Stderr, "", log.Ltime)
	}
	verbs := map[string]func(options) (outcome, error){"produce": produce, "consume": consume, "group": group}
	result, err := verbs[os.Args[1]](o)
	if err != nil {
		log.Fatal(err)
	}
	_ = json.NewEncoder(os.Stdout).Encode(result)
}

// settings are those of Filebeat's Kafka output with its defaults.
func settings(o options) (*sarama.Config, error) {
	config := sarama.NewConfig()
	version, err := sarama.ParseKafkaVersion(o.protocol)
	if err != nil {
		return nil, err
	}
	config.Version = version
	config.ClientID = "beats"
	config.Net.DialTimeout, config.Net.ReadTimeout, config.Net.WriteTimeout = 30*time.Second, 30*time.Second, 30*time.Second
	config.Metadata.Retry.Max, config.Metadata.Retry.Backoff = 3, 250*time.Millisecond
	config.Producer.MaxMessageBytes = 1000000
	config.Producer.RequiredAcks = sarama.RequiredAcks(o.acks)
	config.Producer.Timeout = 10 * time.Second
	config.Producer.Flush.MaxMessages = 2048
	config.Producer.Retry.Max = 3
	config.Producer.Return.Successes, config.Producer.Return.Errors = true, true
	config.Producer.Partitioner = sarama.NewHashPartitioner
	config.ChannelBufferSize = 256
	codecs := map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	}
	config.Producer.Compression = codecs[o.codec]
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	return config, config.Validate()
}

func produce(o options) (outcome, error) {
	config, err := settings(o)
	if err != nil {
		return outcome{}, err
	}
	producer, err := sarama.NewAsyncProducer(strings.Split(o.brokers, ","), config)
	if err != nil {
		return outcome{}, err
	}
	go func() {
		for i := o.first; i < o.first+o.count; i++ {
			producer.Input() <- &sarama.ProducerMessage{Topic: o.topic, Value: sarama.StringEncoder(fmt.Sprintf("value-%d", i))}
		}
		producer.AsyncClose()
	}()
	acked := 0
	successes, failures := producer.Successes(), producer.Errors()
	for successes != nil || failures != nil {
		select {
		case _, open := <-successes:
			if !open {
				successes = nil
				continue
			}
			acked++
		case failure, open := <-failures:
			if !open {
				failures = nil
				continue
			}
			err = failure
		}
	}
	return outcome{Acked: acked}, err
}

func consume(o options) (outcome, error) {
	config, err := settings(o)
	if err != nil {
		return outcome{}, err
	}
	consumer, err := sarama.NewConsumer(strings.Split(o.brokers, ","), config)
	if err != nil {
		return outcome{}, err
	}
	defer consumer.Close()
	partitions, err := consumer.Partitions(o.topic)
	if err != nil {
		return outcome{}, err
	}
	values := make(chan string)
	for _, partition := range partitions {
		part, err := consumer.ConsumePartition(o.topic, partition, sarama.OffsetOldest)
		if err != nil {
			return outcome{}, err
		}
		go func() {
			for message := range part.Messages() {
				values <- string(message.Value)
			}
		}()
	}
	return gather(values, o.count)
}

type reader struct {
	values chan string
}

func (reader) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (reader) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (r reader) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		select {
		case r.values <- string(message.Value):
			session.MarkMessage(message, "")
		case <-session.Context().Done():
			return nil
		}
	}
	return nil
}

func group(o options) (outcome, error) {
	config, err := settings(o)
	if err != nil {
		return outcome{}, err
	}
	members, err := sarama.NewConsumerGroup(strings.Split(o.brokers, ","), o.group, config)
	if err != nil {
		return outcome{}, err
	}
	values := make(chan string)
	ended := make(chan error, 1)
	context, cancel := context.WithCancel(context.Background())
	go func() { ended <- members.Consume(context, []string{o.topic}, reader{values}) }()
	result, err := gather(values, o.count)
	time.Sleep(200 * time.Millisecond) // the last message is marked after it was handed over
	cancel()
	if consumed := <-ended; consumed != nil && err == nil {
		err = consumed
	}
	if closed := members.Close(); closed != nil && err == nil {
		err = closed
	}
	return result, err
}

func gather(values <-chan string, count int) (outcome, error) {
	var result outcome
	deadline := time.After(patience)
	for result.Read < count {
		select {
		case value := <-values:
			result.Values = append(result.Values, value)
			result.Read++
		case <-deadline:
			return result, fmt.Errorf("read %d of %d within %s", result.Read, count, patience)
		}
	}
	return result, nil
}
