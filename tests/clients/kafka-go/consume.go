package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"thalweg.test/driver"
)

func errorOf(lacking string) error { return errors.New(lacks("")[lacking]) }

// consumer reads the partitions of one generation after another, or given ones without a group. kafka-go's own Reader does the same for
// a group, and tells nobody what it was assigned.
type consumer struct {
	wanted driver.Consume
	reader *driver.Reader
	dialer *kafka.Dialer
	full   chan struct{}

	mutex  sync.Mutex
	gate   *sync.Cond // told when anything below changes, or a generation ends
	paused bool
	parts  map[string]*part
	commit func(map[string]map[int]int64) error
}

// part is one partition that is being read.
type part struct {
	topic     string
	partition int
	from      *kafka.Reader
	stop      context.CancelFunc // interrupts reading
	seeking   bool               // reading shall stand still
	still     bool               // reading stands still
}

func consume(wanted driver.Consume, reader *driver.Reader) error {
	if wanted.Pattern != "" {
		return errorOf("pattern")
	} else if wanted.Instance != "" {
		return errorOf("static")
	} else if len(wanted.Assign) > 0 && wanted.Group != "" {
		return errors.New("kafka-go reads given partitions without a group")
	}
	c := &consumer{wanted: wanted, reader: reader, full: make(chan struct{}), parts: map[string]*part{}}
	c.gate = sync.NewCond(&c.mutex)
	c.dialer = &kafka.Dialer{ClientID: wanted.ClientID, Timeout: 10 * time.Second, DualStack: true}
	if wanted.Group == "" {
		return c.alone()
	}
	return c.together()
}

func (c *consumer) start() int64 {
	if c.wanted.Latest {
		return kafka.LastOffset
	}
	return kafka.FirstOffset
}

func (c *consumer) alone() error {
	for _, topic := range c.wanted.Topics {
		partitions, err := c.dialer.LookupPartitions(context.Background(), "tcp", c.wanted.Bootstrap[0], topic)
		if err != nil {
			return err
		}
		for _, partition := range partitions {
			c.wanted.Assign[topic] = append(c.wanted.Assign[topic], int32(partition.ID))
		}
	}
	c.reader.Assigned(c.wanted.Assign)
	ctx, end := context.WithCancel(context.Background())
	defer end()
	for topic, partitions := range c.wanted.Assign {
		for _, partition := range partitions {
			go c.read(ctx, c.opens(topic, int(partition), c.start()))
		}
	}
	c.obey()
	return nil
}

func (c *consumer) together() error {
	balancers := map[string][]kafka.GroupBalancer{
		"": nil, "range": {kafka.RangeGroupBalancer{}}, "roundrobin": {kafka.RoundRobinGroupBalancer{}},
	}
	balancer, known := balancers[c.wanted.Assignor]
	if !known {
		return fmt.Errorf("no assignor %s", c.wanted.Assignor)
	}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: c.wanted.Group, Brokers: c.wanted.Bootstrap, Dialer: c.dialer, Topics: c.wanted.Topics, GroupBalancers: balancer,
		HeartbeatInterval: c.wanted.Heartbeat, SessionTimeout: c.wanted.Session, StartOffset: c.start(),
		WatchPartitionChanges: true, PartitionWatchInterval: c.wanted.MetadataAge, Logger: logger(), ErrorLogger: log.Default(),
	})
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			generation, err := group.Next(context.Background())
			if errors.Is(err, kafka.ErrGroupClosed) {
				return
			} else if err != nil {
				driver.Failed(err, false)
				continue
			}
			c.lives(generation)
		}
	}()
	c.obey()
	err = group.Close() // ends the generation, which commits, and leaves the group
	<-ended
	return err
}

// lives starts reading what a generation assigns; it ends with the generation.
func (c *consumer) lives(generation *kafka.Generation) {
	assigned := map[string][]int32{}
	for topic, partitions := range generation.Assignments {
		for _, partition := range partitions {
			assigned[topic] = append(assigned[topic], int32(partition.ID))
		}
	}
	c.mutex.Lock()
	c.commit = generation.CommitOffsets
	c.mutex.Unlock()
	c.reader.Assigned(assigned)
	var reading sync.WaitGroup
	for topic, partitions := range generation.Assignments {
		for _, partition := range partitions {
			part := c.opens(topic, partition.ID, partition.Offset)
			reading.Add(1)
			generation.Start(func(ctx context.Context) {
				defer reading.Done()
				c.read(ctx, part)
			})
		}
	}
	generation.Start(func(ctx context.Context) {
		interval := time.NewTicker(time.Second)
		defer interval.Stop()
		for ctx.Err() == nil {
			select {
			case <-interval.C:
			case <-ctx.Done():
				c.mutex.Lock()
				c.gate.Broadcast()
				c.mutex.Unlock()
				reading.Wait()
			}
			if c.wanted.Commit == "auto" {
				c.commits(false)
			}
		}
		c.mutex.Lock()
		defer c.mutex.Unlock()
		c.commit = nil
		c.reader.Revoked(assigned)
	})
}

