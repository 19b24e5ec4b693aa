// Command checkperf puts the load of `etcdctl check perf --load=l` on a server: 500 clients with a connection each, keys of
// 256 bytes, values of 1 KiB, 8,000 puts a second, and the same bounds.
//
// It differs in one thing: a put whose turn came while the process slept is made up for. etcdctl's limiter forgets such
// turns, and a timer of Go's is late by up to a millisecond when there is nothing else to do: on two cores, that limiter
// with nothing behind it lets 2,000 a second through.
//
// Prints a line of JSON; exits with 1 if a put failed.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	prefix     = "/etcdctl-check-perf/"
	keyBytes   = 256
	valueBytes = 1024
)

func main() {
	endpoint := flag.String("endpoint", "127.0.0.1:2379", "host:port of the server")
	clients := flag.Int("clients", 500, "clients, each with a connection of its own")
	rate := flag.Int("rate", 8000, "puts a second")
	duration := flag.Duration("time", 20*time.Second, "how long")
	flag.Parse()
	if err := run(*endpoint, *clients, *rate, *duration); err != nil {
		fmt.Fprintln(os.Stderr, "checkperf:", err)
		os.Exit(1)
	}
}

func run(endpoint string, count, rate int, duration time.Duration) error {
	clients := make([]*clientv3.Client, count)
	for i := range clients {
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
		if err != nil {
			return err
		}
		defer client.Close()
		clients[i] = client
	}
	load := &load{turns: make(chan struct{}, count), value: strings.Repeat("\x00", valueBytes)}
	var workers sync.WaitGroup
	for _, client := range clients {
		workers.Go(func() { load.work(client) })
	}
	began := time.Now()
	load.pace(began, rate, duration)
	workers.Wait()
	elapsed := time.Since(began)
	_, cleanupErr := clients[0].Delete(context.Background(), prefix, clientv3.WithPrefix())
	if load.err != nil {
		return load.err
	}
	if len(load.seconds) == 0 {
		return errors.New("nothing was due: -rate or -time is too small")
	}
	if err := json.NewEncoder(os.Stdout).Encode(load.report(elapsed)); err != nil {
		return err
	}
	return cleanupErr
}

type load struct {
	turns chan struct{}
	value string

	mu      sync.Mutex
	seconds []float64
	err     error
}

// pace hands out as many turns as are due, and again a millisecond later; closes turns at the end.
func (l *load) pace(began time.Time, rate int, duration time.Duration) {
	defer close(l.turns)
	given := 0
	for elapsed := time.Duration(0); elapsed < duration; elapsed = time.Since(began) {
		due := int(elapsed.Seconds() * float64(rate))
		for ; given < due; given++ {
			l.turns <- struct{}{}
		}
		time.Sleep(time.Millisecond)
	}
}

func (l *load) work(client *clientv3.Client) {
	key := make([]byte, keyBytes)
	for range l.turns {
		binary.PutVarint(key, rand.Int63())
		began := time.Now()
		_, err := client.Put(context.Background(), prefix+string(key), l.value)
		seconds := time.Since(began).Seconds()
		l.mu.Lock()
		l.seconds = append(l.seconds, seconds)
		if err != nil {
			l.err = err
		}
		l.mu.Unlock()
	}
}

type report struct {
	PerSecond float64 `json:"per_s"`
	MeanMs    float64 `json:"mean_ms"`
	P99Ms     float64 `json:"p99_ms"`
	SlowestMs float64 `json:"slowest_ms"`
	StddevMs  float64 `json:"stddev_ms"`
}

func (l *load) report(elapsed time.Duration) report {
	slices.Sort(l.seconds)
	count := float64(len(l.seconds))
	var sum, squares float64
	for _, s := range l.seconds {
		sum += s
	}
	mean := sum / count
	for _, s := range l.seconds {
		squares += (s - mean) * (s - mean)
	}
	return report{
		PerSecond: count / elapsed.Seconds(),
		MeanMs:    mean * 1000,
		P99Ms:     l.seconds[len(l.seconds)*99/100] * 1000,
		SlowestMs: l.seconds[len(l.seconds)-1] * 1000,
		StddevMs:  math.Sqrt(squares/count) * 1000,
	}
}
