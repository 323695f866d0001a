// Package driver is the contract of tests/clients/README.md for the clients in Go: the command line, the commands, the events.
// Nothing in here knows a client.
package driver

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Client is what a driver brings.
type Client struct {
	Name    string
	Module  string                                  // its version is the one that this program was built with
	Lacks   func(protocol string) map[string]string // what the client cannot do, and why
	Produce func(Produce, *Tally) error
	Consume func(Consume, *Reader) error
	// Protocols says that the user sets the protocol's version; other clients negotiate, and the key is refused.
	Protocols bool
}

// Produce holds the keys of that verb.
type Produce struct {
	Bootstrap    []string
	Topic        string
	First, Count int
	Codec, Acks  string
	Idempotent   bool
	Partition    int32 // -1: as the client chooses
	ValueBytes   int
	RatePerS     int
	Protocol     string
}

// Consume holds the keys of that verb.
type Consume struct {
	Bootstrap                       []string
	Topics                          []string
	Pattern                         string
	Assign                          map[string][]int32
	Group, Instance, Assignor       string
	Latest                          bool
	Session, Heartbeat, MetadataAge time.Duration
	Commit                          string
	Max                             int
	ClientID, Protocol              string
}

var defaults = map[string]string{
	"produce": "bootstrap= topic= first=0 count=0 codec=none acks=all idempotent=false partition=-1 value_bytes=0 rate_per_s=0 protocol=",
	"consume": "bootstrap= topics= pattern= assign= group= instance= assignor= from=earliest session_ms=10000 heartbeat_ms=1000 " +
		"metadata_max_age_ms=2000 commit=auto max=0 client_id= protocol=",
	"features": "protocol=",
}

// Main runs one verb and ends the program.
func Main(client Client) {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	verb := ""
	if len(os.Args) > 1 {
		verb = os.Args[1]
	}
	known, found := defaults[verb]
	if !found {
		refuse("a verb: features, produce or consume")
	}
	keys := pairs(strings.Fields(known), nil)
	keys = pairs(os.Args[min(2, len(os.Args)):], keys)
	if keys["protocol"] != "" && !client.Protocols {
		refuse("this client negotiates: it has no protocol to be set")
	}
	var err error
	switch verb {
	case "features":
		emit(map[string]any{"event": "features", "client": client.Name, "version": version(client.Module), "lacks": client.Lacks(keys["protocol"])})
	case "produce":
		err = produce(client, keys)
	case "consume":
		err = consume(client, keys)
	}
	if err != nil {
		Failed(err, true)
		os.Exit(1)
	}
}

func produce(client Client, keys keys) error {
	wanted := Produce{
		Bootstrap: keys.list("bootstrap"), Topic: keys["topic"], First: keys.number("first"), Count: keys.number("count"),
		Codec: keys.one("codec", "none", "gzip", "snappy", "lz4", "zstd"), Acks: keys.one("acks", "all", "1", "0"),
		Idempotent: keys.one("idempotent", "true", "false") == "true", Partition: int32(keys.number("partition")),
		ValueBytes: keys.number("value_bytes"), RatePerS: keys.number("rate_per_s"), Protocol: keys["protocol"],
	}
	tally := &Tally{errors: []string{}}
	if wanted.RatePerS > 0 {
		go tally.tell()
	}
	if err := client.Produce(wanted, tally); err != nil {
		return err
	}
	tally.mutex.Lock() // for good: this is the last word
	emit(map[string]any{"event": "produced", "acked": tally.acked, "failed": tally.failed, "errors": tally.errors})
	return nil
}

