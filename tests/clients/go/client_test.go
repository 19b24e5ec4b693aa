// Package clients_test drives a server through etcd's own Go client packages.
//
// STELE_CLIENT_ENDPOINT names the server (host:port): a Stele or an etcd. Every test has keys of its own under a
// prefix made of its name and the time, so the server may be one that already holds data.
package clients_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// patience bounds every wait: it is long for a busy machine, and only a failing test uses it up.
const patience = 20 * time.Second

// endpoint is the server under test; the test is skipped when there is none.
func endpoint(t testing.TB) string {
	t.Helper()
	name := os.Getenv("STELE_CLIENT_ENDPOINT")
	if name == "" {
		t.Skip("STELE_CLIENT_ENDPOINT names no server")
	}
	return name
}

// dial returns a client of the server under test that lives as long as the test.
func dial(t testing.TB, change ...func(*clientv3.Config)) *clientv3.Client {
	t.Helper()
	cfg := clientv3.Config{
		Endpoints:   []string{endpoint(t)},
		DialTimeout: patience,
		Logger:      zap.NewNop(),
	}
	for _, f := range change {
		f(&cfg)
	}
	client, err := clientv3.New(cfg)
	if err != nil {
		t.Fatalf("clientv3.New: %v", err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// bounded is a context that ends with the test's patience.
func bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// prefix is a key prefix that nobody else uses.
func prefix(t testing.TB) string {
	return fmt.Sprintf("/%s/%x/", t.Name(), time.Now().UnixNano())
}

// must stops the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// receive takes one value of a channel, within the test's patience.
func receive[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case value, ok := <-from:
		if !ok {
			t.Fatalf("%s: channel is closed", what)
		}
		return value
	case <-time.After(patience):
		t.Fatalf("%s: nothing came", what)
	}
	panic("unreachable")
}

// isUnimplemented says whether the server has no such call.
func isUnimplemented(err error) bool {
	return status.Code(err) == codes.Unimplemented
}
