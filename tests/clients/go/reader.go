package driver

import (
	"bufio"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
)

// Reader tells what a consumer lives through and hands on what it is told to do. Its methods may be called from any goroutine.
type Reader struct {
	// Commands come one at a time; `stop` is the last.
	Commands chan Command

	mutex     sync.Mutex
	assigned  map[string]bool
	next      map[string]int64 // position after the last record that was told
	read, max int
}

// Command is a line of standard input: pause, resume, seek, seek_time, commit or stop.
type Command struct {
	Verb      string
	Topic     string // seek
	Partition int32  // seek
	Number    int64  // seek: an offset, seek_time: milliseconds
}

// listen reads the commands; a client is abandoned here, whatever it is doing.
func (r *Reader) listen() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		command, ok := understood(words)
		if !ok {
			fmt.Fprintln(os.Stderr, "unknown command:", lines.Text())
			os.Exit(2)
		}
		if command.Verb == "abandon" {
			os.Exit(0)
		}
		r.Commands <- command
	}
	r.Commands <- Command{Verb: "stop"}
}

func understood(words []string) (Command, bool) {
	if len(words) == 0 {
		return Command{}, false
	}
	command := Command{Verb: words[0]}
	var err error
	switch {
	case len(words) == 3 && words[0] == "seek":
		command.Topic, command.Partition = parse(words[1])
		command.Number, err = strconv.ParseInt(words[2], 10, 64)
	case len(words) == 2 && words[0] == "seek_time":
		command.Number, err = strconv.ParseInt(words[1], 10, 64)
	case len(words) == 1:
		return command, strings.Contains(" pause resume commit stop abandon ", " "+words[0]+" ")
	default:
		return command, false
	}
	return command, err == nil
}

// Assigned tells the whole assignment after `more` came to it.
func (r *Reader) Assigned(more map[string][]int32) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, at := range places(more) {
		r.assigned[at] = true
	}
	whole := make([]string, 0, len(r.assigned))
	for at := range r.assigned {
		whole = append(whole, at)
	}
	sort.Strings(whole)
	emit(map[string]any{"event": "assigned", "partitions": whole})
}

// Revoked tells what was taken away, if anything was.
func (r *Reader) Revoked(gone map[string][]int32) {
	if len(places(gone)) == 0 {
		return
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, at := range places(gone) {
		delete(r.assigned, at)
		delete(r.next, at)
	}
	emit(map[string]any{"event": "revoked", "partitions": places(gone)})
}

// Assignment is what is assigned now.
func (r *Reader) Assignment() map[string][]int32 {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	whole := map[string][]int32{}
	for at := range r.assigned {
		topic, partition := parse(at)
		whole[topic] = append(whole[topic], partition)
	}
	return whole
}

// Record tells one record, unless as many were told as shall be; true says that it was told.
func (r *Reader) Record(topic string, partition int32, offset, timestamp int64, key, value []byte) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.max > 0 && r.read == r.max {
		return false
	}
	r.read++
	at := At(topic, partition)
	r.next[at] = offset + 1
	emit(map[string]any{
		"event": "record", "at": at, "offset": offset, "timestamp": timestamp, "key": string(key),
		"value": strings.TrimRight(string(value), "."), "bytes": len(value),
	})
	return true
}

// Full says that as many records were told as shall be.
func (r *Reader) Full() bool {
	return r.max > 0 && r.Left() == 0
}

// Left is how many records may still be told.
func (r *Reader) Left() int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.max - r.read
}

// Positions are those after the last record told of each partition that is assigned.
func (r *Reader) Positions() map[string]map[int32]int64 {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	positions := map[string]map[int32]int64{}
	for at, next := range r.next {
		topic, partition := parse(at)
		if positions[topic] == nil {
			positions[topic] = map[int32]int64{}
		}
		positions[topic][partition] = next
	}
	return positions
}

// Moved remembers that a partition will be read from elsewhere.
func (r *Reader) Moved(topic string, partition int32, offset int64) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.next[At(topic, partition)] = offset
}

// Committed tells the offsets of a synchronous commit, or why there was none.
func (r *Reader) Committed(offsets map[string]map[int32]int64, err error) {
	if err != nil {
		Failed(err, false)
		return
	}
	told := map[string]int64{}
	for topic, partitions := range offsets {
		for partition, offset := range partitions {
			told[At(topic, partition)] = offset
		}
	}
	emit(map[string]any{"event": "committed", "offsets": told})
}

// Told emits an event without details: paused, resumed, sought.
func (r *Reader) Told(event string) {
	emit(map[string]any{"event": event})
}

// Failed tells an error.
func Failed(err error, fatal bool) {
	emit(map[string]any{"event": "error", "message": err.Error(), "fatal": fatal})
}

// At names a partition.
func At(topic string, partition int32) string {
	return fmt.Sprintf("%s:%d", topic, partition)
}

func places(partitions map[string][]int32) []string {
	names := []string{}
	for topic, numbers := range partitions {
		for _, partition := range numbers {
			names = append(names, At(topic, partition))
		}
	}
	sort.Strings(names)
	return names
}
