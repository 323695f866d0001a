// The Kafka client inside Filebeat 8.9 (Elastic's fork of sarama) under the contract of tests/clients/README.md, set as Filebeat's Kafka
// output sets it. This sarama does not negotiate: the protocol's version alone (`protocol=`, Filebeat's 1.0.0 unless said otherwise)
// decides which request versions it sends.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"sync"
	"time"

	"github.com/Shopify/sarama"
	"thalweg.test/driver"
)

func main() {
	if os.Getenv("DRIVER_LOG") != "" {
		sarama.Logger = log.Default()
	}
	driver.Main(driver.Client{
		Name: "sarama of Filebeat", Module: "github.com/Shopify/sarama", Lacks: lacks, Produce: produce, Consume: consume, Protocols: true,
	})
}

func lacks(protocol string) map[string]string {
	lacks := map[string]string{
		"pattern":     "A consumer group subscribes to names; sarama has no patterns.",
		"static":      "This fork joins without a group.instance.id.",
		"cooperative": "This fork knows eager strategies only.",
		"pause":       "This fork has no pause.",
		"seek":        "A session cannot seek, and Filebeat never does.",
		"seek_time":   "A session cannot seek, and Filebeat never does.",
		"idempotent":  "Filebeat does not ask for it.",
		"assign":      "Partitions are read without a group by topic, all of them.",
	}
	if config, err := settings(protocol); err == nil && !config.Version.IsAtLeast(sarama.V2_1_0_0) {
		lacks["zstd"] = "sarama takes zstd from protocol version 2.1.0 on."
	}
	return lacks
}

// settings are those of Filebeat's Kafka output with its defaults.
func settings(protocol string) (*sarama.Config, error) {
	config := sarama.NewConfig()
	if protocol == "" {
		protocol = "1.0.0"
	}
	var err error
	if config.Version, err = sarama.ParseKafkaVersion(protocol); err != nil {
		return nil, err
	}
	config.ClientID = "beats"
	config.Net.DialTimeout, config.Net.ReadTimeout, config.Net.WriteTimeout = 30*time.Second, 30*time.Second, 30*time.Second
	config.Metadata.Retry.Max, config.Metadata.Retry.Backoff = 3, 250*time.Millisecond
	config.Producer.MaxMessageBytes = 1000000
	config.Producer.Timeout = 10 * time.Second
	config.Producer.Flush.MaxMessages = 2048
	config.Producer.Retry.Max = 3
	config.Producer.Return.Successes, config.Producer.Return.Errors = true, true
	config.Producer.Partitioner = sarama.NewHashPartitioner
	config.ChannelBufferSize = 256
	return config, nil
}

func produce(wanted driver.Produce, tally *driver.Tally) error {
	codecs := map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	}
	acks := map[string]sarama.RequiredAcks{"all": sarama.WaitForAll, "1": sarama.WaitForLocal, "0": sarama.NoResponse}
	config, err := settings(wanted.Protocol)
	if err != nil {
		return err
	}
	config.Producer.Compression = codecs[wanted.Codec]
	config.Producer.RequiredAcks = acks[wanted.Acks]
	// What this client gives up, Filebeat hands to it again; here it tries for about a minute by itself.
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

func consume(wanted driver.Consume, reader *driver.Reader) error {
	for name, asked := range map[string]bool{"pattern": wanted.Pattern != "", "static": wanted.Instance != "", "assign": len(wanted.Assign) > 0} {
		if asked {
			return errors.New(lacks("")[name])
		}
	}
	config, err := settings(wanted.Protocol)
	if err != nil {
		return err
	}
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	if wanted.Latest {
		config.Consumer.Offsets.Initial = sarama.OffsetNewest
	}
	if wanted.ClientID != "" {
		config.ClientID = wanted.ClientID
	}
	config.Metadata.RefreshFrequency = wanted.MetadataAge
	config.Consumer.Return.Errors = true
	config.Consumer.Group.Session.Timeout = wanted.Session
	config.Consumer.Group.Heartbeat.Interval = wanted.Heartbeat
	config.Consumer.Offsets.AutoCommit.Enable = wanted.Commit == "auto"
	strategies := map[string]sarama.BalanceStrategy{
		"": config.Consumer.Group.Rebalance.Strategy, "range": sarama.BalanceStrategyRange,
		"roundrobin": sarama.BalanceStrategyRoundRobin, "sticky": sarama.BalanceStrategySticky,
	}
	strategy, known := strategies[wanted.Assignor]
	if !known {
		return errors.New("no assignor " + wanted.Assignor)
	}
	config.Consumer.Group.Rebalance.Strategy = strategy
	client, err := sarama.NewClient(wanted.Bootstrap, config)
	if err != nil {
		return err
	}
	defer client.Close()
	if wanted.Group == "" {
		return alone(client, wanted, reader)
	}
	return together(client, wanted, reader)
}

