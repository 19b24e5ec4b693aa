package clients_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
)

// events takes count events of a watch.
func events(t *testing.T, watch clientv3.WatchChan, count int) []*clientv3.Event {
	t.Helper()
	var got []*clientv3.Event
	for len(got) < count {
		resp := receive(t, "watch", watch)
		must(t, resp.Err())
		got = append(got, resp.Events...)
	}
	if len(got) != count {
		t.Fatalf("%d events, want %d", len(got), count)
	}
	return got
}

// describe writes events as "PUT k=v" and "DELETE k", without the prefix.
func describe(events []*clientv3.Event, prefix string) string {
	var out []string
	for _, event := range events {
		key := strings.TrimPrefix(string(event.Kv.Key), prefix)
		if event.Type == mvccpb.Event_DELETE {
			out = append(out, "DELETE "+key)
		} else {
			out = append(out, "PUT "+key+"="+string(event.Kv.Value))
		}
	}
	return strings.Join(out, ", ")
}

func TestWatchOptions(t *testing.T) {
	c, p := dial(t), prefix(t)
	ctx := bounded(t)
	begin, err := c.Put(ctx, p+"a", "0")
	must(t, err)
	from := begin.Header.Revision + 1
	cases := []struct {
		name string
		key  string
		opts []clientv3.OpOption
		want string
	}{
		{"key", "a", nil, "PUT a=1, DELETE a"},
		{"prefix", "", []clientv3.OpOption{clientv3.WithPrefix()}, "PUT a=1, PUT b=2, DELETE a"},
		{"range", "b", []clientv3.OpOption{clientv3.WithRange(p + "c")}, "PUT b=2"},
		{"from key", "b", []clientv3.OpOption{clientv3.WithRange(p + "z")}, "PUT b=2"},
		{"no puts", "", []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithFilterPut()}, "DELETE a"},
		{"no deletes", "", []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithFilterDelete()}, "PUT a=1, PUT b=2"},
		{"fragments", "", []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithFragment()}, "PUT a=1, PUT b=2, DELETE a"},
	}
	live := make([]clientv3.WatchChan, len(cases))
	for i, tc := range cases {
		live[i] = c.Watch(ctx, p+tc.key, append(tc.opts, clientv3.WithCreatedNotify())...)
		if created := receive(t, "created", live[i]); !created.Created {
			t.Fatalf("%s: first response is not the created one: %v", tc.name, created)
		}
	}
	_, err = c.Put(ctx, p+"a", "1")
	must(t, err)
	_, err = c.Put(ctx, p+"b", "2")
	must(t, err)
	_, err = c.Delete(ctx, p+"a")
	must(t, err)
	for i, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			count := strings.Count(tc.want, ",") + 1
			if got := describe(events(t, live[i], count), p); got != tc.want {
				t.Errorf("live: %s, want %s", got, tc.want)
			}
			past := c.Watch(ctx, p+tc.key, append(tc.opts, clientv3.WithRev(from))...)
			if got := describe(events(t, past, count), p); got != tc.want {
				t.Errorf("past: %s, want %s", got, tc.want)
			}
		})
	}
	withPrev := c.Watch(ctx, p+"a", clientv3.WithRev(from), clientv3.WithPrevKV())
	for i, event := range events(t, withPrev, 2) {
		if want := fmt.Sprint(i); string(event.PrevKv.GetValue()) != want {
			t.Errorf("previous value %q, want %q", event.PrevKv.GetValue(), want)
		}
	}
}

