package main

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"thalweg.test/driver"
)

// member is the handler of a group's sessions. A session cannot seek: it ends, and the next one begins elsewhere, which a group
// sees as a rebalance.
type member struct {
	client sarama.Client
	wanted driver.Consume
	reader *driver.Reader
	group  sarama.ConsumerGroup
	full   chan struct{}

	mutex    sync.Mutex
	stopping bool
	end      context.CancelFunc
	session  sarama.ConsumerGroupSession
	places   map[string]map[int32]int64 // where the next session begins
}

// next is the context of another session; nil once there shall be none.
func (m *member) next() context.Context {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.stopping {
		return nil
	}
	session, end := context.WithCancel(context.Background())
	m.end = end
	return session
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.session = session
	m.reader.Assigned(session.Claims())
	for topic, partitions := range session.Claims() {
		for _, partition := range partitions {
			offset, moved := m.places[topic][partition]
			if !moved {
				continue
			}
			session.MarkOffset(topic, partition, offset, "")
			session.ResetOffset(topic, partition, offset, "")
			m.reader.Moved(topic, partition, offset)
		}
	}
	if m.places != nil {
		m.places = nil
		m.reader.Told("sought")
	}
	return nil
}

func (m *member) Cleanup(session sarama.ConsumerGroupSession) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.wanted.Commit == "each" {
		m.commit()
	}
	m.session = nil
	m.reader.Revoked(m.reader.Assignment())
	return nil
}

// ConsumeClaim reads one partition. Under cooperative rebalancing claims come and go while the session stays.
func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	here := map[string][]int32{claim.Topic(): {claim.Partition()}}
	if !m.holds(claim) {
		m.reader.Assigned(here)
	}
	for session.Context().Err() == nil {
		select {
		case <-session.Context().Done():
		case message, open := <-claim.Messages():
			if !open {
				if session.Context().Err() == nil {
					m.reader.Revoked(here)
					m.reader.Assigned(nil)
				}
				return nil
			}
			m.take(session, message, len(claim.Messages()) == 0)
		}
	}
	return nil
}

func (m *member) holds(claim sarama.ConsumerGroupClaim) bool {
	for _, partition := range m.reader.Assignment()[claim.Topic()] {
		if partition == claim.Partition() {
			return true
		}
	}
	return false
}

func (m *member) take(session sarama.ConsumerGroupSession, message *sarama.ConsumerMessage, last bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.places != nil || !tell(m.reader, message) {
		return
	}
	session.MarkMessage(message, "")
	if m.wanted.Commit == "each" && (last || m.reader.Full()) {
		m.commit()
	}
	if m.reader.Full() {
		close(m.full)
	}
}

// commit commits what is marked. sarama's Commit tells no outcome, so the group is asked what it holds.
func (m *member) commit() {
	positions := m.reader.Positions()
	m.session.Commit()
	m.reader.Committed(positions, m.differs(positions))
}

func (m *member) differs(positions map[string]map[int32]int64) error {
	coordinator, err := m.client.Coordinator(m.wanted.Group)
	if err != nil {
		return err
	}
	request := sarama.NewOffsetFetchRequest(m.client.Config().Version, m.wanted.Group, partitions(positions))
	held, err := coordinator.FetchOffset(request)
	if err != nil {
		return err
	}
	for topic, partitions := range positions {
		for partition, offset := range partitions {
			block := held.GetBlock(topic, partition)
			if block == nil || block.Err != sarama.ErrNoError || block.Offset != offset {
				return fmt.Errorf("%s was not committed at %d: %+v", driver.At(topic, partition), offset, block)
			}
		}
	}
	return nil
}

func partitions(positions map[string]map[int32]int64) map[string][]int32 {
	names := map[string][]int32{}
	for topic, partitions := range positions {
		for partition := range partitions {
			names[topic] = append(names[topic], partition)
		}
	}
	return names
}

// obey carries out commands until the end.
func (m *member) obey() {
	for {
		select {
		case <-m.full:
			m.leaves()
			return
		case command := <-m.reader.Commands:
			if command.Verb == "stop" {
				m.leaves()
				return
			}
			m.does(command)
		}
	}
}

func (m *member) leaves() {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.stopping = true
	m.end()
}

func (m *member) does(command driver.Command) {
	switch command.Verb {
	case "pause":
		m.group.PauseAll()
		time.Sleep(2 * m.client.Config().Consumer.MaxWaitTime) // what was asked for before may still come
		m.reader.Told("paused")
	case "resume":
		m.group.ResumeAll()
		m.reader.Told("resumed")
	case "commit":
		m.mutex.Lock()
		defer m.mutex.Unlock()
		if m.session == nil {
			driver.Failed(fmt.Errorf("no session to commit in"), false)
			return
		}
		m.commit()
	case "seek", "seek_time":
		places, err := sought(m.client, m.reader.Assignment(), command)
		if err != nil {
			driver.Failed(err, false)
			return
		}
		m.mutex.Lock()
		defer m.mutex.Unlock()
		m.places = m.reader.Positions() // what is not sought goes on where it stands
		for topic, partitions := range places {
			if m.places[topic] == nil {
				m.places[topic] = map[int32]int64{}
			}
			maps.Copy(m.places[topic], partitions)
		}
		m.end()
	}
}