func (c *consumer) opens(topic string, partition int, offset int64) *part {
	from := kafka.NewReader(kafka.ReaderConfig{
		Brokers: c.wanted.Bootstrap, Dialer: c.dialer, Topic: topic, Partition: partition, MaxWait: time.Second, Logger: logger(),
		ErrorLogger: log.Default(),
	})
	from.SetOffset(offset)
	opened := &part{topic: topic, partition: partition, from: from, stop: func() {}}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.parts[driver.At(topic, int32(partition))] = opened
	return opened
}

// read tells the records of one partition until the context ends.
func (c *consumer) read(ctx context.Context, part *part) {
	for ctx.Err() == nil {
		reading, stop := context.WithCancel(ctx)
		c.mutex.Lock()
		part.stop = stop
		for part.seeking { // a reader may be moved only while nobody waits for its next message
			part.still = true
			c.gate.Broadcast()
			c.gate.Wait()
		}
		part.still = false
		c.mutex.Unlock()
		message, err := part.from.ReadMessage(reading)
		stop()
		if err == nil {
			c.take(ctx, part, message)
		} else if reading.Err() == nil {
			driver.Failed(fmt.Errorf("%s:%d: %w", part.topic, part.partition, err), false)
			break
		}
	}
	c.mutex.Lock()
	delete(c.parts, driver.At(part.topic, int32(part.partition)))
	c.gate.Broadcast()
	c.mutex.Unlock()
	part.from.Close()
}

// take tells a record once nothing is paused, unless its reader is moved meanwhile. kafka-go has no pause: its users stop asking.
func (c *consumer) take(ctx context.Context, part *part, message kafka.Message) {
	c.mutex.Lock()
	for c.paused && !part.seeking && ctx.Err() == nil {
		c.gate.Wait()
	}
	told := !part.seeking && ctx.Err() == nil &&
		c.reader.Record(part.topic, int32(part.partition), message.Offset, message.Time.UnixMilli(), message.Key, message.Value)
	if told && c.reader.Full() {
		close(c.full)
	}
	each := told && c.wanted.Commit == "each" && (part.from.Stats().QueueLength == 0 || c.reader.Full())
	c.mutex.Unlock()
	if each {
		c.commits(true)
	}
}

// commits commits what was told.
func (c *consumer) commits(tell bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	positions := c.reader.Positions()
	err := errors.New("no generation to commit in")
	if c.commit != nil {
		offsets := map[string]map[int]int64{}
		for topic, partitions := range positions {
			offsets[topic] = map[int]int64{}
			for partition, offset := range partitions {
				offsets[topic][int(partition)] = offset
			}
		}
		err = c.commit(offsets)
	}
	if tell || err != nil {
		c.reader.Committed(positions, err)
	}
}

// obey carries out commands until the end.
func (c *consumer) obey() {
	for {
		select {
		case <-c.full:
			return
		case command := <-c.reader.Commands:
			switch command.Verb {
			case "stop":
				return
			case "commit":
				c.commits(true)
			case "pause", "resume":
				c.mutex.Lock()
				c.paused = command.Verb == "pause"
				c.gate.Broadcast()
				c.reader.Told(command.Verb + "d")
				c.mutex.Unlock()
			case "seek", "seek_time":
				if err := c.seek(command); err != nil {
					driver.Failed(err, false)
				}
			}
		}
	}
}

func (c *consumer) seek(command driver.Command) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	moved := c.parts
	if command.Verb == "seek" {
		at := driver.At(command.Topic, command.Partition)
		if c.parts[at] == nil {
			return fmt.Errorf("%s is not assigned", at)
		}
		moved = map[string]*part{at: c.parts[at]}
	}
	for _, part := range maps.Clone(moved) {
		part.seeking = true
		part.stop()
		for at := driver.At(part.topic, int32(part.partition)); c.parts[at] == part && !part.still; {
			c.gate.Broadcast()
			c.gate.Wait()
		}
		var err error
		if command.Verb == "seek" {
			err = part.from.SetOffset(command.Number)
		} else {
			err = part.from.SetOffsetAt(context.Background(), time.UnixMilli(command.Number))
		}
		part.seeking = false
		c.gate.Broadcast()
		if err != nil {
			return err
		}
		if offset := part.from.Offset(); offset >= 0 {
			c.reader.Moved(part.topic, int32(part.partition), offset)
		}
	}
	c.reader.Told("sought")
	return nil
}