func TestWatchProgress(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	watch := c.Watch(ctx, p, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	receive(t, "created", watch)
	put, err := c.Put(ctx, "/elsewhere"+p, "v")
	must(t, err)
	must(t, c.RequestProgress(ctx))
	progress := receive(t, "progress", watch)
	if !progress.IsProgressNotify() || progress.Header.Revision < put.Header.Revision {
		t.Errorf("progress %v at %d, want at least %d", progress.IsProgressNotify(), progress.Header.Revision, put.Header.Revision)
	}
}

func TestWatchManyOnOneStream(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	const watches = 50
	channels := make([]clientv3.WatchChan, watches)
	for i := range channels {
		channels[i] = c.Watch(ctx, fmt.Sprintf("%s%02d", p, i), clientv3.WithCreatedNotify())
		receive(t, "created", channels[i])
	}
	for i := range channels {
		_, err := c.Put(ctx, fmt.Sprintf("%s%02d", p, i), fmt.Sprint(i))
		must(t, err)
	}
	for i, channel := range channels {
		if got, want := describe(events(t, channel, 1), p), fmt.Sprintf("PUT %02d=%d", i, i); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestWatchCancel(t *testing.T) {
	c, p := dial(t), prefix(t)
	ctx, cancel := context.WithCancel(bounded(t))
	watch := c.Watch(ctx, p, clientv3.WithCreatedNotify())
	receive(t, "created", watch)
	cancel()
	for resp := range watch {
		if err := resp.Err(); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
}

func TestWatchCompacted(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	first, err := c.Put(ctx, p+"k", "1")
	must(t, err)
	second, err := c.Put(ctx, p+"k", "2")
	must(t, err)
	_, err = c.Compact(ctx, second.Header.Revision)
	must(t, err)
	resp := receive(t, "watch", c.Watch(ctx, p+"k", clientv3.WithRev(first.Header.Revision)))
	if !errors.Is(resp.Err(), rpctypes.ErrCompacted) || resp.CompactRevision != second.Header.Revision || !resp.Canceled {
		t.Errorf("got %v, compacted at %d, want at %d", resp.Err(), resp.CompactRevision, second.Header.Revision)
	}
}

func TestWatchFutureRevision(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	begin, err := c.Put(ctx, p+"k", "0")
	must(t, err)
	watch := c.Watch(ctx, p+"k", clientv3.WithRev(begin.Header.Revision+2), clientv3.WithCreatedNotify())
	receive(t, "created", watch)
	for i := 1; i <= 2; i++ {
		_, err = c.Put(ctx, p+"k", fmt.Sprint(i))
		must(t, err)
	}
	if got := describe(events(t, watch, 1), p); got != "PUT k=2" {
		t.Errorf("got %s", got)
	}
}

// TestWatchFragments has one revision that is larger than a message that a server may send at once.
func TestWatchFragments(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	value := strings.Repeat("v", 1_000_000)
	begin, err := c.Put(ctx, p+"0", value)
	must(t, err)
	for i := 1; i < 6; i++ {
		_, err = c.Put(ctx, fmt.Sprintf("%s%d", p, i), value)
		must(t, err)
	}
	_, err = c.Delete(ctx, p, clientv3.WithPrefix())
	must(t, err)
	watch := c.Watch(ctx, p, clientv3.WithPrefix(), clientv3.WithRev(begin.Header.Revision),
		clientv3.WithFragment(), clientv3.WithPrevKV())
	got := events(t, watch, 12)
	for _, event := range got[6:] {
		if event.Type != mvccpb.Event_DELETE || len(event.PrevKv.GetValue()) != len(value) {
			t.Errorf("%s %s with a previous value of %d bytes", event.Type, event.Kv.Key, len(event.PrevKv.GetValue()))
		}
	}
}

func TestWatchRequireLeader(t *testing.T) {
	c, p := dial(t), prefix(t)
	ctx := clientv3.WithRequireLeader(bounded(t))
	watch := c.Watch(ctx, p+"k", clientv3.WithCreatedNotify())
	receive(t, "created", watch)
	_, err := c.Put(ctx, p+"k", "v")
	must(t, err)
	events(t, watch, 1)
}

// TestWatchResume loses its connection again and again: no event is lost, none comes twice.
func TestWatchResume(t *testing.T) {
	between := startProxy(t)
	through := dial(t, func(cfg *clientv3.Config) { cfg.Endpoints = []string{between.address()} })
	c, ctx, p := dial(t), bounded(t), prefix(t)
	watch := through.Watch(ctx, p, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	receive(t, "created", watch)
	const rounds, perRound = 5, 20
	for round := range rounds {
		for i := range perRound {
			_, err := c.Put(ctx, p+"k", fmt.Sprint(round*perRound+i))
			must(t, err)
			if i == perRound/2 {
				between.cut()
			}
		}
		for i, event := range events(t, watch, perRound) {
			if want := fmt.Sprint(round*perRound + i); string(event.Kv.Value) != want {
				t.Fatalf("event %s, want %s", event.Kv.Value, want)
			}
		}
	}
}

// TestWatchResumeCompacted is away for so long that what it missed is compacted.
func TestWatchResumeCompacted(t *testing.T) {
	between := startProxy(t)
	through := dial(t, func(cfg *clientv3.Config) { cfg.Endpoints = []string{between.address()} })
	c, ctx, p := dial(t), bounded(t), prefix(t)
	watch := through.Watch(ctx, p+"k", clientv3.WithCreatedNotify())
	receive(t, "created", watch)
	_, err := c.Put(ctx, p+"k", "seen")
	must(t, err)
	events(t, watch, 1)
	between.setDeaf(true)
	between.cut()
	var last int64
	for range 3 {
		resp, err := c.Put(ctx, p+"k", "missed")
		must(t, err)
		last = resp.Header.Revision
	}
	_, err = c.Compact(ctx, last)
	must(t, err)
	between.setDeaf(false)
	resp := receive(t, "watch", watch)
	if !errors.Is(resp.Err(), rpctypes.ErrCompacted) || resp.CompactRevision != last {
		t.Errorf("got %v, compacted at %d, want at %d", resp.Err(), resp.CompactRevision, last)
	}
}

func TestRecipeWatch(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	put, err := c.Put(ctx, p+"k", "v")
	must(t, err)
	_, err = c.Delete(ctx, p+"k")
	must(t, err)
	event, err := recipe.WaitPrefixEvents(c, p, put.Header.Revision, []mvccpb.Event_EventType{mvccpb.Event_PUT, mvccpb.Event_DELETE})
	must(t, err)
	if event.Type != mvccpb.Event_DELETE {
		t.Errorf("last awaited event: %v", event)
	}
}