func consume(client Client, keys keys) error {
	wanted := Consume{
		Bootstrap: keys.list("bootstrap"), Topics: keys.list("topics"), Pattern: keys["pattern"], Assign: map[string][]int32{},
		Group: keys["group"], Instance: keys["instance"], Assignor: keys["assignor"], Latest: keys.one("from", "earliest", "latest") == "latest",
		Session: keys.time("session_ms"), Heartbeat: keys.time("heartbeat_ms"), MetadataAge: keys.time("metadata_max_age_ms"),
		Commit: keys.one("commit", "auto", "none", "each"), Max: keys.number("max"), ClientID: keys["client_id"], Protocol: keys["protocol"],
	}
	for _, at := range keys.list("assign") {
		topic, partition := parse(at)
		wanted.Assign[topic] = append(wanted.Assign[topic], partition)
	}
	reader := &Reader{max: wanted.Max, next: map[string]int64{}, assigned: map[string]bool{}, Commands: make(chan Command)}
	go reader.listen()
	if err := client.Consume(wanted, reader); err != nil {
		return err
	}
	reader.mutex.Lock()
	emit(map[string]any{"event": "stopped", "read": reader.read})
	return nil
}

// Each calls send for every record in turn, at the pace that was asked for.
func (p Produce) Each(send func(key, value string)) {
	began := time.Now()
	for i := range make([]struct{}, p.Count) {
		if p.RatePerS > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(p.RatePerS))))
		}
		value := fmt.Sprintf("value-%d", p.First+i)
		send(fmt.Sprintf("key-%d", p.First+i), value+strings.Repeat(".", max(0, p.ValueBytes-len(value))))
	}
}

// Tally counts what became of the records.
type Tally struct {
	mutex         sync.Mutex
	acked, failed int
	errors        []string
}

// Done counts one record.
func (t *Tally) Done(err error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if err == nil {
		t.acked++
		return
	}
	t.failed++
	for _, known := range t.errors {
		if known == err.Error() {
			return
		}
	}
	t.errors = append(t.errors, err.Error())
}

func (t *Tally) tell() {
	for range time.Tick(time.Second) {
		t.mutex.Lock()
		emit(map[string]any{"event": "progress", "acked": t.acked})
		t.mutex.Unlock()
	}
}

type keys map[string]string

// pairs reads key=value arguments; with known keys, no others are taken.
func pairs(arguments []string, known keys) keys {
	result := keys{}
	for key, value := range known {
		result[key] = value
	}
	for _, argument := range arguments {
		key, value, _ := strings.Cut(argument, "=")
		if _, found := known[key]; known != nil && !found {
			refuse("unknown key " + key)
		}
		result[key] = value
	}
	return result
}

func (k keys) list(key string) []string {
	if k[key] == "" {
		return nil
	}
	return strings.Split(k[key], ",")
}

func (k keys) number(key string) int {
	number, err := strconv.Atoi(k[key])
	if err != nil {
		refuse(key + ": " + err.Error())
	}
	return number
}

func (k keys) time(key string) time.Duration {
	return time.Duration(k.number(key)) * time.Millisecond
}

func (k keys) one(key string, allowed ...string) string {
	for _, value := range allowed {
		if k[key] == value {
			return value
		}
	}
	refuse(key + " is one of " + strings.Join(allowed, ", "))
	return ""
}

func refuse(why string) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(2)
}

func parse(at string) (string, int32) {
	colon := strings.LastIndex(at, ":")
	partition, err := strconv.ParseInt(at[colon+1:], 10, 32)
	if colon < 1 || err != nil {
		refuse("not topic:partition: " + at)
	}
	return at[:colon], int32(partition)
}

func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module && dependency.Replace != nil {
			return dependency.Replace.Path + " " + dependency.Replace.Version
		} else if dependency.Path == module {
			return strings.TrimPrefix(dependency.Version, "v")
		}
	}
	return ""
}

var out = struct {
	sync.Mutex
	lines *bufio.Writer
}{lines: bufio.NewWriter(os.Stdout)}

func emit(event map[string]any) {
	line, err := json.Marshal(event)
	if err != nil {
		panic(err)
	}
	out.Lock()
	defer out.Unlock()
	out.lines.Write(append(line, '\n'))
	out.lines.Flush()
}
