package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
	"thalweg.test/driver"
)

func consume(wanted driver.Consume, reader *driver.Reader) error {
	config, err := settings(wanted)
	if err != nil {
		return err
	}
	client, err := sarama.NewClient(wanted.Bootstrap, config)
	if err != nil {
		return err
	}
	defer client.Close()
	switch {
	case wanted.Pattern != "":
		return errors.New(lacks("")["pattern"])
	case len(wanted.Assign) > 0 || wanted.Group == "":
		return alone(client, wanted, reader)
	}
	return together(client, wanted, reader)
}

func settings(wanted driver.Consume) (*sarama.Config, error) {
	config := sarama.NewConfig()
	var err error
	if config.Version, err = version(wanted.Protocol); err != nil {
		return nil, err
	}
	if wanted.ClientID != "" {
		config.ClientID = wanted.ClientID
	}
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	if wanted.Latest {
		config.Consumer.Offsets.Initial = sarama.OffsetNewest
	}
	config.Metadata.RefreshFrequency = wanted.MetadataAge
	config.Consumer.Return.Errors = true
	config.Consumer.Group.Session.Timeout = wanted.Session
	config.Consumer.Group.Heartbeat.Interval = wanted.Heartbeat
	config.Consumer.Group.InstanceId = wanted.Instance
	config.Consumer.Offsets.AutoCommit.Enable = wanted.Commit == "auto"
	strategies := map[string]sarama.BalanceStrategy{
		"range": sarama.NewBalanceStrategyRange(), "roundrobin": sarama.NewBalanceStrategyRoundRobin(),
		"sticky": sarama.NewBalanceStrategySticky(), "cooperative-sticky": sarama.NewBalanceStrategyCooperativeSticky(),
	}
	if strategy, known := strategies[wanted.Assignor]; known {
		config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
	} else if wanted.Assignor != "" {
		return nil, fmt.Errorf("no assignor %s", wanted.Assignor)
	}
	return config, nil
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
	member := &member{client: client, wanted: wanted, reader: reader, group: group, full: make(chan struct{})}
	session := member.next()
	go member.obey()
	for ; session != nil; session = member.next() {
		err := group.Consume(session, wanted.Topics, member)
		if errors.Is(err, sarama.ErrFencedInstancedId) {
			return err
		} else if err != nil && session.Err() == nil {
			driver.Failed(err, false)
			time.Sleep(time.Second)
		}
	}
	return group.Close()
}

// alone reads partitions without a group.
func alone(client sarama.Client, wanted driver.Consume, reader *driver.Reader) error {
	if wanted.Group != "" {
		return errors.New("sarama reads given partitions without a group")
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return err
	}
	defer consumer.Close()
	for _, topic := range wanted.Topics {
		if wanted.Assign[topic], err = client.Partitions(topic); err != nil {
			return err
		}
	}
	reader.Assigned(wanted.Assign)
	messages, open := make(chan *sarama.ConsumerMessage), map[string]sarama.PartitionConsumer{}
	from := func(topic string, partition int32, offset int64) error {
		at := driver.At(topic, partition)
		if former := open[at]; former != nil {
			if err := former.Close(); err != nil {
				return err
			}
		}
		part, err := consumer.ConsumePartition(topic, partition, offset)
		if err != nil {
			return err
		}
		open[at] = part
		go forward(part, messages)
		return nil
	}
	for topic, partitions := range wanted.Assign {
		for _, partition := range partitions {
			if err := from(topic, partition, client.Config().Consumer.Offsets.Initial); err != nil {
				return err
			}
		}
	}
	for !reader.Full() {
		select {
		case message := <-messages:
			tell(reader, message)
		case command := <-reader.Commands:
			switch command.Verb {
			case "stop":
				return nil
			case "pause":
				consumer.PauseAll()
				time.Sleep(2 * client.Config().Consumer.MaxWaitTime) // what was asked for before may still come
				reader.Told("paused")
			case "resume":
				consumer.ResumeAll()
				reader.Told("resumed")
			case "commit":
				driver.Failed(errors.New("no group to commit in"), false)
			case "seek", "seek_time":
				places, err := sought(client, wanted.Assign, command)
				for topic, partitions := range places {
					for partition, offset := range partitions {
						err = errors.Join(err, from(topic, partition, offset))
					}
				}
				if err != nil {
					driver.Failed(err, false)
					continue
				}
				reader.Told("sought")
			}
		}
	}
	return nil
}

func forward(part sarama.PartitionConsumer, messages chan<- *sarama.ConsumerMessage) {
	go func() {
		for err := range part.Errors() {
			driver.Failed(err, false)
		}
	}()
	for message := range part.Messages() {
		messages <- message
	}
}

func tell(reader *driver.Reader, message *sarama.ConsumerMessage) bool {
	return reader.Record(message.Topic, message.Partition, message.Offset, message.Timestamp.UnixMilli(), message.Key, message.Value)
}

// sought is where a command moves which partitions.
func sought(client sarama.Client, assigned map[string][]int32, command driver.Command) (map[string]map[int32]int64, error) {
	if command.Verb == "seek" {
		return map[string]map[int32]int64{command.Topic: {command.Partition: command.Number}}, nil
	}
	places := map[string]map[int32]int64{}
	for topic, partitions := range assigned {
		places[topic] = map[int32]int64{}
		for _, partition := range partitions {
			offset, err := client.GetOffset(topic, partition, command.Number)
			if err == nil && offset < 0 { // nothing is that late
				offset, err = client.GetOffset(topic, partition, sarama.OffsetNewest)
			}
			if err != nil {
				return nil, err
			}
			places[topic][partition] = offset
		}
	}
	return places, nil
}