// alone reads every partition of the topics without a group.
func alone(client sarama.Client, wanted driver.Consume, reader *driver.Reader) error {
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return err
	}
	defer consumer.Close()
	assigned := map[string][]int32{}
	m := &member{wanted: wanted, reader: reader, full: make(chan struct{})}
	for _, topic := range wanted.Topics {
		if assigned[topic], err = consumer.Partitions(topic); err != nil {
			return err
		}
		for _, partition := range assigned[topic] {
			part, err := consumer.ConsumePartition(topic, partition, client.Config().Consumer.Offsets.Initial)
			if err != nil {
				return err
			}
			go tellErrors(part.Errors())
			go func() {
				for message := range part.Messages() {
					m.take(nil, message, false)
				}
			}()
		}
	}
	reader.Assigned(assigned)
	m.obey()
	return nil
}

// together reads as a member of a group, one session after another.
func together(client sarama.Client, wanted driver.Consume, reader *driver.Reader) error {
	group, err := sarama.NewConsumerGroupFromClient(wanted.Group, client)
	if err != nil {
		return err
	}
	go func() {
		for err := range group.Errors() {
			driver.Failed(err, false)
		}
	}()
	m := &member{wanted: wanted, reader: reader, full: make(chan struct{})}
	living, end := context.WithCancel(context.Background())
	go func() {
		m.obey()
		end()
	}()
	for living.Err() == nil {
		if err := group.Consume(living, wanted.Topics, m); err != nil && living.Err() == nil {
			driver.Failed(err, false)
			time.Sleep(time.Second)
		}
	}
	return group.Close()
}

func tellErrors(errs <-chan *sarama.ConsumerError) {
	for err := range errs {
		driver.Failed(err, false)
	}
}

// member is the handler of a group's sessions, and counts for one that reads alone.
type member struct {
	wanted driver.Consume
	reader *driver.Reader
	full   chan struct{}

	mutex   sync.Mutex
	session sarama.ConsumerGroupSession
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.session = session
	m.reader.Assigned(session.Claims())
	return nil
}

func (m *member) Cleanup(session sarama.ConsumerGroupSession) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.wanted.Commit == "each" {
		m.commit()
	}
	m.session = nil
	m.reader.Revoked(session.Claims())
	return nil
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		if session.Context().Err() != nil {
			return nil
		}
		m.take(session, message, len(claim.Messages()) == 0)
	}
	return nil
}

func (m *member) take(session sarama.ConsumerGroupSession, message *sarama.ConsumerMessage, last bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if !m.reader.Record(message.Topic, message.Partition, message.Offset, message.Timestamp.UnixMilli(), message.Key, message.Value) {
		return
	}
	if session != nil {
		session.MarkMessage(message, "")
		if m.wanted.Commit == "each" && (last || m.reader.Full()) {
			m.commit()
		}
	}
	if m.reader.Full() {
		close(m.full)
	}
}

// commit commits what is marked; what goes wrong with it comes as an error of the group's.
func (m *member) commit() {
	if m.session == nil {
		driver.Failed(errors.New("no session to commit in"), false)
		return
	}
	m.session.Commit()
	m.reader.Committed(m.reader.Positions(), nil)
}

// obey carries out commands until the end.
func (m *member) obey() {
	for {
		select {
		case <-m.full:
			return
		case command := <-m.reader.Commands:
			switch command.Verb {
			case "stop":
				return
			case "commit":
				m.mutex.Lock()
				m.commit()
				m.mutex.Unlock()
			default:
				driver.Failed(errors.New(command.Verb+" is not for this client"), false)
			}
		}
	}
}
